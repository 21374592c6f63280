"""Judging one answer, off the event loop: the task, the sound and the voice, each by what measures it.

Every part may be missing or fail: what cannot be measured is left out of the judgement with its reason, and never
counts against the caller.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from challenges.answer import Answer
from challenges.catalogue import Line
from challenges.content import Question
from challenges.fusion import Judgement
from challenges.verifiers import Compliance, verify
from challenges.words import Heard
from engine.policy import Calibration

log = structlog.get_logger(__name__)

Samples = NDArray[np.int16]
SPEECH_BELOW_DB = 30.0  # a chunk so far below the loudest says nothing about a voice
LOST_SHARE = 0.3  # an answer that lost more than this cannot be judged
NOBODY_DB = 10.0  # an answer so far below the caller's own speech is the room, or somebody in it
MAY_BE_SOFT = frozenset({"whisper", "speak-softly", "cough-whistle", "clap"})


class Detector(Protocol):
    """The streaming model, run over one answer from a fresh state."""

    @property
    def chunk_samples(self) -> int: ...

    def init_state(self, batch: int) -> Any: ...

    def step(self, audio: Samples, state: Any) -> tuple[NDArray[np.float32], Any]: ...


Same = Callable[[Samples, Samples], float | None]  # (speech before, answer) -> log-likelihood ratio of one voice
Words = Callable[[Samples, Question], Heard]


@dataclass(frozen=True)
class Judges:
    """What answers are judged with; None for what is not installed."""

    detector: Detector | None
    calibration: Calibration
    same: Same | None = None
    words: Words | None = None
    measuring: bool = True  # the pitch detector is there

    def judge(self, question: Question, answer: Answer, baseline: float | None, line: Line) -> Judgement:
        """The judgement of one answer; `baseline` is the call's log-likelihood ratio before the question."""
        if len(answer.samples) and answer.lost_s > LOST_SHARE * answer.seconds:
            return Judgement(None, None, baseline, None, ("cannot-tell",))
        if question.challenge.key not in MAY_BE_SOFT and loudness(answer.before) - loudness(answer.samples) > NOBODY_DB:
            return Judgement(None, None, baseline, None, ("cannot-tell",))
        compliance = self._compliance(question, answer, line)
        realism = None if question.challenge.verifier in UNLIKE_SPEECH else self._realism(answer.samples)
        identity = self._identity(question, answer)
        reasons = ("line-limited",) if compliance.reason == "line-limited" else ()
        if compliance.score is None and not reasons:
            reasons = ("cannot-tell",)
        return Judgement(compliance.score, realism, baseline, identity, reasons)

    def _compliance(self, question: Question, answer: Answer, line: Line) -> Compliance:
        if not self.measuring:
            return Compliance(None, "not-measured")
        from challenges.measures import measure  # numpy and the pitch detector, an extra

        heard = self._heard(answer.samples, question)
        return verify(question, measure(answer.samples), measure(answer.before), line, heard)

    def _heard(self, samples: Samples, question: Question) -> Heard | None:
        """What was read of the drawn words, where that is asked for: it costs more than all the rest."""
        challenge = question.challenge
        if self.words is None or (challenge.verifier != "words" and "words" not in challenge.parameters):
            return None
        return self.words(samples, question)

    def _realism(self, samples: Samples) -> float | None:
        """The detector's evidence on the answer alone, from a fresh state; None when there is too little sound."""
        if self.detector is None:
            return None
        size = self.detector.chunk_samples
        state, kept = self.detector.init_state(1), []
        chunks = samples[: len(samples) // size * size].reshape(-1, size)
        levels = 10 * np.log10((chunks.astype(np.float64) ** 2).mean(axis=1) + 1.0) if len(chunks) else np.zeros(0)
        for chunk, level in zip(chunks, levels, strict=True):
            scores, state = self.detector.step(chunk[None], state)
            if level > max(levels.max() - SPEECH_BELOW_DB, 20.0):
                kept.append(float(scores[0]))
        seconds = len(kept) * size / 8000
        return self.calibration.llr(float(np.mean(kept)), seconds) if seconds >= 1.0 else None

    def _identity(self, question: Question, answer: Answer) -> float | None:
        """Only for challenges that leave the voice its colour: nobody is recognised by whisper, song or falsetto."""
        if self.same is None or question.challenge.key in VOICE_CHANGING:
            return None
        return self.same(answer.before, answer.samples)


UNLIKE_SPEECH = frozenset({"bursts", "voicing"})  # claps and whispers: the detector has learned from voiced speech
VOICE_CHANGING = frozenset(
    {"whisper", "sing", "high-pitch", "low-pitch", "hold-nose", "cup-mouth", "cough-whistle", "clap", "crosstalk"}
)


def loudness(samples: Samples) -> float:
    """dB re one step of the loud 20 ms blocks (90th percentile) of int16 [n] at 8 kHz; 0 of nothing."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(np.float64)
    return float(np.percentile(10 * np.log10((blocks**2).mean(axis=1) + 1.0), 90)) if len(blocks) else 0.0


def available() -> bool:
    """Whether answers can be measured: the extra `examine` is installed."""
    return importlib.util.find_spec("swift_f0") is not None
