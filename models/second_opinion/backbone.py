"""The front end: telephone speech through the lower layers of wav2vec 2.0, XLS-R, HuBERT or WavLM.

Weights come from a folder or from the Hugging Face hub, through transformers. Whole windows of one length go in, never
padded ones: the small models normalise their first convolution over time, so silence at the end would change every
frame before it.
"""

from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn

KINDS = ("wav2vec2", "hubert", "wavlm")  # model_type in config.json; XLS-R is a wav2vec2
RATE = 16000  # Hz, what these models were trained on
COLLECT = ("sum", "last")
NEEDED = ("feature_extractor.", "feature_projection.", "encoder.layers.")  # weights that must not be made up
FAULTS = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)

transformers.logging.set_verbosity_error()  # what matters is raised here, as a sentence


class Backbone(nn.Module):
    """8 kHz windows [B, n] in +-1 -> frames of 20 ms [B, T, width], of `layers` lower layers (0: all).

    `collect` is "sum", a learned weighted sum of all kept layers, or "last", the highest kept one. The convolutions
    below the layers are never trained; a frozen backbone stays in evaluation mode, without gradients.
    """

    def __init__(self, inner: Any, *, normalise: bool, layers: int = 0, collect: str = "sum", frozen: bool = True) -> None:
        super().__init__()
        known = len(inner.encoder.layers)
        if not 0 <= layers <= known:
            raise ValueError(f"layers = {layers}: the model has {known}")
        if collect not in COLLECT:
            raise ValueError(f"collect = {collect!r}: known are {' and '.join(COLLECT)}")
        _simplify(inner, layers or known)
        self.inner, self.normalise, self.collect, self.frozen = inner, normalise, collect, frozen
        self.width = int(inner.config.hidden_size)
        self.weights = nn.Parameter(torch.zeros((layers or known) + 1)) if collect == "sum" else None
        inner.requires_grad_(not frozen)
        inner.feature_extractor.requires_grad_(False)
        if hasattr(inner, "masked_spec_embed"):
            inner.masked_spec_embed.requires_grad = False  # nothing is masked
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        self.inner.train(mode and not self.frozen)
        self.inner.feature_extractor.eval()  # in training mode it would keep what gradients need, though it has none
        return self

    def forward(self, audio: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            wide = twice(audio)
            if self.normalise:
                wide = (wide - wide.mean(1, keepdim=True)) / torch.sqrt(wide.var(1, keepdim=True, correction=0) + 1e-7)
            states = self.inner(wide, output_hidden_states=True).hidden_states
            if self.weights is None:
                return F.layer_norm(states[-1].float(), (self.width,))
            even = torch.stack([F.layer_norm(state.float(), (self.width,)) for state in states])
        return torch.einsum("l,lbtd->btd", self.weights.softmax(0), even)

    def description(self) -> str:
        """All but the weights, as JSON that `rebuilt` takes."""
        return json.dumps({"config": self.inner.config.to_dict(), "normalise": self.normalise})


def _simplify(inner: Any, layers: int) -> None:
    """Keep the lower layers; take out what would differ between runs or between versions of transformers."""
    inner.encoder.layers = inner.encoder.layers[:layers]
    inner.config.num_hidden_layers = layers
    inner.config.layerdrop = 0.0  # a skipped layer would be missing from the sum
    inner.config.apply_spec_augment = False  # draws from numpy's global state, which no checkpoint holds
    if getattr(inner.config, "do_stable_layer_norm", False):
        inner.encoder.layer_norm = nn.Identity()  # fitted to the topmost layer; every layer is normalised by us


def read(source: str) -> tuple[Any, bool]:
    """(model, whether it wants audio of zero mean and unit variance) of a folder or hub name. ValueError is a sentence."""
    folder = Path(source).expanduser()
    here = folder.is_dir()
    if here and not (folder / "config.json").is_file():
        raise ValueError(f"{source} holds no model: config.json is missing")
    if not here and (source.startswith((".", "/", "~")) or source.count("/") != 1):
        raise ValueError(f"{source} is neither a folder here nor the name of a model on the hub (OWNER/NAME)")
    name = str(folder) if here else source
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        if config.model_type not in KINDS:
            raise ValueError(f"it is a {config.model_type!r}; known are {', '.join(KINDS)}")
        model, found = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
        if absent := sorted(key for key in found["missing_keys"] if key.startswith(NEEDED)):
            raise ValueError(f"{len(absent)} weights are missing, {absent[0]} first")
    except FAULTS as error:
        raise ValueError(_sentence(source, error, here)) from None
    return model.float(), _wants_normalised(name, config)


def _sentence(source: str, error: Exception, here: bool) -> str:
    """What a user can do something about, instead of what transformers says over several lines."""
    if isinstance(error, OSError) and not here:
        return (
            f"{source} is no folder here and not in the hub's cache on this machine, and the hub cannot be reached or does "
            "not know it; fetch the model where there is a network, and name its folder"
        )
    reason = " ".join(str(error).split("\n")[0].split())
    if "ignore_mismatched_sizes" in reason or "loading state_dict" in reason:  # transformers 5, 4
        reason = "the weights are not of the shape that config.json says"
    return f"{source} cannot be loaded: {reason}"


def rebuilt(description: str) -> tuple[Any, bool]:
    """The inverse of Backbone.description, weights as they are initialised."""
    table = json.loads(description)
    config = transformers.AutoConfig.for_model(**table["config"])
    return transformers.AutoModel.from_config(config), bool(table["normalise"])


def _wants_normalised(name: str, config: Any) -> bool:
    """As its preprocessor_config.json says; without one, as the large models do and the small ones do not."""
    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(name)
    except FAULTS:
        return bool(config.feat_extract_norm == "layer")
    if extractor.sampling_rate != RATE:
        raise ValueError(f"{name} hears {extractor.sampling_rate} Hz; {RATE} Hz is what the front end gives")
    return bool(extractor.do_normalize)


@cache
def _between(half: int = 32) -> Tensor:
    """Taps [1, 1, 2 * half] for the value half-way between the middle two samples: a sinc under a Kaiser window."""
    at = np.arange(2 * half) - half + 0.5
    taps = np.sinc(at) * np.kaiser(2 * half, 6.0)
    return torch.from_numpy((taps / taps.sum()).astype(np.float32))[None, None]


def twice(audio: Tensor) -> Tensor:
    """[B, n] at 8 kHz -> [B, 2n] at 16 kHz: the samples themselves, and between them what a band limit implies."""
    taps = _between().to(audio)
    half = taps.shape[2] // 2
    between = F.conv1d(F.pad(audio[:, None], (half - 1, half)), taps)[:, 0]
    return torch.stack([audio, between], dim=2).reshape(audio.shape[0], -1)
