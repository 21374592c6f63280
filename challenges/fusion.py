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
DISTORTED = -1.0  # change of the detector's evidence against before that counts as distortion
DRIFTED = -1.0  # log-likelihood ratio of "same voice" below which identity is named
COMPLIANCE_LLR = (-1.6, 0.8)  # evidence of a task surely not done, and surely done: a converter can do many tasks
REALISM_WEIGHT, REALISM_LIMIT = 0.5, 1.5
DRIFT_WEIGHT, DRIFT_LIMIT = 0.4, 1.5
IDENTITY_WEIGHT, IDENTITY_LIMITS = 1.0, (-2.0, 0.5)
LIMITS = (-2.0, 2.0)  # of one answer


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was measured of one answer; None where it could not be."""

    compliance: float | None  # 0 to 1
    realism: float | None  # the detector's evidence on the answer alone, natural log, high is human
    baseline: float | None  # the same of the call before the question
    identity: float | None  # natural-log likelihood ratio of one voice against two
    reasons: tuple[str, ...] = ()  # why something could not be measured


@dataclass(frozen=True, slots=True)
class Weighed:
    """Evidence of one answer, natural-log likelihood ratio of human over synthetic, with reasons."""

    llr: float
    reasons: tuple[str, ...]


def weigh(judgement: Judgement, *, early: bool = False) -> Weighed:
    """The evidence of one answer. Nothing measured: no evidence.

    What was begun while the prompt was playing may be an answer to an older question: it can clear, but not accuse.
    """
    parts = [_compliance(judgement.compliance), _realism(judgement), _identity(judgement.identity)]
    llr = sum(part for part, _ in parts)
    reasons = tuple(reason for _, reason in parts if reason)
    low = 0.0 if early else LIMITS[0]
    return Weighed(min(max(llr, low), LIMITS[1]), (*reasons, *judgement.reasons))


def _compliance(score: float | None) -> tuple[float, str]:
    if score is None:
        return 0.0, ""
    low, high = COMPLIANCE_LLR
    if score < FAILED_TASK:
        return low * (1 - score / FAILED_TASK) ** 0.5, "non-compliance"
    if score > DONE_TASK:
        return high * (score - DONE_TASK) / (1 - DONE_TASK), ""
    return 0.0, ""


def _realism(judgement: Judgement) -> tuple[float, str]:
    """The answer's own sound, and how it changed against before: a converter breaks on unusual voices."""
    if judgement.realism is None:
        return 0.0, ""
    own = _bounded(REALISM_WEIGHT * judgement.realism, REALISM_LIMIT)
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
