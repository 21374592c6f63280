"""A reorder buffer for a listener. Pure.

A telephone plays at a steady pace and pays for it with delay. A detector has no loudspeaker: packets in order are
handed on at once, with no delay at all. Only when a number is missing are the packets behind it held, for at most
`wait_s`; then the hole is given up and handed on as a Gap, so that nothing is spliced and nothing invented.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_HELD = 64  # packets; when one more comes the hole is given up at once
MAX_JUMP = 3000  # numbers; further ahead is a restarted sender (RFC 3550 appendix A.1)
MAX_LATE = 100  # numbers; further back likewise


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that never came."""

    packets: int


@dataclass(slots=True)
class JitterStats:
    late: int = 0  # came after their hole had been given up
    duplicate: int = 0
    reordered: int = 0  # came out of order, in time
    lost: int = 0
    restarts: int = 0


class JitterBuffer(Generic[T]):
    """Items by 16-bit sequence number, in; items in order and gaps, out."""

    __slots__ = ("_given_up", "_odd", "_wait_s", "held", "next", "stats")

    def __init__(self, wait_s: float) -> None:
        self.next: int | None = None  # the number wanted
        self.stats = JitterStats()
        self._wait_s = wait_s
        self.held: dict[int, tuple[T, float]] = {}  # what waits behind a hole, at most MAX_HELD
        self._given_up: OrderedDict[int, None] = OrderedDict()  # at most MAX_LATE
        self._odd: int | None = None  # the number after one that was far off

    def push(self, number: int, item: T, now: float) -> list[T | Gap]:
        """The next packet that arrived -> what may be handed on."""
        if self.next is None:
            self.next = (number + 1) & 0xFFFF
            return [item]
        ahead = ((number - self.next + 0x8000) & 0xFFFF) - 0x8000
        if ahead == 0:
            self.next = (number + 1) & 0xFFFF
            if not self.held:
                return [item]
            return [item, *self._follow()]
        if ahead > MAX_JUMP or ahead < -MAX_LATE:
            return self._restart(number, item)
        if ahead < 0:
            self._count_old(number)
            return []
        return self._hold(number, item, now)

    def poll(self, now: float) -> list[T | Gap]:
        """Give up holes that have been waited for long enough."""
        out: list[T | Gap] = []
        while self.held and now >= (self.deadline() or now):
            out += self._give_up()
        return out

    def deadline(self) -> float | None:
        """When `poll` has something to give up."""
        if not self.held:
            return None
        return min(arrived for _, arrived in self.held.values()) + self._wait_s

    def reset(self) -> None:
        """Another sender: forget the numbers, keep the counts."""
        self.next = self._odd = None
        self.held.clear()
        self._given_up.clear()

    def _hold(self, number: int, item: T, now: float) -> list[T | Gap]:
        if number in self.held:
            self.stats.duplicate += 1
            return []
        self.held[number] = (item, now)
        return self._give_up() if len(self.held) > MAX_HELD else []

    def _follow(self) -> list[T | Gap]:
        """Held packets that are now in order."""
        out: list[T | Gap] = []
        while self.next in self.held:
            out.append(self.held.pop(self.next)[0])
            self.stats.reordered += 1
            self.next = (self.next + 1) & 0xFFFF
        return out

    def _give_up(self) -> list[T | Gap]:
        assert self.next is not None
        wanted = self.next
        first = min(self.held, key=lambda number: (number - wanted) & 0xFFFF)
        missing = (first - wanted) & 0xFFFF
        for number in range(max(0, missing - MAX_LATE), missing):
            self._given_up[(wanted + number) & 0xFFFF] = None
        while len(self._given_up) > MAX_LATE:
            self._given_up.popitem(last=False)
        self.stats.lost += missing
        self.next = first
        out = self._follow()
        self.stats.reordered -= len(out)  # they were in order; the hole before them was real
        return [Gap(missing), *out]

    def _count_old(self, number: int) -> None:
        if number in self._given_up:
            del self._given_up[number]
            self.stats.late += 1
        else:
            self.stats.duplicate += 1

    def _restart(self, number: int, item: T) -> list[T | Gap]:
        """Two packets in a row from far away are a restarted sender; one is a stray (RFC 3550 appendix A.1)."""
        if number != self._odd:
            self._odd = (number + 1) & 0xFFFF
            return []
        self.stats.restarts += 1
        held = [entry[0] for entry in self.held.values()]
        self.reset()
        self.next = (number + 1) & 0xFFFF
        return [*held, item]
