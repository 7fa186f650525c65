#!/usr/bin/env bash
# Builds the artefact and shows it to Galaxy's importer, which always exits with 0: its words count.
set -euo pipefail
cd "$(dirname "$0")/.."
artefact=$(tools/artefact.sh)
log=build/importer.log
# The importer runs ansible-lint by itself; tools/lint.sh has done so on the whole checkout.
cat >build/galaxy-importer.cfg <<'CONFIG'
[galaxy-importer]
CHECK_REQUIRED_TAGS = False
RUN_ANSIBLE_LINT = False
CONFIG
# It writes its result into the working directory.
(cd build && GALAXY_IMPORTER_CONFIG=galaxy-importer.cfg python -m galaxy_importer.main "$artefact") >"$log" 2>&1
if grep -E '^(ERROR|CRITICAL)|Traceback' "$log" || ! grep -q 'Importer processing completed successfully' "$log"; then
    tail -n 30 "$log" >&2
    echo 'galaxy-importer is not content: see above' >&2
    exit 1
fi
