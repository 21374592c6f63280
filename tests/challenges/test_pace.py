"""Pace of made-up speech whose pace is known, also in noise."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.pace import likeness, voiced_run
from challenges.track import Track, tracked

RATE = 8000


def speech(syllables: float, noise: float = 20.0, seconds: float = 4.0) -> np.ndarray:
    """A voice of 130 Hz whose vowel is another one in every syllable, with a break after each."""
    rng = np.random.default_rng(5)
    at = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(130 * (1 + 0.05 * np.sin(2 * np.pi * 2.1 * at))) / RATE
    formants = rng.uniform([300, 900], [800, 2600], (round(seconds * syllables) + 1, 2))[(at * syllables).astype(int)]
    sound = sum(
        np.cos(k * phase) * sum(np.exp(-(((k * 130 - formants[:, n]) / 150) ** 2)) for n in (0, 1)) for k in range(1, 26)
    )
    swell = np.clip(1.6 * np.sin(np.pi * ((at * syllables) % 1)) - 0.3, 0, 1)
    return (3000 * sound * swell + rng.standard_normal(len(at)) * noise).astype(np.int16)


@pytest.mark.parametrize("noise", [20.0, 200.0])
def test_quick_speech_is_sooner_another_sound_and_breaks_off_sooner(noise: float) -> None:
    slow, quick = tracked(speech(2.5, noise)), tracked(speech(6.0, noise))
    assert likeness(slow, 2) > likeness(quick, 2) + 0.02
    assert likeness(slow, 4) > likeness(quick, 4) + 0.1
    assert voiced_run(slow) > 1.5 * voiced_run(quick)


def test_likeness_falls_with_time_and_a_held_sound_stays_itself() -> None:
    track = tracked(speech(4.0))
    assert 1.0 > likeness(track, 2) > likeness(track, 4) > likeness(track, 8)


def test_a_stretch_of_one_frame_is_no_voice() -> None:
    f0 = np.zeros(40)
    f0[[3, 20, 21, 22, 23, 30]] = 100.0
    nothing = np.zeros(40)
    track = Track(f0, nothing, nothing, np.ones((40, 129)), np.ones(40, np.bool_), -60.0)
    assert voiced_run(track) == pytest.approx(4 * 0.016)
    silent = Track(nothing, nothing, nothing, np.ones((40, 129)), np.ones(40, np.bool_), -60.0)
    assert voiced_run(silent) == pytest.approx(0.016)
    assert likeness(silent, 20) == 1.0  # too short to say
