"""`lm completion`: a script for shell completion of commands and flags."""

import argparse
from collections.abc import Iterator

HELP = "print a shell script that completes commands and flags"
EXAMPLE = """examples:
  lm completion > ~/.local/share/bash-completion/completions/lm
  source <(lm completion)     # in zsh first: autoload bashcompinit; bashcompinit

Values of flags are completed as file names."""

_SCRIPT = """\
_lm() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" flags=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{verbs}" -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$flags" -- "$word"))
}}
complete -o default -o bashdefault -F _lm lm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no flags."""


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    del args
    from lm.cli.main import VERBS, verb_parser

    cases = [
        f'    {verb}) flags="{" ".join(sorted(set(_words(verb_parser(verb)))))}" ;;'
        for verb in VERBS
    ]
    print(_SCRIPT.format(verbs=" ".join(VERBS), cases="\n".join(cases)), end="")
    return 0


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yields the flags and choices of a parser and of its subcommands."""
    for action in parser._actions:
        yield from (flag for flag in action.option_strings if flag.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices
            for below in action.choices.values():
                yield from _words(below)
        elif not action.option_strings and action.choices:
            yield from map(str, action.choices)
