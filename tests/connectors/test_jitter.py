"""The reorder buffer: in order at once, held behind a hole, holes handed on as holes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.jitter import MAX_HELD, MAX_JUMP, MAX_LATE, Gap, JitterBuffer

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


def test_the_wait_counts_from_the_first_packet_behind_the_hole(buffer: JitterBuffer[int]) -> None:
    for number, now in ((1, 0.0), (3, 0.02), (4, 0.04), (6, 0.06)):
        buffer.push(number, number, now)
    assert buffer.poll(0.079) == []
    assert buffer.poll(0.08) == [Gap(1), 3, 4]
    assert buffer.poll(0.12) == [Gap(1), 6]
    assert (buffer.stats.lost, buffer.stats.reordered, buffer.deadline()) == (2, 0, None)


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


def test_numbers_wrap_among_what_is_held_and_within_a_hole(buffer: JitterBuffer[int]) -> None:
    assert [buffer.push(n, n, 0.0) for n in (65533, 65535, 0, 1, 65534)] == [[65533], [], [], [], [65534, 65535, 0, 1]]
    other: JitterBuffer[int] = JitterBuffer(WAIT)
    assert [other.push(n, n, 0.0) for n in (65533, 2, 3)] == [[65533], [], []]
    assert other.poll(WAIT) == [Gap(4), 2, 3]


def test_a_full_buffer_gives_the_hole_up_without_waiting(buffer: JitterBuffer[int]) -> None:
    buffer.push(0, 0, 0.0)
    out = [item for n in range(2, MAX_HELD + 3) for item in buffer.push(n, n, 0.0)]
    assert out == [Gap(1), *range(2, MAX_HELD + 3)]


@pytest.mark.parametrize("far", [100 + MAX_JUMP + 50, 40000])  # ahead, and so far ahead that it is behind
def test_one_stray_is_dropped_two_in_a_row_are_a_restart(buffer: JitterBuffer[int], far: int) -> None:
    buffer.push(100, 100, 0.0)
    assert buffer.push(far, 1, 0.0) == []
    assert buffer.push(101, 101, 0.0) == [101]
    assert buffer.push(far, 1, 0.0) == []
    assert buffer.push(far + 1, 2, 0.0) == [2]
    assert buffer.push(far + 2, 3, 0.0) == [3]
    assert buffer.stats.restarts == 1


def test_a_restart_hands_on_what_was_held_and_forgets_the_old_numbers(buffer: JitterBuffer[int]) -> None:
    assert [buffer.push(n, n, 0.0) for n in (1, 3, 4)] == [[1], [], []]
    assert [buffer.push(n, n, 0.0) for n in (9000, 9001)] == [[], [3, 4, 9001]]
    assert (buffer.held, buffer.poll(1e9)) == ({}, [])
    assert buffer.push(9002, 9002, 0.0) == [9002]


def test_numbers_given_up_long_ago_are_forgotten(buffer: JitterBuffer[int]) -> None:
    buffer.push(0, 0, 0.0)
    for number in range(2, 4 * MAX_LATE, 2):  # every odd number is lost
        buffer.push(number, number, 0.0)
        buffer.poll(1.0)
    assert len(buffer._given_up) == MAX_LATE


def test_far_behind_is_a_restart_too(buffer: JitterBuffer[int]) -> None:
    buffer.push(1000, 0, 0.0)
    behind = 1000 - MAX_LATE - 5
    assert [buffer.push(n, n, 0.0) for n in (behind, behind + 1)] == [[], [behind + 1]]


FIRST = st.one_of(st.integers(0, 65535), st.integers(65525, 65535))  # every second stream wraps, and soon
DELAYS = st.lists(st.floats(0, WAIT, exclude_max=True), min_size=1, max_size=150)


def arrivals(delays: list[float]) -> list[tuple[float, int]]:
    """(when, which) of packets sent every 20 ms, each under way for its delay; the first sets the origin."""
    return [(0.0, 0), *sorted((k * 0.02 + delay, k) for k, delay in enumerate(delays, start=1))]


@given(FIRST, DELAYS)
def test_any_reordering_within_the_wait_gives_every_packet_once_and_in_order(first: int, delays: list[float]) -> None:
    buffer: JitterBuffer[int] = JitterBuffer(WAIT)
    out: list[int | Gap] = []
    for now, k in arrivals(delays):
        out += buffer.poll(now)
        out += buffer.push((first + k) & 0xFFFF, k, now)
    assert out == list(range(len(delays) + 1))
    assert buffer.stats.lost == buffer.stats.duplicate == buffer.stats.late == 0


@given(FIRST, st.lists(st.floats(0, 4 * WAIT), min_size=1, max_size=150), st.sets(st.integers(1, 150)))
def test_whatever_comes_too_late_or_never_each_number_is_one_packet_or_one_of_a_gap(
    first: int, delays: list[float], missing: set[int]
) -> None:
    buffer: JitterBuffer[int] = JitterBuffer(WAIT)
    out: list[int | Gap] = []
    came = [(now, k) for now, k in arrivals(delays) if k not in missing]
    for now, k in came:
        out += buffer.poll(now)
        out += buffer.push((first + k) & 0xFFFF, k, now)
    out += buffer.poll(1e9)
    at = 0
    for item in out:
        assert isinstance(item, Gap) or item == at, f"number {at} expected in {out}"
        at += item.packets if isinstance(item, Gap) else 1
    assert at == max(k for _, k in came) + 1
    handed = sum(not isinstance(item, Gap) for item in out)
    assert handed + buffer.stats.late == len(came)
    assert handed + buffer.stats.lost == at


@given(st.sets(st.integers(1, 150)), FIRST, st.booleans())
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
