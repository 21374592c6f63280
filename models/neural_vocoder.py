"""A small vocoder that is trained here: log-mel in, magnitude and phase of a short-time spectrum out, one inverse FFT.

After Vocos (Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders", ICLR 2024):
ConvNeXt blocks at the frame rate and no upsampling. 16 kHz, 1.5 million parameters. It is made to leave the marks of
its kind in copies of real speech (own_vocoder.py), not to be the best there is. Extra: train.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.vocoders import RATE, mel_bank

FLOOR = 1e-4  # of mel magnitudes, before the logarithm
LOUDEST = 6.0  # log magnitude of a bin, at most


@dataclass(frozen=True)
class VocoderConfig:
    """The shape of a network; a snapshot holds it."""

    kind: str = "istft"  # of KINDS in vocoder_kinds.py
    bands: int = 80
    fft: int = 512  # samples: 32 ms
    hop: int = 128  # samples: 8 ms
    width: int = 192
    hidden: int = 576
    blocks: int = 6
    strides: tuple[int, ...] = ()  # of the upsampling stages of kind "waves"
    kernels: tuple[int, ...] = (3, 5)  # of the convolutions in each of them
    token: int = 12  # scalars per token of kind "tokens"
    levels: int = 7  # that a scalar may have


class LogMel(nn.Module):
    """Waves [B, n] at 16 kHz to natural logs of mel magnitudes [B, bands, n // hop + 1], frames centred."""

    def __init__(self, fft: int, hop: int, bands: int) -> None:
        super().__init__()
        self.fft, self.hop = fft, hop
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        bank = mel_bank(bands, fft // 2 + 1, RATE, RATE / 2)
        self.register_buffer("bank", torch.tensor(bank, dtype=torch.float32) * (RATE / fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        magnitude = spectrum(wave, self.get_buffer("window"), self.hop).abs()
        return torch.log((self.get_buffer("bank") @ magnitude).clamp_min(FLOOR))


def spectrum(wave: Tensor, window: Tensor, hop: int) -> Tensor:
    """Complex short-time spectra [B, bins, n // hop + 1] of waves [B, n], frames centred."""
    size = len(window)
    return torch.stft(wave, size, hop, size, window, center=True, pad_mode="constant", return_complex=True)


class Block(nn.Module):
    """ConvNeXt: each channel over time by itself, then all channels of a frame together; added to what came in."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.over_time(x).transpose(1, 2))
        y = self.down(nn.functional.gelu(self.up(y))) * self.scale
        out: Tensor = x + y.transpose(1, 2)
        return out


class NeuralVocoder(nn.Module):
    """Log-mels [B, bands, frames] to waves [B, (frames - 1) * hop]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config.fft, config.hop, config.bands)
        bins = config.fft // 2 + 1
        self.enter = nn.Conv1d(config.bands, config.width, 7, padding=3)
        self.norm = nn.LayerNorm(config.width)
        self.blocks = nn.Sequential(*(Block(config.width, config.hidden, 1 / config.blocks) for _ in range(config.blocks)))
        self.last = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, 2 * bins)
        nn.init.normal_(self.leave.weight, std=0.02)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(config.fft), persistent=False)
        self.register_buffer("spread", _spread(config.bands, bins), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.norm(self.enter(mel).transpose(1, 2)).transpose(1, 2)
        x = self.leave(self.last(self.blocks(x).transpose(1, 2))).transpose(1, 2).float()
        magnitude, phase = x.chunk(2, dim=1)
        first_guess = self.get_buffer("spread") @ mel.float()  # the network corrects the envelope, it need not learn it
        magnitude = torch.exp((first_guess + magnitude).clamp_max(LOUDEST))
        made = torch.polar(magnitude, phase)
        length = (mel.shape[2] - 1) * self.config.hop
        size, window = self.config.fft, self.get_buffer("window")
        return torch.istft(made, size, self.config.hop, size, window, center=True, length=length)


def _spread(bands: int, bins: int) -> Tensor:
    """[bins, bands]: a bin's level as the mean of the mel bands that hold it."""
    bank = torch.tensor(mel_bank(bands, bins, RATE, RATE / 2), dtype=torch.float32)
    bank[0, 0] = bank[0, 1]  # no band holds 0 Hz or the last bin
    bank[-1, -1] = bank[-1, -2]
    shares = bank / bank.sum(dim=1, keepdim=True).clamp_min(1e-9)
    return (shares / shares.sum(dim=0, keepdim=True).clamp_min(1e-9)).T.contiguous()
