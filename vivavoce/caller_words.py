"""The drawn words, said for simulated callers: no recording says them, so espeak-ng does, in the manner that was asked.

Only the recogniser is given this sound, in place of an answer that was said as asked; all else is measured on the
answer itself. What was said otherwise (a stock recording, talk of something else) is read as it is.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable

import numpy as np

from challenges.content import Question
from vivavoce import manners
from vivavoce.callers import IN_MANNER
from vivavoce.manners import Samples
from vivavoce.measure_words import SPEEDS, VOICES, say

Say = Callable[[Question, random.Random], Samples]


def available() -> bool:
    """Whether somebody is there to say them."""
    return shutil.which("espeak-ng") is not None


def said(question: Question, rng: random.Random) -> Samples:
    """int16 at 8 kHz of the question's words: in one of several voices, foreign ones in their language's, in the manner."""
    voice = question.cue if question.challenge.content == "foreign-phrase" else rng.choice(VOICES["en"])
    plain = say(rng.choice((", ", " ")).join(question.words), voice, rng.choice(SPEEDS))
    manner = IN_MANNER.get(question.challenge.key)
    return plain if manner is None else manner(plain, rng)


def as_loud(samples: Samples, rms: float) -> Samples:
    """At that level, for the noise of a line is set against the caller's voice."""
    own = float(np.sqrt((samples.astype(np.float64) ** 2).mean())) if len(samples) else 0.0
    return manners.pcm(samples.astype(np.float64) * rms / max(own, 1.0))
