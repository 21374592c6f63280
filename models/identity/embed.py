"""Is it the same voice? A unit vector per stretch of speech, their cosine, and what that cosine is worth.

numpy and ONNX Runtime only. The weights, how they came about and what they reach stand in weights/identity-1.json and
in CARD.md. Whispered, sung and shouted speech move a voice in this space: a low score there is no evidence of a swap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.runtime import LOAD_FAULTS, session_options

RATE = 8000  # Hz
BLOCK = 160  # samples, 20 ms
LEAST_S = 1.5  # of net speech; below, nobody can tell
MOST_S = 10.0  # more changes nothing and costs time
WINDOW, STEP = 12720, 3200  # samples: 160 frames of 10 ms, which the net is made for, and how far apart they begin
MOST_WINDOWS = 5  # of long speech, further apart then: five say nearly what twenty say
DEFAULT_WEIGHTS = Path(__file__).parent.parent / "weights" / "identity-1.onnx"
Samples = NDArray[np.int16]
Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Worth:
    """Lines from cosine to natural-log likelihood ratio, one for each of some lengths of speech; between, a mixture."""

    seconds: tuple[float, ...]  # net speech of the shorter side, rising
    slope: tuple[float, ...]
    offset: tuple[float, ...]
    limit: float  # |LLR| is never above: what so few people can vouch for

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Worth:
        return cls(tuple(raw["seconds"]), tuple(raw["slope"]), tuple(raw["offset"]), float(raw["limit"]))

    def llr(self, cosine: float, seconds: float) -> float:
        slope, offset = (float(np.interp(seconds, self.seconds, values)) for values in (self.slope, self.offset))
        return float(np.clip(slope * cosine + offset, -self.limit, self.limit))


@dataclass(frozen=True)
class Voice:
    """What one stretch of speech says of its speaker."""

    vector: Vector  # float32 [d], unit length
    speech_s: float  # net speech it was taken from, seconds


def net_speech(samples: Samples) -> Samples:
    """The active 20 ms blocks of int16 [n] at 8 kHz, 60 ms kept around each; pauses and packets lost are cut out.

    Active is within 30 dB of the loud blocks and, where the quiet ones are far below, 6 dB above those.
    """
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK)
    if not len(blocks):
        return samples[:0]
    level = 10 * np.log10((blocks.astype(np.float32) ** 2).mean(axis=1) + 1e-3)
    loud, quiet = np.percentile(level, [95, 10])
    floor = max(loud - 30, 20.0)  # 20 dB re one step: -70 dBFS, no speech there
    if loud - quiet > 18:
        floor = max(floor, quiet + 6)
    active = level >= floor
    for shift in (1, 2, 3):
        active[shift:] |= level[:-shift] >= floor
        active[:-shift] |= level[shift:] >= floor
    active &= blocks.any(axis=1)  # a packet lost within speech is none of it: zeros, and each loss would be another voice
    return np.ascontiguousarray(blocks[active].ravel())


def windows(speech: Samples) -> Samples:
    """int16 [n] -> [windows, WINDOW], at least 0.4 s apart, the last one at the end; speech shorter than one is repeated."""
    if len(speech) < WINDOW:
        speech = np.resize(speech, WINDOW)
    last = len(speech) - WINDOW
    starts = [*range(0, last, max(STEP, -(-last // (MOST_WINDOWS - 1)))), last]
    return np.stack([speech[start : start + WINDOW] for start in starts])


class VoiceEmbedder:
    """The model that ships, or the one at `weights`. ValueError when it cannot be loaded. Safe to share by threads."""

    def __init__(self, weights: Path = DEFAULT_WEIGHTS, threads: int = 1) -> None:
        try:
            self.info = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
            self.worth = Worth.of(self.info["worth"])
            options = session_options(threads)
            self._session = onnxruntime.InferenceSession(str(weights), options, ["CPUExecutionProvider"])
        except (OSError, KeyError, TypeError, *LOAD_FAULTS) as error:
            raise ValueError(f"{weights} is not a voice model with its .json beside it: {str(error)[:200]}") from None
        self.version = str(self.info["version"])

    def voice(self, samples: Samples) -> Voice | None:
        """int16 [n] at 8 kHz, pauses and all. None means "cannot tell": less than 1.5 s of net speech in it."""
        speech = net_speech(samples)[: int(MOST_S * RATE)]
        if len(speech) < LEAST_S * RATE:
            return None
        return Voice(self.of_speech(speech), len(speech) / RATE)

    def of_speech(self, speech: Samples) -> Vector:
        """The unit vector of int16 [n] at 8 kHz that is net speech already: the mean over windows of 1.6 s."""
        vector = self._session.run(["vector"], {"audio": windows(speech)})[0].mean(axis=0)
        unit: Vector = vector / np.linalg.norm(vector)
        return unit

    def embed(self, samples: Samples) -> Vector | None:
        """The unit vector of `voice`, or None when that cannot tell."""
        found = self.voice(samples)
        return found.vector if found else None

    @staticmethod
    def similarity(a: Vector, b: Vector) -> float:
        """Cosine, -1 to 1."""
        return float(a @ b)

    def llr_same(self, a: Vector | None, b: Vector | None, seconds: float = 3.0) -> float | None:
        """Natural-log likelihood ratio "same voice" to "another voice"; None when either side cannot tell.

        `seconds` is the net speech of the shorter side. Calibrated on the people of `dev` through G.711, others being
        people recorded in the same way: ordinary speech on one line, as before and after a challenge.
        """
        return None if a is None or b is None else self.worth.llr(self.similarity(a, b), seconds)
