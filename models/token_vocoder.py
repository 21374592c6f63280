"""A vocoder that hears only tokens: log-mel to a few bits a frame and from these to a wave.

What language models of speech leave: at 50 tokens a second the fine changes of a voice are gone, the words are not.
Tokens by finite scalar quantisation (Mentzer, "Finite scalar quantization: VQ-VAE made simple", ICLR 2024), which needs no
codebook; the decoder is that of neural_vocoder.py. Extra: train.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.neural_vocoder import Block, NeuralVocoder, VocoderConfig


class TokenVocoder(NeuralVocoder):
    """Log-mels [B, bands, frames] to waves [B, (frames - 1) * hop], through one token per two frames."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        self.listen = nn.Conv1d(config.bands, config.width, 7, padding=3)
        self.understand = nn.Sequential(*(Block(config.width, config.hidden, 0.5) for _ in range(2)))
        self.pack = nn.Conv1d(config.width, config.token, 4, stride=2, padding=1)
        self.unpack = nn.ConvTranspose1d(config.token, config.width, 4, stride=2, padding=1)
        self.recall = nn.Sequential(*(Block(config.width, config.hidden, 0.5) for _ in range(2)))
        self.tell = nn.Conv1d(config.width, config.bands, 3, padding=1)

    def forward(self, mel: Tensor) -> Tensor:
        return super().forward(self.retold(mel))

    def retold(self, mel: Tensor) -> Tensor:
        """The mel [B, bands, frames] that the tokens of another still tell."""
        frames = mel.shape[2]
        even = nn.functional.pad(mel, (0, frames % 2), mode="replicate")
        heard = self.pack(self.understand(self.listen(even / 3.0)))
        used = torch.ones_like(heard[:1, :, :1])
        used[:, self._used() :] = 0.0  # the last scalars refine what the first ones say
        told = self.tell(self.recall(self.unpack(quantised(heard, self.config.levels) * used)))
        out: Tensor = 3.0 * told[:, :, :frames]
        return out

    def _used(self) -> int:
        """How many scalars of a token are heard: in training any number from half of them on, so that all rates are learned."""
        if not self.training:
            return self.config.token
        return int(torch.randint(self.config.token // 2, self.config.token + 1, ()))


def quantised(x: Tensor, levels: int) -> Tensor:
    """Each scalar on one of `levels` (odd) even steps from -1 to 1; the gradient passes as if it were not."""
    half = (levels - 1) / 2
    bounded = x.tanh()
    return bounded + ((bounded * half).round() / half - bounded).detach()
