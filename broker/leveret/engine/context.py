"""What the virtual hosts of a broker share: settings, time, storage, and the rest of the engine.

`Broker` creates one and passes it to each `VirtualHost`, which therefore needs no reference to the broker.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from leveret.clock import Agenda, Clock
from leveret.engine import message_headers
from leveret.engine.access import Access
from leveret.engine.catalogue import Changed, unrecorded
from leveret.engine.guess_limit import GuessLimit
from leveret.engine.lint import Lint
from leveret.engine.names import RandomOctets
from leveret.engine.node_limits import NodeLimits
from leveret.engine.observers import Observer, Observers
from leveret.engine.policies import Policies
from leveret.faults import Faults
from leveret.profiles import Profile, profile
from leveret.queues.backlog.paging import Pager
from leveret.queues.tallies import MessageSizes
from leveret.work import Work

if TYPE_CHECKING:
    from leveret.config import Settings
    from leveret.engine.interceptor import Interceptor
    from leveret.queues.history import HistoryPort
    from leveret.queues.message import Destination


class Counters(Struct):
    """Counters since the start. `dead_letters`: by queue type, reason and strategy. `message_sizes`: of messages that
    clients publish. `direct_publishes`: of clients without a channel, over HTTP; all of them are confirmed."""

    queues_declared: int = 0
    queues_created: int = 0
    queues_deleted: int = 0
    direct_publishes: int = 0
    dead_letters: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    message_sizes: MessageSizes = field(default_factory=MessageSizes)


def _nobody() -> None:
    """Tell nobody, as long as there is no broker."""


class EngineContext:
    """Shared services of one broker.

    `pager`: keeps long backlogs outside memory. `events`: the event exchange, if that plugin is enabled.
    `message_time`, `link_time`: the agendas of messages and of sockets. `reply_addresses`: direct reply-to addresses by
    name, of all virtual hosts. `work`: operations that run in slices. `changed`: called for changes that the catalogue
    records. `access_changed`: called after changes of users and permissions, because channels cache decisions.
    `node_limits`: of all virtual hosts. `interceptor`: may change publishes and deliveries; made from the settings, or
    set by `Broker.intercept`. `history`: hears of the lives of messages in new virtual hosts, or None. `random_octets`:
    what generated names and exchanges that choose by chance are made from.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        pager: Pager | None,
        link_clock: Clock | None = None,
        random_octets: RandomOctets = os.urandom,
    ) -> None:
        self.settings = settings
        self.random_octets = random_octets
        self.profile: Profile = profile(settings.profile.version)
        self.clock = clock
        self.started_at = clock.now
        self.message_time = Agenda(clock)
        self.link_time = Agenda(link_clock or clock)
        self.pager = pager or Pager()
        self.faults = Faults(clock)
        self.work = Work(self.faults)
        self.observers = Observers(self.faults)
        self.events: Observer | None = None
        who = settings.access
        self.access = Access(
            who.loopback_users,
            who.anonymous_login_user or None,
            who.anonymous_login_pass,
            GuessLimit(self.link_time.clock, who.failed_logins_per_minute)
            if who.failed_logins_per_minute
            else None,
        )
        self.access.users.algorithm = who.password_hashing
        if who.password_validator != "accept_everything":
            from leveret.engine.credential_validator import CredentialValidator  # seldom

            self.access.validator = CredentialValidator(who)
        self.node_limits = NodeLimits(settings.limits)
        self.policies = Policies(self.profile, settings.deprecated_features.permit)
        self.lint = Lint(settings, self.profile, clock, self.observers)
        self.policies.noticed = self.lint.policy
        self.reply_addresses: dict[str, Destination] = {}
        self.counters = Counters()
        self.changed: Changed = unrecorded
        self.access_changed: Callable[[], None] = _nobody
        self.interceptor: Interceptor | None = message_headers.interceptor(
            settings.amqp, settings.server.node_name, clock
        )
        self.history: HistoryPort | None = None

    def permits(self, feature: str) -> bool:
        """Return whether a deprecated feature may be used."""
        return self.profile.permits(feature, self.settings.deprecated_features.permit)
