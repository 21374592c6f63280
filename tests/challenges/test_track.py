"""How much of an answer is sound, with and without the pitch detector."""

from __future__ import annotations

import numpy as np
import pytest

from challenges.track import HOP_S, RATE, sounding_s, tracked
from tests.challenges.voices import voice


def noise(seconds: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.int16)


def test_only_what_stands_out_of_the_floor_sounds() -> None:
    heard = noise(3.0, 20)
    assert sounding_s(heard) < 0.1
    heard[RATE : 2 * RATE] += noise(1.0, 2000)
    assert sounding_s(heard) == pytest.approx(1.0, abs=0.06)


def test_scraps_do_not_sound() -> None:
    assert sounding_s(np.zeros(0, np.int16)) == 0.0
    assert sounding_s(noise(0.01, 2000)) == 0.0


def test_it_is_as_much_as_the_track_finds_without_its_pitch() -> None:
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    said = voice(seed=4).astype(np.int16)
    said = np.concatenate([noise(0.5, 20), said, noise(0.5, 20)])
    assert sounding_s(said) <= tracked(said).active.sum() * HOP_S + 1e-9
    assert sounding_s(said) > 0.5
