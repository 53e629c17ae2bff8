#!/bin/bash
# Prints where schemathesis is, a fuzzer that knows an OpenAPI description; fetches it into the user's cache first.
set -euo pipefail
version=4.32.5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/revisor/schemathesis-$version
if [ ! -x "$cache/bin/schemathesis" ]; then
  command -v python3 >/dev/null || { echo 'python3 is not there' >&2; exit 1; }
  echo "fetching schemathesis $version" >&2
  mkdir -p "$(dirname "$cache")"
  exec 9>"$cache.lock"
  command -v flock >/dev/null && flock 9
  if [ ! -x "$cache/bin/schemathesis" ]; then
    rm -rf "$cache"
    { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; } >&2 || { rm -rf "$cache"; exit 1; }
  fi
fi
echo "$cache/bin/schemathesis"
