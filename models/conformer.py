"""The causal Conformer: samples in, one score per 40 ms out, the whole past in a few named tensors.

One `forward` serves training and live calls: without a state it starts a call, with one it goes on. History before a
call is zeros that are attended to, and positions are biases by age, so a new call is a zeroed slot, no tensor needs a
length, and any cutting into chunks of whole 40 ms frames gives the same scores.

Shapes: B calls, T frames of 40 ms (320 samples at 8 kHz), D the model's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.features import HOP, TAIL, WINDOW, BandFeatures, decay_matrix, half_dft

SUBSAMPLING = 4  # 10 ms feature frames to one 40 ms frame of the model
FRAME_SAMPLES = HOP * SUBSAMPLING


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model. `vivavoce train` writes it beside the weights."""

    bands: int = 120
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

    keys_values: Tensor  # [B, history, 2 * D / heads]
    convolution: Tensor  # [B, kernel - 1, D]


class ModelState(NamedTuple):
    """What the model remembers of a call; the names are those of the ONNX inputs."""

    tail: Tensor  # [B, 120] samples
    mean: Tensor  # [B, 1 + bands]
    front1: Tensor  # [B, 1, bands]
    front2: Tensor  # [B, channels[0], bands / 2]
    keys_values: Tensor  # [B, blocks, history, 2 * D / heads]
    convolution: Tensor  # [B, blocks, kernel - 1, D]
    statistics: Tensor  # [B, 1 + 2 * D]


