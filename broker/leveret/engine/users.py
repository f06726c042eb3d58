"""Users: names, salted password hashes, tags, limits.

A password is stored as salt ++ digest(salt ++ password), with a salt of 4 octets and SHA-256 unless the hash was
imported with another algorithm (rabbit_password, rabbit_password_hashing_*). An empty hash matches no password. Users
are immutable: a change replaces the object, so a connection keeps the user it logged in as.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import TYPE_CHECKING

from leveret.engine.tags import TagError, check_number, checked_tags, words
from leveret.json_portions import abridged
from leveret.shrinking import shrink
from leveret.wire.erlang import Quoted, Term, from_json, pretty, shown_json, terms_of

if TYPE_CHECKING:
    from leveret.engine.authorization import Authority
    from leveret.engine.catalogue import Document

#: RabbitMQ's name of an algorithm in definitions -> hashlib's name.
ALGORITHMS = {
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
DEFAULT_ALGORITHM = "rabbit_password_hashing_sha256"
SALT_BYTES = 4

#: Limits that a user can have (rabbit_auth_backend_internal:user_limit_validation).
USER_LIMITS = ("max-connections", "max-channels")


class NoSuchUserError(LookupError):
    """There is no user of that name. `name`: the requested one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such user: {name}")
        self.name = name


class UserExistsError(ValueError):
    """There is a user of that name already. `name`: that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"user already exists: {name}")
        self.name = name


class UserError(ValueError):
    """RabbitMQ refuses a field of a user. `reason`: a word, or a word and the refused value."""

    def __init__(self, reason: str | list[object]) -> None:
        super().__init__(str(abridged(reason)))
        self.reason = reason


class LimitError(ValueError):
    """RabbitMQ refuses a limit; the text is RabbitMQ's. `term`: its format and arguments, as Erlang's term."""

    def __init__(self, text: str, words: str, *arguments: Term) -> None:
        super().__init__(text)
        self.term = (Quoted(words), list(arguments))


@dataclass(frozen=True, slots=True)
class User:
    """One user. `password_hash`: salt and digest, or empty. `limits`: by RabbitMQ's names. `authority`: who decides
    what the user may do; None for the permissions of the broker itself."""

    name: str
    password_hash: bytes = b""
    hashing_algorithm: str = DEFAULT_ALGORITHM
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    authority: Authority | None = field(default=None, compare=False)

    def verify(self, password: str) -> bool:
        """Return whether a password is right. An empty password never is."""
        algorithm = ALGORITHMS.get(self.hashing_algorithm)
        if not password or not self.password_hash or algorithm is None:
            return False
        salt = self.password_hash[:SALT_BYTES]
        return compare_digest(self.password_hash, hash_password(password, self.hashing_algorithm, salt))

    def limit(self, name: str) -> int | None:
        """Return one limit, or None if it is not set or negative."""
        value = self.limits.get(name, -1)
        return value if value >= 0 else None

    def to_json(self) -> Document:
        """Return it as JSON, for definitions and the HTTP API."""
        return {
            "name": self.name,
            "password_hash": b64encode(self.password_hash).decode(),
            "hashing_algorithm": self.hashing_algorithm,
            "tags": list(self.tags),
            "limits": dict(self.limits),
        }


#: Has a password that nobody knows: for comparisons that must take as long as with a real one.
DUMMY = User("", bytes(SALT_BYTES + 32))


class Users:
    """The users by name. `revision` increases with every change; `changed`: called with the name of the changed user.
    `algorithm`: how new passwords are hashed."""

    def __init__(self, changed: Callable[[str], None] | None = None) -> None:
        self.revision = 0
        self.changed = changed
        self.algorithm = DEFAULT_ALGORITHM
        self._users: dict[str, User] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[User]:
        """Iterate over all users, sorted by name."""
        return iter([self._users[name] for name in sorted(self._users)])

    def each(self) -> list[User]:
        """Return all users, in any order: a snapshot."""
        return list(self._users.values())

    def get(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        return self._users.get(name)

    def __getitem__(self, name: str) -> User:
        """Return the user of that name. Raises `NoSuchUserError`."""
        user = self._users.get(name)
        if user is None:
            raise NoSuchUserError(name)
        return user

    def add(self, name: str, password: str, tags: Iterable[str] = ()) -> User:
        """Add a user. Raises `UserExistsError`, `UserError`."""
        if name in self._users:
            raise UserExistsError(name)
        hashed = hash_password(password, self.algorithm)
        return self.put(User(checked_name(name), hashed, self.algorithm, tuple(tags)))

    def put(self, user: User) -> User:
        """Add or replace a user."""
        self._users[user.name] = user
        self._changed(user.name)
        return user

    def change_password(self, name: str, password: str) -> User:
        """Set a password. Raises `NoSuchUserError`."""
        hashed = hash_password(password, self.algorithm)
        return self.put(replace(self[name], password_hash=hashed, hashing_algorithm=self.algorithm))

    def clear_password(self, name: str) -> User:
        """Remove the password; no password matches afterwards. Raises `NoSuchUserError`."""
        return self.put(replace(self[name], password_hash=b""))

    def set_tags(self, name: str, tags: Iterable[str]) -> User:
        """Replace the tags. Raises `NoSuchUserError`."""
        return self.put(replace(self[name], tags=tuple(tags)))

    def set_limits(self, name: str, limits: Mapping[str, object]) -> User:
        """Merge limits into the existing ones. Raises `NoSuchUserError`, `LimitError`."""
        user = self[name]
        given = checked_limits(limits, USER_LIMITS, "user-limits")
        return self.put(replace(user, limits={**user.limits, **given}))

    def clear_limits(self, name: str, limit: str | None = None) -> User:
        """Delete one limit, or all. Raises `NoSuchUserError`."""
        user = self[name]
        left = {} if limit is None else {key: value for key, value in user.limits.items() if key != limit}
        return self.put(replace(user, limits=left))

    def delete(self, name: str) -> User:
        """Delete a user and return it. Raises `NoSuchUserError`."""
        user = self[name]
        del self._users[name]
        shrink(self._users)
        self._changed(name)
        return user

    def _changed(self, name: str) -> None:
        self.revision += 1
        if self.changed is not None:
            self.changed(name)


def hash_password(password: str, algorithm: str = DEFAULT_ALGORITHM, salt: bytes | None = None) -> bytes:
    """Return salt ++ digest(salt ++ password). `salt`: random by default. Raises `KeyError` for an unknown
    algorithm."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    # usedforsecurity: old definitions contain MD5 hashes, which must work where FIPS forbids MD5 otherwise.
    digest = hashlib.new(
        ALGORITHMS[algorithm], salt + password.encode("utf-8", "surrogateescape"), usedforsecurity=False
    )
    return salt + digest.digest()


