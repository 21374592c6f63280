"""The microphone with a made-up sounddevice: frames in the loop, a bounded way there, clear sentences."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from connectors.microphone import BLOCK, PENDING, RATE, open_microphone
from engine.audio import AudioFrame
from engine.errors import AudioError


class PortAudioError(Exception):
    pass


class Stream:
    """Stands in for sounddevice.InputStream."""

    opened: dict[str, Any]

    def __init__(self, **settings: Any) -> None:
        if settings["device"] == "broken":
            raise PortAudioError("no such device")
        Stream.opened = settings

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        return


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


async def test_a_device_that_does_not_open_is_named() -> None:
    words = "input device broken cannot be opened: no such device"
    with pytest.raises(AudioError, match=words), open_microphone(print, device="broken"):
        pass


async def test_a_missing_extra_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r"vivavoce\[microphone\]"), open_microphone(print):
        pass
