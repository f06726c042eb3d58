"""Two to four nodes own one virtual host in turn, while requests, answers, servers, clocks and nodes fail.

The invariants of `docs/features/cluster.md`: an accepted record stands behind its owner's own EPOCH; nothing is
confirmed before it is accepted; a new owner knows everything confirmed; two nodes never send at once while their clocks
run at about the same rate; and if the clocks do not, nothing confirmed is lost all the same.
"""

from __future__ import annotations

import asyncio
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leveret.testing.replica import Fate, Process
from leveret.testing.virtual_loop import VirtualLoop
from tests.cluster.harness import MemoryCache, Node, World

#: Probability that a request is lost, its answer is lost, it arrives late, or once more.
LOST = 0.05

#: Longest delay of what arrives late, seconds.
LATE_S = 20.0

#: Which clocks are the same: 10 % between the fastest and the slowest.
RATES = (0.95, 1.0, 1.05)

#: Seconds that a fault takes, and seconds of load after it.
LONG = st.sampled_from([0.3, 2.0, 5.0, 12.0, 18.0, 40.0])
AFTER = st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0, 4.0, 20.0, 60.0])

#: Probability that an owner compacts after a publish.
COMPACTED = 0.3

#: Probability that a node that follows the log keeps what it has.
SAVED = 0.1

#: Seconds between two publishes of the load.
STEP_S = 1.0


class ClusterMachine(RuleBasedStateMachine):
    """Nodes in a world that hurts them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.random = random.Random(0)

    @initialize(count=st.integers(2, 4), seed=st.integers(0, 1 << 16), window=st.sampled_from([1, 4]))
    def begin(self, count: int, seed: int, window: int) -> None:
        self.random.seed(seed)
        self.window = window
        self.loop.run_until_complete(self._begin(count))

    async def _begin(self, count: int) -> None:
        self.world = World(self.loop)
        self.world.nodes = [self._node(f"rabbit@host{number}") for number in range(count)]
        await asyncio.sleep(5)

    def _node(self, name: str, cache: MemoryCache | None = None) -> Node:
        process = Process(rate=self.random.choice(RATES), fates=self._fate)
        cache = cache or MemoryCache(lambda: self.random.random() < SAVED)
        return Node(self.world, name, process, self.window, cache)

    def _fate(self) -> Fate:
        chance = self.random.random
        late = chance() < LOST
        return Fate(
            None if chance() < LOST else self._delay(late),
            None if chance() < LOST else self._delay(late),
            self.random.uniform(0, LATE_S) if chance() < LOST else None,
        )

    def _delay(self, late: bool) -> float:
        return self.random.uniform(0, LATE_S if late else 0.01)

    # --- what happens

    def serve(self, seconds: float) -> None:
        """Let clients publish for so long, twice at a time."""
        self._publish()
        while seconds > 0:
            step = min(seconds, STEP_S)
            self.loop.advance(step / 2)
            self._publish()
            self.loop.advance(step / 2)
            self.world.check_speakers()
            seconds -= step

    def _publish(self) -> None:
        for node in self.world.nodes:
            for _ in range(2):
                self._in_loop(node.publish)
            if self.random.random() < COMPACTED:
                self._in_loop(lambda node=node: _keep(self.loop.create_task(node.compact())))

    @rule(seconds=AFTER)
    def go_on(self, seconds: float) -> None:
        self.serve(seconds)

    @rule(which=st.integers(0, 3), seconds=LONG, after=AFTER)
    def freeze(self, which: int, seconds: float, after: float) -> None:
        process = self._chosen(which).process
        self._in_loop(process.freeze)
        self.loop.call_later(seconds, process.wake)
        self.serve(after)

    @rule(which=st.integers(0, 3), seconds=LONG, after=AFTER)
    def cut_off(self, which: int, seconds: float, after: float) -> None:
        process = self._chosen(which).process
        self._in_loop(process.cut_off)
        self.loop.call_later(seconds, process.heal)
        self.serve(after)

    @rule(which=st.integers(0, 3), after=AFTER)
    def kill_and_start_again(self, which: int, after: float) -> None:
        node = self._chosen(which)
        node.process.kill()
        node.ready = False
        node.task.cancel()
        self.loop.run_until_complete(self._start_again(node))
        self.serve(after)

    async def _start_again(self, node: Node) -> None:
        self.world.nodes[self.world.nodes.index(node)] = self._node(node.name, node.cache)

    @rule(after=AFTER)
    def hand_over(self, after: float) -> None:
        for node in self.world.nodes:
            self._in_loop(lambda node=node: _keep(self.loop.create_task(node.hand_over())))
        self.serve(after)

    @rule(seconds=LONG, after=AFTER)
    def lose_the_leader(self, seconds: float, after: float) -> None:
        self.world.storage.has_leader = False
        self.loop.call_later(seconds, self._elect)
        self.serve(after)

    def _elect(self) -> None:
        self.world.storage.has_leader = True

    @precondition(lambda self: self.random.random() < 0.1)
    @rule(which=st.integers(0, 3), rate=st.sampled_from([0.3, 3.0]))
    def break_a_clock(self, which: int, rate: float) -> None:
        self.world.clocks_hold = False
        self._chosen(which).process.rate = rate

    # --- what must be

    @invariant()
    def nothing_is_lost_and_only_one_serves(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.check_speakers()
        self.world.check_log()
        assert not self.world.problems, self.world.problems

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.loop.run_until_complete(self._end())
        self.loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _chosen(self, which: int) -> Node:
        return self.world.nodes[which % len(self.world.nodes)]

    def _in_loop(self, call: object) -> None:
        assert callable(call)
        self.loop.call_soon(call)
        self.loop.advance(0)


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(max_examples=40, stateful_step_count=30)
