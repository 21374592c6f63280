"""Telephone speech in the features of a wideband recogniser.

pocketsphinx's English model listens to 25 mel bands from 130 to 6800 Hz; a telephone line carries 19 of them, with noise
on top, and a model that is given the rest as silence hears words that nobody said. A small network, trained on recordings
that exist in both forms (vivavoce/train_cepstra.py), looks at nine frames of the bands that are there and says which
cepstrum the clean wideband recording would have had: what is lost above and what is noise are put right in one step.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.audio import Samples

RATE = 8000  # Hz
HOP = 80  # samples between frames: 10 ms
WINDOW = 205  # samples: the 25.625 ms of pocketsphinx's front end
FFT = 256  # points: bins of 31.25 Hz, as 512 points at 16 kHz
CEPSTRA = 13
AT_ONCE = 7  # frames multiplied: so few stay on one core; larger ones cost several times as much in OpenBLAS's threads
CONTEXT = 4  # frames on either side
LOWEST_HZ, HIGHEST_HZ, FILTERS = 130.0, 6800.0, 25  # the model's filter bank; filters that end above 4 kHz are left out
FLOOR = 1e-4  # of a band's mean power is added to it: a pause that is digital silence looks like a quiet one (40 dB)
Floats = NDArray[np.float32]


class Network(NamedTuple):
    """Three layers with a ramp between them; inputs and outputs are scaled by what they vary in training."""

    input_scale: Floats  # [bands * (2 * CONTEXT + 1)]
    output_scale: Floats  # [CEPSTRA]
    weights: tuple[tuple[Floats, Floats], ...]  # (matrix [out, in], bias [out]) by layer

    def __call__(self, bands: Floats) -> Floats:
        values = bands / self.input_scale
        for number, (matrix, bias) in enumerate(self.weights):
            values = values @ matrix.T + bias
            if number < len(self.weights) - 1:
                values = np.maximum(values, 0)
        return (values * self.output_scale).astype(np.float32)


def cepstra(samples: Samples) -> Floats:
    """Cepstra [frames, 13] of int16 [n] at 8 kHz, one frame every 10 ms, ready for `Decoder.process_cep`.

    They are zero on average over the frames louder than their mean: pauses say nothing about the voice and the line.
    """
    frames, ship = stacked(log_bands(samples)), network()
    found = np.concatenate([ship(frames[i : i + AT_ONCE]) for i in range(0, len(frames), AT_ONCE)])
    loud = found[:, 0] >= found[:, 0].mean()
    centred: Floats = found - found[loud].mean(axis=0, keepdims=True)
    return centred


def log_bands(samples: Samples) -> Floats:
    """Natural logarithms of mel band power [n // 80, 19], each band's mean over the recording taken off.

    ValueError: less than one frame (10 ms) of samples.
    """
    if len(samples) < HOP:
        raise ValueError(f"{len(samples)} samples make no frame")
    padded = np.append(samples.astype(np.float32), np.zeros(WINDOW - HOP, np.float32))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * _hamming()
    power = np.abs(np.fft.rfft(windows, FFT, axis=1)) ** 2
    bands = np.concatenate([power[i : i + AT_ONCE] @ filter_bank().T for i in range(0, len(power), AT_ONCE)])
    logs = np.log(bands + FLOOR * bands.mean(axis=0) + 1e-3)
    centred: Floats = (logs - logs.mean(axis=0)).astype(np.float32)
    return centred


def stacked(bands: Floats) -> Floats:
    """Each frame with CONTEXT frames before and after it, in one row; the first and last frame stand for what is missing."""
    edged = np.pad(bands, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([edged[i : i + len(bands)] for i in range(2 * CONTEXT + 1)], axis=1)


@cache
def _hamming() -> Floats:
    return np.hamming(WINDOW).astype(np.float32)


@cache
def filter_bank() -> NDArray[np.float64]:
    """Triangles of unit area [19, 129] with edges on whole bins, as SphinxBase places them."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    mels = np.linspace(lowest, highest, FILTERS + 2)
    step = RATE / FFT
    edges = np.floor(700 * (10 ** (mels / 2595) - 1) / step + 0.5) * step
    bins = np.arange(FFT // 2 + 1) * step
    rows = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        if high <= RATE / 2:
            triangle = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
            rows.append(np.maximum(triangle, 0) * 2 / (high - low))
    return np.stack(rows)


@cache
def network() -> Network:
    """The network that ships."""
    with (resources.files("challenges") / "cepstra.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        layers = sum(name.startswith("matrix") for name in arrays.files)
        weights = tuple((arrays[f"matrix{i}"].astype(np.float32), arrays[f"bias{i}"].astype(np.float32)) for i in range(layers))
        return Network(arrays["input_scale"], arrays["output_scale"], weights)
