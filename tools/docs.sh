#!/usr/bin/env bash
# Checks the collection's documentation and builds it as HTML: build/docs/build/html/index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
# antsibull-docs copies dependencies by git's list of files where it finds a repository: amazon.aws in .venv is not in ours.
export GIT_CEILING_DIRECTORIES=$PWD

echo '== Links'
.venv/bin/python tools/check_links.py

echo '== antsibull-docs lint-collection-docs'
antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .

echo '== The documentation as HTML'
rm -rf build/docs
mkdir -p build/docs
log=build/docs.log
{
    antsibull-docs sphinx-init --use-current --squash-hierarchy --fail-on-error --dest-dir build/docs stevedore.ecr
    # No inventory of another site is fetched, so references into Ansible's own documentation stay unresolved.
    printf '\nproject = "stevedore.ecr"\nintersphinx_mapping = {}\nsuppress_warnings = ["ref.ref", "ref.envvar"]\nnitpicky = False\n' >>build/docs/conf.py
    build/docs/build.sh
} >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    exit 1
}
