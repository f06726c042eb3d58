"""Scripts with which shells complete the commands of `rabbitmqadmin`."""

from __future__ import annotations

import os
from collections.abc import Iterable

from leveret.admin.command import DATA, Failed, Given

_BASH = """_rabbitmqadmin() {{
  local words
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{groups}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _rabbitmqadmin rabbitmqadmin"""


def show(commands: Iterable[str], given: Given) -> None:
    """Print a script that completes groups and commands. Raises `Failed`."""
    shell = given.get("shell") or os.path.basename(os.environ.get("SHELL", "bash"))
    groups: dict[str, list[str]] = {}
    for name in sorted(commands):
        group, _, command = name.partition(" ")
        groups.setdefault(group, []).append(command)
    if shell == "fish":
        print(f"complete -c rabbitmqadmin -n __fish_use_subcommand -f -a '{' '.join(groups)}'")
        for group, names in groups.items():
            seen = f"__fish_seen_subcommand_from {group}"
            print(f"complete -c rabbitmqadmin -n '{seen}' -f -a '{' '.join(names)}'")
        return
    if shell not in ("bash", "zsh"):
        raise Failed(DATA, f"There is no script for {shell}: bash, zsh, fish")
    cases = "\n".join([f'    {group}) words="{" ".join(names)}" ;;' for group, names in groups.items()])
    if shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(_BASH.format(cases=cases, groups=" ".join(groups)))
