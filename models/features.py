"""The front end: 8 kHz samples to normalised log band energies, streamed exactly.

Everything is a matrix product, so that one ONNX graph holds the whole path from samples to score: frames picked from
half-hops, the Hann window folded into the transform, linear bands, a logarithm, and a causal running mean per
band (about 2 s) that takes the channel's colour and level away.

Beside them, where a model wants it, the lines of a voice: the power at every 16 Hz below 2 kHz over 75 ms, against the band
that it lies in. The bands are too wide and their window is too short to tell one harmonic from the next, and how steady
harmonics are, and how deep the valleys between them, is where synthesis shows.

The recurrence of the running mean over T frames is written in closed form with a lower triangular matrix of decays,
so any way of cutting a signal into chunks gives the same numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

RATE = 8000  # Hz
HOP = 80  # samples: 10 ms
WINDOW = 200  # samples: 25 ms
TAIL = WINDOW - HOP  # samples of the past that the next frame needs
FFT = 256  # the transform's length; its bins are 31.25 Hz apart
LOW_HZ, HIGH_HZ = 60.0, 3950.0
FLOOR = 1e-5  # power added before the logarithm: about white noise at -69 dBFS, and what a lost packet looks like
LINES_WINDOW = 600  # samples: 75 ms; every second one of them is kept, behind a half-band filter
LINES_HOP = 160  # samples: 20 ms
LINES_LOW_HZ, LINES_STEP_HZ = 76.0, 16.0
HALF_BAND = 11  # taps of that filter
LINES_TAIL = LINES_WINDOW - LINES_HOP + HALF_BAND - 1
PRIOR_FRAMES = 20.0  # how many frames of the learned long-term mean a call starts with


def split_dft() -> tuple[Tensor, Tensor]:
    """Windowed cosines and sines [2, WINDOW / 2, FFT / 4] over a frame's even and its odd samples, bins 1 to FFT / 4.

    With E and O the transforms of the even and of the odd samples, bin k of the frame has the power |E + O|^2 and bin
    FFT / 2 - k the power |E - O|^2 (Cooley and Tukey's first step): half the products of the plain transform.
    """
    n = torch.arange(WINDOW, dtype=torch.float64).reshape(WINDOW // 2, 2).T  # [2, WINDOW / 2]: even, odd
    bins = torch.arange(1, FFT // 4 + 1, dtype=torch.float64)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * (n + 0.5) / WINDOW)
    phase = 2 * math.pi * n[:, :, None] * bins / FFT
    return (torch.cos(phase) * hann[:, :, None]).float(), (torch.sin(phase) * hann[:, :, None]).float()


def band_matrix(bands: int) -> Tensor:
    """Triangular bands on a linear scale [FFT / 2, bands], rows in the order of log_bands: bins 1, 2 ... then 127, 126 ..."""
    centres = torch.linspace(LOW_HZ, HIGH_HZ, bands, dtype=torch.float64)
    width = max(float(centres[1] - centres[0]), RATE / FFT)
    rising = torch.arange(1, FFT // 4 + 1, dtype=torch.float64)
    frequencies = torch.cat([rising, FFT // 2 - rising]) * RATE / FFT
    triangle = (1 - (frequencies[:, None] - centres[None, :]).abs() / width).clamp_min(0)
    triangle[-1] = 0  # bin FFT / 4 comes out of both halves: count it once
    return triangle.float()


def steps_of(x: Tensor) -> int:
    """x.shape[1], asked of one row: a traced graph keeps it free, and where it is known when the graph is loaded ONNX
    Runtime can fold all that hangs on it, which it does for shapes known whole only (the number of rows never is).
    """
    return x[0].shape[0]


def decay_matrix(frames: int, decay: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """What T steps of s <- decay * s + x do: a lower triangular [T, T] on x and a column [T, 1] on the s before."""
    steps = torch.arange(frames, device=like.device, dtype=torch.float32)
    ages = steps[:, None] - steps[None, :]
    inner = torch.where(ages >= 0, torch.exp(ages.clamp_min(0) * math.log(decay)), torch.zeros_like(ages))
    carried = torch.exp((steps[:, None] + 1) * math.log(decay))
    return inner.to(like.dtype), carried.to(like.dtype)


def pieces_of(frames: int, like: Tensor) -> Tensor:
    """Of which half-hops frames are made, five each: [5 * frames], 0 1 2 3 4 2 3 4 5 6 ..."""
    first = 2 * torch.arange(frames, device=like.device)[:, None]
    return (first + torch.arange(WINDOW // (HOP // 2), device=like.device)[None, :]).reshape(-1)


def half_band() -> tuple[float, ...]:
    """Low pass at a quarter of the rate, a sinc under a Kaiser window: its taps 0, 2 and 4, which are also the last ones
    backwards. Of the others the middle is 1/2 and the rest are 0."""
    n = torch.arange(0, HALF_BAND // 2, 2, dtype=torch.float64) - HALF_BAND // 2
    kaiser = torch.kaiser_window(HALF_BAND, periodic=False, beta=4.0, dtype=torch.float64)[: HALF_BAND // 2 : 2]
    taps = torch.sinc(n / 2) * kaiser
    return tuple((taps / taps.sum() / 4).tolist())


class LineFeatures(nn.Module):
    """Log power at `lines` frequencies 16 Hz apart, less the log energy of the band there; one row per 20 ms.

    forward(even and odd samples [2, B, (LINES_TAIL + n) / 2], energies [B, n / HOP, bands]) -> [B, n / LINES_HOP, lines].
    """

    cosines: Tensor
    sines: Tensor
    near: Tensor

    def __init__(self, lines: int, bands: int) -> None:
        super().__init__()
        half = LINES_WINDOW // 4  # of the samples that are kept
        frequencies = LINES_LOW_HZ + LINES_STEP_HZ * torch.arange(lines, dtype=torch.float64)
        n = torch.arange(half, dtype=torch.float64)[:, None] + 0.5 - half  # from the window's middle
        hann = 0.5 + 0.5 * torch.cos(math.pi * n / half)
        phase = 2 * math.pi * n * frequencies / (RATE / 2)
        centres = torch.linspace(LOW_HZ, HIGH_HZ, bands, dtype=torch.float64)
        near = 1 - (centres[:, None] - frequencies).abs() / float(centres[1] - centres[0])  # the two bands beside a line
        self.scale = 1 / 3.0  # as that of the bands
        self.register_buffer("cosines", torch.cos(phase).mul(hann).float(), persistent=False)
        self.register_buffer("sines", torch.sin(phase).mul(hann).float(), persistent=False)
        self.register_buffer("near", near.clamp_min(0).mul(self.scale / 2).float(), persistent=False)  # the mean of two rows
        self.taps = half_band()

    def forward(self, phases: Tensor, energies: Tensor) -> Tensor:
        frames = steps_of(energies) // 2
        power = self.power(self.halved(phases, frames), frames)
        pairs = energies[:, ::2] + energies[:, 1::2]
        return torch.log(power + FLOOR) * self.scale - torch.matmul(pairs, self.near)

    def halved(self, phases: Tensor, frames: int) -> Tensor:
        """Every second sample of the low-passed signal [B, n]."""
        even, odd, last = phases[0], phases[1], HALF_BAND // 2
        size = (LINES_WINDOW + (frames - 1) * LINES_HOP) // 2
        out = 0.5 * odd[:, last // 2 : last // 2 + size]
        for k, tap in enumerate(self.taps):
            out = out + tap * (even[:, k : k + size] + even[:, last - k : last - k + size])
        return out

    def power(self, halved: Tensor, frames: int) -> Tensor:
        """[B, n] -> [B, frames, lines]. A frame is fifteen pieces of 20 samples, its hop four.

        The window is as long before its middle as after it: cosines hear only the sum of both halves, sines the difference.
        """
        piece = LINES_HOP // 8
        pieces = halved.reshape(halved.shape[0], -1, piece)
        parts = [pieces[:, k : k + 4 * frames - 3 : 4] for k in range(LINES_WINDOW // 2 // piece)]
        frame = torch.cat(parts, dim=2)
        before, after = frame[:, :, : LINES_WINDOW // 4], frame[:, :, LINES_WINDOW // 4 :].flip(2)
        real, imaginary = torch.matmul(before + after, self.cosines), torch.matmul(before - after, self.sines)
        return torch.square(real) + torch.square(imaginary)


def phases_of(samples: Tensor) -> Tensor:
    """[B, n] -> [2, B, n / 2]: the even samples and the odd ones."""
    return samples.reshape(samples.shape[0], -1, 2).permute(2, 0, 1)


class Features(NamedTuple):
    """What the model hears, normalised."""

    bands: Tensor  # [B, T, bands], one row per 10 ms
    lines: Tensor | None  # [B, T / 2, lines], one row per 20 ms; None for a model without


class BandFeatures(nn.Module):
    """Normalised log band energies, one row per 10 ms, and as many lines where `lines` asks for them.

    forward(audio [B, n], tail [B, self.tail], mean [B, 1 + bands]) -> features, tail, mean.
    `mean` carries the decayed sum of the frames that held sound, as far above `prior` as they were (first column: their
    weight). Zeros start a call.
    """

    cosines: Tensor
    sines: Tensor
    bands: Tensor

    def __init__(self, bands: int, mean_s: float, *, lines: bool = False) -> None:
        super().__init__()
        self.lines = LineFeatures(bands, bands) if lines else None
        self.tail = LINES_TAIL if lines else TAIL
        cosines, sines = split_dft()
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self.register_buffer("bands", band_matrix(bands), persistent=False)
        self.prior = nn.Parameter(torch.full((bands,), -4.0))
        self.scale = 1 / 3.0  # log energies of speech spread about this much around their mean
        self.decay = math.exp(-HOP / RATE / mean_s)

    def forward(self, audio: Tensor, tail: Tensor, mean: Tensor) -> tuple[Features, Tensor, Tensor]:
        samples = torch.cat([tail, audio], dim=1)
        phases = phases_of(samples)
        energies = self.log_bands(phases[:, :, (self.tail - TAIL) // 2 :], steps_of(audio) // HOP)
        bands, mean = self.normalise(energies, mean)
        lines = None if self.lines is None else self.lines(phases, energies)
        return Features(bands, lines), samples[:, -self.tail :], mean

    def log_bands(self, phases: Tensor, frames: int) -> Tensor:
        """Even and odd samples [2, B, (TAIL + T * HOP) / 2] -> [B, T, bands] log energies. A frame is five half-hops."""
        pieces = phases.reshape(2, phases.shape[1], -1, HOP // 4)
        frame = pieces.index_select(2, pieces_of(frames, pieces)).reshape(2, -1, WINDOW // 2)
        real, imaginary = torch.matmul(frame, self.cosines), torch.matmul(frame, self.sines)
        low = torch.square(real[0] + real[1]) + torch.square(imaginary[0] + imaginary[1])
        high = torch.square(real[0] - real[1]) + torch.square(imaginary[0] - imaginary[1])
        energies = torch.matmul(torch.cat([low, high], dim=1), self.bands)
        return torch.log(energies + torch.full_like(self.prior, FLOOR)).reshape(-1, frames, self.bands.shape[1])

    def normalise(self, energies: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Take off the running mean of the frames with sound; silence and lost packets do not move it.

        Sums are of what lies above the prior, which then is no term of theirs.
        """
        level = energies.mean(dim=2, keepdim=True)
        sound = torch.sigmoid(4 * (level - (math.log(FLOOR) + 2.5)))  # 0 at the floor, 1 from about 10 dB above it
        above = energies - self.prior
        inner, carried = decay_matrix(steps_of(energies), self.decay, energies)
        steps = torch.cat([carried, inner], dim=1)  # of what was before and of every row, at every row
        weights = torch.matmul(steps, torch.cat([mean[:, None, :1], sound], dim=1))
        sums = torch.matmul(steps, torch.cat([mean[:, None, 1:], sound * above], dim=1))
        after = torch.cat([weights[:, -1], sums[:, -1]], dim=1)
        return (above - sums / (weights + PRIOR_FRAMES)) * self.scale, after
