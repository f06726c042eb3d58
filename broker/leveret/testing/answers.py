"""What a connection sends, changed by faults: confirms that do not come, deliveries twice, late or in another order.

Tags stay as the protocol has them. A confirm that is withheld is never implied by a later one with `multiple`. When
deliveries change their order or number, the client sees delivery tags in ascending order all the same: they are
numbered again on the way out, and acknowledgements are translated back on the way in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from leveret.testing.framing import (
    DELIVER,
    GET_OK,
    RETURN,
    Splitter,
    Unit,
    header_and_body,
    method_unit,
)

ACK = 60 << 16 | 80
REJECT = 60 << 16 | 90
NACK = 60 << 16 | 120

#: Frames that the broker sends may have any size.
_ANY = 1 << 40

#: What is done about a confirm. A function gets the frame that is to be sent later.
Withheld = Literal["lose"] | Callable[[bytes], None]

#: Stands for a delivery that the broker does not know: its acknowledgement ends here.
_COPY = 0


class Confirmed:
    """The confirms of one channel. `sent`: all up to this number are confirmed by the broker; `withheld`: those that
    are not simply sent, by number; `gap`: whether one was withheld, so that `multiple` must not be used."""

    def __init__(self, sent: int) -> None:
        self.sent = sent
        self.withheld: dict[int, Withheld] = {}
        self.gap = False

    def passed(self, unit: Unit) -> bytes:
        """Return what is sent instead of a confirm of the broker."""
        tag = int.from_bytes(unit.payload[4:12], "big")
        multiple = bool(unit.payload[12] & 1)
        first = min(self.sent + 1, tag) if multiple else tag
        numbers = range(first, tag + 1)
        self.sent = max(self.sent, tag)
        if not self.gap and not any(number in self.withheld for number in numbers):
            return unit.octets
        return b"".join(self._each(unit, number) for number in numbers)

    def _each(self, unit: Unit, number: int) -> bytes:
        frame = confirm_frame(unit.channel, number, refused=unit.method == NACK)
        how = self.withheld.pop(number, None)
        if how is None:
            return frame
        self.gap = True
        if how != "lose":
            how(frame)
        return b""


def confirm_frame(channel: int, number: int, *, refused: bool) -> bytes:
    """Return basic.ack or basic.nack for one publish."""
    arguments = (NACK if refused else ACK).to_bytes(4, "big") + number.to_bytes(8, "big") + b"\x00"
    return b"\x01" + channel.to_bytes(2, "big") + len(arguments).to_bytes(4, "big") + arguments + b"\xce"


class Renumbered:
    """The delivery tags of one channel. `base`: up to this tag, those of the client are those of the broker; `newest`:
    the newest of the client; `tags`: those of the broker by those of the client, for what is not settled."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.newest = base
        self.tags: dict[int, int] = {}

    @property
    def copies(self) -> int:
        """How many deliveries that the broker does not know are not settled."""
        return sum(known == _COPY for known in self.tags.values())

    def copy(self, unit: Unit, *, settled: bool) -> bytes:
        """Return a delivery that the broker does not know with the next tag of the client. `settled`: nobody will
        acknowledge it."""
        octets = self.number(unit)
        if settled:
            del self.tags[self.newest]
        else:
            self.tags[self.newest] = _COPY
        return octets

    def number(self, unit: Unit) -> bytes:
        """Return a delivery with the next tag of the client."""
        at = tag_at(unit)
        self.newest += 1
        self.tags[self.newest] = int.from_bytes(unit.payload[at : at + 8], "big")
        position = 7 + at  # in the frame
        return unit.octets[:position] + self.newest.to_bytes(8, "big") + unit.octets[position + 8 :]

    def settled(self, unit: Unit, oldest: int) -> list[bytes]:
        """Return the acknowledgements for the broker that one of the client stands for. `oldest`: the lowest tag that
        is not settled, 0 for none."""
        tag = int.from_bytes(unit.payload[4:12], "big")
        bits = unit.payload[12]
        multiple = unit.method != REJECT and bool(bits & 1)
        if not multiple:
            if tag <= self.base or tag not in self.tags:
                return [unit.octets]
            known = self.tags.pop(tag)
            return [_settlement(unit, known, bits)] if known != _COPY else []
        upto = tag or self.newest
        unchanged = min(upto, self.base)
        found = [_settlement(unit, unchanged, bits)] if 0 < oldest <= unchanged else []
        for each in sorted(one for one in self.tags if one <= upto):
            known = self.tags.pop(each)
            if known != _COPY:
                found.append(_settlement(unit, known, bits & ~1))
        return found


