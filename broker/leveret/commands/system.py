"""What commands use of the system they run on: processes, standard input."""

from __future__ import annotations

import os
import sys


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not collected yet does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OSError:
        return os.path.exists(f"/proc/{pid}") or not os.path.exists("/proc/self")


def read_line(prompt: str, *, quiet: bool) -> str | None:
    """Read a line of standard input, None at its end."""
    if not quiet:
        print(prompt, flush=True)
    text = sys.stdin.readline()
    return text.strip() if text else None
