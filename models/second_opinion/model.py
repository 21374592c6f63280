"""The second opinion as one module: windows of telephone speech in, one logit each out (high = bona fide)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from models.conformer import Block, BlockState, ModelConfig
from models.second_opinion.backbone import Backbone, read


@dataclass(frozen=True)
class SslConfig:
    """The table [model] of a recipe with kind = "ssl"."""

    source: str  # folder of a transformers model, or its name on the hub
    layers: int = 0  # how many of the lower layers are kept, 0 all; the upper ones know words, the lower ones sound
    collect: str = "sum"  # "sum": a learned weighted sum of the kept layers; "last": the highest kept one
    tune_rate: float = 0.0  # learning rate of the kept layers; 0 freezes them. The head has the recipe's learning_rate
    width: int = 128  # of the head
    blocks: int = 2  # of the head, each in both directions
    heads: int = 4
    expansion: int = 2
    kernel: int = 15  # frames of 20 ms
    history: int = 128  # frames that attention reaches to each side: 2.56 s
    hidden: int = 64  # width of the embedding before the logit
    dropout: float = 0.1

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> SslConfig:
        """From the table [model], `kind` left out. ValueError names an unknown or missing key."""
        given = {key: value for key, value in table.items() if key != "kind"}
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"[model]: unknown key {unknown[0]!r}; known with kind = 'ssl': {', '.join(known)}")
        if not given.get("source"):
            raise ValueError("[model]: kind = 'ssl' needs source, a folder or a name on the hub")
        return cls(**given)

    @property
    def frozen(self) -> bool:
        return self.tune_rate <= 0


class BothWays(nn.Module):
    """A causal Conformer block, and one that runs backwards in time, added: every frame hears both sides of itself."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.onwards, self.backwards = Block(config), Block(config)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same shape."""
        turned = self._run(self.backwards, x.flip(1)).flip(1)
        return 0.5 * (self._run(self.onwards, x) + turned)

    def _run(self, block: Block, x: Tensor) -> Tensor:
        c, (rows, frames, width) = self.config, x.shape
        seen = x.new_zeros(rows, c.history, width // c.heads)
        state = BlockState(seen, seen, x.new_zeros(rows, c.kernel - 1, width))
        out: Tensor = block(x.reshape(-1, width), state, frames)[0]
        return out.reshape(rows, frames, width)


class AttentivePooling(nn.Module):
    """[B, T, D] -> [B, 2D]: mean and deviation over time, weighted by what each frame has to say (Okabe et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight(x).softmax(1)
        mean = (weight * x).sum(1)
        spread = (weight * (x - mean[:, None]) ** 2).sum(1)
        return torch.cat([mean, torch.sqrt(spread + 1e-5)], dim=1)


class SecondOpinion(nn.Module):
    """Backbone, Conformer head, attentive pooling, one logit."""

    def __init__(self, config: SslConfig, inner: Any, *, normalise: bool) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(inner, normalise=normalise, layers=config.layers, collect=config.collect, frozen=config.frozen)
        shape = ModelConfig(
            width=config.width, heads=config.heads, expansion=config.expansion, history=config.history,
            kernel=config.kernel, dropout=config.dropout,
        )  # fmt: skip
        self.enter = nn.Linear(self.backbone.width, config.width)
        self.blocks = nn.ModuleList(BothWays(shape) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.pool = AttentivePooling(config.width)
        self.embed = nn.Linear(2 * config.width, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.score = nn.Linear(config.hidden, 1)

    @classmethod
    def from_source(cls, config: SslConfig) -> SecondOpinion:
        """With the backbone's published weights and a new head. ValueError says what could not be loaded."""
        inner, normalise = read(config.source)
        return cls(config, inner, normalise=normalise)

    def forward(self, audio: Tensor) -> Tensor:
        """int16 [B, n] or float [B, n] in +-1, at 8 kHz -> logits [B]."""
        if audio.dtype == torch.int16:
            audio = audio.to(torch.float32) * (1 / 32768)
        x = self.enter(self.backbone(audio))
        for block in self.blocks:
            x = block(x)
        embedding = nn.functional.silu(self.embed(self.pool(self.norm(x.float()))))
        logits: Tensor = self.score(self.dropout(embedding))[:, 0]
        return logits.float()
