"""The microphone, through sounddevice (PortAudio). An extra: the package is imported when a device is opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from engine.audio import AudioFrame
from engine.errors import AudioError

RATE = 16000  # Hz
BLOCK = RATE // 50  # samples: 20 ms
PENDING = 50  # blocks on their way to the loop; more are dropped and counted, the device cannot wait


class Microphone:
    """What the open device has done so far."""

    def __init__(self, on_frame: Callable[[AudioFrame, float], None], loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self._on_frame, self._loop = on_frame, loop
        self._position = 0
        self._given = self._taken = 0  # blocks; each is written by one thread only, as is `dropped`

    def on_block(self, block: Any, _frames: int, _time: Any, _status: Any) -> None:
        """PortAudio's callback, in its own thread. block: int16 [BLOCK, 1]."""
        if self._given - self._taken >= PENDING:
            self.dropped += 1
            return
        at = BLOCK * (self._given + self.dropped)
        self._given += 1
        self._loop.call_soon_threadsafe(self._hand_on, np.array(block[:, 0], np.int16), at)

    def _hand_on(self, samples: Any, at: int) -> None:
        """A block that began `at`; before it a lost one where blocks were dropped, and the call counts all of them."""
        self._taken += 1
        if at > self._position:
            self._on_frame(AudioFrame(np.zeros(BLOCK, np.int16), RATE, self._position, lost=True), time.monotonic())
        self._position = at + len(samples)
        self._on_frame(AudioFrame(samples, RATE, at), time.monotonic())


@contextmanager
def open_microphone(
    on_frame: Callable[[AudioFrame, float], None], *, device: str | None = None
) -> Iterator[Microphone]:
    """Frames of the default or a named input device, inside a running event loop. AudioError says what is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError(f"the microphone needs the extra: pip install 'vivavoce[microphone]' ({error})") from None
    except OSError as error:  # the package is there, its library is not: only wheels for macOS and Windows bring it
        raise AudioError(f"the microphone needs PortAudio: apt-get install libportaudio2, or the like ({error})") from None
    microphone = Microphone(on_frame, asyncio.get_running_loop())
    chosen: int | str | None = int(device) if device is not None and device.isdigit() else device
    try:
        stream = sounddevice.InputStream(
            samplerate=RATE, channels=1, dtype="int16", blocksize=BLOCK, device=chosen, callback=microphone.on_block
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(f"the input device {device or 'by default'} cannot be opened: {error}") from None
    try:
        yield microphone
    finally:
        stream.close()
