# Completion of kubectl-revisor. source <(kubectl revisor completion bash)
_kubectl_revisor() {
  local line word
  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    case $word in
    :0) compopt -o default 2>/dev/null ;;
    :*) ;;
    *) COMPREPLY+=("$word") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _kubectl_revisor kubectl-revisor
