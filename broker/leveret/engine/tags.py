"""Tags of users and virtual hosts, as clients give them: a list of texts, or one text with commas."""

from __future__ import annotations

from collections.abc import Sequence

#: Characters of a tag: RabbitMQ makes an Erlang atom of it.
MAX_CHARACTERS = 255

#: Tags of one object, as many as a table may have fields. In RabbitMQ the table of atoms is full some time (5,000,000),
#: and the node ends.
MAX_TAGS = 8192


class TagError(ValueError):
    """Tags that are too many or too long."""


def words(text: str) -> list[str]:
    """Return the words of a text with commas, also empty ones. Raises `TagError`."""
    check_number(text.count(",") + 1)
    return [word.strip() for word in text.split(",")]


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags. Raises `TagError`."""
    check_number(len(tags))
    if any(len(tag) > MAX_CHARACTERS for tag in tags):
        raise TagError(f"a tag has more than {MAX_CHARACTERS} characters")
    return tuple(tags)


def check_number(count: int) -> None:
    """Raise `TagError` if there are too many."""
    if count > MAX_TAGS:
        raise TagError(f"there are more than {MAX_TAGS} tags")
