"""From a call's mean raw score to a log-likelihood ratio. Pure numbers, shared by training and serving."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """llr = (slope * level + offset) * min(speech, cap) ** growth, natural logarithm, bona fide over spoof.

    The level of a call is the mean of its chunks' raw scores minus `spread` times their deviation: synthesis betrays
    itself here and there, a person's scores stay together. The first `warm_s` seconds of speech count the less the
    earlier they are: the model has heard little then.

    `growth` says how evidence adds up with speech: 0 not at all (every second repeats the first), 1 as if seconds
    were independent. Errors belong to the voice and the recording more than to the frame, so the fit lies between.
    """

    slope: float
    offset: float
    growth: float
    cap_s: float
    spread: float = 0.0
    warm_s: float = 0.0

    @property
    def boundary(self) -> float:
        """The level at which the LLR is 0, however much speech there was."""
        return -self.offset / self.slope if self.slope else 0.0

    def llr(self, level: float, speech_s: float) -> float:
        """LLR of a call of that level after `speech_s` seconds of net speech."""
        evidence = math.pow(min(max(speech_s, 0.0), self.cap_s), self.growth)
        return (self.slope * level + self.offset) * evidence