def user_from_json(name: str, fields: Mapping[str, object], hashing: str = DEFAULT_ALGORITHM) -> User:
    """Create a user from the body of `PUT /api/users/NAME` or from definitions. `hashing`: of a password. Raises
    `UserError`, `LimitError`.

    The texts and the order of the checks are those of rabbit_mgmt_wm_user and rabbit_auth_backend_internal.
    """
    if "tags" not in fields:
        raise UserError("tags_not_present")
    if "password" in fields and "password_hash" in fields:
        raise UserError("both_password_and_password_hash_are_provided")
    limits = checked_limits(fields.get("limits", {}), USER_LIMITS, "user-limits")
    algorithm = DEFAULT_ALGORITHM
    if "password" in fields:
        # RabbitMQ ignores hashing_algorithm here.
        secret = hash_password(_text(fields["password"], "password"), hashing)
        algorithm = hashing
    elif "password_hash" in fields:
        secret = _from_base64(fields["password_hash"])
        algorithm = _text(fields.get("hashing_algorithm", DEFAULT_ALGORITHM), "hashing_algorithm")
    else:
        secret = b""
    return User(checked_name(name), secret, algorithm, tags_from_json(fields["tags"]), limits)


def tags_from_json(tags: object) -> tuple[str, ...]:
    """Parse tags: a list, or a string separated by commas. Raises `UserError`."""
    try:
        if isinstance(tags, str):
            return checked_tags([tag for tag in words(tags) if tag])
        if isinstance(tags, list | tuple):
            check_number(len(tags))
            return checked_tags([tag if isinstance(tag, str) else shown_json(tag) for tag in tags])
    except TagError as error:
        raise UserError(str(error)) from None
    raise UserError("tags_not_present")


def checked_limits(limits: object, known: tuple[str, ...], where: str) -> dict[str, int]:
    """Return limits. Raises `LimitError` with RabbitMQ's text for an unknown limit, or a value that is no integer.

    `where`: RabbitMQ's name of the document, "user-limits" or "limits".
    """
    if not isinstance(limits, Mapping):
        text = f"{where} not a list {_shown(limits)}"
        raise LimitError(text, "~ts not a list ~tp", where.encode(), from_json(limits))
    for name in known:
        value = limits.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int):
            text = f"{name} should be a number, actually was {_shown(value)}"
            words = "~ts should be a number, actually was ~tp"
            raise LimitError(text, words, name.encode(), from_json(value))
    unknown = terms_of({name: value for name, value in limits.items() if name not in known})
    if unknown:
        text = f"Unrecognised terms {pretty(unknown)} in {where}"
        raise LimitError(text, "Unrecognised terms ~tp in ~ts", unknown, where.encode())
    return dict(limits)


def _shown(value: object) -> str:
    return shown_json(value)


def checked_name(name: str) -> str:
    """Return the name if it is a valid user name. Raises `UserError`."""
    if not name:
        raise UserError("blank_username")
    return name


def _text(value: object, field_name: str) -> str:
    if not isinstance(value, str):
        raise UserError(["not_a_string", field_name])
    return value


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise UserError(["not_base64", text])
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise UserError(["not_base64", text]) from None
