"""One process of the fuzzer: plays conversations until its time is over, or one finds something.

Each event is written to a file before it is played, so that it is known even if the process ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import leveret
from tests.fuzz import events
from tests.fuzz.conversation import playing
from tests.fuzz.events import Event
from tests.fuzz.generator import FuzzMaker
from tests.fuzz.shrink import kind_of, shrunk

#: Exit status where something was found that did not end the process.
FOUND = 3


def play_seed(seed: int, path: Path) -> Counter[str]:
    """Generate a conversation while it is played, and write it to `path`. Raises what it finds; returns the number of
    events by kind."""
    maker = FuzzMaker(seed)
    done: Counter[str] = Counter()
    with path.open("w") as file, playing(maker.profile, seed) as play:
        print(json.dumps({"version": maker.profile, "seed": seed, "note": ""}), file=file, flush=True)

        def apply(event: Event) -> None:
            print(events.to_line(event), file=file, flush=True)
            done[event.kind] += 1
            play.apply(event)

        for number in range(maker.length):
            apply(maker.next(play))
            if number % 40 == 39:
                play.check()
        play.finish()
    return done


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--conversations", type=int, default=0)
    parser.add_argument(
        "--file", type=Path, required=True, help="where the conversation is while it is played"
    )
    parser.add_argument("--package", type=Path, help="the package must be from here")
    parser.add_argument(
        "--shrink", type=Path, help="make the conversation in --file shorter, and write it there"
    )
    chosen = parser.parse_args()
    if chosen.package is not None:
        assert Path(leveret.__file__).is_relative_to(chosen.package.resolve()), leveret.__file__
    if chosen.shrink is not None:
        events.write(shrunk(events.read(chosen.file)), chosen.shrink)
        return 0
    end, seed = time.monotonic() + chosen.seconds, chosen.seed
    done: Counter[str] = Counter()
    while time.monotonic() < end and (not chosen.conversations or seed < chosen.seed + chosen.conversations):
        try:
            done += play_seed(seed, chosen.file)
        except Exception as error:
            traceback.print_exc()
            print(f"FOUND {seed} {kind_of(error)}", flush=True)
            return FOUND
        seed += 1
    print(f"DONE {seed} {sum(done.values())} events: {dict(done.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
