"""Batches for training: pairs first, then balance over repositories, speakers and generators.

A batch holds rows of one crop length. Copy pairs are a real clip and a copy of it, cut at the same place and sent
through the same channel; repository pairs are a person and a fake published together. Everything is drawn from
one generator, so a seed fixes the whole run.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from models.channel import ChannelConfig, apply, draw
from models.corpus import RATE, read_speech
from models.manifests import read_table
from models.store import AudioStore, Entry

log = logging.getLogger(__name__)

Samples = NDArray[np.int16]
FRAME = 320  # samples per model frame, 40 ms
SPEEDS = ((10, 9), (16, 15), (15, 16), (10, 11))  # samples after and before: above 1 is slower


@dataclass(frozen=True)
class BatchConfig:
    rows: int = 32  # even
    crop_s: float = 3.2
    copy_pairs: float = 0.45  # share of rows in (real clip, its copy) pairs
    repository_pairs: float = 0.2  # share of rows in (person, fake) pairs of one repository
    speed: float = 0.0  # share of the rows and pairs played up to a tenth faster or slower: more voices, same artefacts
    coded: float = 0.4  # share of the rows and pairs not left clean that pass a speech codec first
    paths: Mapping[str, float] = field(  # how often each kind of copy is taken against a plain 1
        default_factory=lambda: {"hifigan": 3.0, "hifigan-convert": 3.0, "world": 2.0, "mel-smooth": 0.5}
    )
    flatness: float = 0.5  # a group of n clips is drawn with weight n ** flatness: 0 equal groups, 1 equal clips


@dataclass(frozen=True)
class Batch:
    audio: Samples  # [rows, n] at 8 kHz
    quiet: Samples  # [rows, n]: the same before any codec or telephone
    bonafide: NDArray[np.float32]  # [rows] 1 person, 0 fake
    speech: NDArray[np.float32]  # [rows, n / 320]: 1 where the clean crop has speech, else 0
    pair: NDArray[np.int64]  # [rows] index of the row's copy partner, or -1
    shared: NDArray[np.bool_]  # [rows] the row's person or fake is of the same repository as its neighbour's


class Crop(NamedTuple):
    """One row of a batch: what came over the line, what went in, where it holds speech."""

    audio: Samples
    quiet: Samples
    speech: NDArray[np.float32]


class Groups:
    """Clips in groups of groups, drawn level by level so that large groups do not drown small ones."""

    def __init__(self, keyed: Iterable[tuple[str, str, Entry]], flatness: float) -> None:
        tree: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for outer, inner, entry in keyed:
            tree[outer][inner].append(entry)
        self._outer = [list(inner.values()) for inner in tree.values()]
        sizes = np.array([sum(map(len, inner)) for inner in self._outer], dtype=float)
        self._weights = sizes**flatness / max((sizes**flatness).sum(), 1e-9)

    def __bool__(self) -> bool:
        return bool(self._outer)

    def draw(self, rng: np.random.Generator) -> Entry:
        inner = self._outer[int(rng.choice(len(self._outer), p=self._weights))]
        entries = inner[int(rng.integers(len(inner)))]
        return entries[int(rng.integers(len(entries)))]


class Sampler:
    """Draws batches from a store of originals, copies and their coded versions."""

    def __init__(
        self,
        store: AudioStore,
        batch: BatchConfig,
        channel: ChannelConfig,
        noises: Sequence[Samples],
        rooms: Sequence[Samples],
    ) -> None:
        if not any(e.label == "bonafide" for e in store.entries) or all(e.label == "bonafide" for e in store.entries):
            raise ValueError("training needs both bona fide and spoof clips")
        self._store, self._config, self._channel = store, batch, channel
        self._noises, self._rooms = noises, rooms
        clean = [entry for entry in store.entries if not entry.coding]
        self._coded = {(e.source, e.generator): e for e in store.entries if e.coding}
        people = [entry for entry in clean if entry.label == "bonafide"]
        fakes = [entry for entry in clean if entry.label == "spoof" and not entry.copy]
        flat = batch.flatness
        self._people = Groups(((e.repo, e.speaker or e.source, e) for e in people), flat)
        self._fakes = Groups(((e.generator or e.repo, e.repo, e) for e in fakes), flat)
        self._copies: dict[str, list[Entry]] = defaultdict(list)
        for entry in clean:
            if entry.copy:
                self._copies[entry.source].append(entry)
        copied = [e for e in people if e.source in self._copies]
        self._copied = Groups(((e.repo, e.speaker or e.source, e) for e in copied), flat)
        self._shared = _shared_repositories(people, fakes)

    @property
    def fingerprint(self) -> str:
        """Of the clips that are trained on: others, or others of the same names, have another. Not of copies: a cache that is
        shared gains some when other runs need them."""
        clips = (e for e in self._store.entries if not e.copy and not e.coding)
        lines = sorted(f"{e.source}\t{e.label}\t{e.length}\t{e.crc}" for e in clips)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def draw(self, rng: np.random.Generator, ease: float = 0.0) -> Batch:
        """The next batch. `ease` from 1 (every channel clean) to 0 (as configured) lets training begin gently."""
        clean = self._channel.clean + ease * (1 - self._channel.clean)
        lines = replace(self._channel, clean=clean)
        rows: list[tuple[Crop, float, int, bool]] = []
        size = self._config.rows
        while len(rows) < size:
            kind = rng.random()
            at = len(rows)
            if kind < self._config.copy_pairs and self._copied:
                real = self._copied.draw(rng)
                copy = self._draw_copy(real, rng)
                cuts = self._cut((real, copy), True, lines, rng)
                for entry, row, partner in zip((real, copy), cuts, (at + 1, at), strict=True):
                    rows.append((row, float(entry.label == "bonafide"), partner, True))
            else:
                pair = self._unlike_pair(kind, rng)
                shared = pair[0].repo == pair[1].repo
                for entry, row in zip(pair, self._cut(pair, False, lines, rng), strict=True):
                    rows.append((row, float(entry.label == "bonafide"), -1, shared))
        rows = rows[:size]
        return Batch(
            audio=np.stack([crop.audio for crop, *_ in rows]),
            quiet=np.stack([crop.quiet for crop, *_ in rows]),
            speech=np.stack([crop.speech for crop, *_ in rows]),
            bonafide=np.array([row[1] for row in rows], dtype=np.float32),
            pair=np.array([row[2] for row in rows], dtype=np.int64),
            shared=np.array([row[3] for row in rows], dtype=np.bool_),
        )

    def _draw_copy(self, real: Entry, rng: np.random.Generator) -> Entry:
        options = self._copies[real.source]
        weights = np.array([self._config.paths.get(e.generator.removeprefix("copy:"), 1.0) for e in options])
        return options[int(rng.choice(len(options), p=weights / weights.sum()))]

    def _unlike_pair(self, kind: float, rng: np.random.Generator) -> tuple[Entry, Entry]:
        """A person and a fake: of one repository, or each drawn from all."""
        if kind < self._config.copy_pairs + self._config.repository_pairs and self._shared:
            people, fakes = self._shared[int(rng.integers(len(self._shared)))]
            return people[int(rng.integers(len(people)))], fakes[int(rng.integers(len(fakes)))]
        return self._people.draw(rng), self._fakes.draw(rng)

    def _cut(
        self, entries: tuple[Entry, Entry], same_place: bool, lines: ChannelConfig, rng: np.random.Generator
    ) -> list[Crop]:
        """Both entries cropped and sent through one channel; at the same place when they say the same words."""
        length = int(self._config.crop_s * RATE) // FRAME * FRAME
        channel = draw(lines, rng, len(self._noises), len(self._rooms))
        coded = rng.random() < self._config.coded * (1 - lines.clean)
        place = rng.random()
        up, down = SPEEDS[int(rng.integers(len(SPEEDS)))] if rng.random() < self._config.speed else (1, 1)
        out = []
        for entry in entries:
            chosen = self._coded.get((entry.source, entry.generator), entry) if coded else entry
            at = place if same_place else float(rng.random())
            crop, quiet = (self._crop(one, at, length, (up, down)) for one in (chosen, entry))
            out.append(Crop(apply(crop, channel, self._noises, self._rooms), quiet, speech_frames(crop)))
        return out

    def _crop(self, entry: Entry, place: float, length: int, speed: tuple[int, int]) -> Samples:
        up, down = speed
        source = cut(self._store.samples(entry), -(-length * down // up), place)
        return source if up == down else resampled(source, up, down)[:length]


def _shared_repositories(people: list[Entry], fakes: list[Entry]) -> list[tuple[list[Entry], list[Entry]]]:
    repos = {entry.repo for entry in people} & {entry.repo for entry in fakes}
    return [([e for e in people if e.repo == r], [e for e in fakes if e.repo == r]) for r in sorted(repos)]


def cut(samples: Samples, length: int, place: float) -> Samples:
    """`length` samples beginning at `place` (0-1) of what can begin; a short clip is repeated with 0.2 s between."""
    if len(samples) < length:
        gap = np.zeros(RATE // 5, dtype=np.int16)
        one = np.concatenate([samples, gap])
        samples = np.tile(one, -(-2 * length // len(one)))
        start = int(place * (len(one) - 1))
    else:
        start = int(place * (len(samples) - length))
    return samples[start : start + length]


def resampled(samples: Samples, up: int, down: int) -> Samples:
    """Band-limited change of length (and so of pace and pitch) by up / down."""
    changed: NDArray[np.float32] = resample_poly(samples.astype(np.float32), up, down)
    return np.clip(np.rint(changed), -32768, 32767).astype(np.int16)


def speech_frames(samples: Samples) -> NDArray[np.float32]:
    """[n / 320] of 1 and 0: 40 ms frames within 30 dB of the loud ones."""
    power = (samples.reshape(-1, FRAME).astype(np.float32) ** 2).mean(axis=1)
    loud = np.sort(power)[int(0.9 * (len(power) - 1))]
    speech: NDArray[np.float32] = (power > max(loud * 1e-3, 25.0)).astype(np.float32)
    return speech


def read_noises(folder: Path, *, hold_out: bool, split: str = "train") -> tuple[list[Samples], list[Samples]]:
    """(noises, room responses) of the corpus's noise folder that may be trained on.

    `hold_out=True` returns the fifth of the noises kept for dev instead, and no rooms. Dev has no noises of its own;
    of another split than train all noises are returned. Empty lists without a manifest.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        log.warning("%s does not exist: no noisy lines, and no rooms", manifest)
        return [], []
    rows = [row for row, _ in read_table(manifest, ("path", "split", "kind"))[1] if row["split"] == split]
    noises = [row for row in rows if row["kind"] not in ("rir", "device_ir")]
    rooms = [row for row in rows if row["kind"] == "rir"]
    kept = [row for i, row in enumerate(noises) if split != "train" or (i % 5 == 0) == hold_out]
    return (
        [read_speech(folder / row["path"]) for row in kept],
        [] if hold_out else [read_speech(folder / row["path"]) for row in rooms],
    )
