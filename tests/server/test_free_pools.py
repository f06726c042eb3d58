"""Free memory in the arenas of Python's allocator is given back, and used again. Each case is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from leveret.server import free_pools

COMPILED = not str(free_pools.__file__).endswith(".py")

#: One object of each hundred stays, so that hardly an arena is wholly free.
PROGRAM = """
import gc, random, sys
from leveret.server.free_pools import FreePools

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

def load(size):
    return [b"%d" % number + bytes(size) for number in range(200_000)]

pools = FreePools()
pools.watch()
"""
RELEASED = """
before = resident()
objects = load(100)
full = resident()
kept = objects[::2000]
del objects
left = resident()
while pools.release():
    pass
after = resident()
assert left - before > 0.8 * (full - before), "something else gives it back: nothing is tested"
assert after - before < 0.4 * (full - before), (before, full, left, after)
assert kept == load(100)[::2000]
"""
USED_AGAIN = """
chance = random.Random(1)
model, held = {}, {}
for number in range(400_000):
    key = chance.randrange(20_000)
    size = chance.choice((0, 20, 60, 100, 200, 300, 400))
    model[key], held[key] = (number, size), b"%d" % number + bytes(size)
    if number % 50_000 == 0:
        for gone in [each for each in held if each % 10]:
            del model[gone], held[gone]
        while pools.release():
            pass
assert held == {key: b"%d" % number + bytes(size) for key, (number, size) in model.items()}
"""


def run(program: str, *options: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM + program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not COMPILED or sys.platform != "linux", reason="only compiled, and on Linux")
def test_free_pools_are_given_back() -> None:
    run(RELEASED)


@pytest.mark.parametrize("allocator", ["default", "debug", "malloc"])
def test_what_was_given_back_is_used_again(allocator: str) -> None:
    run(USED_AGAIN, PYTHONMALLOC=allocator)


def test_without_watching_nothing_is_done() -> None:
    run("assert not FreePools().release()")


def test_watching_twice_is_watching_once() -> None:
    run("pools.watch()" + USED_AGAIN)
