"""Log lines have RabbitMQ's format, whatever names clients use."""

from __future__ import annotations

import logging

from leveret.server.log import LogFormatter


def line(text: str, *arguments: object) -> str:
    record = logging.LogRecord("leveret", logging.INFO, __file__, 1, text, arguments, None)
    return LogFormatter().format(record)


def test_each_line_has_the_prefix() -> None:
    first, second = line("one\n%s", "two").split("\n")
    assert first.endswith("> one")
    assert second.endswith("> two")
    assert " [info] <0." in first


def test_names_that_are_not_utf_8_are_written_as_utf_8() -> None:
    name = b"\xffm\xc3\xa9".decode("utf-8", "surrogateescape")
    assert line("user '%s'", name).encode().decode().endswith("user '\u00ffm\u00e9'")
