"""The front end: 8 kHz samples to normalised log band energies, streamed exactly.

Everything is a matrix product, so that one ONNX graph holds the whole path from samples to score: framing by five
strided slices, the Hann window folded into the DFT matrix, linear bands, a logarithm, and a causal running mean per
band (about 2 s) that takes the channel's colour and level away.

The recurrence of the running mean over T frames is written in closed form with a lower triangular matrix of decays,
so any way of cutting a signal into chunks gives the same numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RATE = 8000  # Hz
HOP = 80  # samples: 10 ms
WINDOW = 200  # samples: 25 ms
TAIL = WINDOW - HOP  # samples of the past that the next frame needs
FFT = 256  # the transform's length; its bins are 31.25 Hz apart
LOW_HZ, HIGH_HZ = 60.0, 3950.0
FLOOR = 1e-5  # power added before the logarithm: about white noise at -69 dBFS, and what a lost packet looks like
PRIOR_FRAMES = 20.0  # how many frames of the learned long-term mean a call starts with


def dft_matrix() -> tuple[Tensor, int, int]:
    """Windowed real DFT [WINDOW, 2 * bins] (cosines, then sines) for the bins between LOW_HZ and HIGH_HZ."""
    first = math.floor(LOW_HZ * FFT / RATE)
    last = math.ceil(HIGH_HZ * FFT / RATE)
    n = torch.arange(WINDOW, dtype=torch.float64)
    bins = torch.arange(first, last + 1, dtype=torch.float64)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * (n + 0.5) / WINDOW)
    phase = 2 * math.pi * n[:, None] * bins[None, :] / FFT
    matrix = torch.cat([torch.cos(phase), torch.sin(phase)], dim=1) * hann[:, None]
    return matrix.float(), first, last


def band_matrix(bands: int, first: int, last: int) -> Tensor:
    """Triangular bands on a linear scale [2 * bins, bands]; the two halves sum the squared cosines and sines."""
    centres = torch.linspace(LOW_HZ, HIGH_HZ, bands, dtype=torch.float64)
    width = max(float(centres[1] - centres[0]), RATE / FFT)
    frequencies = torch.arange(first, last + 1, dtype=torch.float64) * RATE / FFT
    triangle = (1 - (frequencies[:, None] - centres[None, :]).abs() / width).clamp_min(0)
    return torch.cat([triangle, triangle], dim=0).float()


def decay_matrix(frames: int, decay: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """What T steps of s <- decay * s + x do: a lower triangular [T, T] on x and a column [T, 1] on the s before."""
    steps = torch.arange(frames, device=like.device, dtype=torch.float32)
    ages = steps[:, None] - steps[None, :]
    inner = torch.where(ages >= 0, torch.exp(ages.clamp_min(0) * math.log(decay)), torch.zeros_like(ages))
    carried = torch.exp((steps[:, None] + 1) * math.log(decay))
    return inner.to(like.dtype), carried.to(like.dtype)


class BandFeatures(nn.Module):
    """Normalised log band energies, one row per 10 ms.

    forward(audio [B, n], tail [B, TAIL], mean [B, 1 + bands]) -> features [B, n / HOP, bands], tail, mean.
    `mean` carries the decayed sum of the frames that held sound (first column: their weight). Zeros start a call.
    """

    dft: Tensor
    bands: Tensor

    def __init__(self, bands: int, mean_s: float) -> None:
        super().__init__()
        matrix, first, last = dft_matrix()
        self.register_buffer("dft", matrix, persistent=False)
        self.register_buffer("bands", band_matrix(bands, first, last), persistent=False)
        self.prior = nn.Parameter(torch.full((bands,), -4.0))
        self.scale = 1 / 3.0  # log energies of speech spread about this much around their mean
        self.decay = math.exp(-HOP / RATE / mean_s)

    def forward(self, audio: Tensor, tail: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        samples = torch.cat([tail, audio], dim=1)
        energies = self.log_bands(samples, int(audio.shape[1]) // HOP)
        features, mean = self.normalise(energies, mean)
        return features, samples[:, -TAIL:], mean

    def log_bands(self, samples: Tensor, frames: int) -> Tensor:
        """[B, TAIL + T * HOP] samples -> [B, T, bands] log energies. A frame is five half-hops of 40 samples."""
        halves = samples.reshape(samples.shape[0], -1, HOP // 2)
        parts = [halves[:, k : k + 2 * frames - 1 : 2] for k in range(WINDOW // (HOP // 2))]
        spectrum = torch.matmul(torch.cat(parts, dim=2), self.dft)
        return torch.log(torch.matmul(spectrum * spectrum, self.bands) + FLOOR)

    def normalise(self, energies: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Take off the running mean of the frames with sound; silence and lost packets do not move it."""
        level = energies.mean(dim=2, keepdim=True)
        sound = torch.sigmoid(4 * (level - (math.log(FLOOR) + 2.5)))  # 0 at the floor, 1 from about 10 dB above it
        inner, carried = decay_matrix(int(energies.shape[1]), self.decay, energies)
        sums = torch.matmul(inner, torch.cat([sound, sound * energies], dim=2)) + carried * mean[:, None, :]
        weight = sums[:, :, :1] + PRIOR_FRAMES
        average = (sums[:, :, 1:] + PRIOR_FRAMES * self.prior) / weight
        return (energies - average) * self.scale, sums[:, -1]
