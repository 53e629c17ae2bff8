#!/bin/bash
# `make demo`: one creation and ten edits of an InferenceService within a second become eleven Revisions.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
free_port() { local port; while port=$((20000 + RANDOM % 20000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done; echo "$port"; }

bin=${CARGO_TARGET_DIR:-target}/debug
work=$(mktemp -d)
revisor= cluster=
finish() {
  [ -z "$revisor" ] || kill "$revisor" 2>/dev/null || true
  [ -z "$revisor" ] || wait "$revisor" 2>/dev/null || true
  [ -z "$cluster" ] || "$devcluster" down --name "$cluster"
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -n "${DEMO_KUBECONFIG:-}" ]; then
  step "using the cluster of $DEMO_KUBECONFIG"
  export KUBECONFIG=$DEMO_KUBECONFIG
  command -v kubectl >/dev/null || { echo 'kubectl is not there' >&2; exit 1; }
  kubectl=kubectl
else
  step 'a real control plane on loopback, with fake GPU nodes'
  devcluster=$bin/devcluster
  cluster=demo-$$
  eval "$("$devcluster" up --name "$cluster")"
  kubectl=$("$devcluster" build | awk '$1 == "kubectl" { print $2 }')
  "$kubectl" get nodes -L kai.scheduler/node-pool
fi

step 'revisor crds | kubectl apply -f -'
"$bin/revisor" crds | "$kubectl" apply -f -
"$kubectl" get crd inferenceservices.serving.kserve.io >/dev/null 2>&1 || "$kubectl" apply -f tests/fixtures/crds/inferenceservices.yaml
"$kubectl" wait --for=condition=Established crd/revisions.revisor.dev crd/inferenceservices.serving.kserve.io >/dev/null

step 'revisor run'
rest=$(free_port) admin=$(free_port)
"$bin/revisor" run --kubeconfig "$KUBECONFIG" --listen "127.0.0.1:$rest" --admin-listen "127.0.0.1:$admin" --insecure-no-auth --log-format text 2>"$work/revisor.log" &
revisor=$!
ready() { exec 3<>"/dev/tcp/127.0.0.1/$admin" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && grep -q ' 200 ' <&3; }
for _ in $(seq 150); do (ready) 2>/dev/null && break; kill -0 "$revisor" || { cat "$work/revisor.log"; exit 1; }; sleep 0.2; done
echo "ready: REST on http://127.0.0.1:$rest, metrics on http://127.0.0.1:$admin/metrics"

step 'one creation and ten edits, as fast as they go'
namespace=revisor-demo-$$
"$kubectl" create namespace "$namespace" >/dev/null
mkfifo "$work/proxy"
"$kubectl" proxy --port=0 >"$work/proxy" &
proxy=$!
read -r line <"$work/proxy"
proxy_port=${line##*:}
# A request of HTTP/1.0 without TLS: METHOD PORT PATH [BODY]
http() {
  exec 3<>"/dev/tcp/127.0.0.1/$2"
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s' "$1" "$3" application/merge-patch+json "${#4}" "$4" >&3
  cat <&3
}
"$kubectl" -n "$namespace" apply -f tests/fixtures/workloads/inferenceservice.yaml
path=/apis/serving.kserve.io/v1beta1/namespaces/$namespace/inferenceservices/llama-70b
edits=(
  '{"spec":{"predictor":{"model":{"storageUri":"s3://models/llama-70b/2"}}}}'
  '{"spec":{"predictor":{"maxReplicas":8}}}'
  '{"spec":{"predictor":{"model":{"args":["--max-model-len=16384","--tensor-parallel-size=4"]}}}}'
  '{"spec":{"predictor":{"model":{"args":["--max-model-len=16384","--tensor-parallel-size=4","--enable-prefix-caching","--kv-cache-dtype=fp8"]}}}}'
  '{"spec":{"predictor":{"model":{"env":[{"name":"HF_TOKEN","value":"hf_abcdefghijklmnop9876543210"},{"name":"MAX_TOKENS","value":"8192"}]}}}}'
  '{"spec":{"predictor":{"model":{"resources":{"limits":{"nvidia.com/gpu":"8"}}}}}}'
  '{"spec":{"predictor":{"nodeSelector":{"kai.scheduler/node-pool":"a100"}}}}'
  '{"spec":{"transformer":null}}'
  '{"spec":{"predictor":{"model":{"storageUri":"s3://models/llama-70b/1"}}}}'
  '{"spec":{"predictor":{"model":{"storageUri":"s3://models/llama-70b/2"}}}}'
)
started=$(date +%s%N)
for edit in "${edits[@]}"; do
  http PATCH "$proxy_port" "$path?fieldManager=demo" "$edit" | grep -q '^HTTP/1.* 200' || { echo "an edit was refused: $edit" >&2; exit 1; }
done
printf '%d edits in %d ms\n' "${#edits[@]}" $((($(date +%s%N) - started) / 1000000))
kill "$proxy"; wait "$proxy" 2>/dev/null || true

step "kubectl -n $namespace get revisions"
for _ in $(seq 50); do [ "$("$kubectl" -n "$namespace" get revisions -o name | wc -l)" -ge 11 ] && break; sleep 0.1; done
"$kubectl" -n "$namespace" get revisions
count=$("$kubectl" -n "$namespace" get revisions -o name | wc -l)
[ "$count" -eq 11 ] || { echo "expected 11 Revisions, found $count" >&2; cat "$work/revisor.log"; exit 1; }

step 'kubectl revisor diff: the last change'
PATH="$bin:$PATH" "$bin/kubectl-revisor" -n "$namespace" diff inferenceservice/llama-70b

uid=$("$kubectl" -n "$namespace" get inferenceservice llama-70b -o 'jsonpath={.metadata.uid}')
url=/api/v1/workloads/inferences/$uid/revisions
step "GET http://127.0.0.1:$rest$url (the newest of 11)"
answer=$(http GET "$rest" "$url" '' | sed '1,/^\r$/d')
found=$(grep -o '"type":"runai-revision"' <<<"$answer" | wc -l)
[ "$found" -eq 11 ] || { echo "expected 11 revisions over REST, found $found: $answer" >&2; exit 1; }
sed -E 's/\{"revisions":\[(\{.*)/\1/; s/\},\{"type".*/}/' <<<"$answer"

if [ -n "${KEEP:-}" ]; then
  step 'it stays up until Ctrl-C'
  echo "export KUBECONFIG=$KUBECONFIG"
  echo "kubectl -n $namespace edit inferenceservice llama-70b; kubectl -n $namespace get revisions"
  wait "$revisor"
elif [ -z "$cluster" ]; then
  "$kubectl" delete namespace "$namespace" --wait=false
fi
