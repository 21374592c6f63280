"""From a recording to windows, and from the windows' logits to one number. No torch in here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.corpus import RATE
from models.dataset import FRAME, cut, speech_frames

Samples = NDArray[np.int16]
ScoreWindows = Callable[[Samples], NDArray[np.float32]]  # int16 [B, window] at 8 kHz -> logits [B]
MOST = 24  # windows of one recording; a longer one is heard in as many places, evenly spread
ROWS = 8  # windows in one run of the model


def windows_of(samples: Samples, window: int, most: int = MOST) -> Samples:
    """int16 [B, window] that cover the recording as evenly as can be; a short one is repeated as it is in training."""
    if len(samples) <= window:
        return cut(samples, window, 0.0)[None]
    count = min(most, -(-len(samples) // window))
    starts = np.linspace(0, len(samples) - window, count).round().astype(int)
    return np.stack([samples[start : start + window] for start in starts])


def mean_logit(score: ScoreWindows, samples: Samples, window: int, most: int = MOST) -> tuple[float | None, float]:
    """(mean logit over the windows, each weighing as much as there is speech in it; seconds of speech in the recording).

    None and 0 when there is no speech.
    """
    window -= window % FRAME
    frames = samples[: len(samples) // FRAME * FRAME]
    speech_s = float(speech_frames(frames).sum()) * FRAME / RATE if len(frames) else 0.0
    if not speech_s:
        return None, 0.0
    blocks = windows_of(samples, window, most)
    speech = np.array([speech_frames(block).sum() for block in blocks])
    heard = speech > 0
    kept, weight = np.ascontiguousarray(blocks[heard]), speech[heard]
    logits = np.concatenate([score(kept[start : start + ROWS]) for start in range(0, len(kept), ROWS)])
    return float((weight * logits).sum() / weight.sum()), speech_s
