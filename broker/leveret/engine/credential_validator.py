"""Rules that new passwords must meet (rabbit_credential_validator)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.config import ConfigError
from leveret.engine.patterns import Pattern, PatternError

if TYPE_CHECKING:
    from leveret.settings import AccessSettings


class CredentialValidator:
    """Checks new passwords. Users without one, and hashes, are not checked."""

    def __init__(self, settings: AccessSettings) -> None:
        """Raises `ConfigError` for a pattern that is no regular expression."""
        self._kind = settings.password_validator
        self._min_length = settings.password_min_length
        self._pattern: Pattern | None = None
        if self._kind == "password_regexp":
            try:
                self._pattern = Pattern(settings.password_pattern)
            except PatternError as error:
                raise ConfigError("access", "password_pattern", str(error)) from None

    def problem(self, password: str) -> str:
        """Return RabbitMQ's text if a password is refused; empty if it is accepted."""
        octets = password.encode("utf-8", "surrogateescape")
        if self._kind == "min_password_length" and len(octets) < self._min_length:
            return f"minimum required password length is {self._min_length}"
        if self._pattern is not None and not self._pattern.search(octets):
            return "provided password does not match the validator regular expression"
        return ""
