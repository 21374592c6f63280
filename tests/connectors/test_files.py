"""Recordings: any format and rate as 20 ms frames; what cannot be read is one sentence about that file."""

from __future__ import annotations

import asyncio
import threading
import wave
from collections.abc import Iterator
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
    mixed = np.concatenate([f.samples for f in open_recording(path).frames("caller")]).astype(float)
    spectrum = np.abs(np.fft.rfft(mixed))
    assert set(spectrum.argsort()[-2:] * 8000 // len(mixed)) == {300, 700}, "both sides are in the mix"
    split = open_recording(path, "split")
    assert split.legs == ("caller", "agent")
    assert [round(pitch(list(split.frames(leg))), -1) for leg in split.legs] == [300, 700]


def test_what_is_not_stereo_is_one_leg_even_if_split(tmp_path: Path) -> None:
    for channels in (1, 3, 6):
        path = write_wav(tmp_path / f"{channels}.wav", [tone(8000)] * channels, 8000)
        recording = open_recording(path, "split")
        assert recording.legs == ("caller",)
        assert abs(pitch(list(recording.frames("caller"))) - 440) < 5


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
        ("page.html", b"<!doctype html><title>404</title>" * 9, "cannot be read as audio|no audio"),
        ("zeros.mp3", bytes(5000), "cannot be read as audio|no audio"),
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


def test_a_recording_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing\.wav holds no audio that can be decoded"):
        open_recording(write_wav(tmp_path / "nothing.wav", [np.zeros(0, np.int16)], 8000))


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 32
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(picture), *stream.encode(None)])
    with pytest.raises(AudioError, match=r"mute\.avi holds no audio"):
        open_recording(tmp_path / "mute.avi")


def test_a_path_the_system_does_not_take_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path, words in (
        (tmp_path / "file" / "a.wav", "cannot be read: Not a directory"),
        (tmp_path / ("a" * 300), "cannot be read: File name too long"),
        (Path("a\0b.wav"), "is no file's name"),
    ):
        with pytest.raises(AudioError, match=words):
            open_recording(path)


@pytest.mark.parametrize("name", ["10:15.wav", "2026-11-21T10:15.wav", "-.wav", "%03d.wav", "a b'c.wav", "grün.wav", "http:"])
def test_names_mean_nothing_to_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)  # a relative path: nothing stands before the name
    write_wav(tmp_path / name, [tone(8000), tone(8000)], 8000)
    split = open_recording(Path(name), "split")
    assert [sum(len(f.samples) for f in split.frames(leg)) for leg in split.legs] == [4000, 4000]


def test_refusing_and_reading_leaves_no_file_open(tmp_path: Path) -> None:
    good = write_wav(tmp_path / "s.wav", [tone(8000), tone(8000)], 8000)
    (bad := tmp_path / "bad.wav").write_bytes(good.read_bytes()[:44])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(AudioError):
            open_recording(bad)
        split = open_recording(good, "split")
        for leg in split.legs:
            list(split.frames(leg))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


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


async def test_replay_in_a_hurry_waits_for_what_is_behind() -> None:
    frames = (AudioFrame(np.zeros(160, np.int16), 8000, n * 160) for n in range(80))
    heard: list[AudioFrame] = []
    behind, most = 0, 0

    def look() -> int:
        nonlocal behind, most
        most, behind = max(most, behind), behind - 1  # every look finds one chunk less
        return behind + 1

    def take(frame: AudioFrame, _: float) -> None:
        nonlocal behind
        heard.append(frame)
        behind += len(heard) % 8 == 0

    await replay(frames, take, realtime=False, behind=look)
    assert len(heard) == 80
    assert most <= 2


async def test_replay_in_a_hurry_lets_others_have_their_turn() -> None:
    turns, done = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    frames = (AudioFrame(np.zeros(160, np.int16), 8000, n * 160) for n in range(80))
    await replay(frames, lambda f, t: None, realtime=False)
    done.set()
    await task
    assert turns >= 10, "a chunk of eight packets is followed by a pause in which its score can come"


async def test_replay_that_has_fallen_behind_catches_up_and_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 6))
        now[0] += seconds + (0.05 if len(waits) == 2 else 0.0)

    monkeypatch.setattr("connectors.files.asyncio.sleep", sleep)
    heard: list[int] = []
    frames = [AudioFrame(np.zeros(160, np.int16), 8000, n * 160) for n in range(6)]
    await replay(iter(frames), lambda f, t: heard.append(f.timestamp), realtime=True, clock=lambda: now[0])
    assert heard == [n * 160 for n in range(6)]
    assert waits == [0.02, 0.02, 0.0, 0.0, 0.01, 0.02]


@pytest.mark.parametrize("playlist", ["ffconcat version 1.0\nfile a.wav\n", "#EXTM3U\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n"])
def test_a_playlist_does_not_choose_files_to_be_read(tmp_path: Path, playlist: str) -> None:
    write_wav(tmp_path / "a.wav", [tone(8000)], 8000)
    (tmp_path / "list.wav").write_text(playlist)
    with pytest.raises(AudioError, match=r"list\.wav"):
        open_recording(tmp_path / "list.wav")


async def test_a_file_is_decoded_beside_the_loop_and_not_in_it() -> None:
    """Through damaged data a decoder seeks for seconds."""
    threads: set[int] = set()

    def frames() -> Iterator[AudioFrame]:
        for number in range(20):
            threads.add(threading.get_ident())
            yield AudioFrame(np.zeros(160, np.int16), 8000, number * 160)

    heard: list[int] = []
    await replay(frames(), lambda frame, now: heard.append(frame.timestamp), realtime=False)
    assert heard == [number * 160 for number in range(20)]
    assert threading.get_ident() not in threads
