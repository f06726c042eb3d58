"""The names of Cython's pure Python mode that the hot path uses, typed as plain Python for mypy."""

import builtins
from collections.abc import Callable
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)

compiled: bool
NULL: Any

bint = bool
uchar = int
ushort = int
uint = int
int = builtins.int
longlong = int
ulonglong = int
Py_ssize_t = int
p_const_uchar = bytes
p_uchar = bytes
p_char = bytes
double = float

def cast(type_: Any, value: Any) -> Any: ...
def declare(type_: Any, value: Any = ...) -> Any: ...
def cclass(decorated: _Class) -> _Class: ...
def no_gc(decorated: _Class) -> _Class: ...
def freelist(size: builtins.int) -> Callable[[_Class], _Class]: ...
