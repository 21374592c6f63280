"""The microphone with a made-up sounddevice: frames in the loop, a bounded way there, clear sentences."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from connectors.microphone import BLOCK, PENDING, RATE, open_microphone
from engine.audio import AudioFrame
from engine.errors import AudioError
from vivavoce import cli, service_model


class PortAudioError(Exception):
    pass


class Stream:
    """Stands in for sounddevice.InputStream."""

    opened: dict[str, Any]
    running = False

    def __init__(self, **settings: Any) -> None:
        if settings["device"] == "broken":
            raise PortAudioError("no such device")
        Stream.opened = settings

    def start(self) -> None:
        if Stream.opened["device"] == "taken":
            raise PortAudioError("device unavailable")
        Stream.running = True

    def close(self) -> None:
        Stream.running = False


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(InputStream=Stream, PortAudioError=PortAudioError))  # type: ignore[arg-type]


async def test_blocks_of_the_device_s_thread_are_frames_in_the_loop() -> None:
    heard: list[AudioFrame] = []
    with open_microphone(lambda frame, now: heard.append(frame), device="3"):
        assert (Stream.opened["samplerate"], Stream.opened["device"]) == (RATE, 3)
        for number in range(3):
            await asyncio.to_thread(Stream.opened["callback"], np.full((BLOCK, 1), number, np.int16), BLOCK, None, None)
        await asyncio.sleep(0)
    assert [(f.timestamp, int(f.samples[0]), f.rate) for f in heard] == [(0, 0, RATE), (BLOCK, 1, RATE), (2 * BLOCK, 2, RATE)]


async def test_a_loop_that_stands_still_costs_blocks_and_no_memory() -> None:
    with open_microphone(lambda frame, now: None) as microphone:
        for _ in range(PENDING + 7):
            Stream.opened["callback"](np.zeros((BLOCK, 1), np.int16), BLOCK, None, None)
        assert microphone.dropped == 7
        await asyncio.sleep(0)


async def test_after_a_standstill_the_device_is_heard_again_and_what_is_missing_is_told() -> None:
    heard: list[AudioFrame] = []
    with open_microphone(lambda frame, now: heard.append(frame)) as microphone:
        for _ in range(4):
            for _ in range(PENDING + 1):
                Stream.opened["callback"](np.zeros((BLOCK, 1), np.int16), BLOCK, None, None)
            await asyncio.sleep(0)
    assert (sum(not frame.lost for frame in heard), microphone.dropped) == (4 * PENDING, 4)
    assert [n for n, frame in enumerate(heard) if frame.lost] == [PENDING, 2 * PENDING + 1, 3 * PENDING + 2]
    assert [frame.timestamp for frame in heard] == [BLOCK * n for n in range(4 * PENDING + 3)]


async def test_a_block_is_copied_before_the_device_writes_over_it() -> None:
    heard: list[AudioFrame] = []
    buffer = np.full((BLOCK, 1), 7, np.int16)
    with open_microphone(lambda frame, now: heard.append(frame)):
        Stream.opened["callback"](buffer, BLOCK, None, None)
        buffer[:] = 0
        await asyncio.sleep(0)
    assert set(heard[0].samples.tolist()) == {7}


@pytest.mark.parametrize(("name", "why"), [("broken", "no such device"), ("taken", "device unavailable")])
async def test_a_device_that_does_not_open_is_named(name: str, why: str) -> None:
    words = f"input device {name} cannot be opened: {why}"
    with pytest.raises(AudioError, match=words), open_microphone(print, device=name):
        pass


async def test_the_device_is_closed_whatever_happens() -> None:
    def interrupted() -> None:
        with open_microphone(print, device="USB"):
            assert (Stream.running, Stream.opened["device"]) == (True, "USB")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not Stream.running


async def test_a_missing_extra_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r"vivavoce\[microphone\]"), open_microphone(print):
        pass


async def test_a_missing_portaudio_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLibrary:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(AudioError, match="PortAudio library not found"), open_microphone(print):
        pass


def test_listen_shows_what_it_hears(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def start(stream: Stream) -> None:
        for _ in range(20):
            stream.opened["callback"](np.zeros((BLOCK, 1), np.int16), BLOCK, None, None)

    monkeypatch.setattr(Stream, "start", start)
    assert cli.main(["listen", "--seconds", "0.05"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "0.0 s  Listening" in shown[0]
    assert "0.4 s  Listening" in shown[-1], "the last line is where the device stood at the end"


def test_listen_does_not_let_a_tag_stand_when_the_device_falls_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = service_model.call_config
    monkeypatch.setattr(service_model, "call_config", lambda *given: replace(made(*given), no_audio_s=0.05))
    assert cli.main(["listen", "--seconds", "0.1"]) == 0
    assert "Unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "broken"], "the input device broken cannot be opened"),
        (["--seconds", "0"], "--seconds 0.0 must be above 0"),
    ],
)
def test_listen_says_in_a_sentence_why_it_cannot(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert cli.main(["listen", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_listen_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert cli.main(["listen", "--seconds", "1"]) == 2
    out = capsys.readouterr()
    assert "pip install 'vivavoce[microphone]'" in out.err
    assert out.out == "", "no tag of a call that never was"
    assert out.err.count("\n") == 1


async def test_a_package_without_its_library_is_another_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice")
    with pytest.raises(AudioError, match="needs PortAudio: apt-get install libportaudio2"), open_microphone(print):
        pass
