"""The embeddings behind a model's scores, clip by clip and chunk by chunk, from the file that serves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.calibrate import FORGET_S, running_level, speech_per_chunk, under
from models.calibration import Calibration
from models.corpus import Clip, read_speech
from models.runtime import OnnxModel

Floats = NDArray[np.float32]
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Heard:
    """One clip under one condition, as the model heard it. n chunks, H the width of the embedding."""

    clip: Clip
    condition: str
    embeddings: Floats  # [n, H]
    scores: Floats  # [n]
    speech: NDArray[np.float64]  # [n] seconds of speech in each chunk

    @property
    def centre(self) -> NDArray[np.float64]:
        """[H] mean embedding, by speech."""
        mean: NDArray[np.float64] = self.speech @ self.embeddings.astype(np.float64) / self.speech.sum()
        return mean

    @property
    def score(self) -> float:
        """Mean raw score as a call has it at its end."""
        return running_level(self.scores, self.speech, 0.0, 0.0)

    def level(self, calibration: Calibration) -> float:
        """What that calibration makes a log-likelihood ratio of."""
        return running_level(self.scores, self.speech, calibration.spread, calibration.warm_s)


def hear(
    model: OnnxModel,
    clips: Sequence[Clip],
    conditions: Sequence[str],
    noises: Sequence[Samples] = (),
    *,
    read: Callable[[Clip], Samples] = lambda clip: read_speech(clip.path),
    rows: int = 32,
) -> Iterator[Heard]:
    """Every clip under every condition (models.calibrate.CONDITIONS). Clips in which no speech is found are left out."""
    order = sorted(range(len(clips)), key=lambda i: clips[i].duration_s)
    with tqdm(total=len(clips), desc="embed", unit="clip") as bar:
        for start in range(0, len(order), rows):
            group = [(i, clips[i], read(clips[i])) for i in order[start : start + rows]]
            for condition in conditions:
                audio = [under(condition, samples, i, noises) for i, _, samples in group]
                streamed = stream(model, audio)
                for (_, clip, _), samples, (embeddings, scores) in zip(group, audio, streamed, strict=True):
                    speech = speech_per_chunk(samples, model.chunk_samples)
                    if speech.sum() > 0:
                        yield Heard(clip, condition, embeddings, scores, speech)
            bar.update(len(group))


def stream(model: OnnxModel, audio: Sequence[Samples]) -> list[tuple[Floats, Floats]]:
    """(embeddings [n, H], scores [n]) of every whole chunk of several recordings, streamed side by side."""
    chunk = model.chunk_samples
    counts = [len(a) // chunk for a in audio]
    block = np.zeros((len(audio), max(counts, default=0) * chunk), dtype=np.int16)
    for row, samples, count in zip(block, audio, counts, strict=True):
        row[: count * chunk] = samples[: count * chunk]
    state = model.init_state(len(audio))
    steps = []
    for start in range(0, block.shape[1], chunk):
        scores, embeddings, state = model.embed(np.ascontiguousarray(block[:, start : start + chunk]), state)
        steps.append((embeddings, scores))
    return [
        (np.stack([e[i] for e, _ in steps[:n]]), np.array([s[i] for _, s in steps[:n]], np.float32))
        if n
        else (np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
        for i, n in enumerate(counts)
    ]


def running(values: NDArray[np.float64], speech: NDArray[np.float64], forget_s: float = FORGET_S) -> NDArray[np.float64]:
    """Speech-weighted running means [n, ...] of values [n, ...] over chunks, as a call keeps them; nan before any speech."""
    total, weight, out = np.zeros(values.shape[1:]), 0.0, np.full(values.shape, np.nan)
    for index, (value, seconds) in enumerate(zip(values, speech, strict=True)):
        kept = math.exp(-seconds / forget_s)
        total, weight = total * kept + value * seconds, weight * kept + seconds
        if weight > 0:
            out[index] = total / weight
    return out
