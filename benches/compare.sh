#!/bin/bash
# `make bench BASE=REF`: builds `revisor` of that commit and the present one alike, and measures them in turns.
# Exits with 0 when the present one is not worse, 1 when it is, 2 when nothing could be measured.
set -euo pipefail
cd "$(dirname "$0")/.."
ref=$1

fail() {
  echo "BASE=$ref: $*" >&2
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
kept=$target/bench-base
# What else decides what comes out of a build.
settings=$({
  rustc -vV
  env | sed -n -E '/^(RUSTFLAGS=|CARGO_ENCODED_RUSTFLAGS=|CARGO_PROFILE_|CARGO_BUILD_)/p' | sort
} | cksum | cut -d ' ' -f 1)
base=$kept/${commit:0:12}-$settings/revisor
head=$kept/head/revisor

# build SOURCES TARGET_DIRECTORY PROGRAM: as people build it. What only tests and benchmarks bring would slow it down.
build() {
  (cd "$1" && CARGO_TARGET_DIR=$2 cargo build --release --locked -p revisor --bin revisor) &&
    mkdir -p "$(dirname "$3")" &&
    cp "$2/release/revisor" "$3.new" &&
    mv "$3.new" "$3"
}

remove_worktree() {
  git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
  git worktree prune
}

if [[ -x $base ]]; then
  echo "base: $(git log -1 --format='%h %s' "$commit"), built before" >&2
else
  echo "base: $(git log -1 --format='%h %s' "$commit"), being built" >&2
  # Binaries of other commits make room.
  rm -rf "$kept"/[0-9a-f]*-* "$kept/tree"
  mkdir -p "$kept"
  tree=$kept/tree
  trap remove_worktree EXIT
  git worktree prune
  git worktree add --quiet --force --detach "$tree" "$commit" || fail "no worktree could be made in $tree"
  # In a folder of its own: cargo tells packages of one name in two checkouts apart by nothing but the age of files.
  build "$tree" "$kept/target" "$base" || fail "commit ${commit:0:12} could not be built, see above"
  remove_worktree
  trap - EXIT
fi
changes=$(git status --porcelain --untracked-files=no | wc -l)
echo "head: $(git log -1 --format='%h %s')$( ((changes == 0)) || echo ", and $changes changed files"), being built" >&2
build . "$target" "$head" || fail 'the present sources could not be built, see above'

export REVISOR_BENCH_BASE=$base REVISOR_BENCH_HEAD=$head
cargo bench --locked --bench end_to_end --no-run || fail 'the benchmarks could not be built, see above'
exec cargo bench --quiet --locked --bench end_to_end
