"""Admission by price: what one more call would come to."""

from __future__ import annotations

import pytest

from engine.load import LoadMeter


def meter(seconds: int, loop: float, scoring: float, legs: int, *, cores: int = 2, workers: int = 1) -> LoadMeter:
    """A meter after `seconds` in which the threads used so many cores for `legs` legs."""
    made = LoadMeter(cores=cores, workers=workers, max_load=0.75, chunk_s=0.16)
    for second in range(seconds + 1):
        made.update(second, second * loop, second * scoring, int(second * legs / 0.16))
    return made


def test_what_is_open_but_silent_counts_at_the_price_of_the_others() -> None:
    busy = meter(20, 0.6, 0.6, 1000)
    assert busy.refusal(1001) is None
    assert busy.refusal(1240) is None
    assert "1260 legs would need 1.51 of the 1.50 cores" in (busy.refusal(1260) or "")


def test_one_thread_is_one_core_however_many_there_are() -> None:
    assert "one core that receives" in (meter(20, 0.8, 0.4, 1000, cores=16, workers=8).refusal(1100) or "")
    assert meter(20, 0.2, 0.8, 1000, cores=16, workers=8).refusal(1100) is None
    assert "of 1 scoring threads" in (meter(20, 0.1, 0.8, 1000).refusal(1100) or "")


def test_a_quiet_engine_refuses_nobody() -> None:
    assert meter(20, 0.02, 0.001, 1).refusal(5000) is None
    assert meter(20, 0.0, 0.0, 0).refusal(5000) is None


def test_prices_follow_the_calls_and_short_spans_say_nothing() -> None:
    made = meter(20, 0.6, 0.6, 1000)
    made.update(20.1, 100.0, 100.0, 1)
    assert made.refusal(1001) is None
    for second in range(21, 60):
        made.update(second, 20 * 0.6 + (second - 20) * 0.9, 12.0, 125000 + (second - 20) * 6250)
    assert "one core" in (made.refusal(1001) or "")


@pytest.mark.parametrize("legs", [1, 100])
def test_nothing_is_known_before_the_first_window(legs: int) -> None:
    assert LoadMeter(cores=2, workers=1, max_load=0.75, chunk_s=0.16).refusal(legs) is None
