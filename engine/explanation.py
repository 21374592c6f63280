"""What a call's scores rest on: running distances to people and to fakes, and when they are a reason for doubt. Pure.

Each chunk of heard speech brings three numbers from the model: its distance to the mean of people, to the nearest cluster
of fakes (1 is ordinary for both), and 1 or 0 for whether the nearest class mean says the same as the score. The means
over the call forget as the score does, and a reason once given stays until it is clearly over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from engine.events import Verdict

Explanation = Sequence[float]  # distance to people, to the nearest fakes, agreement 0 or 1
DISAGREES, AGREES_AGAIN = 0.4, 0.6  # share of the remembered speech over which nearest mean and score agree
FAMILIAR_AGAIN = 0.9  # of the threshold
_VERDICTS = (Verdict.DEEPFAKE_LIKELY, Verdict.HUMAN_LIKELY)


class Explainer:
    """Running means of one call's explanations, weighted by speech."""

    __slots__ = (
        "_agreeing", "_disagrees", "_fake", "_forget_s", "_least_s", "_limit", "_real", "_speech_s", "_strange", "_weight",
    )  # fmt: skip

    def __init__(self, limit: float | None, forget_s: float, least_s: float) -> None:
        """`limit`: distance to what is nearest beyond which a voice is unfamiliar, None for never; the others in seconds."""
        self._limit, self._forget_s, self._least_s = limit, forget_s, least_s
        self._real = self._fake = self._agreeing = self._weight = self._speech_s = 0.0
        self._strange = self._disagrees = False

    def add(self, explanation: Explanation, speech_s: float) -> None:
        """Take one chunk of heard speech into account; numbers that are not finite say nothing."""
        real, fake, agrees = explanation
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
        share = self._agreeing / self._weight
        self._disagrees = share < (AGREES_AGAIN if self._disagrees else DISAGREES)
        if self._limit is not None:
            nearest = min(self._real, self._fake) / self._weight
            self._strange = nearest > self._limit * (FAMILIAR_AGAIN if self._strange else 1.0)

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
        """Codes of engine.events.REASONS; that the mean disagrees matters only to a verdict."""
        found = ("mean-disagrees",) if self._disagrees and verdict in _VERDICTS else ()
        return (*found, "unfamiliar-sound") if self._strange else found
