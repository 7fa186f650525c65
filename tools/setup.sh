#!/bin/sh
# Installs what is needed, and does nothing when it is all there: `tools/setup.sh demo|dev|test`.
#   demo  Ansible and the loopback cloud      dev  also the linters and test tools      test  also Docker and the AWS CLI
set -eu
cd "$(dirname "$0")/.."
wanted=$1

stop() {
    printf 'stevedore: %s\n' "$1" >&2
    exit 1
}

# Runs a command as root: directly, or by sudo where that needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Installs Debian packages, or stops and says which command brings them.
debian() {
    purpose=$1
    shift
    if ! command -v apt-get >/dev/null || ! can_be_root; then
        stop "$purpose needs $*: install with  sudo apt-get install $*"
    fi
    echo "== Installing Debian packages: $*"
    log=$(mktemp)
    # Packages that start a service on installation must not: the tests use daemons of their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    if ! { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        stop "apt-get could not install $* (log above)"
    fi
    rm -f "$log"
}

good_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && good_python "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    stop "Python 3.11, 3.12 or 3.13 is needed (the pinned ansible-core runs on these); found: $(python3 --version 2>&1 || true). \
Install one with  sudo apt-get install python3.11 python3.11-venv  (or 3.12, 3.13: whichever your release has)"
}

make_environment() {
    directory=$1
    [ -x "$directory/bin/python" ] && "$directory/bin/python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        debian 'making a virtual environment' "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    "$python" -m venv "$directory"
}

# Installs a requirements file into an environment, unless that very file was installed before.
requirements() {
    directory=$1 file=$2 constraints=$3
    stamp="$directory/installed-$(basename "$file")"
    if cat "$file" "$constraints" | cmp -s - "$stamp"; then return; fi
    echo "== Installing $file into $directory (once)"
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$file" -c "$constraints" ||
        stop "pip could not install $file: see its message above"
    cat "$file" "$constraints" >"$stamp"
}

# The collection's place in Python's and Ansible's search paths is a link to this checkout.
link_collection() {
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$packages/ansible_collections/stevedore" .venv/collections
    ln -sfn "$PWD" "$packages/ansible_collections/stevedore/ecr"
}

make_environment .venv
requirements .venv tests/requirements/demo.txt tests/requirements/constraints.txt
make_environment .venv/cloud
requirements .venv/cloud tests/requirements/cloud.txt tests/requirements/cloud-constraints.txt
link_collection

if [ "$wanted" != demo ]; then
    requirements .venv tests/requirements/test.txt tests/requirements/constraints.txt
fi

if [ "$wanted" = test ]; then
    make_environment .venv/aws
    requirements .venv/aws tests/requirements/aws.txt tests/requirements/aws-constraints.txt
    missing=
    command -v dockerd >/dev/null || missing="$missing docker.io"
    command -v docker-registry >/dev/null || missing="$missing docker-registry"
    command -v skopeo >/dev/null || missing="$missing skopeo"
    # A shell that runs in an otherwise empty image: containers of the tests are made of it.
    [ -x /bin/busybox ] || missing="$missing busybox-static"
    # Reports are looked at in it.
    command -v chromium >/dev/null || missing="$missing chromium"
    # shellcheck disable=SC2086  # a list of package names
    [ -z "$missing" ] || debian 'integration testing' $missing
fi
