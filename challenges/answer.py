"""Cutting a caller's answer out of the call: where it begins, where it ends, and what is only our own prompt.

A listener is fed the call's chunks. Until the first question it keeps the latest seconds of the caller's plain speech,
for comparison: whoever spoke first may have handed the telephone on. While a prompt is played it watches for somebody
who answers early and is not deceived by the prompt's echo; then it collects the answer until a pause or the limit.
Whispers and claps are no speech to a voice activity detector, so anything that stands out from the line's own noise
counts as sound.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.audio import Chunk
from engine.companding import Codes, compress, expand

Samples = NDArray[np.int16]
Floats = NDArray[np.float64]
BLOCK = 160  # samples: envelopes have one value every 20 ms
FLOOR_CHUNKS = 64  # how many chunks back the line's noise is taken from: 10 s
STANDS_OUT_DB = 7.0  # above that noise
SPEECH_OUT_DB = 4.0  # the same of what a voice activity detector calls speech: it calls a car and a crowd so too
BELOW_VOICE_DB = 10.0  # noise is taken to lie so far below the caller's own voice at least: speech without a pause is no noise
SOFT_DB = 10.0  # below the caller's own voice: an answer to a task that is not soft does not begin so, and is not judged so
BARGE_BELOW_DB = 6.0  # who answers over the prompt is hardly softer than before it: noise is, also where it stands out
BARGE_WITHIN = 1.5  # times `barge_s`: so long may the sound of an early answer take, pauses within words and all
PATIENCE = 1.7  # times `pause_s`: so long may be the pauses of who was asked to speak very slowly
INAUDIBLE_DB = 30.0  # -60 dBFS: what stands out of a muted or gated line's digital silence need not be sound
ECHO_BLOCKS = 40  # the last 0.8 s are compared
ECHO_LAGS = (-10, 40)  # blocks: an echo comes back within 0.8 s; clocks may differ by 0.2 s
QUIET_DB = 20.0  # of an envelope of nothing
ECHO_LIKENESS = 0.85  # correlation of the envelopes, in dB


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """Seconds."""

    begin_s: float = 8.0  # a caller who has not begun by then has not answered
    pause_s: float = 1.3  # of quiet after an answer: it is over
    barge_s: float = 0.6  # of sound during the prompt that is a voice's and not its echo: an early answer
    rest_s: float = 0.6  # of quiet that must come first: the sentence that the prompt broke into is no answer to it
    key_s: float = 1.5  # what began so long before an operator's key begins the answer: it is no talk with the operator
    echo_tail_s: float = 0.3  # after the prompt's end, for the way to the caller and back
    before_s: float = 8.0  # of plain speech kept for comparison, the latest there was: 64 kB a call


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller said to one question; samples are int16 at the model's rate."""

    samples: Samples
    sound_s: float  # that stood out from the line's noise
    lost_s: float  # that never arrived
    before: Samples  # plain speech of the same call, before any question
    early: bool = False  # begun while the prompt was playing

    @property
    def seconds(self) -> float:
        return len(self.samples) / 8000


