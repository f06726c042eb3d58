"""What the virtual hosts of a broker share: settings, time, storage, and the rest of the engine.

`Broker` creates one and passes it to each `VirtualHost`, which therefore needs no reference to the broker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leveret.clock import Agenda, Clock
from leveret.engine.access import Access
from leveret.engine.catalogue import Changed, unrecorded
from leveret.engine.lint import Lint
from leveret.engine.observers import Observers
from leveret.engine.policies import Policies
from leveret.faults import Faults
from leveret.profiles import Profile, profile
from leveret.queues.backlog.paging import Pager
from leveret.queues.tallies import MessageSizes
from leveret.work import Work

if TYPE_CHECKING:
    from leveret.config import Settings
    from leveret.queues.journal import Journal
    from leveret.queues.message import Destination


@dataclass(slots=True)
class Counters:
    """Counters since the start. `dead_letters`: by queue type, reason and strategy. `message_sizes`: of messages that
    clients publish."""

    queues_declared: int = 0
    queues_created: int = 0
    queues_deleted: int = 0
    dead_letters: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    message_sizes: MessageSizes = field(default_factory=MessageSizes)


def _nobody() -> None:
    """Tell nobody, as long as there is no broker."""


class EngineContext:
    """Shared services of one broker.

    `journal`: the store's port for persistent messages of durable queues, None without a store. `pager`: keeps long
    backlogs outside memory. `message_time`, `link_time`: the agendas of messages and of sockets. `reply_addresses`:
    direct reply-to addresses by name, of all virtual hosts. `work`: operations that run in slices. `changed`: called
    for changes that the catalogue records. `access_changed`: called after changes of users and permissions, because
    channels cache decisions.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        journal: Journal | None,
        pager: Pager | None,
        link_clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.profile: Profile = profile(settings.profile.version)
        self.clock = clock
        self.started_at = clock.now
        self.message_time = Agenda(clock)
        self.link_time = Agenda(link_clock or clock)
        self.journal = journal
        self.pager = pager or Pager()
        self.faults = Faults(clock)
        self.work = Work(self.faults)
        self.observers = Observers(self.faults)
        who = settings.access
        self.access = Access(who.loopback_users, who.anonymous_login_user or None, who.anonymous_login_pass)
        self.policies = Policies(self.profile, settings.deprecated_features.permit)
        self.lint = Lint(settings, self.profile, clock, self.observers)
        self.policies.noticed = self.lint.policy
        self.reply_addresses: dict[str, Destination] = {}
        self.counters = Counters()
        self.changed: Changed = unrecorded
        self.access_changed: Callable[[], None] = _nobody

    def permits(self, feature: str) -> bool:
        """Return whether a deprecated feature may be used."""
        return self.profile.permits(feature, self.settings.deprecated_features.permit)
