"""The class of all errors: reply code, text, and whether the channel or the connection ends."""

from __future__ import annotations

from typing import Literal

Scope = Literal["channel", "connection"]

#: Reply code -> (name, scope): AMQP 0-9-1 section 1.1, with RabbitMQ's scopes.
CODES: dict[int, tuple[str, Scope]] = {
    311: ("CONTENT_TOO_LARGE", "channel"),
    312: ("NO_ROUTE", "channel"),
    313: ("NO_CONSUMERS", "channel"),
    320: ("CONNECTION_FORCED", "connection"),
    402: ("INVALID_PATH", "connection"),
    403: ("ACCESS_REFUSED", "channel"),
    404: ("NOT_FOUND", "channel"),
    405: ("RESOURCE_LOCKED", "channel"),
    406: ("PRECONDITION_FAILED", "channel"),
    501: ("FRAME_ERROR", "connection"),
    502: ("SYNTAX_ERROR", "connection"),
    503: ("COMMAND_INVALID", "connection"),
    504: ("CHANNEL_ERROR", "connection"),
    505: ("UNEXPECTED_FRAME", "connection"),
    506: ("RESOURCE_ERROR", "connection"),
    530: ("NOT_ALLOWED", "connection"),
    540: ("NOT_IMPLEMENTED", "connection"),
    541: ("INTERNAL_ERROR", "connection"),
}

#: Octets of a shortstr. RabbitMQ cuts longer reply texts to 252 octets and adds an ellipsis.
REPLY_TEXT_LIMIT = 255


class AmqpError(Exception):
    """A violation of a rule of AMQP or RabbitMQ by the client.

    `code`: AMQP reply code. `explanation`: follows `NAME - ` in the text (empty: the name alone). `scope`: "channel" or
    "connection", by default that of the code. `anonymous`: the close method names class and method 0 instead of the
    method that caused the error.
    """

    def __init__(
        self, code: int, explanation: str = "", *, scope: Scope | None = None, anonymous: bool = False
    ) -> None:
        name, default_scope = CODES[code]
        super().__init__(f"{name} - {explanation}" if explanation else name)
        self.code = code
        self.name = name
        self.explanation = explanation
        self.scope: Scope = scope or default_scope
        self.anonymous = anonymous

    @property
    def text(self) -> str:
        """The reply text as it is sent, cut as RabbitMQ does."""
        text = str(self)
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) <= REPLY_TEXT_LIMIT:
            return text
        return raw[: REPLY_TEXT_LIMIT - 3].decode("utf-8", "ignore") + "..."

    @property
    def bursts(self) -> bool:
        """Whether RabbitMQ 4 fails to send the text: it cuts to 255 characters, which may have too many octets."""
        text = str(self)
        raw = len(text.encode("utf-8", "surrogateescape"))
        return raw > REPLY_TEXT_LIMIT and not text[: REPLY_TEXT_LIMIT - 3].isascii()


class DefinitionsError(ValueError):
    """Definitions that cannot be imported. The text is RabbitMQ's reason."""


class VhostMovedError(DefinitionsError):
    """A virtual host that definitions name is not on this node, or not any more: another node of the cluster has it, or
    is about to."""

    @classmethod
    def of(cls, name: str) -> VhostMovedError:
        """The error about a virtual host."""
        return cls(f"virtual host '{name}' is moved to another node at the moment")


def queue_name(name: str, vhost: str) -> str:
    """Return a queue as RabbitMQ names it in texts (rabbit_misc:rs/1)."""
    return f"queue '{name}' in vhost '{vhost}'"


def exchange_name(name: str, vhost: str) -> str:
    """Return an exchange as RabbitMQ names it in texts (rabbit_misc:rs/1)."""
    return f"exchange '{name}' in vhost '{vhost}'"