class FrontEnd(nn.Module):
    """Two causal 3x3 convolutions, each halving time and bands, then a linear map to the model's width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second = config.channels
        self.conv1 = nn.Conv2d(1, first, 3, stride=2, padding=(0, 1))
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=(0, 1))
        self.linear = nn.Linear(second * (config.bands // 4), config.width)

    def forward(self, features: Tensor, past1: Tensor, past2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([past1.unsqueeze(2), features.unsqueeze(1)], dim=2)  # [B, 1, 1 + 4T, bands]
        y = F.silu(self.conv1(x))
        z = torch.cat([past2.unsqueeze(2), y], dim=2)
        z = F.silu(self.conv2(z))
        out = self.linear(z.transpose(1, 2).flatten(2))
        return out, features[:, -1:], y[:, :, -1]


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

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        frames, width = int(x.shape[1]), int(x.shape[2])
        projected = self.project(self.norm(x))
        # Queries of one frame's heads lie side by side, so [B, T, D] reads as [B, T * heads, size] without a copy.
        queries = projected[:, :, :width].reshape(-1, frames * self.heads, self.size)
        keys_values = torch.cat([past, projected[:, :, width:]], dim=1)
        keys, values = keys_values[:, :, : self.size], keys_values[:, :, self.size :]
        scores = torch.matmul(queries * self.size**-0.5, keys.transpose(1, 2)) + self.bias(frames)
        context = torch.matmul(scores.softmax(dim=2), values).reshape(-1, frames, width)
        return x + self.dropout(self.out(context)), keys_values[:, -self.history :]

    def bias(self, frames: int) -> Tensor:
        """[T * heads, history + T]: by age where 0 <= age < history, minus infinity elsewhere."""
        now = torch.arange(frames, device=self.age_bias.device)[:, None] + self.history
        age = now - torch.arange(self.history + frames, device=self.age_bias.device)[None, :]
        outside = (age < 0) | (age >= self.history)
        table = self.age_bias[:, age.clamp(0, self.history - 1)].masked_fill(outside, -math.inf)
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

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        value, gate = self.gate(self.norm(x)).chunk(2, dim=2)
        y = torch.cat([past, value * torch.sigmoid(gate)], dim=1)
        z = self.depthwise(y.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        return x + self.dropout(self.out(F.silu(self.norm2(z)))), y[:, -(self.kernel - 1) :]


class Block(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.feed1 = FeedForward(config)
        self.attention = Attention(config)
        self.convolution = Convolution(config)
        self.feed2 = FeedForward(config)

    def forward(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        x, keys_values = self.attention(self.feed1(x), state.keys_values)
        x, convolution = self.convolution(x, state.convolution)
        return self.feed2(x), BlockState(keys_values, convolution)


class Head(nn.Module):
    """Attentive mean and deviation with exponential forgetting, an embedding, one score (logit of bona fide)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.weight = nn.Linear(config.width, 1)
        self.embed = nn.Linear(2 * config.width, config.hidden)
        self.score = nn.Linear(config.hidden, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.decay = math.exp(-FRAME_SAMPLES / 8000 / config.memory_s)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.norm(x)
        weight = torch.sigmoid(self.weight(h))
        inner, carried = decay_matrix(int(x.shape[1]), self.decay, x)
        terms = torch.cat([weight, weight * h, weight * h * h], dim=2)
        sums = torch.matmul(inner, terms) + carried * past[:, None, :]
        total = sums[:, :, :1] + 0.1
        width = int(x.shape[2])
        mean = sums[:, :, 1 : 1 + width] / total
        deviation = torch.sqrt(F.relu(sums[:, :, 1 + width :] / total - mean * mean) + 1e-4)
        embedding = F.silu(self.embed(torch.cat([mean, deviation], dim=2)))
        return self.score(self.dropout(embedding)).squeeze(2), embedding, sums[:, -1]


class StreamingConformer(nn.Module):
    """Scores a call as it comes: higher = more like a living person."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.features = BandFeatures(self.config.bands, self.config.mean_s)
        self.front = FrontEnd(self.config)
        self.blocks = nn.ModuleList(Block(self.config) for _ in range(self.config.blocks))
        self.head = Head(self.config)

    def init_state(self, batch: int) -> ModelState:
        """The state before a call: zeros."""
        c, device = self.config, self.head.score.weight.device
        shapes = (
            (TAIL,),
            (1 + c.bands,),
            (1, c.bands),
            (c.channels[0], c.bands // 2),
            (c.blocks, c.history, 2 * c.width // c.heads),
            (c.blocks, c.kernel - 1, c.width),
            (1 + 2 * c.width,),
        )
        return ModelState(*(torch.zeros(batch, *shape, device=device) for shape in shapes))

    def forward(self, audio: Tensor, state: ModelState | None = None) -> tuple[Tensor, ModelState]:
        """audio [B, n] in +-1 (or int16), n a multiple of 320 -> scores [B, n / 320] and the state after them."""
        scores, _, after = self.embed(audio, state)
        return scores, after

    def embed(self, audio: Tensor, state: ModelState | None = None) -> tuple[Tensor, Tensor, ModelState]:
        """As forward, with the embeddings [B, T, hidden] behind the scores."""
        if state is None:
            state = self.init_state(audio.shape[0])
        if audio.dtype == torch.int16:
            audio = audio.to(torch.float32) * (1 / 32768)
        x, tail, mean = self.features(audio, state.tail, state.mean)
        return self.embed_features(x, state._replace(tail=tail, mean=mean))

    def embed_features(self, features: Tensor, state: ModelState) -> tuple[Tensor, Tensor, ModelState]:
        """The model behind its front end: features [B, 4T, bands] -> scores [B, T], embeddings, state."""
        x, front1, front2 = self.front(features, state.front1, state.front2)
        keys_values, convolution = [], []
        for index, block in enumerate(self.blocks):
            x, after = block(x, BlockState(state.keys_values[:, index], state.convolution[:, index]))
            keys_values.append(after.keys_values)
            convolution.append(after.convolution)
        scores, embedding, statistics = self.head(x, state.statistics)
        after_state = ModelState(
            state.tail, state.mean, front1, front2,
            torch.stack(keys_values, 1), torch.stack(convolution, 1), statistics,
        )  # fmt: skip
        return scores, embedding, after_state


def matrix_flops(config: ModelConfig, frames: int) -> float:
    """Floating-point operations of all matrix products and convolutions for `frames` frames of one call."""
    d, (first, second), bins = config.width, config.channels, half_dft()[0].shape[1]
    front = SUBSAMPLING * (WINDOW * bins + bins * config.bands + SUBSAMPLING * frames * (1 + config.bands))
    front += 2 * (config.bands // 2) * 9 * first + (config.bands // 4) * 9 * first * second
    front += second * (config.bands // 4) * d
    size = d // config.heads
    attention = d * (d + 2 * size) + d * d + 2 * d * (config.history + frames)
    convolution = 2 * d * d + config.kernel * d + d * d
    block = 4 * d * d * config.expansion + attention + convolution
    head = d + frames * (1 + 2 * d) + 2 * d * config.hidden + config.hidden
    return 2.0 * frames * (front + config.blocks * block + head)
