"""From what was measured of an answer to evidence: one log-likelihood ratio with its reasons.

Three questions are asked apart: was the task done, does it sound alive, is it the voice from before. A caller behind a
converter either leaves it on, and then the answer sounds made, or switches it off for the task, and then another voice
answers: of sound and voice the one that says less for the caller counts. Each answer's weight is bounded, so that no
single failure accuses a voice that sounded neutral until then, and no single success clears a suspicious one: a failed
task is what a stammerer, a stranger to the language and a bad line produce too. The weights were set by hand on dev,
with `vivavoce evaluate-challenges`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FAILED_TASK = 0.35  # compliance below this is a task not done
DONE_TASK = 0.65
DISTORTED = -1.0  # evidence of the answer's sound below which distortion is named
DRIFTED = -1.0  # log-likelihood ratio of "same voice" below which identity is named
COMPLIANCE_LLR = (-0.4, 0.3)  # evidence of a task surely not done, and surely done: a converter can do many tasks
ANOTHER_TASK_LLR = -2.0  # whispered or sung when something else was asked: nobody does that, but a recording does
REALISM_WEIGHT, REALISM_LIMIT = 0.4, 1.2
BEFORE_WEIGHT, BEFORE_LIMIT = 0.6, 2.0  # with every answer: how the caller sounded before the question
IDENTITY_WEIGHT, IDENTITY_LIMITS = 1.2, (-2.0, 0.5)
LIMITS = (-2.0, 2.0)  # of one answer
FAILED_LLR = -1.0  # of one answer: at or below it is failed
STILL_PASSED = -0.5  # a task done is passed if its sound and voice say no more than this against it


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was measured of one answer; None where it could not be."""

    compliance: float | None  # 0 to 1
    realism: float | None  # evidence of how the answer sounds, by itself, natural log, high is human
    baseline: float | None  # the same of what was said before any question
    identity: float | None  # natural-log likelihood ratio of one voice against two
    reasons: tuple[str, ...] = ()  # why something could not be measured
    another_task: bool = False  # a task was done that nobody asked for

    @property
    def empty(self) -> bool:
        """Whether nothing could be measured: perhaps there was no answer."""
        return self.compliance is None and self.realism is None and self.identity is None


@dataclass(frozen=True, slots=True)
class Weighed:
    """Evidence of one answer, natural-log likelihood ratio of human over synthetic, with reasons."""

    llr: float
    reasons: tuple[str, ...]
    passed: bool = False  # what was asked was done, and nothing else speaks against the caller
    failed: bool = False  # it was not done, or so much does


def weigh(judgement: Judgement, *, early: bool = False, undone: int = 0) -> Weighed:
    """The evidence of one answer. Nothing measured: no evidence.

    How the caller sounded before the questions counts with each answer: a converter that is switched off for the task takes
    nothing of that back. By itself it fails no answer that has nothing against it.
    What was begun while the prompt was playing may be an answer to an older question: that the task was not done, or
    another, says nothing then, and the sound before accuses nobody over it. What it sounds like, and whose voice it is, counts.
    Whoever did not do `undone` tasks before is the same shy or unwilling person at the next: each counts half of the last.
    """
    if judgement.empty:
        return Weighed(0.0, judgement.reasons)
    task = _compliance(judgement, undone)
    own = (max(0.0, task) if early else task) + _sound_and_voice(judgement)
    heard = own + _before(judgement.baseline)
    passed = _passed(judgement, heard)
    llr = max(heard, min(own, 0.0)) if early else heard
    llr = min(max(llr, LIMITS[0]), LIMITS[1])
    failed = (not early and _undone(judgement)) or (llr <= FAILED_LLR and own < 0)
    return Weighed(llr, (*_reasons(judgement), *judgement.reasons), passed, failed)


def _passed(judgement: Judgement, llr: float) -> bool:
    """Where nobody can tell whether the task was done, the right voice that sounds alive has to do, whatever was before."""
    if _undone(judgement):
        return False
    if judgement.compliance is not None and judgement.compliance >= DONE_TASK:
        return llr >= STILL_PASSED
    return judgement.identity is not None and llr - max(0.0, _before(judgement.baseline)) >= -STILL_PASSED


def _reasons(judgement: Judgement) -> tuple[str, ...]:
    """What speaks against the caller in each part, by name."""
    found = []
    if judgement.another_task:
        found.append("another-task")
    elif _undone(judgement):
        found.append("non-compliance")
    if judgement.realism is not None and judgement.realism < DISTORTED:
        found.append("distortion")
    if judgement.identity is not None and judgement.identity < DRIFTED:
        found.append("identity-drift")
    return tuple(found)


def _undone(judgement: Judgement) -> bool:
    return judgement.compliance is not None and judgement.compliance < FAILED_TASK


def _compliance(judgement: Judgement, undone: int) -> float:
    score = judgement.compliance
    if judgement.another_task:
        return ANOTHER_TASK_LLR
    if score is None:
        return 0.0
    low, high = COMPLIANCE_LLR
    if score < FAILED_TASK:
        return low * math.sqrt(1 - score / FAILED_TASK) * 0.5**undone
    return max(0.0, high * (score - DONE_TASK) / (1 - DONE_TASK))


def _before(baseline: float | None) -> float:
    return 0.0 if baseline is None else _bounded(BEFORE_WEIGHT * baseline, BEFORE_LIMIT)


def _sound_and_voice(judgement: Judgement) -> float:
    """The weaker of two, where both were measured; where not, a sound that is alive or a known voice alone clears little."""
    low, high = IDENTITY_LIMITS
    voice = None if judgement.identity is None else max(IDENTITY_WEIGHT * judgement.identity, low)
    if judgement.realism is None:
        return 0.0 if voice is None else min(voice, high)
    sound = _bounded(REALISM_WEIGHT * judgement.realism, REALISM_LIMIT)
    return min(sound, 0.0) if voice is None else min(sound, voice)


def _bounded(value: float, limit: float) -> float:
    return math.copysign(min(abs(value), limit), value)
