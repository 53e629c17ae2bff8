#compdef kubectl-revisor
# Completion of kubectl-revisor. source <(kubectl revisor completion zsh)
_kubectl_revisor() {
  local -a offered
  local word about
  while IFS=$'\t' read -r word about; do
    case $word in
    :0) _files; return ;;
    :*) ;;
    *) offered+=("${word//:/\\:}${about:+:$about}") ;;
    esac
  done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe 'kubectl revisor' offered
}
compdef _kubectl_revisor kubectl-revisor
