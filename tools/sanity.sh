#!/usr/bin/env bash
# ansible-test sanity on a copy of the checkout, with no entries to ignore.
set -euo pipefail
cd "$(dirname "$0")/.."
echo '== ansible-test sanity'
copy=$(tools/tree.sh)
version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
real=$(.venv/bin/python -c 'import os, sys; print(os.path.dirname(os.path.realpath(sys.executable)))')
# ansible-test makes virtual environments under $HOME and fetches pip for them; this stand-in uses the pip that Python brings.
home="$PWD/.venv/ansible-test-home"
mkdir -p "$home/.ansible/test/cache"
for name in get_pip_24_2.py get_pip_25_2.py; do
    cp tools/get_pip.py "$home/.ansible/test/cache/$name"
done
log=build/sanity.log
failed=
cd "$copy"
HOME="$home" PATH="$PATH:$real" ansible-test sanity --local --python "$version" --color no >"$OLDPWD/$log" 2>&1 || failed=yes
cd "$OLDPWD"
grep -E '^(Running|ERROR|FATAL)' "$log" || true
if [ -n "$failed" ]; then
    tail -n 5 "$log" >&2
    exit 1
fi
if grep -q 'All targets skipped' "$log"; then
    echo 'ansible-test found nothing to test: see tools/tree.sh' >&2
    exit 1
fi
