"""What voice activity detection costs: webrtcvad frame by frame as calls use it, against energies of a whole batch."""

from __future__ import annotations

import time

import numpy as np
import webrtcvad
from numpy.typing import NDArray

FRAME = 160  # samples: 20 ms at 8 kHz
RANGE_DB = 30.0  # an energy detector's threshold below the loud frames


def measure(samples: NDArray[np.int16], mode: int = 2) -> dict[str, float]:
    """Microseconds of processor time per 20 ms frame of either way, and the share of frames they agree on."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    blocks, vad = [frame.tobytes() for frame in frames], webrtcvad.Vad(mode)
    before = time.process_time()
    spoken = np.array([vad.is_speech(block, 8000) for block in blocks])
    between = time.process_time()
    energetic = by_energy(frames)
    after = time.process_time()
    return {
        "vad_us_per_frame": round((between - before) / len(frames) * 1e6, 2),
        "energy_vad_us_per_frame": round((after - between) / len(frames) * 1e6, 2),
        "vad_agreement": round(float((spoken == energetic).mean()), 3),
    }


def by_energy(frames: NDArray[np.int16]) -> NDArray[np.bool_]:
    """[n, FRAME] -> [n]: within RANGE_DB of the level that a tenth of the frames exceed."""
    power = np.square(frames.astype(np.float32)).mean(axis=1) + 1.0
    spoken: NDArray[np.bool_] = power > np.quantile(power, 0.9) * 10 ** (-RANGE_DB / 10)
    return spoken
