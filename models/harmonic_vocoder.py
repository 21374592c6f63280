"""A vocoder that is given its pitch: sines at the harmonics of F0 go in beside the log-mel at every stage.

As NSF-HiFiGAN does, the decoder of the voice changers that callers use most: the source of Wang ("Neural source-filter
waveform models for statistical parametric speech synthesis", TASLP 2020) in the network of wave_vocoder.py. Extra: train.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.neural_vocoder import LogMel, VocoderConfig
from models.vocoders import FRAME_MS, RATE, pitch
from models.wave_vocoder import WaveVocoder

HARMONICS = 8
TYPICAL = 3.0  # root mean square of mel magnitudes over a voice at the training's level
VOICED, BREATH = 0.3, 0.1  # RMS of the source: sines, and noise wherever there are none


class PitchedMel(LogMel):
    """Waves [B, n] to log-mels and, as the last row, F0 in Hz (0 = unvoiced): [B, bands + 1, n // hop + 1]."""

    def __init__(self, fft: int, hop: int, bands: int) -> None:
        super().__init__(fft, hop, bands)
        self.hop = hop

    def forward(self, wave: Tensor) -> Tensor:
        mel = super().forward(wave)
        tracks = [self._track(row, mel.shape[2]) for row in wave.detach().double().numpy()]
        return torch.cat([mel, torch.from_numpy(np.stack(tracks))[:, None].to(mel)], dim=1)

    def _track(self, wave: np.ndarray, frames: int) -> np.ndarray:
        f0, _ = pitch(np.ascontiguousarray(wave))
        nearest = np.rint(np.arange(frames) * self.hop / (RATE * FRAME_MS / 1000)).astype(int)
        found: np.ndarray = f0[nearest.clip(0, len(f0) - 1)]
        return found


class HarmonicVocoder(WaveVocoder):
    """Log-mels with F0 [B, bands + 1, frames] to waves [B, (frames - 1) * hop]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        self.log_mel = PitchedMel(config.fft, config.hop, config.bands)
        self.blend = nn.Conv1d(HARMONICS + 1, 1, 1)
        sources, width = [], config.width
        for number in range(len(config.strides)):
            width = max(8, width // 2)
            rest = math.prod(config.strides[number + 1 :])
            sources.append(nn.Conv1d(1, width, 2 * rest + 1, stride=rest, padding=rest))
        self.sources = nn.ModuleList(sources)

    def forward(self, mel: Tensor) -> Tensor:
        loud = loudness(mel[:, :-1].float()).repeat_interleave(self.config.hop, dim=1)[:, None]
        source = self.blend(excitation(mel[:, -1].float(), self.config.hop)) * loud
        x = self.enter(mel[:, :-1])
        for stage, heard in zip(self.stages, self.sources, strict=True):
            x = stage(x, heard(source))
        return self.finished(x, mel.shape[2])


def loudness(mel: Tensor) -> Tensor:
    """[B, frames], 1 at the RMS of the training's speech: a source that sounded in silence could only be fought."""
    rms = torch.exp(mel).square().mean(dim=1).sqrt()
    return rms / TYPICAL


def excitation(f0: Tensor, hop: int) -> Tensor:
    """Sines of F0 in Hz [B, frames] (0 = unvoiced), and noise: [B, HARMONICS + 1, frames * hop]."""
    held = f0.repeat_interleave(hop, dim=1)
    voiced = (held > 0).float()[:, None]
    phase = 2 * math.pi * torch.remainder(torch.cumsum(held.double() / RATE, dim=1), 1.0).float()[:, None]
    numbers = torch.arange(1, HARMONICS + 1, device=f0.device)[None, :, None]
    heard = voiced * (held[:, None] * numbers < RATE / 2)  # what would fold back is left out
    sines = torch.sin(phase * numbers) * heard * VOICED * math.sqrt(2)
    noise = torch.randn_like(held)[:, None] * torch.where(voiced > 0, BREATH, VOICED)
    return torch.cat([sines, noise], dim=1)
