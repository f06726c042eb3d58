"""Hooks of the site (mkdocs): reference pages from the code, and links that leave `docs/`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import error_reference  # beside this file

from leveret.cli.serve import parser
from leveret.engine.arguments import QUEUE_ARGUMENTS
from leveret.management.reference import purpose
from leveret.management.resources import ROUTES

ROOT = Path(__file__).resolve().parents[1]

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code."""
    pages = {
        "routes": _routes(),
        "settings": _settings(),
        "arguments": _arguments(),
        "command-line": _commands(),
        "errors": error_reference.page(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Show links to files outside `docs/` as text: they are in the repository, not on the site."""
    here = (ROOT / "docs" / page.file.src_uri).parent

    def shown(match: re.Match[str]) -> str:
        text, target, _ = match.groups()
        if "://" in target or (here / target).resolve().is_relative_to(ROOT / "docs"):
            return match[0]
        name = (here / target).resolve().relative_to(ROOT)
        return text if text.startswith("`") else f"{text} (`{name}`)"

    return _LINK.sub(shown, markdown)


def _routes() -> str:
    rows = [
        f"| {method} | `{path}` | {purpose(method, handler).replace('|', chr(92) + '|')} |"
        for path, methods in sorted(ROUTES.items())
        for method, handler in methods.items()
    ]
    return "\n".join(
        [
            "# HTTP routes",
            "",
            "All paths below `/api`, from the code. [HTTP API](../features/http-api.md) explains them.",
            "",
            "| method | path | what it does |",
            "|---|---|---|",
            *rows,
        ]
    )


def _settings() -> str:
    text = (ROOT / "config.toml").read_text("utf-8")
    return (
        "# Settings\n\nEvery setting with its default, as in `config.toml`. "
        "[Configuration](../features/configuration.md) explains their sources.\n\n"
        f"```toml\n{text}```\n"
    )


def _arguments() -> str:
    names = "\n".join(f"- `{name}`" for name in sorted(QUEUE_ARGUMENTS))
    return (
        "# Queue arguments\n\nThe arguments of queue.declare that have an effect, beside `x-queue-type`. "
        f"[Queues](../features/queues.md) explains them.\n\n{names}\n"
    )


def _commands() -> str:
    top = parser()
    parts = ["# Command line", "", "```", top.format_help(), "```"]
    for action in top._subparsers._group_actions if top._subparsers is not None else ():
        for name, command in (action.choices or {}).items():  # type: ignore[union-attr]
            parts += ["", f"## leveret {name}", "", "```", command.format_help(), "```"]
    return "\n".join(parts)
