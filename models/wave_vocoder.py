"""A vocoder that makes the wave itself: log-mel in, transposed convolutions up to 16 kHz, samples out.

After HiFi-GAN's third generator (Kong, "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech
synthesis", NeurIPS 2020), narrower: its copies carry what upsampling by transposed convolutions leaves. Extra: train.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.neural_vocoder import LogMel, VocoderConfig

SLOPE = 0.1
DILATIONS = ((1, 2), (2, 6))  # of the two convolutions of each residual block


class Residual(nn.Module):
    """Two dilated convolutions, added to what came in."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2) for dilation in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs:
            y = conv(nn.functional.leaky_relu(y, SLOPE))
        return x + y


class Stage(nn.Module):
    """Up by `stride`, perhaps with something beside it added, then the mean of residual blocks of several kernels."""

    def __init__(self, width: int, narrower: int, stride: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        pad = (stride + 1) // 2
        self.up = nn.ConvTranspose1d(width, narrower, 2 * stride, stride, padding=pad, output_padding=stride % 2)
        pairs = zip(kernels, DILATIONS, strict=True)
        self.blocks = nn.ModuleList(Residual(narrower, kernel, dilations) for kernel, dilations in pairs)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        x = self.up(nn.functional.leaky_relu(x, SLOPE))
        if beside is not None:
            x = x + beside[:, :, : x.shape[2]]
        made = [block(x) for block in self.blocks]
        out: Tensor = sum(made[1:], made[0]) / len(made)
        return out


class WaveVocoder(nn.Module):
    """Log-mels [B, bands, frames] to waves [B, (frames - 1) * hop]. ValueError when the strides do not make up the hop."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        if (made := math.prod(config.strides)) != config.hop:
            raise ValueError(f"strides {config.strides} make {made} samples a frame, the hop is {config.hop}")
        self.config = config
        self.log_mel = LogMel(config.fft, config.hop, config.bands)
        self.enter = nn.Conv1d(config.bands, config.width, 7, padding=3)
        stages: list[nn.Module] = []
        width = config.width
        for stride in config.strides:
            stages.append(Stage(width, max(8, width // 2), stride, config.kernels))
            width = max(8, width // 2)
        self.stages = nn.ModuleList(stages)
        self.leave = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.enter(mel)
        for stage in self.stages:
            x = stage(x)
        return self.finished(x, mel.shape[2])

    def finished(self, x: Tensor, frames: int) -> Tensor:
        """Samples from the last stage's channels; a frame's hop lies around it, so half of the first is nobody's."""
        wave: Tensor = self.leave(nn.functional.leaky_relu(x, SLOPE)).tanh().float()
        return wave[:, 0, self.config.hop // 2 :][:, : (frames - 1) * self.config.hop]
