"""Hearing fewer calls in time rather than all of them late.

A machine that has less time than it had (a neighbour, a slow disk, calls that all begin at once) would let every call
wait a little longer, drop a little of each, and know nothing of anybody. Instead some legs are left unheard, the
youngest first: they are "unknown" with the reason `overload`, and the others are judged as if nothing had happened.
Whoever is being examined is heard to the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice

import structlog

from engine.session import Session

log = structlog.get_logger(__name__)

LATE_S = 0.4  # scores or the event loop this late, in the running mean, are an overload
MEMORY_S = 1.0  # of that mean
PATIENCE_S = 1.0  # for so long it may pass by itself
STEP_S = 2.0  # between two steps, so that the first can be felt
BETTER = 0.9  # of the lateness at the last step: what waits is being worked off, and no more need be left
SHED_SHARE = 0.08  # of the legs that are heard, a step
RETURN_SHARE = 0.04  # of all legs, a step back
CALM_S = 3.0  # in time for so long before some are heard again,
CALM_MAX_S = 48.0  # twice as long each time that this was too many, up to here
TOO_SOON_S = 10.0  # late again so soon after a step back: it was too many


class Shedder:
    """How many legs more, or fewer, to leave unheard. Pure."""

    def __init__(self) -> None:
        self._late_s = self._late_at_step = 0.0
        self._looked: float | None = None
        self._late_since: float | None = None
        self._calm_since: float | None = None
        self._changed = self._returned = -math.inf
        self._calm_s = CALM_S

    def change(self, now: float, late_s: float, legs: int, unheard: int) -> int:
        """`legs` of live calls of which `unheard` are not heard, `late_s` how late things are -> how many legs more to
        leave unheard, or, below 0, to hear again."""
        passed = MEMORY_S if self._looked is None else now - self._looked
        self._looked = now
        self._late_s += (late_s - self._late_s) * min(1.0, passed / MEMORY_S)
        return self._more(now, legs - unheard) if self._late_s > LATE_S else -self._fewer(now, legs, unheard)

    def _more(self, now: float, heard: int) -> int:
        self._calm_since = None
        if self._late_since is None:
            self._late_since, self._late_at_step = now, 0.0
        if now - self._late_since < PATIENCE_S or now - self._changed < STEP_S:
            return 0
        if now - self._returned < TOO_SOON_S:
            self._calm_s, self._returned = min(2 * self._calm_s, CALM_MAX_S), -math.inf
        before, self._late_at_step, self._changed = self._late_at_step, self._late_s, now
        return 0 if self._late_s < BETTER * before else math.ceil(SHED_SHARE * heard)

    def _fewer(self, now: float, legs: int, unheard: int) -> int:
        self._late_since = None
        if not unheard:
            if now - self._returned >= TOO_SOON_S:  # what came back last may yet turn out to be too many
                self._calm_s = CALM_S
            return 0
        if self._calm_since is None:
            self._calm_since = now
        if now - max(self._calm_since, self._changed) < self._calm_s:
            return 0
        self._changed = self._returned = now
        return min(unheard, math.ceil(RETURN_SHARE * legs))


class Shedding:
    """Which legs are left unheard just now."""

    def __init__(self, busy: Callable[[Session], bool] = lambda _: False) -> None:
        """`busy` legs are never left: their callers are being examined."""
        self._busy = busy
        self._shedder = Shedder()
        self._unheard: list[Session] = []  # in the order in which they were left

    @property
    def unheard(self) -> int:
        return len(self._unheard)

    def update(self, now: float, late_s: float, live: Sequence[Session]) -> None:
        """A few times a second; `live` are the sessions of all live calls, oldest first."""
        self._unheard = [session for session in self._unheard if not session.call.ended]
        change = self._shedder.change(now, late_s, len(live), len(self._unheard))
        young = (one for one in reversed(live) if one.heard and not one.call.ended and not self._busy(one))
        for session in islice(young, max(0, change)):
            self._unheard.append(session)  # first: one that fails to be left is taken back like the others
            session.leave(now)
        for _ in range(max(0, -change)):
            self._unheard.pop().hear(now)
        if change:
            told = "overload" if change > 0 else "overload eases"
            log.warning(told, late_s=round(late_s, 2), unheard=self.unheard, legs=len(live))

    def hear(self, session: Session, now: float) -> None:
        """This one is wanted now, whatever it costs: its caller is to be examined."""
        if not session.heard:
            self._unheard = [other for other in self._unheard if other is not session]
            session.hear(now)
