"""Which calls are left unheard when there is no time for all, and when they are heard again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from engine.shedding import (
    CALM_MAX_S,
    CALM_S,
    LATE_S,
    RETURN_SHARE,
    SHED_SHARE,
    STEP_S,
    TOO_SOON_S,
    Shedder,
    Shedding,
)

TICK_S = 0.25


def play(
    shedder: Shedder, late: Any, seconds: float, *, legs: int = 100, unheard: int = 0, start: float = 0.0
) -> list[tuple[float, int]]:
    """(moment, change) of every change; `late` is how late things are, by moment and legs unheard."""
    changes = []
    for tick in range(round(seconds / TICK_S)):
        now = start + tick * TICK_S
        change = shedder.change(now, late(now, unheard), legs, unheard)
        unheard += change
        if change:
            changes.append((now, change))
    return changes


def test_what_is_in_time_is_left_alone() -> None:
    assert play(Shedder(), lambda now, unheard: 0.9 * LATE_S, 60) == []


def test_a_short_moment_passes_by_itself() -> None:
    assert play(Shedder(), lambda now, unheard: 3.0 if now == 5.0 else 0.0, 30) == []
    assert play(Shedder(), lambda now, unheard: 0.6 if 5.0 <= now < 5.8 else 0.0, 30) == []


def test_legs_are_left_step_by_step_until_it_gets_better() -> None:
    changes = play(Shedder(), lambda now, unheard: 2.0 if unheard < 20 else 0.0, 7.5)
    assert [change for _, change in changes] == [8, 8, 7]  # SHED_SHARE of those still heard
    assert all(later - now >= STEP_S for (now, _), (later, _) in pairwise(changes))


def test_what_waits_is_given_time_to_be_worked_off() -> None:
    better = play(Shedder(), lambda now, unheard: 1.6 * 0.8 ** max(0.0, now - 1), 8)
    assert [change for _, change in better] == [8]
    assert len(play(Shedder(), lambda now, unheard: 1.6 * 0.99 ** max(0.0, now - 1), 8)) == 4


def test_legs_come_back_slowly_and_slower_each_time_that_was_too_many() -> None:
    changes = play(Shedder(), lambda now, unheard: 1.0 if unheard < 20 else 0.0, 400)
    returns = [now for now, change in changes if change < 0]
    assert {change for _, change in changes if change < 0} == {-round(RETURN_SHARE * 100)}
    rests = [later - now for now, later in pairwise(returns)]
    assert rests[0] < rests[2] < rests[-1]
    assert max(rests) > CALM_MAX_S


@pytest.mark.parametrize("short", [1, 4, 5])
def test_the_last_ones_back_can_be_too_many_as_well(short: int) -> None:
    """Nobody is left unheard then, and what that makes late shows only a while later."""
    changes = play(Shedder(), lambda now, unheard: 1.0 if unheard < short else 0.0, 600)
    returns = [now for now, change in changes if change < 0]
    assert max(later - now for now, later in pairwise(returns)) > CALM_MAX_S
    assert sum(change > 0 for _, change in changes) < 15


def test_all_come_back_when_there_is_time_again() -> None:
    shedder = Shedder()
    left = sum(change for _, change in play(shedder, lambda now, unheard: 2.0, 10))
    assert left > 100 * SHED_SHARE
    changes = play(shedder, lambda now, unheard: 0.0, 200, unheard=left, start=10.0)
    assert sum(change for _, change in changes) == -left
    assert changes[0][0] >= 10.0 + CALM_S
    assert changes[1][0] - changes[0][0] >= CALM_S
    assert TOO_SOON_S > CALM_S  # else no return would ever be found to be too many


class Leg:
    """A session, as far as it matters here."""

    def __init__(self, name: str) -> None:
        self.name, self.heard, self.moments = name, True, [-1.0]
        self.call = self
        self.ended = False

    def leave(self, now: float) -> None:
        self.heard = False
        self.moments.append(now)

    def hear(self, now: float) -> None:
        self.heard = True
        self.moments.append(now)


def late(shedding: Shedding, legs: list[Any], seconds: float, late_s: float, start: float = 0.0) -> None:
    for tick in range(round(seconds / TICK_S)):
        shedding.update(start + tick * TICK_S, late_s, legs)


def test_the_youngest_go_first_and_come_back_last() -> None:
    legs: list[Any] = [Leg(str(n)) for n in range(40)]
    shedding = Shedding()
    late(shedding, legs, 1.75, 2.0)
    assert [leg.name for leg in legs if not leg.heard] == ["36", "37", "38", "39"]  # 8 % of 40, rounded up
    late(shedding, legs, 2.0, 2.0, start=1.75)
    assert [leg.name for leg in legs if not leg.heard] == [str(n) for n in range(33, 40)]
    assert shedding.unheard == 7
    late(shedding, legs, 6, 0.0, start=3.75)
    assert [leg.name for leg in legs if not leg.heard] == [str(n) for n in range(35, 40)]


def test_who_is_examined_is_heard() -> None:
    legs: list[Any] = [Leg(str(n)) for n in range(3)]
    shedding = Shedding(lambda session: session is legs[2])
    late(shedding, legs, 10, 2.0)
    assert [leg.heard for leg in legs] == [False, False, True]
    shedding.hear(legs[0], 11.0)
    shedding.hear(legs[0], 11.5)
    assert legs[0].heard
    assert legs[0].moments[-1] == 11.0
    assert shedding.unheard == 1


def test_a_leg_that_fails_to_be_left_is_in_nobody_s_way() -> None:
    class Failing(Leg):
        def leave(self, now: float) -> None:
            super().leave(now)
            raise RuntimeError

    legs: list[Any] = [*(Leg(str(n)) for n in range(2)), Failing("2")]
    shedding = Shedding()
    with pytest.raises(RuntimeError):
        late(shedding, legs, 1.75, 2.0)
    assert shedding.unheard == 1
    shedding.hear(legs[2], 2.0)
    shedding.hear(legs[2], 2.1)
    assert (legs[2].heard, shedding.unheard) == (True, 0)


def test_a_leg_that_has_ended_by_itself_is_not_left_in_another_s_place() -> None:
    legs: list[Any] = [Leg(str(n)) for n in range(3)]
    legs[2].ended = True
    shedding = Shedding()
    late(shedding, legs, 1.75, 2.0)
    assert [leg.heard for leg in legs] == [True, False, True]
    legs[2].heard = False  # however that came
    shedding.hear(legs[2], 2.0)
    assert shedding.unheard == 1


def test_ended_calls_are_forgotten() -> None:
    legs: list[Any] = [Leg(str(n)) for n in range(3)]
    shedding = Shedding()
    late(shedding, legs, 1.75, 2.0)
    assert shedding.unheard == 1
    legs[2].ended = True
    shedding.update(2.0, 2.0, legs[:2])
    assert shedding.unheard == 0
