"""From what was measured of an answer to evidence: one log-likelihood ratio with its reasons.

Three questions are asked apart: was the task done, does the answer sound alive, is it the voice from before. Each
answer's weight is bounded, so that no single failure accuses a voice that sounded neutral until then, and no single
success clears a suspicious one: a failed task is what a stammerer, a stranger to the language and a bad line produce
too. The weights were set by hand on dev, with `vivavoce evaluate-challenges`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FAILED_TASK = 0.35  # compliance below this is a task not done
DONE_TASK = 0.65
DISTORTED = -1.0  # evidence of the answer's sound below which distortion is named
DRIFTED = -1.0  # log-likelihood ratio of "same voice" below which identity is named
COMPLIANCE_LLR = (-0.8, 0.3)  # evidence of a task surely not done, and surely done: a converter can do many tasks
ANOTHER_TASK_LLR = -2.0  # whispered or sung when something else was asked: nobody does that, but a recording does
REALISM_WEIGHT, REALISM_LIMIT = 0.4, 1.5
DRIFT_WEIGHT, DRIFT_LIMIT = 0.2, 1.0
IDENTITY_WEIGHT, IDENTITY_LIMITS = 0.6, (-2.0, 0.5)
LIMITS = (-2.0, 2.0)  # of one answer
FAILED_LLR = -1.0  # of one answer: at or below it is failed
STILL_PASSED = -0.5  # a task done is passed if its sound and voice say no more than this against it


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was measured of one answer; None where it could not be."""

    compliance: float | None  # 0 to 1
    realism: float | None  # the detector's evidence on the answer alone, natural log, high is human
    baseline: float | None  # the same of the call before the question
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

    What was begun while the prompt was playing may be an answer to an older question: it can clear, but not accuse.
    Whoever did not do `undone` tasks before is the same shy or unwilling person at the next: each counts half of the last.
    """
    parts = [_compliance(judgement, undone), _realism(judgement), _identity(judgement.identity)]
    llr = sum(part for part, _ in parts)
    reasons = tuple(reason for _, reason in parts if reason)
    low = 0.0 if early else LIMITS[0]
    llr = min(max(llr, low), LIMITS[1])
    undone_now = not early and judgement.compliance is not None and judgement.compliance < FAILED_TASK
    failed = undone_now or llr <= FAILED_LLR
    return Weighed(llr, (*reasons, *judgement.reasons), _passed(judgement, llr), failed)


def _passed(judgement: Judgement, llr: float) -> bool:
    """Where the task cannot be measured, the right voice that sounds alive has to do."""
    done = llr >= -STILL_PASSED if judgement.compliance is None else judgement.compliance >= DONE_TASK
    return done and llr >= STILL_PASSED


def _compliance(judgement: Judgement, undone: int) -> tuple[float, str]:
    score = judgement.compliance
    if judgement.another_task:
        return ANOTHER_TASK_LLR, "another-task"
    if score is None:
        return 0.0, ""
    low, high = COMPLIANCE_LLR
    if score < FAILED_TASK:
        return low * (1 - score / FAILED_TASK) ** 0.5 * 0.5**undone, "non-compliance"
    if score > DONE_TASK:
        return high * (score - DONE_TASK) / (1 - DONE_TASK), ""
    return 0.0, ""


def _realism(judgement: Judgement) -> tuple[float, str]:
    """The answer's own sound, and how it changed against before: a converter breaks on unusual voices.

    Sound that is alive clears only the voice that it is known to be: a converter can be switched off for the task.
    """
    if judgement.realism is None:
        return 0.0, ""
    own = _bounded(REALISM_WEIGHT * judgement.realism, REALISM_LIMIT)
    if own > 0 and (judgement.identity is None or judgement.identity < 0):
        own = 0.0
    change = 0.0 if judgement.baseline is None else judgement.realism - judgement.baseline
    drift = _bounded(DRIFT_WEIGHT * min(change, 0.0), DRIFT_LIMIT)
    return own + drift, "distortion" if judgement.realism < DISTORTED else ""


def _identity(llr: float | None) -> tuple[float, str]:
    if llr is None:
        return 0.0, ""
    low, high = IDENTITY_LIMITS
    return min(max(IDENTITY_WEIGHT * llr, low), high), "identity-drift" if llr < DRIFTED else ""


def _bounded(value: float, limit: float) -> float:
    return math.copysign(min(abs(value), limit), value)
