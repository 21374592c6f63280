"""Histograms of tones laid over each other: right where medians are not."""

from __future__ import annotations

import numpy as np
import pytest

from challenges.tones import LEAST_LLR, LEAST_TONES, MOST_ST, STEPS, edge, histogram, low_shift_st, same_voice_llr, shift_st


def tones(hz: float, count: int = 100, spread_st: float = 1.5, seed: int = 0) -> np.ndarray:
    return hz * 2 ** (np.random.default_rng(seed).normal(0, spread_st, count) / 12)


def shares(*parts: np.ndarray) -> tuple[float, ...]:
    f0 = np.concatenate(parts)
    return histogram(f0, np.ones(len(f0)))


BEFORE = shares(tones(120.0, 200))


def test_shares_add_up_and_lie_where_the_tones_are() -> None:
    found = np.array(histogram(np.tile([60.0, 119.9, 120.1, 1000.0], 10), np.tile([1.0, 1.0, 2.0, 4.0], 10)))
    assert found.sum() == pytest.approx(1.0)
    assert found.nonzero()[0].tolist() == [0, 23, 24, 97]
    assert found[97] == pytest.approx(0.5)


@pytest.mark.parametrize("semitones", [-5.0, -2.0, 0.0, 3.0, 8.0])
def test_a_moved_voice_is_moved_by_so_much(semitones: float) -> None:
    now = shares(tones(120.0 * 2 ** (semitones / 12), seed=1))
    assert shift_st(now, BEFORE) == pytest.approx(semitones, abs=0.8)
    assert low_shift_st(now, BEFORE) == pytest.approx(semitones, abs=0.8)


def test_frames_an_octave_too_high_do_not_make_a_high_voice() -> None:
    now = shares(tones(120.0, 52, seed=1), tones(240.0, 48, seed=2))
    assert abs(shift_st(now, BEFORE)) <= 1.0
    assert abs(low_shift_st(now, BEFORE)) <= 1.0


def test_a_whistling_line_does_not_hide_a_high_voice() -> None:
    now = shares(tones(180.0, 30, seed=1), np.full(70, 830.0))  # most frames are the line's tone
    assert shift_st(now, BEFORE) == pytest.approx(7.0, abs=1.0)
    assert low_shift_st(now, BEFORE) == pytest.approx(7.0, abs=1.5)


def test_falsetto_two_octaves_up_is_a_high_voice_and_no_noise() -> None:
    now = shares(tones(120.0 * 2 ** (25 / 12), 80, seed=1), tones(125.0, 20, seed=2))
    assert shift_st(now, BEFORE) == MOST_ST
    assert low_shift_st(shares(tones(480.0, seed=1)), BEFORE) == MOST_ST


@pytest.mark.parametrize(
    ("semitones", "least", "most"), [(0.0, 0.0, 0.0), (0.8, -0.2, 0.0), (3.0, -2.0, -0.8), (-9.0, -2.0, -2.0)]
)
def test_a_voice_on_other_tones_is_less_likely_the_same(semitones: float, least: float, most: float) -> None:
    now = shares(tones(120.0 * 2 ** (semitones / 12), 200, seed=1))
    assert least <= same_voice_llr(now, BEFORE) <= most


def test_one_measure_of_two_that_noise_moved_says_nothing_against_a_voice() -> None:
    now = shares(tones(120.0, 70, seed=1), tones(62.0, 30, seed=2))  # half an octave's worth of noise below
    assert min(abs(shift_st(now, BEFORE)), 2.0) < 1.0 < abs(low_shift_st(now, BEFORE))
    assert same_voice_llr(now, BEFORE) == 0.0
    assert same_voice_llr((), BEFORE) == 0.0 > LEAST_LLR


@pytest.mark.parametrize(("count", "told"), [(11, False), (LEAST_TONES - 1, False), (LEAST_TONES, True)])
def test_of_two_syllables_nobody_is_another_voice(count: int, told: bool) -> None:
    few = shares(tones(240.0, count))
    assert bool(few) is told
    for now, before in ((few, BEFORE), (BEFORE, few)):
        assert (shift_st(now, before) != 0.0) is told
        assert (same_voice_llr(now, before) < -1.0) is told


def test_no_voice_has_moved_nowhere() -> None:
    assert histogram(np.zeros(0), np.zeros(0)) == ()
    assert shift_st((), BEFORE) == 0.0
    assert low_shift_st(BEFORE, ()) == 0.0


def test_an_edge_lies_within_the_step_that_holds_it() -> None:
    shares_ = np.zeros(STEPS)
    shares_[10], shares_[20] = 0.5, 0.5
    assert edge(shares_, 0.25) == pytest.approx(10.5)
    assert edge(shares_, 0.75) == pytest.approx(20.5)
