"""What a recording and the prompts for it become, read back from the file."""

from __future__ import annotations

import errno
import wave
from pathlib import Path

import numpy as np
import pytest

from connectors.files import open_recording
from connectors.mixing import MixedRecording, mix
from connectors.playout import Player
from engine.audio import AudioFrame, Samples
from engine.errors import AudioError


def read(path: Path) -> Samples:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def constant(value: int, count: int) -> Samples:
    return np.full(count, value, np.int16)


def feed(recording: MixedRecording, frames: range, value: int = 100) -> None:
    for number in frames:
        recording.on_frame(AudioFrame(constant(value, 160), 8000, number * 160), number * 0.02)


def test_a_prompt_is_mixed_in_at_the_place_where_it_was_begun(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    player: Player = recording
    feed(recording, range(5))
    assert player.play(constant(1000, 400), 8000, 7.0) == 7.05
    assert player.playing
    feed(recording, range(5, 7))
    assert player.playing
    feed(recording, range(7, 10))
    assert not player.playing
    recording.close()
    wanted = np.concatenate([constant(100, 800), constant(1100, 400), constant(100, 400)])
    assert (read(tmp_path / "call.wav") == wanted).all()


def test_the_sum_is_held_to_the_range() -> None:
    one, other = np.array([30000, -30000, 5], np.int16), np.array([30000, -30000, -7], np.int16)
    assert mix(one, other).tolist() == [32767, -32768, -2]


def test_a_prompt_that_outlasts_the_caller_is_written_to_its_end(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    feed(recording, range(1))
    recording.play(constant(1000, 320), 8000, 0.0)
    feed(recording, range(1, 2))
    recording.close()
    recording.close()
    assert read(tmp_path / "call.wav").tolist() == [100] * 160 + [1100] * 160 + [1000] * 160
    with pytest.raises(ValueError, match="the recording is over"):
        recording.play(constant(1000, 320), 8000, 0.0)
    feed(recording, range(2, 3))
    assert len(read(tmp_path / "call.wav")) == 480


def test_stop_cuts_a_prompt_off_and_two_at_once_are_refused(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    recording.play(constant(1000, 16000), 8000, 0.0)
    with pytest.raises(ValueError, match="being played already"):
        recording.play(constant(1000, 160), 8000, 0.0)
    feed(recording, range(2))
    recording.stop()
    assert not recording.playing
    feed(recording, range(2, 3))
    recording.play(constant(2000, 160), 8000, 0.0)
    feed(recording, range(3, 5))
    recording.close()
    values = read(tmp_path / "call.wav")[::160].tolist()
    assert values == [1100, 1100, 100, 2100, 100]


def test_a_prompt_of_another_rate_is_brought_to_the_caller_s(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 16000)
    assert recording.play(constant(1000, 800), 8000, 1.0) == 1.1
    recording.close()
    made = read(tmp_path / "call.wav")
    assert len(made) == 1600
    assert np.abs(made[200:-200].astype(int) - 1000).max() <= 2


def test_holes_in_the_caller_s_audio_are_silence_beside_which_the_prompt_goes_on(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    feed(recording, range(1))
    recording.play(constant(1000, 480), 8000, 0.0)
    feed(recording, range(3, 5))
    feed(recording, range(8000, 8001))  # 160 s further: no hole any more
    feed(recording, range(8002, 8003))
    recording.close()
    assert read(tmp_path / "call.wav")[::160].tolist() == [100, 1000, 1000, 1100, 100, 100, 0, 100]


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [(constant(1, 0), 8000, "of 0 s"), (constant(1, 8000 * 61), 8000, "of 61 s"), (constant(1, 10), 44100, "rate 44100 Hz")],
)
def test_what_is_no_prompt_is_refused(tmp_path: Path, samples: Samples, rate: int, words: str) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    with pytest.raises(ValueError, match=words):
        recording.play(samples, rate, 0.0)
    assert not recording.playing
    recording.close()
    assert len(read(tmp_path / "call.wav")) == 0


def test_no_file_is_overwritten_and_no_frame_of_another_rate_taken(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    assert (tmp_path / "call.wav").stat().st_mode & 0o777 == 0o600
    with pytest.raises(AudioError, match=r"call\.wav cannot be written: File exists"):
        MixedRecording(tmp_path / "call.wav", 8000)
    with pytest.raises(AudioError, match="No such file or directory"):
        MixedRecording(tmp_path / "no" / "call.wav", 8000)
    with pytest.raises(ValueError, match="a frame of 16000 Hz does not fit a recording of 8000 Hz"):
        recording.on_frame(AudioFrame(constant(1, 320), 16000, 0), 0.0)
    recording.close()


def test_a_full_disk_ends_the_file_not_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    feed(recording, range(1))
    recording.play(constant(1000, 1600), 8000, 0.0)

    def full(data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording._wave, "writeframesraw", full)
    feed(recording, range(1, 3))
    assert not recording.playing
    with pytest.raises(ValueError, match="the recording is over"):
        recording.play(constant(1000, 160), 8000, 0.0)
    recording.close()
    assert read(tmp_path / "call.wav").tolist() == [100] * 160


def test_a_recording_that_was_written_is_read_as_one(tmp_path: Path) -> None:
    recording = MixedRecording(tmp_path / "call.wav", 8000)
    feed(recording, range(50))
    recording.close()
    again = open_recording(tmp_path / "call.wav")
    assert again.seconds == 1.0
    assert again.description == "pcm_s16le, 8000 Hz, 1 channel"
