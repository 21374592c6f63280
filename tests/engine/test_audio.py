"""Frames to chunks: rates, lengths, loss, and that nothing depends on how the audio was cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from engine.audio import AudioFrame, Chunk, Chunker, Resampler


def tone(hz: float, rate: int, seconds: float = 1.0, level: float = 8000) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 24000, 32000, 48000])
def test_a_tone_keeps_level_and_place(rate: int) -> None:
    out = Resampler(rate, 8000).feed(tone(1000, rate))
    lag = 10  # samples: the filter's documented delay
    want = 8000 * np.sin(2 * np.pi * 1000 * (np.arange(8000) - lag) / 8000)
    assert len(out) == 8000
    assert np.abs(out[500:-500] - want[500:-500]).max() < 10


@pytest.mark.parametrize("rate", [16000, 48000])
def test_what_8_khz_cannot_carry_is_gone(rate: int) -> None:
    out = Resampler(rate, 8000).feed(tone(5000, rate))
    assert np.abs(out[500:]).max() <= 14  # 55 dB below the tone


@pytest.mark.parametrize("rate", [16000, 24000, 32000, 48000])
def test_live_audio_is_filtered_as_training_audio_was(rate: int) -> None:
    signal = np.random.default_rng(1).normal(0, 4000, rate).astype(np.int16)
    want = resample_poly(signal.astype(np.float64), 1, rate // 8000)
    got = Resampler(rate, 8000).feed(signal)
    assert np.abs(got[10:] - want[: len(got) - 10]).max() <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=30), st.sampled_from([16000, 24000, 48000]))
def test_resampling_does_not_depend_on_the_cutting(sizes: list[int], rate: int) -> None:
    signal = np.random.default_rng(0).integers(-20000, 20000, sum(sizes)).astype(np.int16)
    resampler, parts, start = Resampler(rate, 8000), [], 0
    for size in sizes:
        parts.append(resampler.feed(signal[start : start + size]))
        start += size
    np.testing.assert_array_equal(np.concatenate(parts), Resampler(rate, 8000).feed(signal))


def test_loud_audio_saturates_instead_of_wrapping() -> None:
    square = np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype(np.int16)
    out = Resampler(16000, 8000).feed(square).astype(int)
    assert out.max() == 32767
    assert out.min() == -32768


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44100, 8000), (8000, 16000), (11025, 8000)])
def test_odd_ratios_are_refused(rate_in: int, rate_out: int) -> None:
    with pytest.raises(ValueError, match=f"cannot bring {rate_in} Hz to {rate_out} Hz"):
        Resampler(rate_in, rate_out)


def chunks_of(sizes: list[int], chunk: int = 1280) -> tuple[np.ndarray, list[Chunk]]:
    signal = np.arange(sum(sizes)).astype(np.int16)
    chunker, found, start = Chunker(8000, chunk), [], 0
    for index, size in enumerate(sizes):
        found += chunker.feed(signal[start : start + size], size / 8000, False, float(index))
        start += size
    return signal, found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=40))
def test_chunks_hold_every_sample_once_in_order(sizes: list[int]) -> None:
    signal, chunks = chunks_of(sizes)
    joined = np.concatenate([c.samples for c in chunks]) if chunks else np.zeros(0, np.int16)
    np.testing.assert_array_equal(joined, signal[: len(signal) // 1280 * 1280])
    assert [c.index for c in chunks] == list(range(len(signal) // 1280))
    assert sum(c.speech_s for c in chunks) == pytest.approx(len(joined) / 8000)


def test_eight_frames_of_20_ms_are_a_chunk_and_say_when_it_was_complete() -> None:
    chunker = Chunker(8000, 1280)
    for index in range(7):
        assert chunker.feed(np.ones(160, np.int16), 0.02 if index < 3 else 0.0, index == 5, index / 50) == []
    (chunk,) = chunker.feed(np.ones(160, np.int16), 0.0, False, 0.5)
    assert chunk.speech_s == pytest.approx(0.06)
    assert chunk.lost_s == pytest.approx(0.02)
    assert chunk.arrived == 0.5


def test_chunks_do_not_share_memory() -> None:
    _, (first, second) = chunks_of([2560])
    first.samples[:] = 7
    assert second.samples[0] == 1280


def test_flush_fills_up_with_zeros() -> None:
    chunker = Chunker(8000, 1280)
    assert chunker.flush(0.0) is None
    chunker.feed(np.full(100, 5, np.int16), 0.0, False, 0.0)
    chunk = chunker.flush(1.0)
    assert chunk is not None
    assert chunk.samples[:100].tolist() == [5] * 100
    assert not chunk.samples[100:].any()


def test_a_change_of_rate_in_mid_call_starts_a_new_filter() -> None:
    chunker = Chunker(8000, 1280)
    sizes = []
    for rate in (8000, 16000, 48000, 8000):
        frame = AudioFrame(np.zeros(rate // 50, np.int16), rate, 0)
        sizes.append(len(chunker.resample(frame)))
    assert sizes == [160, 160, 160, 160]


def test_a_frame_knows_its_length() -> None:
    assert AudioFrame(np.zeros(960, np.int16), 48000, 0).seconds == 0.02
