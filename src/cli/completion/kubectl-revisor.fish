# Completion of kubectl-revisor. kubectl revisor completion fish | source
function __kubectl_revisor
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete -- $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c kubectl-revisor -f -a '(__kubectl_revisor)'
