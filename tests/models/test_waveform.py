"""What the shape of waves says: known waves have known moments, whatever their level and whatever stands before them."""

from __future__ import annotations

import numpy as np
import pytest

from models.waveform import BLOCK, FILTERS, FRAME, LAGS, NUMBERS, shapes

N = len(FILTERS)
TIME = np.arange(FRAME)
LATER, EARLIER = slice(3 * N, 3 * N + len(LAGS)), slice(3 * N + len(LAGS), NUMBERS)


def of(wave: np.ndarray) -> np.ndarray:
    found = shapes(wave)
    assert found.shape == (len(wave) // FRAME, NUMBERS)
    return found[0]


def pulses() -> np.ndarray:
    """A rise within one sample every 10 ms, and a slow fall: what a throat's waves look like."""
    return 0.1 * np.asarray(np.exp(-(TIME % 80) / 6.0))


def test_a_sine_leans_nowhere_and_is_flat() -> None:
    found = of(0.1 * np.sin(2 * np.pi * TIME / 20))  # whole periods in a block
    for index in range(N):
        third, fourth, size = found[3 * index : 3 * index + 3]
        assert third == pytest.approx(0, abs=1e-6)
        assert fourth == pytest.approx(np.sqrt(1.5), abs=1e-4)
        assert size == pytest.approx(2 * np.sqrt(2) / np.pi, rel=0.01)
    assert found[LATER] == pytest.approx(0, abs=1e-6)


def test_pulses_lean_to_their_side_and_stand_out() -> None:
    found, turned, noise = of(pulses()), of(-pulses()), of(0.1 * np.random.default_rng(0).standard_normal(FRAME))
    assert found[0] > 2
    assert found[1] > 1.5 * noise[1]
    assert found[2] < noise[2]
    odd = [*range(0, 3 * N, 3), *range(3 * N, NUMBERS)]
    even = [i for i in range(3 * N) if i % 3]
    assert turned[odd] == pytest.approx(-found[odd])
    assert turned[even] == pytest.approx(found[even])


def test_which_way_time_runs_is_seen() -> None:
    found, back = of(pulses()), of(pulses()[::-1])
    assert np.abs(found[LATER] - found[EARLIER]).max() > 0.3
    assert back[LATER] == pytest.approx(found[EARLIER], abs=0.15)  # but for the block's ends


def test_level_and_offset_change_nothing() -> None:
    want = of(pulses())
    assert of(0.2 * pulses()) == pytest.approx(want, rel=0.01, abs=1e-3)
    assert of(pulses() + 0.2) == pytest.approx(want)


def test_only_the_end_of_a_frame_counts_and_the_few_samples_before_it() -> None:
    wave = pulses()
    wave[: FRAME - BLOCK - max(LAGS)] = 0.7
    assert of(wave) == pytest.approx(of(pulses()))


def test_silence_has_no_shape() -> None:
    assert not of(np.zeros(FRAME)).any()
    assert len(shapes(np.zeros(3 * FRAME))) == 3
