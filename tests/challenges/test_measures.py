"""Cues of made-up voices whose cues are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.measures import Measures, _pitch, measure
from challenges.track import HOP_S, Track
from tests.challenges.voices import RATE, claps, voice, whisper


def measured(samples: np.ndarray) -> Measures:
    found = measure(samples)
    assert found is not None
    return found


@pytest.mark.parametrize("hz", [95.0, 140.0, 260.0])
def test_pitch_is_that_of_the_voice(hz: float) -> None:
    assert measured(voice(hz=hz)).f0_hz == pytest.approx(hz, rel=0.06)


def test_a_voice_is_voiced_and_a_whisper_is_not() -> None:
    spoken, whispered = measured(voice()), measured(whisper())
    assert spoken.voiced_share > 0.6
    assert whispered.voiced_share < 0.1
    assert whispered.f0_hz is None
    assert whispered.flatness_db > spoken.flatness_db + 3


def test_a_held_note_is_sustained_and_speech_is_not() -> None:
    held = measured(voice(hz=220, wobble=0.0, syllables=0))
    assert held.sustained_share > 0.9
    assert held.longest_note_s > 1.0
    assert measured(voice(wobble=0.2)).sustained_share < held.sustained_share / 2


def held(f0: np.ndarray) -> dict[str, Any]:
    sounding = f0 > 0
    return _pitch(Track(f0, np.where(sounding, 0.9, 0.0), np.full(len(f0), -20.0), np.ones((len(f0), 129)), sounding, -60.0))


@pytest.mark.parametrize("swing_st", [0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("hz", [4.5, 5.5, 7.0])
def test_a_note_sung_with_vibrato_is_held(swing_st: float, hz: float) -> None:
    """As singers have it, and more of it old voices that tremble."""
    f0 = 220 * 2 ** (swing_st / 12 * np.sin(2 * np.pi * hz * np.arange(60) * HOP_S))
    notes = held(np.concatenate([f0, np.zeros(5), f0 * 2 ** (4 / 12)]))
    assert notes["sustained_share"] > 0.8
    assert notes["longest_note_s"] > 0.5


def test_a_syllable_that_glides_is_no_note() -> None:
    syllable = 120 * 2 ** (np.linspace(0, 5, 16) / 12)
    assert held(np.tile(np.concatenate([syllable, np.zeros(6)]), 8))["sustained_share"] == 0.0


def test_no_voice_is_as_steady_as_a_machine_s_notes() -> None:
    rng = np.random.default_rng(0)
    tune = np.repeat(220 * 2 ** (np.array([0, 4, 7, 4, 0]) / 12), 25)
    assert held(tune)["step_st"] < 0.01
    assert held(tune * 2 ** (rng.normal(0, 0.05, len(tune)) / 12))["step_st"] > 0.03
    assert held(np.zeros(40))["step_st"] == 0.0


def test_syllables_are_counted() -> None:
    assert measured(voice(syllables=3.0)).syllables_s == pytest.approx(1.5, abs=0.5)  # the swell has every other half
    assert measured(voice(syllables=8.0)).syllables_s > measured(voice(syllables=3.0)).syllables_s


def test_a_rising_end_is_seen() -> None:
    assert measured(voice(wobble=0.02, glide_st=6.0, syllables=0)).rise_st > 3.0
    assert abs(measured(voice(wobble=0.02, syllables=0)).rise_st) < 1.0


def test_a_rise_is_seen_through_a_broken_end_and_a_whistling_line() -> None:
    f0 = np.concatenate([np.full(100, 100.0), np.full(20, 150.0), np.full(4, 98.0), np.zeros(10), np.full(30, 830.0)])
    sure = np.where(f0 > 0, 0.9, 0.0)
    level = np.where(f0 > 800, -50.0, -20.0)  # the line's tone is softer than the voice
    track = Track(f0, sure, level, np.ones((len(f0), 129)), np.ones(len(f0), np.bool_), -60.0)
    found = _pitch(track)
    assert found["rise_st"] == pytest.approx(7.02, abs=0.1)
    assert _pitch(replace(track, f0=np.where(f0 == 150.0, 100.0, f0)))["rise_st"] == pytest.approx(0.0, abs=0.1)


def test_too_few_tones_rise_nowhere() -> None:
    f0 = np.concatenate([np.full(4, 100.0), np.full(4, 500.0)])
    flat = np.full(8, 0.9)
    assert _pitch(Track(f0, flat, flat, np.ones((8, 129)), np.ones(8, np.bool_), -60.0))["rise_st"] == 0.0


def test_level_moves_by_what_the_gain_moves() -> None:
    one = voice()
    assert measured(one).level_db - measured((one // 4).astype(np.int16)).level_db == pytest.approx(12.0, abs=0.5)


def test_claps_are_short_sharp_and_unvoiced() -> None:
    found = measured(claps())
    assert found.voiced_share < 0.2
    assert found.burst_share > 0.4
    assert found.onsets >= 2


def test_nothing_to_measure_is_none() -> None:
    assert measure(np.zeros(100, np.int16)) is None
    quiet = measure(np.zeros(RATE, np.int16))
    assert quiet is None or quiet.active_s < 0.1
