#!/usr/bin/env bash
# Unit tests, and the artefact installed and used, with other versions than those of .venv:
#   lowest   the oldest Python from 3.10 on that is here, with the oldest ansible-core and boto3 that are supported
#   highest  the newest Python that is here, with the newest ansible-core; from Python 3.12 on, as .venv is that row otherwise
# `tools/matrix.sh [lowest] [highest]`
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# The path of Python $1, from PATH or from pyenv, if it is here.
python_of() {
    local candidate
    for candidate in "$(command -v "python$1" || true)" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# The first of the Pythons named that is here.
first_python() {
    local version found
    for version in "$@"; do
        found=$(python_of "$version")
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
    done
}

# An environment of its own, made again when what it should hold has changed.
environment() {
    local directory=$1 python=$2 wanted=$3 stamp
    stamp=$directory/installed.txt
    if [ -f "$stamp" ] && cat "$wanted" tests/requirements/matrix.txt | cmp -s - "$stamp"; then return; fi
    rm -rf "$directory"
    "$python" -m venv "$directory"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    cat "$wanted" tests/requirements/matrix.txt >"$stamp"
}

packages() {
    "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# The newest amazon.aws, which is published for Python's package manager as a part of a larger package.
newest_amazon() {
    local directory=$1 target
    target=$(packages "$directory")/ansible_collections
    [ -d "$target/amazon" ] && return
    mkdir -p "$target"
    "$directory/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest build/matrix \
        -r tests/requirements/matrix-amazon.txt
    "$directory/bin/python" - build/matrix/ansible-*.whl "$target/.." <<'PYTHON'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith("ansible_collections/amazon/")])
PYTHON
    rm -f build/matrix/ansible-*.whl
}

row() {
    local name=$1 directory=.venv/matrix/$1
    echo "== Matrix, $name: $("$directory/bin/python" --version), $("$directory/bin/python" -m pip list 2>/dev/null |
        grep -E '^(ansible-core|boto3) ' | tr -s ' ' | paste -sd ,)"
    # Unit tests find the checkout; the artefact's test must not, and finds what it has installed.
    mkdir -p build/matrix/ansible_collections/stevedore
    ln -sfn "$root" build/matrix/ansible_collections/stevedore/ecr
    PYTHONPATH="$root/build/matrix" "$directory/bin/python" -m pytest tests/unit -q -p no:cacheprovider --numprocesses 2
    ANSIBLE_COLLECTIONS_PATH='' "$directory/bin/python" -m pytest tests/integration/test_artefact.py -q -p no:cacheprovider
}

mkdir -p build/matrix
for name in "${@:-lowest}"; do
    case $name in
    lowest)
        environment .venv/matrix/lowest "$(first_python 3.10 3.11 3.12)" tests/requirements/matrix-lowest.txt
        mkdir -p "$(packages .venv/matrix/lowest)/ansible_collections"
        ln -sfn "$(packages .venv)/ansible_collections/amazon" "$(packages .venv/matrix/lowest)/ansible_collections/amazon"
        ;;
    highest)
        python=$(first_python 3.14 3.13 3.12)
        if [ -z "$python" ]; then
            echo '== Matrix, highest: no Python newer than 3.11 is here, and with that one .venv is the newest row'
            continue
        fi
        environment .venv/matrix/highest "$python" tests/requirements/matrix-highest.txt
        newest_amazon .venv/matrix/highest
        ;;
    *)
        echo "lowest or highest, not $name" >&2
        exit 1
        ;;
    esac
    row "$name"
done
