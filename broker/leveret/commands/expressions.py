"""The syntax of expressions, which is checked before a node is asked."""

from __future__ import annotations


def syntax_error(text: str) -> str:
    """What is wrong with an Erlang expression, empty if nothing is."""
    from leveret.rendering.expressions import SyntaxFault, parse

    try:
        parse(text)
    except SyntaxFault as error:
        return str(error)
    return ""
