"""Judging one answer, off the event loop: the task, the sound and the voice, each by what measures it.

Every part may be missing or fail: what cannot be measured is left out of the judgement with its reason, and never
counts against the caller.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from challenges.answer import SOFT_DB, Answer
from challenges.catalogue import CATALOGUE, Line
from challenges.content import Question
from challenges.fusion import DONE_TASK, FAILED_TASK, Judgement
from challenges.tones import same_voice_llr
from challenges.track import sounding_s
from challenges.verifiers import MIN_ACTIVE_S, RELATIVE, Compliance, verify
from challenges.words import Heard
from engine.explanation import unvoiced
from engine.policy import Calibration, RunningScore

if TYPE_CHECKING:
    from challenges.measures import Measures  # an extra

log = structlog.get_logger(__name__)

Samples = NDArray[np.int16]
SPEECH_BELOW_DB = 30.0  # a chunk so far below the loudest says nothing about a voice
LOST_SHARE = 0.3  # an answer that lost more than this cannot be judged
ROOM_DB = 12.0  # what a room's own noise rises over the pauses of speech
PITCHED_S = 5.0  # of an answer whose pitch is wanted for nothing but whose voice it is
TELLING = ("whisper", "sing")  # done when something else was asked: plain speech is never taken for either
SURE = 0.9  # compliance with one of them
USUAL = 0.5  # compliance of the caller's speech before with one of them, from which on it is how the caller speaks
WHISPERED = frozenset({"speak-softly", "low-pitch", "emotions"})  # tasks that people do in a whisper: as if afraid, say
HOLLOW = frozenset({"voicing", "melody"})  # verifiers to which noise and music are a whisper and a song
TONE_ST = 0.4  # semitones from low to high: tones of lines have 0.1 to 0.2, a held vowel 0.5 and more, song 0.7
STEADY_ST = 0.02  # semitones in 16 ms: notes of a synthesiser have 0.013 to 0.022, a singer's and held vowels 0.026 and more
WHISPER_REALISM = 1.4  # the detector has learned from voiced speech: people's whispers lie so much lower


class Detector(Protocol):
    """The model that hears how an answer sounds, run over it from a fresh state."""

    @property
    def chunk_samples(self) -> int: ...

    def init_state(self, batch: int) -> Any: ...

    def judge(self, audio: Samples, state: Any) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, Any]: ...


Likeness = Callable[[Samples], float | None]  # answer -> log-likelihood ratio of one voice
Same = Callable[[Samples], Likeness]  # speech before -> how like it answers are
Words = Callable[[Samples, Question], Heard]


class Before:
    """What is measured of the speech before a call's first question, each when it is first asked for."""

    def __init__(self, samples: Samples, sounds: Callable[[Samples], float | None], same: Same | None = None) -> None:
        self._samples, self._sounds, self._same = samples, sounds, same

    @cached_property
    def measures(self) -> Measures | None:
        from challenges.measures import measure  # numpy and the pitch detector, an extra

        return measure(self._samples)

    @cached_property
    def evidence(self) -> float | None:
        """Of how it sounds."""
        return self._sounds(self._samples)

    @cached_property
    def likeness(self) -> Likeness | None:
        """Whose voice it is; None where nobody can tell voices."""
        return None if self._same is None else self._same(self._samples)

    def measure(self, pitch: bool) -> None:
        """All of it, `pitch` too where that is installed, while a question is asked: less is left when the answer is over."""
        _ = self.evidence, self.likeness, self.measures if pitch else None


class Taken:
    """What is measured of an answer, each when it is first asked for, and of the speech before it: it costs."""

    def __init__(self, answer: Answer, before: Before, ears: Sequence[Ear] = ()) -> None:
        self._answer, self._before, self._ears = answer, before, ears

    @cached_property
    def answer(self) -> Measures | None:
        from challenges.measures import measure

        return measure(self._answer.samples)

    @property
    def before(self) -> Measures | None:
        return self._before.measures

    @cached_property
    def pitch_llr(self) -> float:
        """What the pitch says against the answer's voice being the one before; of its first seconds, if no more is known."""
        from challenges.measures import measure

        known = "answer" in self.__dict__
        found = self.answer if known else measure(self._answer.samples[: round(PITCHED_S * 8000)])
        return same_voice_llr(found.tones, self.before.tones) if found is not None and self.before is not None else 0.0

    @property
    def tone(self) -> bool:
        """Whether it is as steady as no voice is: of the line, a waiting call or its ringing, or a synthesiser's chords."""
        found = self.answer
        return found is not None and found.f0_hz is not None and (found.range_st < TONE_ST or found.step_st < STEADY_ST)

    @cached_property
    def evidence(self) -> Sequence[float]:
        """Of how it sounds, from each ear that heard a voice in it."""
        return [found for ear in self._ears if (found := ear.evidence(self._answer.samples)) is not None]

    @property
    def voiced(self) -> bool:
        """Whether a voice was heard, where anybody listened: music on hold is nobody's, not another's, and nobody's song."""
        return bool(self.evidence) or not self._ears

    def verified(self, question: Question, line: Line, words: Heard | None = None) -> Compliance:
        verifier = question.challenge.verifier
        answer = None if verifier in UNPITCHED else self.answer
        return verify(question, answer, self.before if verifier in RELATIVE else None, line, words)

    def unusual(self, question: Question, line: Line) -> bool:
        """Whether the caller is known to speak otherwise: who always whispers does so in every answer."""
        usual = verify(question, self.before, None, line).score
        return usual is not None and usual < USUAL


