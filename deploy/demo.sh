#!/bin/bash
# `make demo`: one creation and ten edits of an InferenceService within a second become eleven Revisions.
# DEMO_KUBECONFIG: a cluster to use instead of one of its own. DEMO_BIN: where the programs are.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
free_port() { local port; while port=$((20000 + RANDOM % 20000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done; echo "$port"; }

bin=${DEMO_BIN:-${CARGO_TARGET_DIR:-target}/debug}
work=$(mktemp -d)
revisor='' proxy='' cluster='' namespace='' installed=()
end() { [ -z "$1" ] || { kill "$1" && wait "$1"; } 2>/dev/null || true; }
finish() {
  end "$proxy"
  end "$revisor"
  if [ -n "$cluster" ]; then
    "$devcluster" down --name "$cluster" || true
  else
    clean_up || true
  fi
  rm -rf "$work"
}
# Somebody else's cluster: the namespace goes, and what stays is said.
clean_up() {
  [ -z "$namespace" ] || { echo && "$kubectl" delete namespace "$namespace" --wait=false; }
  [ ${#installed[@]} -eq 0 ] || echo "these stay in the cluster, with all objects of theirs: kubectl delete crd ${installed[*]}"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Whatever is exported may be a cluster that matters.
unset KUBECONFIG
if [ -n "${DEMO_KUBECONFIG:-}" ]; then
  step "using the cluster of $DEMO_KUBECONFIG"
  KUBECONFIG=$DEMO_KUBECONFIG
  command -v kubectl >/dev/null || fail 'kubectl is not there'
  kubectl=kubectl
else
  step 'a real control plane on loopback, with fake GPU nodes'
  devcluster=$bin/devcluster
  cluster=demo-$$
  # Not evaluated as a command of its own: that would hide the status.
  up=$("$devcluster" up --name "$cluster") || fail 'the control plane did not come up'
  [[ $up == 'export KUBECONFIG='* ]] || fail "devcluster up said: $up"
  KUBECONFIG=${up#export KUBECONFIG=}
  kubectl=$("$devcluster" build | awk '$1 == "kubectl" { print $2 }')
fi
# Without a file kubectl would take ~/.kube/config.
[ -s "$KUBECONFIG" ] || fail "there is no kubeconfig ${KUBECONFIG:-at all}"
export KUBECONFIG
[ -z "$cluster" ] || "$kubectl" get nodes -L kai.scheduler/node-pool

# The name of a definition, then what prints or applies it.
install() {
  local there=yes
  "$kubectl" get crd "$1" >/dev/null 2>&1 || { there=''; installed+=("$1"); }
  [ -n "$there" ] && [ "$2" = if-absent ] || "$kubectl" apply -f "$3"
}
step 'revisor crds | kubectl apply -f -'
"$bin/revisor" crds >"$work/crds.yaml"
install revisions.revisor.dev always "$work/crds.yaml"
install inferenceservices.serving.kserve.io if-absent tests/fixtures/crds/inferenceservices.yaml
"$kubectl" wait --for=condition=Established crd/revisions.revisor.dev crd/inferenceservices.serving.kserve.io >/dev/null
"$kubectl" create namespace "revisor-demo-$$" >/dev/null
namespace=revisor-demo-$$

step 'revisor run'
rest=$(free_port) admin=$(free_port)
# Its checkpoint goes with the namespace.
"$bin/revisor" run --kubeconfig "$KUBECONFIG" --namespace "$namespace" --listen "127.0.0.1:$rest" --admin-listen "127.0.0.1:$admin" --insecure-no-auth --log-format text 2>"$work/revisor.log" &
revisor=$!
answers() { exec 3<>"/dev/tcp/127.0.0.1/$admin" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && grep -q ' 200 ' <&3; }
ready=''
for _ in $(seq $((${DEMO_READY_SECONDS:-30} * 5))); do
  kill -0 "$revisor" 2>/dev/null || break
  if (answers) 2>/dev/null; then ready=yes; break; fi
  sleep 0.2
done
[ -n "$ready" ] || { tail -n 20 "$work/revisor.log" >&2; fail 'revisor did not become ready; the end of its log is above'; }
echo "ready: REST on http://127.0.0.1:$rest, metrics on http://127.0.0.1:$admin/metrics"

step 'one creation and ten edits, as fast as they go'
mkfifo "$work/proxy"
"$kubectl" proxy --port=0 >"$work/proxy" &
proxy=$!
read -r line <"$work/proxy" || fail 'kubectl proxy did not start'
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
  http PATCH "$proxy_port" "$path?fieldManager=demo" "$edit" | grep -q '^HTTP/1.* 200' || fail "an edit was refused: $edit"
done
printf '%d edits in %d ms\n' "${#edits[@]}" $((($(date +%s%N) - started) / 1000000))
end "$proxy"
proxy=''

step "kubectl -n $namespace get revisions"
for _ in $(seq 50); do [ "$("$kubectl" -n "$namespace" get revisions -o name | wc -l)" -ge 11 ] && break; sleep 0.1; done
"$kubectl" -n "$namespace" get revisions
count=$("$kubectl" -n "$namespace" get revisions -o name | wc -l)
[ "$count" -eq 11 ] || { cat "$work/revisor.log" >&2; fail "expected 11 Revisions, found $count"; }

step 'kubectl revisor diff: the last change'
PATH="$bin:$PATH" "$bin/kubectl-revisor" -n "$namespace" diff inferenceservice/llama-70b

uid=$("$kubectl" -n "$namespace" get inferenceservice llama-70b -o 'jsonpath={.metadata.uid}')
url=/api/v1/workloads/inferences/$uid/revisions
step "GET http://127.0.0.1:$rest$url (the newest of 11)"
answer=$(http GET "$rest" "$url" '' | sed '1,/^\r$/d')
found=$(grep -o '"type":"runai-revision"' <<<"$answer" | wc -l)
[ "$found" -eq 11 ] || fail "expected 11 revisions over REST, found $found: $answer"
sed -E 's/\{"revisions":\[(\{.*)/\1/; s/\},\{"type".*/}/' <<<"$answer"

if [ -n "${KEEP:-}" ]; then
  step 'it stays up until Ctrl-C'
  echo "export KUBECONFIG=$KUBECONFIG"
  echo "kubectl -n $namespace edit inferenceservice llama-70b; kubectl -n $namespace get revisions"
  wait "$revisor"
fi
