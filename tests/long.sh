#!/bin/bash
# The long forms of scenarios, one after the other: what tests/e2e/long.rs holds.
#   tests/long.sh           runs all of them
#   tests/long.sh NAME ...  runs those
#   tests/long.sh --list    says which there are, how many minutes each takes, and what happens in it
set -euo pipefail
cd "$(dirname "$0")/.."

# NAME <tab> MINUTES <tab> DESCRIPTION, from the attributes of the tests.
scenarios() {
  awk '
    match($0, /^#\[ignore = "long: [0-9]+ min: /) {
      minutes = $0; sub(/.*"long: /, "", minutes); sub(/ min: .*/, "", minutes)
      what = $0; sub(/.* min: /, "", what); sub(/"\]$/, "", what)
    }
    /^async fn / && what != "" {
      name = $3; sub(/\(.*/, "", name)
      printf "%s\t%s\t%s\n", name, minutes, what
      what = ""
    }' tests/e2e/long.rs
}

list() {
  scenarios | awk -F '\t' '
    { printf "%-20s %2d min  %s\n", $1, $2, $3; all += $2 }
    END { printf "%-20s %2d min\n", "all", all }'
}

spell() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

if [[ ${1:-} == --list ]]; then
  list
  exit
fi
known=$(scenarios | cut -f 1)
names=("$@")
if ((${#names[@]} == 0)); then
  mapfile -t names <<<"$known"
fi
for name in "${names[@]}"; do
  if ! grep -qxF -e "$name" <<<"$known"; then
    echo "there is no long scenario \"$name\"; there are:" >&2
    list >&2
    exit 2
  fi
done

cargo run --quiet --locked -p devcluster -- build
# The binary is built once: an edit while scenarios run does not concern them. It is an optimised one, with assertions:
# unoptimised, the start after thousands of Revisions takes longer than some scenarios let a process live.
tests=$(cargo test --locked --profile simulate -p revisor --test e2e --no-run --message-format json |
  sed -nE 's/.*"name":"e2e".*"executable":"([^"]+)".*/\1/p' | tail -1)
if printf '%s\n' "${names[@]}" | grep -qxF first_release; then
  REVISOR_FIRST_RELEASE=$(tests/commit.sh ff1f243)
  export REVISOR_FIRST_RELEASE
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
begun=$SECONDS
failed=()
number=0
for name in "${names[@]}"; do
  number=$((number + 1))
  echo "== $name ($number of ${#names[@]}): $(scenarios | awk -F '\t' -v name="$name" '$1 == name { print $3 }')"
  started=$SECONDS
  # A filter that finds nothing is no failure to cargo.
  if "$tests" --ignored --exact --nocapture "long::$name" 2>&1 | tee "$log" &&
    grep -q '^test result: ok. 1 passed' "$log"; then
    echo "== $name: ok, $(spell $((SECONDS - started)))"
  else
    echo "== $name: FAILED, $(spell $((SECONDS - started)))" >&2
    failed+=("$name")
  fi
done
echo "== ${#names[@]} scenarios, $(spell $((SECONDS - begun)))"
if ((${#failed[@]} > 0)); then
  echo "FAILED: ${failed[*]} (one alone: make test-long ONLY=${failed[0]})" >&2
  exit 1
fi
