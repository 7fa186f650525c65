#!/usr/bin/env bash
# Makes roles/codebuild_cloner/files/requirements.txt: what a build installs, with the versions of our own tests.
# Run it where pip-compile is (pip install pip-tools), after tests/requirements/constraints.txt has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=roles/codebuild_cloner/files/requirements.txt
wanted=$(mktemp --suffix=.in)
trap 'rm -f "$wanted" "$wanted.txt"' EXIT

# urllib3 and packaging come with these.
for package in ansible-core boto3 docker; do
    grep --max-count=1 "^$package==" tests/requirements/constraints.txt
done >"$wanted"
pip-compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host \
    --no-emit-find-links --strip-extras \
    --constraint tests/requirements/constraints.txt --output-file "$wanted.txt" "$wanted"
{
    echo "# What a build installs: the pins of this collection's own tests, for Python 3.11 to 3.13. Made by tools/lock_job.sh."
    cat "$wanted.txt"
} >"$lock"
echo "$lock: $(grep -c == "$lock") packages"
