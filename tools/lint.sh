#!/usr/bin/env bash
# Everything that reads the code and runs none of it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "== $1"
}

step 'ruff'
ruff check --quiet .
ruff format --check --quiet .

step 'mypy --strict'
# The collection's modules are named by their place in ansible_collections, so mypy needs that place as a root.
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p build/mypy/ansible_collections/stevedore
ln -sfn "$PWD" build/mypy/ansible_collections/stevedore/ecr
ln -sfn "$packages/ansible_collections/amazon" build/mypy/ansible_collections/amazon
MYPYPATH=build/mypy mypy -p ansible_collections.stevedore.ecr.plugins.module_utils
MYPYPATH=tests/loopback mypy --python-executable .venv/cloud/bin/python -p loopback

step 'shellcheck'
shellcheck tools/*.sh .ci/run

step 'yamllint'
yamllint --strict .

step 'ansible-lint, profile production'
ansible-lint --offline -q

step 'changelog'
antsibull-changelog lint

step 'galaxy-importer'
tools/importer.sh
