"""What the shape of a voice's waves says: third and fourth moments of 20 ms of samples, and of short filters of them.

A throat that closes at once and opens slowly makes waves that lean to one side and stand in pulses, and every path to the
ear keeps some of it; who makes speech from a spectrum has to invent it. Bands of a power spectrum know nothing of that: it
is where the parts of a wave stand in time. The moments are of the samples themselves, so no prediction filter and no pitch
is needed (EXPERIMENTS.md, 2026-11-23). Of every 40 ms, the step in which the model says whether somebody speaks, the second
half is looked at: as much is learned of it as of all.

Third-order moments at lags: C. L. Nikias and M. R. Raghuveer, "Bispectrum estimation", Proc. IEEE 75 (1987).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FRAME, BLOCK = 320, 160  # samples of 8 kHz: a block is the end of a frame
FILTERS = ((1,), (1, -1), (1, 1), (1, 0, -1), (1, 1, 1, 1))  # taps on this sample and on those before it
LAGS = (1, 2, 4, 8)  # samples
DELAYS = sorted({0, *LAGS, *(k for taps in FILTERS for k, tap in enumerate(taps) if tap)})
NUMBERS = 3 * len(FILTERS) + 2 * len(LAGS)  # of a block
QUIET = 1e-9  # added to every variance, full scale being 1: about what 16 bits round


def shapes(samples: Floats) -> Floats:
    """Samples [n * FRAME], full scale 1 -> [n, NUMBERS].

    Of each filter's output, by its deviation: the third moment, the root of the fourth, the mean size. Then of the samples,
    at each lag: this one squared by the one before, then at each lag the other way. All less the mean of the block.
    """
    frames = samples.reshape(-1, FRAME)
    mean = frames[:, FRAME - BLOCK :].mean(axis=1, keepdims=True)
    delayed = {k: frames[:, FRAME - BLOCK - k : FRAME - k] - mean for k in DELAYS}
    found = []
    for taps in FILTERS:
        wave = sum(tap * delayed[k] for k, tap in enumerate(taps) if tap)
        power = (wave**2).mean(axis=1) + QUIET
        found += [(wave**3).mean(axis=1) / power**1.5, np.sqrt((wave**4).mean(axis=1)) / power]
        found += [np.abs(wave).mean(axis=1) / np.sqrt(power)]
    now, volume = delayed[0], ((delayed[0] ** 2).mean(axis=1) + QUIET) ** 1.5
    found += [(now**2 * delayed[k]).mean(axis=1) / volume for k in LAGS]
    found += [(now * delayed[k] ** 2).mean(axis=1) / volume for k in LAGS]
    return np.stack(found, axis=1)
