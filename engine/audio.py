"""Audio as the engine sees it: frames with a sample clock in, fixed-size chunks out.

Loss is part of the audio. A lost packet arrives here as a frame of zeros with `lost=True`; nobody upstream
conceals it with invented speech, because invented speech is what the detector looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
Samples = NDArray[np.int16]


class AudioFrame(NamedTuple):
    """One packet's worth of one leg's sound, usually 20 ms, always a whole number of 10 ms blocks."""

    samples: Samples  # mono int16, shape [n]
    rate: int  # Hz: 8000, 16000, 24000, 32000 or 48000
    timestamp: int  # position of samples[0] since the start of the leg, in samples at `rate`
    lost: bool = False  # True: the packet never came, `samples` are zeros

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the model is given at once: `samples` int16 [chunk_samples] at the model's rate."""

    samples: Samples
    index: int  # 0, 1, 2 ... within the leg
    speech_s: float  # seconds of it that the voice activity detector called speech
    lost_s: float  # seconds of it that were lost packets
    arrived: float  # monotonic time at which its last packet arrived, seconds
