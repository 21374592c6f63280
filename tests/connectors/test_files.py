"""Recordings: any format and rate as 20 ms frames; what cannot be read is one sentence about that file."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from connectors.files import open_recording, replay, sniff
from engine.audio import AudioFrame
from engine.errors import AudioError


def tone(rate: int, hz: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return (8192 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def write_wav(path: Path, channels: list[np.ndarray], rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.stack(channels, axis=1).astype("<i2").tobytes())
    return path


def encode(path: Path, codec: str, rate: int, seconds: float = 0.5) -> Path:
    """440 Hz through one of FFmpeg's encoders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or 960)
        frame = av.AudioFrame.from_ndarray(tone(rate, seconds=seconds)[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def pitch(frames: list[AudioFrame]) -> float:
    samples = np.concatenate([f.samples for f in frames]).astype(float)
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * frames[0].rate / len(samples))


@pytest.mark.parametrize(("rate", "served"), [(8000, 8000), (16000, 16000), (44100, 16000), (48000, 48000), (6000, 8000)])
def test_any_rate_comes_as_20_ms_frames_of_a_rate_the_engine_knows(tmp_path: Path, rate: int, served: int) -> None:
    recording = open_recording(write_wav(tmp_path / "a.wav", [tone(rate)], rate))
    frames = list(recording.frames("caller"))
    assert {f.rate for f in frames} == {served}
    assert {len(f.samples) for f in frames[:-1]} == {served // 50}
    assert [f.timestamp for f in frames] == [n * served // 50 for n in range(len(frames))]
    assert abs(sum(len(f.samples) for f in frames) / served - 0.5) < 0.03
    assert abs(pitch(frames) - 440) < 5
    assert recording.seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.flac", "flac", 16000), ("a.mp3", "libmp3lame", 44100), ("a.ogg", "libopus", 48000), ("a.wav", "pcm_mulaw", 8000)],
)
def test_any_format(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    recording = open_recording(encode(tmp_path / name, codec, rate))
    assert abs(pitch(list(recording.frames("caller"))) - 440) < 10
    assert "1 channel" in recording.description


def test_stereo_is_one_leg_mixed_or_two_legs_apart(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "s.wav", [tone(8000, 300), tone(8000, 700)], 8000)
    assert open_recording(path).legs == ("caller",)
    split = open_recording(path, "split")
    assert split.legs == ("caller", "agent")
    assert [round(pitch(list(split.frames(leg))), -1) for leg in split.legs] == [300, 700]


def test_a_wrong_ending_does_not_matter(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "really-a-wav.mp3", [tone(8000)], 8000)
    assert abs(pitch(list(open_recording(path).frames("caller"))) - 440) < 5


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.wav", b"", "is empty"),
        ("talk.txt", b"not audio at all, only words" * 20, "cannot be read as audio|no audio"),
        ("cut.wav", b"RIFF\x24\x00\x00\x00WAVE", "cannot be read as audio|no audio"),
        ("missing.wav", None, "does not exist"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_name(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(AudioError, match=words) as error:
        open_recording(path)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_not_a_recording(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder"):
        sniff(tmp_path)


def test_a_file_that_breaks_off_gives_what_is_there(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", [tone(8000, seconds=2)], 8000)
    path.write_bytes(path.read_bytes()[:16044])
    assert sum(len(f.samples) for f in open_recording(path).frames("caller")) == 8000


def test_captures_and_recordings_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for head, kind in ((b"\xd4\xc3\xb2\xa1", "capture"), (b"\x0a\x0d\x0d\x0a", "capture"), (b"RIFF", "recording")):
        path.write_bytes(head)
        assert sniff(path) == kind


async def test_replay_in_real_time_keeps_to_the_samples_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits, heard = [10.0], [], []

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr("connectors.files.asyncio.sleep", sleep)
    frames = [AudioFrame(np.zeros(160, np.int16), 8000, n * 160) for n in range(4)]
    await replay(iter(frames), lambda f, t: heard.append(round(t, 6)), realtime=True, clock=lambda: now[0])
    assert heard == [10.02, 10.04, 10.06, 10.08]
    assert waits == [0.02] * 4


async def test_replay_in_a_hurry_hands_on_everything() -> None:
    frames = [AudioFrame(np.zeros(160, np.int16), 8000, n * 160) for n in range(20)]
    heard: list[AudioFrame] = []
    await replay(iter(frames), lambda f, t: heard.append(f), realtime=False)
    assert heard == frames
