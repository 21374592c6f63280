"""The kinds of vocoder that can be trained here, by name, with the shape that each is trained in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models import torch_files
from models.harmonic_vocoder import HarmonicVocoder
from models.neural_vocoder import NeuralVocoder, VocoderConfig
from models.token_vocoder import TokenVocoder
from models.wave_vocoder import WaveVocoder

AnyVocoder = NeuralVocoder | WaveVocoder
KINDS: Mapping[str, type[AnyVocoder]] = {
    "istft": NeuralVocoder,
    "waves": WaveVocoder,
    "tokens": TokenVocoder,
    "harmonics": HarmonicVocoder,
}
SHAPES: Mapping[str, VocoderConfig] = {
    "istft": VocoderConfig(),
    "waves": VocoderConfig("waves", fft=1024, hop=200, width=160, strides=(5, 5, 8)),
    "tokens": VocoderConfig("tokens", hop=160),
    "harmonics": VocoderConfig("harmonics", fft=1024, hop=160, width=160, strides=(4, 5, 8)),
}


def build_vocoder(shape: VocoderConfig) -> AnyVocoder:
    """An untrained vocoder. ValueError for a kind nobody knows."""
    if shape.kind not in KINDS:
        raise ValueError(f"unknown kind of vocoder {shape.kind!r}; one of {', '.join(KINDS)}")
    return KINDS[shape.kind](shape)


def load_snapshot(path: Path) -> AnyVocoder:
    """A vocoder in evaluation mode. ValueError when the file holds none."""
    found = torch_files.load(path, "snapshot of a vocoder")
    if not {"shape", "vocoder"} <= found.keys():
        raise ValueError(f"{path} is no snapshot of `vivavoce train-vocoder`")
    vocoder = build_vocoder(VocoderConfig(**found["shape"]))
    vocoder.load_state_dict(found["vocoder"])
    return vocoder.eval()
