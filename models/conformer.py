"""The causal Conformer: samples in, one score per 40 ms out, the whole past in a few named tensors.

One `forward` serves training and live calls: without a state it starts a call, with one it goes on. History before a
call is zeros that are attended to, and positions are biases by age, so a new call is a zeroed slot, no tensor needs a
length, and any cutting into chunks of whole 40 ms frames gives the same scores.

Shapes: B calls, T frames of 40 ms (320 samples at 8 kHz), D the model's width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.features import FFT, HOP, LINES_HOP, LINES_WINDOW, WINDOW, BandFeatures, Features, decay_matrix, steps_of

SUBSAMPLING = 4  # 10 ms feature frames to one 40 ms frame of the model
FRAME_SAMPLES = HOP * SUBSAMPLING
POOLED, PAIRED = 0, 1  # the views of the head
# Bias of what attention must not see. exp of it is nothing beside any score's, yet no subnormal number: on those, which
# minus infinity becomes in ONNX Runtime, a processor takes a hundred times as long as on others.
UNSEEN = -60.0


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model. `vivavoce train` writes it beside the weights."""

    bands: int = 120
    lines: bool = False  # the lines of the voice beside the bands, as many
    mean_s: float = 2.0  # time constant of the front end's running mean
    channels: tuple[int, int] = (16, 32)  # of the two convolutions over time and bands
    width: int = 144
    blocks: int = 2
    heads: int = 4
    expansion: int = 3  # hidden width of the feed-forward parts, in widths
    history: int = 64  # frames of 40 ms that attention sees: 2.56 s
    kernel: int = 15  # of the depthwise convolution
    memory_s: float = 6.0  # time constant of the pooled statistics
    hidden: int = 96  # width of the embedding before the score
    dropout: float = 0.1


class BlockState(NamedTuple):
    """What one block remembers of a call."""

    keys: Tensor  # [B, history, D / heads]
    values: Tensor  # as keys
    convolution: Tensor  # [B, kernel - 1, D]

    def last(self, history: int, kernel: int) -> BlockState:
        """Without what nothing will look at again."""
        return BlockState(self.keys[:, -history:], self.values[:, -history:], self.convolution[:, 1 - kernel :])


class ModelState(NamedTuple):
    """What the model remembers of a call."""

    tail: Tensor  # [B, 120 or, with lines, 450] samples
    mean: Tensor  # [B, 1 + bands]
    front: Tensor  # [B, 3, bands], with lines [B, 5, bands]: features that the two convolutions still reach, then lines
    blocks: tuple[BlockState, ...]
    statistics: Tensor  # [B, 1 + 2 * D]

    def tensors(self) -> dict[str, Tensor]:
        """Flat, under the names that the ONNX inputs have."""
        named = {"tail": self.tail, "mean": self.mean, "front": self.front}
        for index, block in enumerate(self.blocks):
            named |= {f"{name}{index}": tensor for name, tensor in block._asdict().items()}
        return named | {"statistics": self.statistics}

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> ModelState:
        """The inverse of tensors().values()."""
        tail, mean, front, *blocks, statistics = tensors
        parts = zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True)
        return cls(tail, mean, front, tuple(BlockState(*part) for part in parts), statistics)


