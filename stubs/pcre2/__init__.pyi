"""The part of the package pcre2 that `engine/pcre2_code.py` uses."""

from enum import IntFlag

__libpcre2_version__: str

class RegexFlag(IntFlag):
    IGNORECASE = ...

class LibraryError(Exception):
    msg: str
    code: int

class PatternError(LibraryError):
    pos: int
