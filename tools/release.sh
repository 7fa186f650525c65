#!/usr/bin/env bash
# Makes a release in this checkout: version, changelog, commit, tag and artefact. Nothing leaves the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-}

stop() {
    echo "release: $1" >&2
    exit 1
}

whole='(0|[1-9][0-9]*)'
[[ $version =~ ^$whole\.$whole\.$whole$ ]] || stop "say which version, as in  make release VERSION=1.2.3  (semantic versioning)"
[ -z "$(git status --porcelain)" ] || stop 'the checkout has changes that are not committed'
! git rev-parse --quiet --verify "refs/tags/$version" >/dev/null || stop "there is a tag $version already"
newest=$(git tag --list '[0-9]*' --sort=-version:refname | head -n 1)
if [ -n "$newest" ] && [ "$(printf '%s\n' "$newest" "$version" | sort --version-sort | tail -n 1)" != "$version" ]; then
    stop "$version is older than $newest"
fi

antsibull-changelog lint
sed -i "s/^version: .*/version: $version/" galaxy.yml
antsibull-changelog release --version "$version"
git add galaxy.yml CHANGELOG.rst changelogs
git commit --quiet --message "Release $version"
git tag --annotate "$version" --message "stevedore.ecr $version"
mkdir -p build/release
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# What is tagged, and nothing that lies about.
git archive "$version" | tar -xf - -C "$copy"
ansible-galaxy collection build "$copy" --output-path build/release --force
cat <<NEXT
Released $version here. To publish it:
  git push --follow-tags
  ansible-galaxy collection publish build/release/stevedore-ecr-$version.tar.gz
NEXT
