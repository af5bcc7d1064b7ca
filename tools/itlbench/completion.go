package main

import (
	"fmt"
	"slices"
	"strings"
)

// runCompletion prints what makes a shell complete command lines of itlbench. What a word
// may become is asked of the program itself, which knows flags, boards and scenarios, and
// the nodes and phones of the cluster that the line names.
func runCompletion(e *env, args []string) int {
	f := e.flags("completion")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	shells := []string{"bash", "zsh", "fish"}
	i := slices.Index(shells, f.Arg(0))
	if i < 0 {
		return e.usage("completion: %v", noneNamed("shell", f.Arg(0), shells))
	}
	text := []string{bashCompletion, zshCompletion, fishCompletion}[i]
	fmt.Fprint(e.stdout, strings.NewReplacer("COMMAND", completeCommand, "FILES", filesToo).Replace(text))
	return exitOK
}

const bashCompletion = `# bash completion of itlbench: source <(itlbench completion bash)
_itlbench() {
  local word=${COMP_WORDS[COMP_CWORD]} line
  [ "$word" = = ] && word=
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = FILES ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
    else
      COMPREPLY+=("$line")
    fi
  done < <("${COMP_WORDS[0]}" COMMAND "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _itlbench itlbench
`

const zshCompletion = `#compdef itlbench
# zsh completion of itlbench: source <(itlbench completion zsh)
_itlbench() {
  local line
  local -a found
  local files=
  for line in ${(f)"$("${words[1]}" COMMAND "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
    if [[ $line == FILES ]]; then files=1; else found+=("$line"); fi
  done
  if [[ ${words[CURRENT]} == --*=* ]]; then compset -P '*='; fi
  (( $#found )) && compadd -- $found
  [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _itlbench ]]; then _itlbench "$@"; else compdef _itlbench itlbench; fi
`

const fishCompletion = `# fish completion of itlbench: itlbench completion fish | source
function __itlbench_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] COMMAND $words[2..-1] 2>/dev/null)
        if test "$line" = FILES
            __fish_complete_path (commandline -ct)
        else if string match -q -- '--*=*' (commandline -ct)
            echo (string replace -r '=.*' '=' -- (commandline -ct))$line
        else
            echo $line
        end
    end
end
complete -c itlbench -f -a '(__itlbench_complete)'
`
