"""Progress bars of long runs, in a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from leveret.progress import shown


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield what is to be called after each of `total` portions, from any thread."""
    done, lock = 0, Lock()
    with shown() as report:

        def advance() -> None:
            nonlocal done
            with lock:
                done += 1
                report(what, done, total)

        yield advance