@dataclass(frozen=True)
class Ear:
    """A model that hears how something sounds, and what its scores are worth."""

    detector: Detector
    calibration: Calibration
    voice: float | None = None  # probability of a voice below which a chunk says nothing of one

    def evidence(self, samples: Samples) -> float | None:
        """Of so much sound alone, from a fresh state: log-likelihood ratio; None when there is too little of it."""
        size = self.detector.chunk_samples
        state, kept = self.detector.init_state(1), []
        chunks = samples[: len(samples) // size * size].reshape(-1, size)
        levels = 10 * np.log10((chunks.astype(np.float64) ** 2).mean(axis=1) + 1.0) if len(chunks) else np.zeros(0)
        for chunk, level in zip(chunks, levels, strict=True):
            scores, why, state = self.detector.judge(chunk[None], state)
            quiet = level <= max(levels.max() - SPEECH_BELOW_DB, 20.0)
            if not quiet and not unvoiced(None if why is None else why[0].tolist(), self.voice):
                kept.append(float(scores[0]))
        if len(kept) * size < 8000 or not np.isfinite(kept).all():  # a model that fails says nothing
            return None
        return self.calibration.llr(self._level(kept, size / 8000), len(kept) * size / 8000)

    def _level(self, scores: Sequence[float], seconds: float) -> float:
        """What the call's running evidence would make of these chunks of speech, none of them forgotten."""
        running = RunningScore(1e9, self.calibration.warm_s)
        for score in scores:
            running.add(score, seconds)
        return running.level(self.calibration.spread) or 0.0


@dataclass(frozen=True)
class Judges:
    """What answers are judged with; None, or no ears, for what is not installed."""

    ears: Sequence[Ear]  # the first hears the speech before a question too; of an answer the one that trusts it least counts
    same: Same | None = None
    words: Words | None = None
    measuring: bool = True  # the pitch detector is there

    def before(self, samples: Samples) -> Before:
        """What will be measured of this speech before a call's first question."""
        return Before(samples, self.ears[0].evidence if self.ears else _unheard, self.same)

    def judge(
        self, question: Question, answer: Answer, line: Line, unanswered: Sequence[Question] = (), before: Before | None = None
    ) -> Judgement:
        """The judgement of one answer, and of how the caller sounded before the question.

        `unanswered` are earlier questions to which nothing was said in time: this may be the answer to one of them.
        `before` holds what was measured of `answer.before` already.
        """
        soft = loudness(answer.before) - loudness(answer.samples) > SOFT_DB  # the room, or somebody in it
        if _unfit(question, answer, soft):
            return NOTHING
        before = before or self.before(answer.before)
        taken = Taken(answer, before, self.ears)
        compliance = self._compliance(question, answer, taken, line)
        attempted = _at_least(FAILED_TASK, compliance)
        if soft and not _at_least(DONE_TASK, compliance):  # a task done is one, anything else may be the room
            return NOTHING
        if soft and not question.challenge.keeps_voice:
            return Judgement(compliance.score, None, None, None)
        if not attempted and any(self._done(earlier, taken, line, DONE_TASK) for earlier in unanswered):
            return LATE
        known = before.evidence is not None or not self.ears  # what was no voice is nobody to compare with
        identity = self._identity(question, answer, taken, before) if known and taken.voiced else None
        if soft and (identity is None or identity < 0):  # somebody else in the room is not accused, nor a voice unknown cleared
            return NOTHING
        failed = compliance.score is not None and not attempted  # else it may be the very task that was asked
        another = failed and self._another(question, taken, line)
        realism = _realism(question, taken)
        return Judgement(compliance.score, realism, before.evidence, identity, _untold(compliance), another)

    def _compliance(self, question: Question, answer: Answer, taken: Taken, line: Line) -> Compliance:
        if not self.measuring:
            return Compliance(None, "not-measured")
        if question.challenge.verifier == "melody" and taken.tone:
            return Compliance(None, "not-measured")
        if question.challenge.verifier != "words":  # the words can only take away from a manner: reading costs most of all
            manner = taken.verified(question, line)
            if manner.reason != UNTOLD_MANNER and (manner.score is None or manner.score < FAILED_TASK):
                return manner
        words = self._heard(answer.samples, question)
        if why := _hollow(question, taken, words):
            return Compliance(None, why)
        return taken.verified(question, line, words)

    def _another(self, question: Question, taken: Taken, line: Line) -> bool:
        """Whether a voice did something that nobody asked for, and that is not how this caller speaks."""
        done = [other for other in _others(question) if self._done(other, taken, line, SURE)]
        return any(taken.unusual(other, line) for other in done) and taken.voiced and not taken.tone

    def _done(self, question: Question, taken: Taken, line: Line, least: float) -> bool:
        """Whether the answer does what that question asks, as far as the manner goes."""
        return self.measuring and (taken.verified(question, line).score or 0.0) >= least

    def _identity(self, question: Question, answer: Answer, taken: Taken, before: Before) -> float | None:
        """By colour and pitch, for challenges that leave them: nobody is recognised by whisper, song or falsetto."""
        challenge = question.challenge
        if not challenge.keeps_voice or before.likeness is None:
            return None
        colour = before.likeness(answer.samples)
        if colour is None or not math.isfinite(colour):
            return None
        if not (self.measuring and challenge.keeps_pitch):
            return colour
        return colour + taken.pitch_llr

    def _heard(self, samples: Samples, question: Question) -> Heard | None:
        """What was read of the drawn words, where that is asked for: it costs more than all the rest."""
        challenge = question.challenge
        if self.words is None or (challenge.verifier != "words" and "words" not in challenge.parameters):
            return None
        return self.words(samples, question) if sounding_s(samples) >= MIN_ACTIVE_S else Heard(reason="too-short")


UNPITCHED = frozenset({"words", "unmeasured"})  # their verifiers look at no measure of the voice
UNTOLD_MANNER = "manner-untold"  # the words decide alone
UNLIKE_SPEECH = frozenset({"bursts", "melody"})  # claps and song: the detector has learned from speech


NOTHING = Judgement(None, None, None, None, ("cannot-tell",))
LATE = Judgement(None, None, None, None, ("late",))


def _unheard(samples: Samples) -> None:
    """What nobody listens to."""


def _unfit(question: Question, answer: Answer, soft: bool) -> bool:
    """Whether too much was lost, or what was heard is the room where the task is not a soft one."""
    if len(answer.samples) and answer.lost_s > LOST_SHARE * answer.seconds:
        return True
    return soft and (not question.challenge.may_be_soft or _of_the_room(answer))


def _realism(question: Question, taken: Taken) -> float | None:
    if question.challenge.verifier in UNLIKE_SPEECH or not taken.evidence:
        return None
    return min(taken.evidence) + (WHISPER_REALISM if question.challenge.key == "whisper" else 0.0)


def _hollow(question: Question, taken: Taken, words: Heard | None) -> str:
    """Why a whisper or a song proves nothing, done as it may seem: nobody sang it, or noise may have whispered it.

    Words that were read are proof enough, one way or the other. Whoever drowns them in noise may be playing a recording.
    """
    if question.challenge.verifier not in HOLLOW or (words is not None and words.score is not None):
        return ""
    if words is not None and words.reason == "too-noisy":
        return words.reason
    return "" if taken.voiced else "not-measured"


def _at_least(least: float, compliance: Compliance) -> bool:
    return compliance.score is not None and compliance.score >= least


def _untold(compliance: Compliance) -> tuple[str, ...]:
    """Why nobody can say whether the task was done."""
    if compliance.reason == "line-limited":
        return ("line-limited",)
    return ("cannot-tell",) if compliance.score is None else ()


def _of_the_room(answer: Answer) -> bool:
    """Whether what was heard is no louder than the pauses in the caller's speech, give and take."""
    return loudness(answer.samples) - loudness(answer.before, 10) < ROOM_DB


def _others(question: Question) -> list[Question]:
    """What might have been done instead, if it was not asked."""
    asked = question.challenge.key
    if question.challenge.family in ("noise", "playback"):  # a whistle is no song, nor is what a loudspeaker plays
        return []
    likely = ("whisper",) if asked in WHISPERED else ()
    return [replace(question, challenge=CATALOGUE[key]) for key in TELLING if key not in (asked, *likely)]


def loudness(samples: Samples, percentile: float = 90) -> float:
    """dB re one step of the loud 20 ms blocks (90th percentile) of int16 [n] at 8 kHz; 0 of nothing."""
    blocks = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(np.float64)
    return float(np.percentile(10 * np.log10((blocks**2).mean(axis=1) + 1.0), percentile)) if len(blocks) else 0.0


def available() -> bool:
    """Whether answers can be measured: the extra `examine` is installed."""
    return importlib.util.find_spec("swift_f0") is not None
