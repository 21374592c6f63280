"""Speech brought into another manner really is in it: a telephone's voice too, and one that ends before its recording."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="simulated callers need the extra 'train'")
pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.measures import measure, tracked
from vivavoce import manners
from vivavoce.manners import RATE


def thin_voice(hz: float, seconds: float = 3.0, fall_st: float = 0.0) -> np.ndarray:
    """Harmonics from 380 Hz upwards only, with a tail of hum: what a telephone leaves of a man's voice, which may fall
    over its last half second."""
    at = np.arange(round(seconds * RATE)) / RATE
    track = hz * (1 + 0.04 * np.sin(2 * np.pi * 1.3 * at)) * 2 ** (-fall_st / 12 * np.clip((at - seconds + 0.6) / 0.4, 0, 1))
    phase = 2 * np.pi * np.cumsum(track) / RATE
    tone = sum(np.exp(-(((k * hz - 700) / 500) ** 2)) * np.cos(k * phase + k * k) for k in range(4, 25) if k * hz < 3500)
    swell = np.clip(np.sin(2 * np.pi * 1.5 * at) ** 2 * 1.3 - 0.2, 0, 1)
    noise = np.random.default_rng(0).standard_normal(len(at)) * 5
    return (6000 * tone * swell / np.abs(tone).max() + 40 * np.sin(2 * np.pi * 50 * at) + noise).astype(np.int16)


def f0(samples: np.ndarray) -> float:
    found = measure(samples)
    assert found is not None
    assert found.f0_hz is not None
    return found.f0_hz


@pytest.mark.parametrize("ratio", [1.5, 0.78])
@pytest.mark.parametrize("hz", [105.0, 180.0])
def test_a_voice_without_its_fundamental_is_raised_and_lowered_too(hz: float, ratio: float) -> None:
    assert f0(manners.pitched(thin_voice(hz), ratio)) == pytest.approx(ratio * hz, rel=0.06)


def test_the_envelope_brings_the_fundamental_back() -> None:
    spectrum = np.abs(np.fft.rfft(thin_voice(110.0).astype(float)))
    healed = np.abs(np.fft.rfft(manners.with_fundamental(thin_voice(110.0).astype(float))))
    hz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    first, hum = (hz > 100) & (hz < 120), (hz > 48) & (hz < 52)
    assert healed[first].max() > 20 * spectrum[first].max()
    assert healed[hum].max() < 0.3 * spectrum[hum].max()


@pytest.mark.parametrize("fall_st", [0.0, 6.0])
def test_a_question_rises_over_its_last_voice_and_not_over_the_silence_behind(fall_st: float) -> None:
    said = np.concatenate([thin_voice(150.0, fall_st=fall_st), np.zeros(RATE, np.int16)])
    track = tracked(manners.rising(said, 1.5))
    at = np.arange(len(track.f0)) * 0.016
    before, end = (track.f0 > 0) & (at < 2.0), (track.f0 > 0) & (at > 2.6) & (at < 3.0)
    assert end.sum() > 5
    assert np.median(track.f0[end]) > 1.25 * np.median(track.f0[before])


def test_a_whisper_has_the_envelope_and_no_pitch() -> None:
    at = np.arange(3 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 25)) * (np.sin(2 * np.pi * 2 * at) ** 2)
    plain = (4000 * buzz).astype(np.int16)
    breath = manners.whispered(plain)
    assert breath.shape == plain.shape
    found, before = measure(breath), measure(plain)
    assert found is not None
    assert before is not None
    assert before.voiced_share > 0.8
    assert found.voiced_share < 0.2
    envelopes = [np.abs(x.astype(float)).reshape(-1, 400).mean(axis=1) for x in (plain, breath)]
    assert np.corrcoef(*envelopes)[0, 1] > 0.7
