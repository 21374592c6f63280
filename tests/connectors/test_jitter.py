"""The reorder buffer: in order at once, held behind a hole, holes handed on as holes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.jitter import MAX_HELD, MAX_LATE, Gap, JitterBuffer

WAIT = 0.06


@pytest.fixture
def buffer() -> JitterBuffer[int]:
    return JitterBuffer(WAIT)


def test_in_order_is_handed_on_at_once(buffer: JitterBuffer[int]) -> None:
    assert [buffer.push(n, n, 0.0) for n in (7, 8, 9)] == [[7], [8], [9]]
    assert not buffer.held


def test_a_swap_waits_for_the_missing_one(buffer: JitterBuffer[int]) -> None:
    assert buffer.push(1, 1, 0.0) == [1]
    assert buffer.push(3, 3, 0.02) == []
    assert buffer.poll(0.03) == []
    assert buffer.push(2, 2, 0.03) == [2, 3]
    assert (buffer.stats.reordered, buffer.stats.lost) == (1, 0)


def test_a_hole_is_given_up_after_the_wait(buffer: JitterBuffer[int]) -> None:
    buffer.push(1, 1, 0.0)
    buffer.push(4, 4, 0.02)
    assert buffer.deadline() == pytest.approx(0.08)
    assert buffer.poll(0.0799) == []
    assert buffer.poll(0.08) == [Gap(2), 4]
    assert (buffer.stats.lost, buffer.stats.late) == (2, 0)


def test_what_comes_after_its_hole_was_given_up_is_late_once_and_then_a_duplicate(buffer: JitterBuffer[int]) -> None:
    buffer.push(1, 1, 0.0)
    buffer.push(3, 3, 0.0)
    buffer.poll(1.0)
    assert buffer.push(2, 2, 1.0) == []
    assert buffer.push(2, 2, 1.0) == []
    assert (buffer.stats.late, buffer.stats.duplicate) == (1, 1)


def test_duplicates_are_dropped_held_or_not(buffer: JitterBuffer[int]) -> None:
    buffer.push(1, 1, 0.0)
    assert buffer.push(1, 1, 0.0) == []
    buffer.push(3, 3, 0.0)
    assert buffer.push(3, 3, 0.0) == []
    assert buffer.stats.duplicate == 2
    assert buffer.push(2, 2, 0.0) == [2, 3]


def test_numbers_wrap(buffer: JitterBuffer[int]) -> None:
    assert [buffer.push(n, n, 0.0) for n in (65534, 0, 65535, 1)] == [[65534], [], [65535, 0], [1]]


def test_a_full_buffer_gives_the_hole_up_without_waiting(buffer: JitterBuffer[int]) -> None:
    buffer.push(0, 0, 0.0)
    out = [item for n in range(2, MAX_HELD + 3) for item in buffer.push(n, n, 0.0)]
    assert out == [Gap(1), *range(2, MAX_HELD + 3)]


def test_one_stray_is_dropped_two_in_a_row_are_a_restart(buffer: JitterBuffer[int]) -> None:
    buffer.push(100, 100, 0.0)
    assert buffer.push(40000, 1, 0.0) == []
    assert buffer.push(101, 101, 0.0) == [101]
    assert buffer.push(40000, 1, 0.0) == []
    assert buffer.push(40001, 2, 0.0) == [2]
    assert buffer.push(40002, 3, 0.0) == [3]
    assert buffer.stats.restarts == 1


def test_far_behind_is_a_restart_too(buffer: JitterBuffer[int]) -> None:
    buffer.push(1000, 0, 0.0)
    behind = 1000 - MAX_LATE - 5
    assert [buffer.push(n, n, 0.0) for n in (behind, behind + 1)] == [[], [behind + 1]]


@given(st.integers(0, 65535), st.integers(2, 120), st.integers(0, 2**32 - 1))
def test_reordering_within_the_wait_loses_and_repeats_nothing(first: int, count: int, seed: int) -> None:
    order = list(range(count))
    rng = random.Random(seed)
    for at in range(1, count - 1):  # the first packet sets the origin
        other = min(count - 1, at + rng.randrange(2))
        order[at], order[other] = order[other], order[at]
    buffer: JitterBuffer[int] = JitterBuffer(WAIT)
    out = [item for k in order for item in buffer.push((first + k) & 0xFFFF, k, 0.0)]
    assert out == list(range(count))
    assert buffer.stats.lost == buffer.stats.duplicate == buffer.stats.late == 0


@given(st.sets(st.integers(1, 150)), st.integers(0, 65535), st.booleans())
def test_lost_packets_are_gaps_of_the_right_length(missing: set[int], first: int, twice: bool) -> None:
    buffer: JitterBuffer[int] = JitterBuffer(WAIT)
    out: list[int | Gap] = []
    for k in [k for k in range(152) if k not in missing]:
        for _ in range(1 + twice):
            out += buffer.push((first + k) & 0xFFFF, k, k * 0.02)
        out += buffer.poll(k * 0.02)
    out += buffer.poll(1e9)
    assert sum(item.packets if isinstance(item, Gap) else 1 for item in out) == 152
    items = [item for item in out if not isinstance(item, Gap)]
    assert items == [k for k in range(152) if k not in missing]
    assert buffer.stats.lost == len(missing)
