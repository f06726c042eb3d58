"""What `engine/pcre2_code.py` uses of the package pcre2."""

from enum import IntFlag

__libpcre2_version__: str

class RegexFlag(IntFlag):
    IGNORECASE = ...

class LibraryError(Exception):
    msg: str
    code: int

class PatternError(LibraryError):
    pos: int
