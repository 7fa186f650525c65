#!/usr/bin/env bash
# Builds what users install, from a clean copy of the checkout, and prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(tools/tree.sh)
mkdir -p build/dist
rm -f build/dist/*.tar.gz
.venv/bin/ansible-galaxy collection build "$copy" --output-path build/dist --force >/dev/null
artefact=$(echo "$PWD"/build/dist/stevedore-ecr-*.tar.gz)
size=$(stat -c %s "$artefact")
if [ "$size" -gt 1000000 ]; then
    echo "$artefact is $size bytes: over a megabyte. Does build_ignore in galaxy.yml miss something?" >&2
    exit 1
fi
echo "$artefact"
