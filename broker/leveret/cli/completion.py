"""`leveret completion bash|zsh|fish`: scripts that complete command lines.

They know the commands of `leveret` and of RabbitMQ's tools, also under RabbitMQ's names, and the options of `serve`,
`top` and `config check`. Where nothing is known, files are completed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from leveret.cli.names import ADMIN, OTHERS, SERVER, TOOLS
from leveret.commands.table import commands

_COMMANDS = ("serve", "config", "top", *OTHERS, *TOOLS)

_SHELLS = ("bash", "zsh", "fish")

_USAGE = """usage: leveret completion bash | zsh | fish

Print a script that completes commands and options; its first line says where to put it."""

_BASH = """# leveret completion bash > /etc/bash_completion.d/leveret
_leveret() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} tool=${{COMP_WORDS[0]##*/}} at=1 words
    if [ "$tool" = leveret ]; then
        if [ "$COMP_CWORD" -eq 1 ]; then
            COMPREPLY=($(compgen -W "{own}" -- "$word")); return
        fi
        tool=${{COMP_WORDS[1]}}; at=2
    fi
    case $tool in
{cases}
    *) words= ;;
    esac
    if [ -n "$words" ] && {{ [ "$COMP_CWORD" -eq "$at" ] || [[ $word == -* ]]; }}; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -F _leveret leveret {names}
"""

_ZSH = """#compdef leveret {names}
# leveret completion zsh > ~/.zsh/completion/_leveret
_leveret() {{
    local tool=${{words[1]:t}} at=2 known
    if [[ $tool == leveret ]]; then
        if (( CURRENT == 2 )); then
            compadd -- {own}; return
        fi
        tool=$words[2]; at=3
    fi
    case $tool in
{cases}
    *) known= ;;
    esac
    if [[ -n $known ]] && {{ (( CURRENT == at )) || [[ $words[CURRENT] == -* ]] }}; then
        compadd -- ${{=known}}
    else
        _files
    fi
}}
_leveret "$@"
"""


def main(words: Sequence[str]) -> int:
    """Print the script; returns the exit code."""
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if list(words) in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if len(words) != 1 or words[0] not in scripts:
        print(_USAGE, file=sys.stderr)
        return 64
    print(scripts[words[0]](), end="")
    return 0


def _known() -> dict[tuple[str, str], list[str]]:
    """What can follow a command, by its name and RabbitMQ's name of it, empty if there is none."""
    from leveret.admin.v2 import COMMANDS

    return {
        **{(short, name): sorted(commands(name)) for short, name in TOOLS.items()},
        ("admin", ADMIN): sorted({name.partition(" ")[0] for name in COMMANDS}),
        ("serve", SERVER): _options("serve"),
        ("top", ""): _options("top"),
        ("config", ""): ["check", *_options("config", "check")],
        ("definitions", ""): ["export", "import"],
        ("cluster", ""): ["status", "move", "--node", "--json"],
        ("completion", ""): list(_SHELLS),
    }


def _options(*path: str) -> list[str]:
    """The options of a command of `leveret`'s parser."""
    from leveret.cli.serve import parser

    found = parser()
    for name in path:
        found = next(
            action.choices[name]
            for action in found._actions
            if isinstance(action, argparse._SubParsersAction)
        )
    return sorted(
        text for action in found._actions for text in action.option_strings if text.startswith("--")
    )


def _named() -> str:
    return " ".join(name for _, name in _known() if name)


def _cases(variable: str) -> str:
    return "\n".join(
        f'    {"|".join(filter(None, names))}) {variable}="{" ".join(found)}" ;;'
        for names, found in _known().items()
    )


def _bash() -> str:
    return _BASH.format(own=" ".join(_COMMANDS), cases=_cases("words"), names=_named())


def _zsh() -> str:
    return _ZSH.format(own=" ".join(_COMMANDS), cases=_cases("known"), names=_named())


def _fish() -> str:
    lines = ["# leveret completion fish > ~/.config/fish/completions/leveret.fish"]
    lines.append(f"complete -c leveret -n __fish_use_subcommand -f -a '{' '.join(_COMMANDS)}'")
    for (short, name), found in _known().items():
        words = " ".join(word for word in found if not word.startswith("-"))
        here = f"__fish_seen_subcommand_from {short}"
        if words:
            seen = f"{here}; and not __fish_seen_subcommand_from {words}"
            lines.append(f"complete -c leveret -n '{seen}' -f -a '{words}'")
        if words and name:
            lines.append(f"complete -c {name} -n __fish_use_subcommand -f -a '{words}'")
        for option in (word.removeprefix("--") for word in found if word.startswith("-")):
            lines.append(f"complete -c leveret -n '{here}' -l {option}")
            if name:
                lines.append(f"complete -c {name} -l {option}")
    return "\n".join(lines) + "\n"