def tag_at(unit: Unit) -> int:
    """Return where the delivery tag is in the payload of basic.deliver or basic.get-ok."""
    return 5 + unit.payload[4] if unit.method == DELIVER else 4


def tag_of(unit: Unit) -> int:
    """Return the delivery tag of basic.deliver or basic.get-ok."""
    at = tag_at(unit)
    return int.from_bytes(unit.payload[at : at + 8], "big")


def _settlement(unit: Unit, tag: int, bits: int) -> bytes:
    return unit.octets[:11] + tag.to_bytes(8, "big") + bytes((bits,)) + unit.octets[20:]


class Answers:
    """What faults do to the output of one connection. `withheld_frames`: deliveries and answers that wait."""

    def __init__(self) -> None:
        self.confirms: dict[int, Confirmed] = {}
        self.tags: dict[int, Renumbered] = {}
        self.swallowed: list[tuple[int, frozenset[int], Callable[[bytes], None] | None]] = []

    @property
    def active(self) -> bool:
        """Whether output must be cut into frames."""
        return bool(self.confirms or self.tags or self.swallowed)

    def withhold(self, channel: int, sent: int, number: int, how: Withheld) -> None:
        """Do something else about the confirm of a publish than send it. `sent`: the newest that was confirmed."""
        self.confirms.setdefault(channel, Confirmed(sent)).withheld[number] = how

    def renumbered(self, unit: Unit) -> Renumbered:
        """Return the tags of the channel of a delivery; from this delivery on they are those of the client."""
        found = self.tags.get(unit.channel)
        if found is None:
            at = tag_at(unit)
            found = Renumbered(int.from_bytes(unit.payload[at : at + 8], "big") - 1)
            self.tags[unit.channel] = found
        return found

    def swallow(self, channel: int, methods: frozenset[int], later: Callable[[bytes], None] | None) -> None:
        """Do not send the next answer of these methods on a channel; `later` gets it, if it is to be sent later."""
        self.swallowed.append((channel, methods, later))

    def forget(self, channel: int) -> None:
        """Forget a channel that was closed."""
        self.confirms.pop(channel, None)
        self.tags.pop(channel, None)
        self.swallowed = [one for one in self.swallowed if one[0] != channel]

    def changed(self, unit: Unit) -> bytes:
        """Return what is sent instead of a unit that is no delivery to a consumer."""
        for one in self.swallowed:
            if one[0] == unit.channel and unit.method in one[1]:
                self.swallowed.remove(one)
                if one[2] is not None:
                    one[2](unit.octets)
                return b""
        if unit.method in (ACK, NACK) and unit.channel in self.confirms:
            return self.confirms[unit.channel].passed(unit)
        if unit.method in (DELIVER, GET_OK) and unit.channel in self.tags:
            return self.tags[unit.channel].number(unit)
        if unit.method in (20 << 16 | 40, 20 << 16 | 41):  # channel.close, channel.close-ok
            self.forget(unit.channel)
        return unit.octets


def units(data: bytes) -> Iterator[Unit]:
    """Cut output, which ends with a frame, into units."""
    if data[:4] == b"AMQP":
        yield Unit(0, 0, b"", data)
        return
    yield from Splitter().feed(data, _ANY)


def answers_to(method: int) -> frozenset[int]:
    """Return the methods that answer a method: the next ones of its class, or confirm and return of a publish."""
    if method == 60 << 16 | 40:
        return frozenset({RETURN})
    if method == 60 << 16 | 70:
        return frozenset({60 << 16 | 71, 60 << 16 | 72})
    if method in (40 << 16 | 40, 50 << 16 | 50):  # unbind
        return frozenset({method + (11 if method >> 16 == 40 else 1)})
    return frozenset({method + 1})


def corrupted(unit: Unit) -> Unit:
    """Return a delivery whose body has its first octet inverted."""
    header, body = header_and_body(unit.content)
    if not body:
        return unit
    at = len(unit.octets) - len(unit.content) + len(header) + 8 + 7
    octets = bytearray(unit.octets)
    octets[at] ^= 0xFF
    return unit._replace(octets=bytes(octets))


__all__ = [
    "ACK",
    "NACK",
    "REJECT",
    "Answers",
    "answers_to",
    "confirm_frame",
    "corrupted",
    "method_unit",
    "tag_of",
    "units",
]
