"""A vocoder that makes the wave itself: log-mel in, transposed convolutions up to 16 kHz, samples out.

After HiFi-GAN's third generator (Kong, "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech
synthesis", NeurIPS 2020), narrower: its copies carry what upsampling by transposed convolutions leaves. Extra: train.
"""

from __future__ import annotations

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


class WaveVocoder(nn.Module):
    """Log-mels [B, bands, frames] to waves [B, (frames - 1) * hop]. ValueError when the strides do not make up the hop."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        made = 1
        for stride in config.strides:
            made *= stride
        if made != config.hop:
            raise ValueError(f"strides {config.strides} make {made} samples a frame, the hop is {config.hop}")
        self.config = config
        self.log_mel = LogMel(config.fft, config.hop, config.bands)
        self.enter = nn.Conv1d(config.bands, config.width, 7, padding=3)
        stages: list[nn.Module] = []
        width = config.width
        for stride in config.strides:
            stages.append(_stage(width, max(8, width // 2), stride, config.kernels))
            width = max(8, width // 2)
        self.stages = nn.ModuleList(stages)
        self.leave = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.enter(mel)
        for stage in self.stages:
            x = stage(x)
        wave: Tensor = self.leave(nn.functional.leaky_relu(x, SLOPE)).tanh().float()
        return wave[:, 0, self.config.hop // 2 :][:, : (mel.shape[2] - 1) * self.config.hop]


class _Mean(nn.Module):
    """The mean of what several blocks make of the same input."""

    def __init__(self, blocks: list[Residual]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        made = [block(x) for block in self.blocks]
        out: Tensor = sum(made[1:], made[0]) / len(made)
        return out


def _stage(width: int, narrower: int, stride: int, kernels: tuple[int, ...]) -> nn.Module:
    """Up by `stride`, then residual blocks of several kernels side by side."""
    pad = (stride + 1) // 2
    up = nn.ConvTranspose1d(width, narrower, 2 * stride, stride, padding=pad, output_padding=stride % 2)
    blocks = [Residual(narrower, kernel, dilations) for kernel, dilations in zip(kernels, DILATIONS, strict=True)]
    return nn.Sequential(nn.LeakyReLU(SLOPE), up, _Mean(blocks))
