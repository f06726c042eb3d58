"""Every method is served, or refused by name."""

from __future__ import annotations

import pytest
from pamqp.base import Frame
from pamqp.commands import Basic, Channel

from leveret.session.dispatch import HANDLERS
from leveret.testing.playbook import Playbook, refusal, say
from leveret.wire.methods import _PLANS, name_of

#: Taken before the table is asked: the corridor, and what opens and closes.
ELSEWHERE = {Basic.Publish, Basic.Ack, Basic.Nack, Basic.Reject, Channel.Open, Channel.Close}


@pytest.mark.parametrize(
    "command",
    [one for one in _PLANS if one not in HANDLERS and one not in ELSEWHERE],
    ids=lambda one: name_of(one),
)
def test_what_a_client_has_no_business_to_say(command: type[Frame]) -> None:
    play = Playbook()
    text = "COMMAND_INVALID - unimplemented method"
    if name_of(command) in ("basic.return", "basic.deliver", "basic.get-ok"):
        pytest.skip("content would have to follow")
    assert play >> say(command, channel=1) << refusal(503, text, command, channel=0)


def test_the_table_holds_what_clients_say() -> None:
    assert all(name_of(command).split(".")[0] != "connection" for command in HANDLERS)
    assert not set(HANDLERS) & ELSEWHERE
