"""What a call's scores rest on: running distances to people and to fakes, and when they are a reason for doubt. Pure.

Each chunk of heard speech brings three numbers from the model: its distance to the mean of people, to the nearest cluster
of fakes (1 is ordinary for both), and 1 or 0 for whether the nearest class mean says the same as the score. The means
over the call forget as the score does, and a reason once given stays until it is clearly over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.events import Verdict

Explanation = Sequence[float]  # distance to people, to the nearest fakes, agreement 0 or 1, probability of a voice if known
SLACK = 0.05  # how far back over its limit a distance must go before a reason is withdrawn


@dataclass(frozen=True, slots=True)
class Limits:
    """From the model's file, in its distances; None: the reason is never given."""

    unfamiliar: float | None = None  # to what is nearest, people or fakes: above, the sound is unlike all that is known
    doubt_human: float | None = None  # to fakes minus to people: below, "Human-likely" deserves less trust
    doubt_fake: float | None = None  # the same: above, "Deepfake-likely" does


class Explainer:
    """Running means of one call's explanations, weighted by speech."""

    __slots__ = (
        "_agreeing", "_doubt_fake", "_doubt_human", "_fake", "_forget_s", "_least_s", "_limits", "_real", "_speech_s",
        "_strange", "_weight",
    )  # fmt: skip

    def __init__(self, limits: Limits, forget_s: float, least_s: float) -> None:
        """Speech is forgotten to 1/e after `forget_s` seconds of it; no reason is given before `least_s`."""
        self._limits, self._forget_s, self._least_s = limits, forget_s, least_s
        self._real = self._fake = self._agreeing = self._weight = self._speech_s = 0.0
        self._strange = self._doubt_human = self._doubt_fake = False

    def add(self, explanation: Explanation, speech_s: float) -> None:
        """Take one chunk of heard speech into account; numbers that are not finite say nothing."""
        real, fake, agrees = explanation[:3]
        if speech_s <= 0 or not math.isfinite(real + fake + agrees):
            return
        kept = math.exp(-speech_s / self._forget_s)
        self._real = self._real * kept + real * speech_s
        self._fake = self._fake * kept + fake * speech_s
        self._agreeing = self._agreeing * kept + agrees * speech_s
        self._weight = self._weight * kept + speech_s
        self._speech_s += speech_s
        if self._speech_s >= self._least_s:
            self._judge()

    def _judge(self) -> None:
        real, fake, limits = self._real / self._weight, self._fake / self._weight, self._limits
        self._strange = above(min(real, fake), limits.unfamiliar, self._strange)
        self._doubt_fake = above(fake - real, limits.doubt_fake, self._doubt_fake)
        low = None if limits.doubt_human is None else -limits.doubt_human
        self._doubt_human = above(real - fake, low, self._doubt_human)

    @property
    def values(self) -> Mapping[str, float] | None:
        """What is published; None before any explanation."""
        if not self._weight:
            return None
        w = self._weight
        return {
            "d_real": round(self._real / w, 3), "d_fake": round(self._fake / w, 3), "agrees": round(self._agreeing / w, 3),
        }  # fmt: skip

    def reasons(self, verdict: Verdict) -> tuple[str, ...]:
        """Codes of engine.events.REASONS; only a verdict can be disagreed with."""
        doubt = {Verdict.HUMAN_LIKELY: self._doubt_human, Verdict.DEEPFAKE_LIKELY: self._doubt_fake}.get(verdict, False)
        found = ("mean-disagrees",) if doubt else ()
        return (*found, "unfamiliar-sound") if self._strange else found


def unvoiced(explanation: Explanation | None, limit: float | None) -> bool:
    """Whether the model says that nobody speaks in this chunk: less sure of a voice than `limit`."""
    return limit is not None and explanation is not None and len(explanation) > 3 and explanation[3] < limit


def above(value: float, limit: float | None, was: bool) -> bool:
    """Whether `value` is above its limit, or was and is not clearly back."""
    return limit is not None and value > (limit - SLACK if was else limit)
