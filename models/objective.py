"""What training asks of the scores, and the forward pass that asks it fast.

The loss has three parts: late frames decide rightly, their mean over speech decides rightly, and a real clip scores
above its own copy, the one contrast that no recording world can explain. A student may be asked beside that, or instead,
to score as its teachers do, and to hear on the telephone what its first teacher hears in quiet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.conformer import FRAME_SAMPLES, PAIRED, SUBSAMPLING, StreamingConformer
from models.dataset import Batch
from models.features import RATE, Features


@dataclass(frozen=True)
class LossConfig:
    smoothing: float = 0.03  # label smoothing
    skip_s: float = 0.8  # frames before this do not count
    clip: float = 0.5  # weight of the loss on the mean score over speech
    pair: float = 0.3  # weight of the loss on real above copy
    labels: float = 1.0  # weight of all that the labels ask; 0: teachers alone
    trunk: float = 0.0  # weight of hearing what the first teacher does: frames and embeddings, not scores


@dataclass(frozen=True)
class MaskConfig:
    """SpecAugment on the normalised features, light: masked bands read as their running mean."""

    odds: float = 0.4  # share of rows with a band mask
    bands: int = 14  # widest mask, of 120 bands
    lines: float = 0.0  # share of rows that hear no lines at all, where the model has them: they are quickly learned by heart


class Heard(NamedTuple):
    """What a model makes of crops, from frame to score."""

    frames: Tensor  # [B, T, width] behind the blocks, normalised as the head has them
    embeddings: Tensor  # [B, T, hidden]
    views: Tensor  # [B, T, 2]


def loss_of(views: Tensor, batch: Batch, config: LossConfig) -> Tensor:
    """Scalar loss of views [rows, frames, 2] (logits, high = bona fide).

    The pooled view learns from rows that are no copy pairs, the paired view from pairs of one recording or repository.
    """
    device = views.device
    copies = torch.from_numpy(batch.pair >= 0).to(device)
    shared = torch.from_numpy(batch.shared).to(device)
    rows = torch.stack([~copies, shared], dim=1).to(views.dtype)  # [rows, 2]: which views a row teaches
    target = torch.from_numpy(batch.bonafide).to(device) * (1 - 2 * config.smoothing) + config.smoothing
    weight = frame_weights(torch.from_numpy(batch.speech).to(device), config.skip_s)
    wanted = target[:, None, None].expand_as(views)
    frame_loss = F.binary_cross_entropy_with_logits(views, wanted, reduction="none").mul(weight[:, :, None]).sum(1)
    mean = (views * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True)  # [rows, 2]
    clip_loss = F.binary_cross_entropy_with_logits(mean, wanted[:, 0], reduction="none")
    loss = (frame_loss / weight.sum(1).mean() + config.clip * clip_loss).mul(rows).sum() / len(rows)
    real = np.nonzero((batch.pair >= 0) & (batch.bonafide > 0))[0]
    if len(real) and config.pair:
        paired = mean[:, PAIRED]
        margin = paired[torch.from_numpy(real)] - paired[torch.from_numpy(batch.pair[real])]
        loss = loss + config.pair * F.softplus(-margin).mean()
    return loss


def taught_loss(views: Tensor, taught: Tensor, batch: Batch, config: LossConfig) -> Tensor:
    """Scalar loss of views [rows, frames, 2] against a teacher's: every row teaches both views."""
    weight = frame_weights(torch.from_numpy(batch.speech).to(views.device), config.skip_s)[:, :, None]
    loss = F.binary_cross_entropy_with_logits(views, torch.sigmoid(taught), reduction="none")
    return (loss * weight).sum() / (2 * weight.sum())


def frame_weights(speech: Tensor, skip_s: float) -> Tensor:
    """[rows, frames]: 0 before `skip_s`, then rising from half to one, little outside speech."""
    at = torch.arange(speech.shape[1], device=speech.device) * (FRAME_SAMPLES / RATE)
    ramp = 0.5 + 0.5 * (at - skip_s) / max(float(at[-1]) - skip_s, 1e-6)
    return torch.where(at >= skip_s, ramp, torch.zeros_like(ramp)) * (speech + 0.05)


def trunk_loss(heard: Heard, taught: Heard, batch: Batch, config: LossConfig) -> Tensor:
    """Scalar: squared distance of frames and of embeddings to a teacher's, each as a share of how much the teacher's vary.

    It counts from half of `skip_s` on: frames are the same long before they suffice for a decision.
    """
    weight = frame_weights(torch.from_numpy(batch.speech).to(heard.views.device), config.skip_s / 2)[:, :, None]
    pairs = ((heard.frames, taught.frames), (heard.embeddings, taught.embeddings))
    return sum((_unlike(got, wanted, weight) for got, wanted in pairs), torch.zeros((), device=weight.device))


def _unlike(got: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    centre = (wanted * weight).sum((0, 1)) / total
    varying = ((wanted - centre) ** 2 * weight).sum() / total
    return ((got - wanted) ** 2 * weight).sum() / total / varying.clamp_min(1e-6)


def training_views(
    model: StreamingConformer, audio: Tensor, mask: MaskConfig | None, rng: np.random.Generator, *, bfloat16: bool
) -> Tensor:
    """Views [B, T, 2] of whole crops, as `hear` has them."""
    return hear(model, audio, mask, rng, bfloat16=bfloat16).views


def hear(
    model: StreamingConformer, audio: Tensor, mask: MaskConfig | None, rng: np.random.Generator, *, bfloat16: bool
) -> Heard:
    """What a model makes of whole crops: model.forward with masked features and, if asked, blocks in bfloat16.

    The front end and the pooled statistics stay in float32: log powers and differences of squares do not survive eight
    bits of mantissa. Without mask and bfloat16, mixed, they equal model.forward (tested).
    """
    state = model.init_state(audio.shape[0])
    samples = audio.to(torch.float32) * (1 / 32768)
    features, _, _ = model.features(samples, state.tail, state.mean)
    if mask is not None:
        features = masked(features, mask, rng)
    frames = features.bands.shape[1] // SUBSAMPLING
    with torch.autocast(audio.device.type, torch.bfloat16, enabled=bfloat16):
        x, _ = model.front(features, state.front)
        for block, before in zip(model.blocks, state.blocks, strict=True):
            x, _ = block(x, before, frames)
    x = x.float()
    views, embeddings, _ = model.head(x, state.statistics, frames)
    return Heard(model.head.norm(x).reshape(audio.shape[0], frames, -1), embeddings, views)


def masked(features: Features, config: MaskConfig, rng: np.random.Generator) -> Features:
    """The same with a run of bands at 0 in some rows, a run of lines in others, and all lines in a share of them."""
    bands, lines = features
    bands = bands * torch.from_numpy(band_masks(bands.shape[0], bands.shape[2], config, rng)).to(bands)
    if lines is not None:
        kept = band_masks(lines.shape[0], lines.shape[2], config, rng)
        kept[rng.random(len(kept)) < config.lines] = 0
        lines = lines * torch.from_numpy(kept).to(lines)
    return Features(bands, lines)


def band_masks(rows: int, bands: int, config: MaskConfig, rng: np.random.Generator) -> np.ndarray:
    """float32 [rows, 1, bands] of ones, with a run of zeros in a share of the rows."""
    masks = np.ones((rows, 1, bands), dtype=np.float32)
    for row in masks:
        if rng.random() < config.odds:
            width = int(rng.integers(1, config.bands + 1))
            start = int(rng.integers(0, bands - width + 1))
            row[0, start : start + width] = 0
    return masks
