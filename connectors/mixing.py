"""Prompts for a call that nobody hears, a rehearsal: they go into a file, mixed with the caller at their place."""

from __future__ import annotations

import os
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
import structlog

from connectors.packetizer import prompt_at
from engine.audio import AudioFrame, Samples
from engine.errors import AudioError

log = structlog.get_logger(__name__)

MAX_HOLE_S = 60.0  # of silence written where the caller's audio leaps forward; a longer leap is a clock set anew


def mix(one: Samples, other: Samples) -> Samples:
    """The sum of two stretches of the same length, held to the range of int16."""
    summed: Samples = np.clip(one.astype(np.int32) + other, -32768, 32767).astype(np.int16)
    return summed


class MixedRecording:
    """The Player of such a call: writes its audio and what is played into it as one mono WAV.

    Its clock is the audio's. A prompt stands where the caller's audio was when it was begun, and is under way until the
    caller's audio has gone past its end, however fast the recording is replayed.
    """

    def __init__(self, path: Path, rate: int) -> None:
        """`rate` in Hz, the caller's. AudioError when the file is there already or cannot be written."""
        try:
            # Somebody's voice is in it: for this user's eyes only.
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise AudioError(f"{path} cannot be written: {error.strerror}") from None
        self.rate = rate
        self._file = file
        self._wave = wave.Wave_write(file)
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(rate)
        self._next = 0  # the timestamp that the caller's next frame should have
        self._prompt: Samples = np.zeros(0, np.int16)  # what has not been written of it
        self._closed = False

    @property
    def playing(self) -> bool:
        """As Player.playing."""
        return len(self._prompt) > 0

    @property
    def left_s(self) -> float:
        """As Player.left_s."""
        return len(self._prompt) / self.rate

    def play(self, samples: Samples, rate: int, now: float) -> float:
        """As Player.play; the time is that of a replay in real time."""
        if self._closed:
            raise ValueError("the recording is over")
        if self.playing:
            raise ValueError("a prompt is being played already")
        self._prompt = prompt_at(samples, rate, self.rate)
        return now + len(self._prompt) / self.rate

    def stop(self) -> None:
        """As Player.stop."""
        self._prompt = self._prompt[:0]

    def on_frame(self, frame: AudioFrame, now: float) -> None:
        """The caller's next frame. ValueError when it is of another rate than the recording."""
        if frame.rate != self.rate:
            raise ValueError(f"a frame of {frame.rate} Hz does not fit a recording of {self.rate} Hz")
        if self._closed:
            return
        hole = frame.timestamp - self._next
        self._next = frame.timestamp + len(frame.samples)
        if 0 < hole <= MAX_HOLE_S * self.rate:
            self._write(np.zeros(hole, np.int16))
        self._write(frame.samples)

    def close(self) -> None:
        """Write what is left of a prompt, and the file's header; safe to repeat."""
        if not self._closed:
            self._write(np.zeros(len(self._prompt), np.int16))
        self._finish()

    def _write(self, samples: Samples) -> None:
        """The caller's samples, with as much of the prompt as sounds beside them. A full disk ends the file only."""
        part, self._prompt = self._prompt[: len(samples)], self._prompt[len(samples) :]
        mixed = samples if not len(part) else np.concatenate([mix(samples[: len(part)], part), samples[len(part) :]])
        try:
            self._wave.writeframesraw(mixed.astype("<i2").tobytes())
        except OSError as error:
            log.warning("recording broken off", error=str(error))
            self._finish()

    def _finish(self) -> None:
        if self._closed:
            return
        self._closed, self._prompt = True, self._prompt[:0]
        for part in (self._wave, self._file):
            with suppress(OSError):
                part.close()
