"""The student: int16 at 8 kHz to a unit vector that names the voice. One graph from samples, so serving needs no DSP.

A small residual front over (band, time), so that a pitch or a formant is known wherever it lies, then a time-delay
network with squeeze and excitation and attentive statistics pooling (Desplanques et al., ECAPA-TDNN, 2020; Wang et
al., CAM++, 2023), cut to what a telephone's 60-3900 Hz and a tenth of a core allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

RATE, WINDOW, HOP, FFT = 8000, 200, 80, 256


@dataclass(frozen=True)
class NetConfig:
    bands: int = 48
    front: int = 16  # channels of the first 2-D layer; the last has twice as many
    width: int = 224
    dilations: tuple[int, ...] = (1, 2, 3, 4)
    pooled: int = 384
    vector: int = 160


class LogMel(nn.Module):
    """[B, n] int16 or float in int16 terms -> [B, bands, frames]: log mel energies, the stretch's mean removed.

    Neither level nor a fixed line's colour is left in them.
    """

    basis: Tensor
    bank: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        n = torch.arange(WINDOW, dtype=torch.float64)
        window = 0.5 - 0.5 * torch.cos(2 * torch.pi * n / WINDOW)
        angle = 2 * torch.pi * torch.arange(FFT // 2 + 1)[:, None] * n / FFT
        basis = torch.cat([torch.cos(angle), torch.sin(angle)]) * window
        self.register_buffer("basis", basis.float()[:, None])
        self.register_buffer("bank", torch.from_numpy(mel_bank(bands)))

    def forward(self, audio: Tensor) -> Tensor:
        signal = audio.float() / 32768
        signal = signal[:, 1:] - 0.97 * signal[:, :-1]
        real, imaginary = F.conv1d(signal[:, None], self.basis, stride=HOP).chunk(2, dim=1)
        power = real * real + imaginary * imaginary
        mel = torch.log(torch.matmul(self.bank, power) + 1e-7)
        return mel - mel.mean(-1, keepdim=True)


def mel_bank(bands: int, low: float = 60.0, high: float = 3900.0) -> NDArray[np.float32]:
    """Triangles on the mel scale: float32 [bands, FFT // 2 + 1]."""

    def mel(hz: float) -> float:
        return float(1127 * np.log(1 + hz / 700))

    edges = np.linspace(mel(low), mel(high), bands + 2)
    at = 1127 * np.log(1 + np.arange(FFT // 2 + 1) * RATE / FFT / 700)
    rise = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(rise, fall))
    # Low bands narrower than a bin would be empty: they take their nearest bin.
    empty = bank.sum(1) < 0.5
    nearest = np.abs(at[None] - edges[1:-1, None]).argmin(1)
    bank[empty, nearest[empty]] = 1.0
    found: NDArray[np.float32] = bank.astype(np.float32)
    return found


class _Front(nn.Module):
    """Residual block over (band, time) that halves the bands."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride=(2, 1), padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.short = nn.Conv2d(inside, outside, 1, stride=(2, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(y + self.short(x))


class _Delay(nn.Module):
    """Dilated time-delay block with squeeze and excitation over the whole stretch."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        half = width // 2
        self.into = nn.Sequential(nn.Conv1d(width, half, 1, bias=False), nn.BatchNorm1d(half), nn.ReLU())
        self.delay = nn.Conv1d(half, half, 3, dilation=dilation, padding=dilation, bias=False)
        self.norm = nn.Sequential(nn.BatchNorm1d(half), nn.ReLU())
        self.out = nn.Sequential(nn.Conv1d(half, width, 1, bias=False), nn.BatchNorm1d(width))
        self.gate = nn.Sequential(nn.Conv1d(width, width // 8, 1), nn.ReLU(), nn.Conv1d(width // 8, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.out(self.norm(self.delay(self.into(x))))
        return F.relu(x + y * self.gate(y.mean(-1, keepdim=True)))


class VoiceNet(nn.Module):
    """[B, n] samples -> [B, vector] of unit length."""

    def __init__(self, config: NetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or NetConfig()
        self.features = LogMel(c.bands)
        self.begin = nn.Sequential(
            nn.Conv2d(1, c.front, 3, stride=(2, 2), padding=1, bias=False), nn.BatchNorm2d(c.front), nn.ReLU()
        )
        self.front = nn.Sequential(_Front(c.front, c.front * 3 // 2), _Front(c.front * 3 // 2, c.front * 2))
        flat = c.front * 2 * (c.bands // 8)
        self.join = nn.Sequential(nn.Conv1d(flat, c.width, 3, padding=1, bias=False), nn.BatchNorm1d(c.width), nn.ReLU())
        self.blocks = nn.ModuleList([_Delay(c.width, d) for d in c.dilations])
        self.mix = nn.Sequential(nn.Conv1d(c.width * len(c.dilations), c.pooled, 1), nn.ReLU())
        self.attention = nn.Sequential(
            nn.Conv1d(c.pooled * 3, 64, 1), nn.ReLU(), nn.BatchNorm1d(64), nn.Tanh(), nn.Conv1d(64, c.pooled, 1)
        )
        self.pooled = nn.BatchNorm1d(c.pooled * 2)
        self.vector = nn.Linear(c.pooled * 2, c.vector)

    def forward(self, audio: Tensor) -> Tensor:
        return F.normalize(self.raw(self.features(audio)), dim=-1)

    def raw(self, mel: Tensor) -> Tensor:
        """[B, bands, frames] of LogMel -> [B, vector], length free."""
        x = self.front(self.begin(mel[:, None])).flatten(1, 2)
        x, levels = self.join(x), []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        x = self.mix(torch.cat(levels, 1))
        mean = x.mean(-1, keepdim=True)
        spread = ((x - mean) ** 2).mean(-1, keepdim=True).clamp(min=1e-5).sqrt()
        weight = torch.softmax(self.attention(torch.cat([x, mean.expand_as(x), spread.expand_as(x)], 1)), dim=-1)
        mean = (x * weight).sum(-1)
        spread = ((x * x * weight).sum(-1) - mean * mean).clamp(min=1e-5).sqrt()
        result: Tensor = self.vector(self.pooled(torch.cat([mean, spread], 1)))
        return result
