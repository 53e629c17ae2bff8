#!/bin/bash
# `make bench BASE=REF`: builds `revisor` of that commit and the present one alike, and measures them in turns.
# Exits with 0 when the present one is not worse, 1 when it is, 2 when nothing could be measured.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$(tests/commit.sh "$1") || exit 2
target=${base%/commits/*}
changes=$(git status --porcelain --untracked-files=no | wc -l)
echo "head: $(git log -1 --format='%h %s')$( ((changes == 0)) || echo ", and $changes changed files"), being built" >&2
# As people build it: the features that only tests and benchmarks bring would slow it down. A copy, as those are built
# into the same place.
# To cargo the package of another checkout is the same one, and built when its sources are older than that build.
CARGO_TARGET_DIR=$target cargo clean --quiet --release --locked -p revisor
CARGO_TARGET_DIR=$target cargo build --release --locked -p revisor --bin revisor || { echo 'the present sources could not be built, see above' >&2; exit 2; }
head=$target/commits/head/revisor
mkdir -p "$(dirname "$head")"
cp "$target/release/revisor" "$head.new"
mv "$head.new" "$head"

export REVISOR_BENCH_BASE=$base REVISOR_BENCH_HEAD=$head
cargo bench --locked --bench end_to_end --no-run || { echo 'the benchmarks could not be built, see above' >&2; exit 2; }
exec cargo bench --quiet --locked --bench end_to_end
