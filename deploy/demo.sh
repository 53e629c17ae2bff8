#!/bin/bash
# `make demo`: ten edits within a second, Revisor killed in the middle of them, a bad image, and the way back.
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

step 'revisor crds | kubectl apply -f -'
"$bin/revisor" crds >"$work/crds.yaml"
"$kubectl" get crd revisions.revisor.dev >/dev/null 2>&1 || installed+=(revisions.revisor.dev)
"$kubectl" apply -f "$work/crds.yaml"
"$kubectl" wait --for=condition=Established crd/revisions.revisor.dev >/dev/null
"$kubectl" create namespace "revisor-demo-$$" >/dev/null
namespace=revisor-demo-$$

step 'revisor run'
rest=$(free_port) admin=$(free_port)
# Its checkpoint goes with the namespace.
start_revisor() {
  "$bin/revisor" run --kubeconfig "$KUBECONFIG" --namespace "$namespace" --listen "127.0.0.1:$rest" --admin-listen "127.0.0.1:$admin" --insecure-no-auth --log-format text 2>>"$work/revisor.log" &
  revisor=$!
}
answers() { exec 3<>"/dev/tcp/127.0.0.1/$admin" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && grep -q ' 200 ' <&3; }
wait_ready() {
  local ready=''
  for _ in $(seq $((${DEMO_READY_SECONDS:-30} * 5))); do
    kill -0 "$revisor" 2>/dev/null || break
    if (answers) 2>/dev/null; then ready=yes; break; fi
    sleep 0.2
  done
  [ -n "$ready" ] || { tail -n 20 "$work/revisor.log" >&2; fail 'revisor did not become ready; the end of its log is above'; }
}
start_revisor
wait_ready
echo "ready: REST on http://127.0.0.1:$rest, metrics on http://127.0.0.1:$admin/metrics"

plugin() { "$bin/kubectl-revisor" -n "$namespace" "$@"; }
# What the plugin prints, once it has these words.
until_printed() {
  local words=$1 text=''
  shift
  for _ in $(seq 300); do
    text=$(plugin "$@" 2>&1) || true
    if grep -Eq "$words" <<<"$text"; then return; fi
    sleep 0.2
  done
  echo "$text" >&2
  fail "kubectl revisor $* did not print $words"
}

step 'a model server, and ten edits, as fast as they go; kill -9 of Revisor in the middle of them'
mkfifo "$work/proxy"
"$kubectl" proxy --port=0 >"$work/proxy" &
proxy=$!
read -r line <"$work/proxy" || fail 'kubectl proxy did not start'
proxy_port=${line##*:}
# A request of HTTP/1.0 without TLS: METHOD PORT PATH [BODY]
http() {
  exec 3<>"/dev/tcp/127.0.0.1/$2"
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s' "$1" "$3" application/strategic-merge-patch+json "${#4}" "$4" >&3
  cat <&3
}
cat >"$work/llama.yaml" <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama-8b, labels: {revisor.dev/record: "true"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: llama-8b}}
  template:
    metadata: {labels: {app: llama-8b}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: vllm, image: "registry.k8s.io/pause:3.10"}]
END
"$kubectl" -n "$namespace" create -f "$work/llama.yaml"
until_printed '^1\*.* Running ' history deployment/llama-8b
path=/apis/apps/v1/namespaces/$namespace/deployments/llama-8b
container() { printf '{"spec":{"template":{"spec":{"containers":[{"name":"vllm",%s}]}}}}' "$1"; }
variable() { container "\"env\":[{\"name\":\"$1\",\"value\":\"$2\"}]"; }
edits=(
  "$(variable MAX_MODEL_LEN 8192)"
  "$(variable HF_TOKEN hf_abcdefghijklmnop9876543210)"
  "$(variable MAX_MODEL_LEN 16384)"
  "$(container '"resources":{"limits":{"memory":"64Mi"}}')"
  "$(variable MAX_NUM_SEQS 128)"
  "$(variable MAX_NUM_SEQS 256)"
  "$(container '"resources":{"limits":{"memory":"96Mi"}}')"
  "$(variable HF_TOKEN hf_zyxwvutsrqponmlk0123456789)"
  "$(variable MAX_MODEL_LEN 8192)"
  "$(variable MAX_MODEL_LEN 32768)"
)
started=$(date +%s%N)
for number in "${!edits[@]}"; do
  [ "$number" -ne 5 ] || { kill -9 "$revisor" && wait "$revisor"; } 2>/dev/null || true
  http PATCH "$proxy_port" "$path?fieldManager=demo" "${edits[number]}" | grep -q '^HTTP/1.* 200' || fail "an edit was refused: ${edits[number]}"
done
printf '%d edits in %d ms, five of them without Revisor\n' "${#edits[@]}" $((($(date +%s%N) - started) / 1000000))
end "$proxy"
proxy=''
start_revisor
wait_ready

step "kubectl -n $namespace get revisions"
for _ in $(seq 100); do [ "$("$kubectl" -n "$namespace" get revisions -o name | wc -l)" -ge 11 ] && break; sleep 0.1; done
"$kubectl" -n "$namespace" get revisions
count=$("$kubectl" -n "$namespace" get revisions -o name | wc -l)
[ "$count" -eq 11 ] || { cat "$work/revisor.log" >&2; fail "expected 11 Revisions, found $count"; }

step 'kubectl set image: one that is not there'
until_printed '^11\*.* Running ' history deployment/llama-8b
"$kubectl" -n "$namespace" set image deployment/llama-8b vllm=registry.k8s.io/pause:no-such-tag --field-manager=demo
until_printed '^12 .* Failed ' history deployment/llama-8b

step 'kubectl revisor history deployment/llama-8b: the newest has failed, the one before serves'
plugin history deployment/llama-8b
"$kubectl" -n "$namespace" get revisions -o 'jsonpath={range .items[?(@.status.phase=="Failed")]}revision {.spec.generation}: {.status.reason}: {.status.message}{"\n"}{end}'

step 'kubectl revisor diff deployment/llama-8b --summary'
plugin diff deployment/llama-8b --summary || [ $? -eq 1 ]

step 'kubectl revisor rollback deployment/llama-8b last-good --yes --wait'
plugin rollback deployment/llama-8b last-good --yes --wait

step 'kubectl revisor history deployment/llama-8b'
until_printed '^13\*.* Running ' history deployment/llama-8b
plugin history deployment/llama-8b

uid=$("$kubectl" -n "$namespace" get deployment llama-8b -o 'jsonpath={.metadata.uid}')
url=/api/v1/workloads/inferences/$uid/revisions
step "GET http://127.0.0.1:$rest$url (the newest of 13)"
answer=$(http GET "$rest" "$url" '' | sed '1,/^\r$/d')
found=$(grep -o '"type":"runai-revision"' <<<"$answer" | wc -l)
[ "$found" -eq 13 ] || fail "expected 13 revisions over REST, found $found: $answer"
sed -E 's/\{"revisions":\[(\{.*)/\1/; s/\},\{"type".*/}/' <<<"$answer"

if [ -n "${KEEP:-}" ]; then
  step 'it stays up until Ctrl-C'
  echo "export KUBECONFIG=$KUBECONFIG"
  echo "kubectl -n $namespace edit deployment llama-8b; kubectl -n $namespace get revisions"
  wait "$revisor"
fi
