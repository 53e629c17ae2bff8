#!/bin/bash
# tests/commit.sh REF: builds `revisor` of that commit as people build it, once, and prints the path of the program.
# Exits with 2 when it cannot be built.
set -euo pipefail
cd "$(dirname "$0")/.."
ref=${1:?a commit}

fail() {
  echo "$ref: $*" >&2
  exit 2
}

command -v git >/dev/null || fail 'git is not there, which knows the commits'
shallow=$(git rev-parse --is-shallow-repository 2>/dev/null) || fail 'this folder is no clone of a repository, so no other commit is at hand'
if ! commit=$(git rev-parse --verify --quiet --end-of-options "$ref^{commit}"); then
  if [[ $shallow == true ]]; then
    fail 'this clone is shallow and does not hold that commit: git fetch --unshallow'
  fi
  fail 'no commit of this clone has that name'
fi
# It may come from any clone of these sources; those of something else would be built to no end.
git cat-file -e "$commit:Cargo.toml" 2>/dev/null || fail "commit ${commit:0:12} holds no Cargo.toml"

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
kept=$target/commits
# The compiler and the settings that a build depends on.
settings=$({
  rustc -vV
  env | sed -n -E '/^(RUSTFLAGS=|CARGO_ENCODED_RUSTFLAGS=|CARGO_PROFILE_|CARGO_BUILD_)/p' | sort
} | cksum | cut -d ' ' -f 1)
program=$kept/${commit:0:12}-$settings/revisor

remove_worktree() {
  git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
  git worktree prune
}

if [[ -x $program ]]; then
  echo "$(git log -1 --format='%h %s' "$commit"), built before" >&2
  touch "$program"
  echo "$program"
  exit
fi
echo "$(git log -1 --format='%h %s' "$commit"), being built" >&2
# The programs of two other commits are kept: that of the first release, and the last base of a comparison.
mkdir -p "$kept"
find "$kept" -mindepth 2 -maxdepth 2 -name revisor -printf '%T@ %h\n' | sort -rn | tail -n +3 | cut -d ' ' -f 2- |
  while read -r old; do rm -rf "$old"; done
tree=$kept/tree
rm -rf "$tree"
trap remove_worktree EXIT
git worktree prune
git worktree add --quiet --force --detach "$tree" "$commit" || fail "no worktree could be made in $tree"
# In a folder of its own, and anew: cargo tells packages of one name in two checkouts apart by nothing but the age of
# files, and would take an older checkout for built.
(cd "$tree" && export CARGO_TARGET_DIR=$kept/target &&
  cargo clean --quiet --release --locked -p revisor && cargo build --release --locked -p revisor --bin revisor >&2) ||
  fail "commit ${commit:0:12} could not be built, see above"
mkdir -p "$(dirname "$program")"
cp "$kept/target/release/revisor" "$program.new"
mv "$program.new" "$program"
echo "$program"
