"""What a vocoder in training is told: spectra that must agree, and discriminators that look at spectra.

Spectral distances as in Parallel WaveGAN (Yamamoto 2020), discriminators over complex spectra at several resolutions
as in Encodec (Défossez 2022), hinge losses and feature matching as in Vocos (Siuzdak 2024), all with few channels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.neural_vocoder import LogMel, spectrum

RESOLUTIONS = (256, 512, 1024)  # FFT lengths in samples; hops are a quarter
CHANNELS = (8, 16, 24, 24)
SLOPE = 0.1


class SpectralDistance(nn.Module):
    """Mean over resolutions of spectral convergence and log-magnitude distance, plus a distance of log-mels."""

    def __init__(self, mel_weight: float = 2.0) -> None:
        super().__init__()
        self.mel_weight = mel_weight
        self.mel = LogMel(1024, 256, 80)
        for size in RESOLUTIONS:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        total: Tensor = self.mel_weight * (self.mel(made) - self.mel(real)).abs().mean()
        for size in RESOLUTIONS:
            window = self.get_buffer(f"window{size}")
            wrong, right = (_magnitude(wave, window) for wave in (made, real))
            distance = (right - wrong).norm(dim=(1, 2)) / right.norm(dim=(1, 2)).clamp_min(1e-3)
            total = total + (distance.mean() + (right.log() - wrong.log()).abs().mean()) / len(RESOLUTIONS)
        return total


def _magnitude(wave: Tensor, window: Tensor) -> Tensor:
    found = torch.view_as_real(spectrum(wave, window, len(window) // 4))
    magnitude: Tensor = (found.square().sum(-1) + 1e-6).sqrt()
    return magnitude


class Discriminators(nn.Module):
    """One small 2-D network per resolution; each gives a map of scores and the features below it."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(_network() for _ in RESOLUTIONS)
        for size in RESOLUTIONS:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)

    def forward(self, wave: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Waves [B, n] to (scores, features), one score map per resolution."""
        scores, features = [], []
        for net, size in zip(self.nets, RESOLUTIONS, strict=True):
            x = _compressed(spectrum(wave, self.get_buffer(f"window{size}"), size // 4))
            assert isinstance(net, nn.ModuleList)
            for layer in net[:-1]:
                x = nn.functional.leaky_relu(layer(x), SLOPE)
                features.append(x)
            scores.append(net[-1](x))
        return scores, features


def _network() -> nn.ModuleList:
    sizes = (2, *CHANNELS)
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, (5, 3), stride=(2, 1 + (number % 2)), padding=(2, 1))
        for number, (before, after) in enumerate(pairwise(sizes))
    ]
    return nn.ModuleList([*layers, nn.Conv2d(CHANNELS[-1], 1, 3, padding=1)])


def _compressed(found: Tensor) -> Tensor:
    """Real and imaginary parts [B, 2, bins, frames] with magnitudes to the power of 0.4, so that quiet parts count."""
    parts = torch.view_as_real(found)
    power = parts.square().sum(-1, keepdim=True) + 1e-5
    compressed: Tensor = (parts * power**-0.3).permute(0, 3, 1, 2)
    return compressed


def told_apart(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """The discriminators' hinge loss."""
    pairs = [torch.relu(1 - r).mean() + torch.relu(1 + m).mean() for r, m in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()


def fooled(made: list[Tensor]) -> Tensor:
    """The vocoder's side of it."""
    return torch.stack([torch.relu(1 - scores).mean() for scores in made]).mean()


def matching(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """How far the discriminators' features of copy and original lie apart, relative to their size."""
    pairs = [(r.detach() - m).abs().mean() / r.detach().abs().mean().clamp_min(1e-3) for r, m in zip(real, made, strict=True)]
    return torch.stack(pairs).mean()