class Listener:
    """Follows one leg. `begin_prompt`, `begin_answer` and `answer` are called by the examination in this order."""

    def __init__(self, config: ListenerConfig, chunk_s: float) -> None:
        self._config, self._chunk_s = config, chunk_s
        self._before: deque[Codes] = deque(maxlen=max(1, round(config.before_s / chunk_s)))
        self._voice: float | None = None  # level of the louder of the kept chunks, from the first question on
        self._levels: deque[float] = deque(maxlen=FLOOR_CHUNKS)
        self._held: list[Chunk] = []
        self._loud: list[bool] = []
        self._rested_s = 0.0  # of quiet in one piece since the prompt began, while that is less than `rest_s`
        self._talking = False  # on and on since before it
        self._mode = "before"  # then "prompt", "answer", "between"
        self._prompt: Floats = np.zeros(0)
        self._since = 0  # blocks heard since it began
        self._heard: deque[float] = deque(maxlen=ECHO_BLOCKS)
        self._early = False
        self._soft = True  # the answer may be far softer than the caller's own speech

    # --- in -------------------------------------------------------------------------------------------------------

    def receive_chunk(self, chunk: Chunk) -> None:
        if self._mode == "before":
            self._keep(chunk)
        elif self._mode == "prompt":
            self._watch(chunk)
        elif self._mode == "answer":
            self._held.append(chunk)
            self._loud.append(self._holds_sound(chunk))

    def begin_prompt(self) -> None:
        if self._mode == "before" and self._before:
            self._voice = float(np.percentile([level_of(expand(kept)) for kept in self._before], 75))
        self._mode, self._held, self._loud, self._early = "prompt", [], [], False
        self._prompt, self._rested_s, self._talking = np.zeros(0), 0.0, False
        self._heard.clear()

    def unbegin(self) -> None:
        """The first question was not heard: what the caller goes on to say is still speech from before."""
        self._mode, self._voice = "before", None

    def forget(self) -> None:
        """Somebody else may have the telephone: with what was said before no answer is compared."""
        self._before.clear()
        if self._mode == "before":
            self._voice = None

    def expect_echo(self, prompt: Samples) -> None:
        """The prompt as it is played, int16 at 8 kHz."""
        quiet = np.full(ECHO_BLOCKS, QUIET_DB)  # before the prompt's first sound comes back
        self._prompt = np.concatenate([quiet, envelope(prompt)])
        self._since = 0

    def begin_answer(self, soft: bool = True, *, key: bool = False) -> None:
        """The caller's turn. What was said over the prompt already belongs to the answer; where an operator's `key` says that
        it begins, what began shortly before. Who never stopped talking is begun early, too, whatever it is. Unless it may be
        `soft`, what is far below the caller's own voice is the room, in which nobody has begun to answer yet."""
        barged_in = self.barged_in
        self._early, self._soft = (barged_in or self._talking) and not key, soft
        if key:
            if len(self._held) * self._chunk_s > self._config.key_s:
                self._held, self._loud = [], []
        elif barged_in:
            self._prompt = np.zeros(0)  # it is cut off, and the voice has been told from it
        else:
            self._held, self._loud = [], []
            self._end_prompt()
        self._mode = "answer"

    def rest(self) -> None:
        """No answer is awaited any more: keep nothing of the call but what was said before."""
        if self._mode != "before":
            self._mode, self._held, self._loud, self._prompt = "between", [], [], np.zeros(0)

    # --- out ------------------------------------------------------------------------------------------------------

    @property
    def barged_in(self) -> bool:
        """Somebody is answering over the prompt."""
        need = max(1, round(self._config.barge_s / self._chunk_s))
        return self._mode == "prompt" and sum(self._loud[-round(BARGE_WITHIN * need) :]) >= need

    @property
    def begun(self) -> bool:
        spoken = 0.5 * self._chunk_s
        return sum(self._loud) >= 2 or any(loud and c.speech_s > spoken for c, loud in zip(self._held, self._loud, strict=True))

    @property
    def heard_s(self) -> float:
        """Of the line since the caller's turn began, sound or not; what was lost is none."""
        return sum(self._chunk_s - chunk.lost_s for chunk in self._held)

    def answered(self, limits: tuple[float, float], *, patient: bool = False) -> bool:
        """Whether the answer is over, given its least and greatest length in seconds. `patient` where pauses are part of it."""
        if not self.begun:
            return False
        first = self._loud.index(True) if True in self._loud else 0
        length = (len(self._loud) - first) * self._chunk_s
        quiet = next((i for i, loud in enumerate(reversed(self._loud)) if loud), len(self._loud)) * self._chunk_s
        pause = self._config.pause_s * (PATIENCE if patient else 1.0)
        return length >= limits[1] or (quiet >= pause and length - quiet >= limits[0] * 0.6)

    def before(self) -> Samples:
        """The latest plain speech from before the first question, int16 at 8 kHz."""
        return np.concatenate([expand(kept) for kept in self._before]) if self._before else np.zeros(0, np.int16)

    def answer(self) -> Answer:
        """What was collected, from a little before its first sound on; nothing of it stays here."""
        first = max(0, self._loud.index(True) - 2) if True in self._loud else 0
        held = self._held[first:]
        empty = np.zeros(0, np.int16)
        answer = Answer(
            samples=np.concatenate([chunk.samples for chunk in held]) if held else empty,
            sound_s=sum(self._loud) * self._chunk_s,
            lost_s=sum(chunk.lost_s for chunk in held),
            before=self.before(),
            early=self._early,
        )
        self.rest()
        return answer

    # --- inside ---------------------------------------------------------------------------------------------------

    def _end_prompt(self) -> None:
        """No more of it comes back than was played until now: a key may have cut it off."""
        if len(self._prompt):
            played = self._prompt[: self._since + ECHO_BLOCKS]
            self._prompt = np.concatenate([played, np.full(ECHO_BLOCKS, QUIET_DB)])

    def _keep(self, chunk: Chunk) -> None:
        """All calls of a service do this while nobody asks anything: nothing is worked out here, 3 us a chunk of speech."""
        if chunk.speech_s > 0.3 * self._chunk_s and not chunk.lost_s:
            self._before.append(compress(chunk.samples))

    def _watch(self, chunk: Chunk) -> None:
        """During the prompt: sound that is not its echo is kept, once there was quiet."""
        rested = self._rested_s >= self._config.rest_s
        loud = self._holds_sound(chunk) and rested
        if not rested:
            self._talking = self._goes_on(chunk)
            self._rested_s = 0.0 if self._talking else self._rested_s + self._chunk_s
        if not loud and not any(self._loud[-2:]):
            self._held, self._loud = [], []
        self._held.append(chunk)
        self._loud.append(loud)

    def _goes_on(self, chunk: Chunk) -> bool:
        """Whether the caller may still be talking: about as loud as before, for of the line's noise nothing is known yet."""
        if self._voice is None:
            return chunk.speech_s > 0.3 * self._chunk_s
        return level_of(chunk.samples) > self._voice - BELOW_VOICE_DB

    def _holds_sound(self, chunk: Chunk) -> bool:
        """That is not the prompt's echo. Its last words may be on their way back when the prompt is over already."""
        echo_may_come = self._mode == "prompt" or self._since < len(self._prompt) - ECHO_BLOCKS
        if echo_may_come:
            blocks = envelope(chunk.samples).tolist()
            self._heard.extend(blocks)
            self._since += len(blocks)
        return self._stands_out(chunk) and not (echo_may_come and self._is_echo())

    def _stands_out(self, chunk: Chunk) -> bool:
        level = level_of(chunk.samples)
        self._levels.append(level)
        speech, floor = chunk.speech_s > 0.3 * self._chunk_s, float(np.percentile(self._levels, 15))
        if self._mode == "prompt":
            return self._cuts_in(level, speech, floor)
        if self._voice is None:  # nothing was heard before: any speech is an answer
            return speech or level > max(floor + STANDS_OUT_DB, INAUDIBLE_DB)
        floor = min(floor, self._voice - BELOW_VOICE_DB)
        begins = self._voice - SOFT_DB if not self._soft and sum(self._loud) < 2 else INAUDIBLE_DB
        return level > max(floor + (SPEECH_OUT_DB if speech else STANDS_OUT_DB), INAUDIBLE_DB, begins)

    def _cuts_in(self, level: float, speech: bool, floor: float) -> bool:
        """Whether this may be an answer to a prompt that is still playing. A door, a car or a crowd must not cut it off:
        the caller would be asked to do what was never said to the end. Nobody heard before: speech that stands out."""
        least = max(floor + STANDS_OUT_DB, INAUDIBLE_DB)
        return level > least and (speech if self._voice is None else level > self._voice - BARGE_BELOW_DB)

    def _is_echo(self) -> bool:
        """Also while there is too little to tell by: an answer that early is none."""
        if len(self._heard) < ECHO_BLOCKS:
            return True
        played = self._prompt[max(0, self._since - ECHO_LAGS[1]) : self._since + ECHO_BLOCKS - ECHO_LAGS[0]]
        return likeness(np.array(self._heard), played) >= ECHO_LIKENESS


def level_of(samples: Samples) -> float:
    """dB re one step of int16 [n]."""
    wide = samples.astype(np.float32)
    return 10 * float(np.log10(np.dot(wide, wide) / len(wide) + 1.0))


def envelope(samples: Samples) -> Floats:
    """Level in dB every 20 ms of int16 [n] at 8 kHz."""
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    found: Floats = 10 * np.log10((blocks**2).mean(axis=1) + 10 ** (QUIET_DB / 10))
    return found


def likeness(heard: Floats, prompt: Floats) -> float:
    """Largest correlation of the latest envelope with any part of what was played; 0 with too little of either."""
    n = len(heard)
    if n < ECHO_BLOCKS or len(prompt) < n or heard.std() < 1.0:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(prompt, n)
    centred = windows - windows.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1)
    scores = centred @ (heard - heard.mean()) / (n * heard.std() * np.maximum(spread, 1.0))
    return float(scores.max())