class FrontEnd(nn.Module):
    """Two causal 3x3 convolutions, each halving time and bands, then a linear map to the model's width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second = config.channels
        self.conv1 = nn.Conv2d(1, first, 3, stride=2, padding=(0, 1))
        self.lines = nn.Conv2d(1, first, (2, 3), stride=(1, 2), padding=(0, 1), bias=False) if config.lines else None
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=(0, 1))
        self.linear = nn.Linear(second * (config.bands // 4), config.width)

    def forward(self, features: Features, past: Tensor) -> tuple[Tensor, Tensor]:
        """Features of 4T rows after past [B, 3 or 5, bands] -> rows [B * T, width] and the past of what follows.

        With three past rows the first convolution makes its last output of before once more: cheaper than to carry it.
        Lines come every second row, so that theirs reaches over two of them and does not stride.
        """
        whole = torch.cat([past[:, :3], features.bands], dim=1)
        y, kept = self.conv1(whole.unsqueeze(1)), whole[:, -3:]  # [B, channels, 2T + 1, bands / 2]
        if self.lines is not None and features.lines is not None:
            lines = torch.cat([past[:, 3:], features.lines], dim=1)
            y, kept = y + self.lines(lines.unsqueeze(1)), torch.cat([kept, lines[:, -2:]], dim=1)
        z = F.silu(self.conv2(F.silu(y))).transpose(1, 2)
        return self.linear(z.reshape(-1, self.linear.in_features)), kept


class FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.width * config.expansion)
        self.down = nn.Linear(config.width * config.expansion, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.dropout(F.silu(self.up(self.norm(x))))
        out: Tensor = x + 0.5 * self.dropout(self.down(hidden))
        return out


class Attention(nn.Module):
    """Multi-query attention over the last `history` frames, with a learned bias by age and head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.size, self.history = config.heads, config.width // config.heads, config.history
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.width + 2 * self.size)
        self.out = nn.Linear(config.width, config.width)
        self.age_bias = nn.Parameter(torch.zeros(config.heads, config.history))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows [B * T, D] after keys and values [B, history, D / heads] -> rows, and both with those of T frames at the end."""
        width = int(x.shape[1])
        queries, key, value = self.project(self.norm(x)).split([width, self.size, self.size], dim=1)
        # Queries of one frame's heads lie side by side, so [B * T, D] reads as [B, T * heads, size] without a copy.
        queries = queries.reshape(-1, frames * self.heads, self.size)
        keys = torch.cat([keys, key.reshape(-1, frames, self.size)], dim=1)
        values = torch.cat([values, value.reshape(-1, frames, self.size)], dim=1)
        scores = torch.matmul(queries * self.size**-0.5, keys.transpose(1, 2)) + self.bias(frames)
        context = torch.matmul(scores.softmax(dim=2), values).reshape(-1, width)
        return x + self.dropout(self.out(context)), keys, values

    def bias(self, frames: int) -> Tensor:
        """[T * heads, history + T]: by age where 0 <= age < history, UNSEEN elsewhere."""
        now = torch.arange(frames, device=self.age_bias.device)[:, None] + self.history
        age = now - torch.arange(self.history + frames, device=self.age_bias.device)[None, :]
        outside = (age < 0) | (age >= self.history)
        table = self.age_bias[:, age.clamp(0, self.history - 1)].masked_fill(outside, UNSEEN)
        return table.permute(1, 0, 2).reshape(frames * self.heads, self.history + frames)


class Convolution(nn.Module):
    """Gated pointwise, causal depthwise over `kernel` frames, pointwise. Conv2d [1, K] is ONNX Runtime's fast form."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kernel = config.kernel
        self.norm = nn.LayerNorm(config.width)
        self.gate = nn.Linear(config.width, 2 * config.width)
        self.depthwise = nn.Conv2d(config.width, config.width, (1, config.kernel), groups=config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, past: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        width = int(x.shape[1])
        value, gate = self.gate(self.norm(x)).chunk(2, dim=1)
        y = torch.cat([past, (value * torch.sigmoid(gate)).reshape(-1, frames, width)], dim=1)
        z = self.depthwise(y.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2).reshape(-1, width)
        return x + self.dropout(self.out(F.silu(self.norm2(z)))), y


class Block(nn.Module):
    """One Conformer block on rows [B * T, D]: as plain matrices, products and their biases are one operation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.feed1 = FeedForward(config)
        self.attention = Attention(config)
        self.convolution = Convolution(config)
        self.feed2 = FeedForward(config)

    def forward(self, x: Tensor, state: BlockState, frames: int) -> tuple[Tensor, BlockState]:
        """Rows after a state -> rows, and the state with T frames more at the end: BlockState.last cuts it."""
        x, keys, values = self.attention(self.feed1(x), state.keys, state.values, frames)
        x, convolution = self.convolution(x, state.convolution, frames)
        return self.feed2(x), BlockState(keys, values, convolution)


class Head(nn.Module):
    """Attentive mean and deviation with exponential forgetting, an embedding, two views of it, one score.

    The views are logits of bona fide, trained apart: POOLED on people and fakes from everywhere, PAIRED on people and
    copies of their very recordings. What tells recording worlds apart is right for the one and forbidden to the other.
    The score is their weighted sum; the weights `mix` are chosen on dev.
    """

    mix: Tensor  # [2]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.weight = nn.Linear(config.width, 1)
        self.embed = nn.Linear(2 * config.width, config.hidden)
        self.score = nn.Linear(config.hidden, 2)
        self.register_buffer("mix", torch.tensor([0.5, 0.5]))
        self.dropout = nn.Dropout(config.dropout)
        self.decay = math.exp(-FRAME_SAMPLES / 8000 / config.memory_s)

    def forward(self, x: Tensor, past: Tensor, frames: int, *, last: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Rows [B * T, D], past [B, 1 + 2 * D] -> views [B, T, 2], embeddings [B, T, hidden], the past of what follows.

        With `last`, views and embeddings of the last frame only (T = 1 in the shapes).
        """
        h, width = self.norm(x), int(x.shape[1])
        weight = torch.sigmoid(self.weight(h))
        inner, carried = decay_matrix(frames, self.decay, x)
        terms = torch.cat([weight, weight * h, weight * h * h], dim=1).reshape(-1, frames, 1 + 2 * width)
        if last:
            inner, carried, frames = inner[-1:], carried[-1:], 1
        sums = torch.matmul(inner, terms) + carried * past[:, None, :]
        flat = sums.reshape(-1, 1 + 2 * width)
        total = flat[:, :1] + 0.1
        mean = flat[:, 1 : 1 + width] / total
        deviation = torch.sqrt(F.relu(flat[:, 1 + width :] / total - mean * mean) + 1e-4)
        embedding = F.silu(self.embed(torch.cat([mean, deviation], dim=1)))
        views = self.score(self.dropout(embedding)).reshape(-1, frames, 2)
        return views, embedding.reshape(-1, frames, embedding.shape[1]), sums[:, -1]


class StreamingConformer(nn.Module):
    """Scores a call as it comes: higher = more like a living person."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.features = BandFeatures(self.config.bands, self.config.mean_s, lines=self.config.lines)
        self.front = FrontEnd(self.config)
        self.blocks = nn.ModuleList(Block(self.config) for _ in range(self.config.blocks))
        self.head = Head(self.config)

    def init_state(self, batch: int) -> ModelState:
        """The state before a call: zeros."""
        c, device = self.config, self.head.score.weight.device

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(batch, *shape, device=device)

        seen = c.history, c.width // c.heads
        blocks = tuple(BlockState(zeros(*seen), zeros(*seen), zeros(c.kernel - 1, c.width)) for _ in range(c.blocks))
        front = zeros(5 if c.lines else 3, c.bands)
        return ModelState(zeros(self.features.tail), zeros(1 + c.bands), front, blocks, zeros(1 + 2 * c.width))

    def forward(self, audio: Tensor, state: ModelState | None = None, *, last: bool = False) -> tuple[Tensor, ModelState]:
        """audio [B, n] in +-1 (or int16), n a multiple of 320 -> scores [B, n / 320] and the state after them.

        With `last`, only the last frame's score [B, 1]: what a chunk of a live call is asked for.
        """
        scores, _, after = self.embed(audio, state, last=last)
        return scores, after

    def embed(
        self, audio: Tensor, state: ModelState | None = None, *, last: bool = False, grown: bool = False
    ) -> tuple[Tensor, Tensor, ModelState]:
        """As forward, with the embeddings [B, T, hidden] behind the scores; `grown` as embed_features has it."""
        if state is None:
            state = self.init_state(audio.shape[0])
        if audio.dtype == torch.int16:
            audio = audio.to(torch.float32) * (1 / 32768)
        x, tail, mean = self.features(audio, state.tail, state.mean)
        return self.embed_features(x, state._replace(tail=tail, mean=mean), last=last, grown=grown)

    def embed_features(
        self, features: Features, state: ModelState, *, last: bool = False, grown: bool = False
    ) -> tuple[Tensor, Tensor, ModelState]:
        """The model behind its front end: features of 4T rows -> scores [B, T], embeddings, state.

        With `grown`, what the blocks remember has T frames more at its end and is not cut: whoever keeps it drops the
        oldest for nothing, while a graph would copy all the others.
        """
        frames, c = steps_of(features.bands) // SUBSAMPLING, self.config
        x, front = self.front(features, state.front)
        blocks = []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            x, after = block(x, before, frames)
            blocks.append(after if grown else after.last(c.history, c.kernel))
        views, embedding, statistics = self.head(x, state.statistics, frames, last=last)
        scores = (views * self.head.mix).sum(2)
        return scores, embedding, ModelState(state.tail, state.mean, front, tuple(blocks), statistics)


def matrix_flops(config: ModelConfig, frames: int) -> float:
    """Floating-point operations of all matrix products and convolutions for `frames` frames of one call."""
    d, (first, second), bins = config.width, config.channels, FFT // 2
    front = SUBSAMPLING * (WINDOW * bins + bins * config.bands + SUBSAMPLING * frames * (1 + config.bands))
    if config.lines:
        line = LINES_WINDOW // 2 * config.bands + config.bands**2 + config.bands // 2 * 6 * first
        front += SUBSAMPLING * HOP // LINES_HOP * line
    front += 2 * (config.bands // 2) * 9 * first + (config.bands // 4) * 9 * first * second
    front += second * (config.bands // 4) * d
    size = d // config.heads
    attention = d * (d + 2 * size) + d * d + 2 * d * (config.history + frames)
    convolution = 2 * d * d + config.kernel * d + d * d
    block = 4 * d * d * config.expansion + attention + convolution
    head = d + 1 + 2 * d + (2 * d * config.hidden + config.hidden) / frames  # pooled and scored once a chunk
    return 2.0 * frames * (front + config.blocks * block + head)
