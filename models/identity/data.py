"""What the student learns from: every clip of `train` at 8 kHz, its pauses cut, and the vector it should become."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from models.corpus import Clip, read_corpus
from models.identity.embed import RATE, Samples, Vector, net_speech
from models.identity.net import SIZE
from models.identity.space import Space, fit
from models.identity.teacher import SPEEDS
from models.identity.trials import Side, person, sides, through_g711
from models.store import AudioStore, Entry


@dataclass(frozen=True)
class Item:
    """One clip at one speed."""

    variants: tuple[Samples, ...]  # as it is, and through speech codecs; int16 at 8 kHz, net speech
    target: Vector  # unit length
    person: int  # index of a person at a speed, -1 for fakes and nobody in particular
    group: str  # what it is balanced by


def load_items(corpus: Path, cache: Path, teacher: Path) -> list[Item]:
    """Every clip that a teacher's file in `teacher` knows and that has half a second of speech."""
    clips = {clip.name: clip for clip in read_corpus(corpus, ["train"])}
    store = AudioStore(cache / "train")
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in store.entries:
        if not entry.copy and entry.source in clips:
            found[entry.source].append(entry)
    files = {speed: np.load(teacher / f"{speed}.npz") for speed in SPEEDS if (teacher / f"{speed}.npz").is_file()}
    space = teacher_space(clips, files["1.00"])
    people: dict[str, int] = {}
    items = []
    for speed, file in files.items():
        for name, target in zip(file["names"], space(file["vectors"]), strict=True):
            if not (variants := _variants(store, found[str(name)], speed)):
                continue
            clip = clips[str(name)]
            who = person(clip.speaker) if clip.bonafide else ""
            index = people.setdefault(f"{speed}:{who}", len(people)) if who else -1
            items.append(Item(variants, target, index, who or f"{clip.repo}:{clip.generator}"))
    return items


def _variants(store: AudioStore, entries: list[Entry], speed: str) -> tuple[Samples, ...]:
    """The plain clip first. Codecs' work is not played at other speeds."""
    ordered = sorted(entries, key=lambda entry: entry.coding)
    up, down = SPEEDS[speed]
    ordered = [entry for entry in ordered if speed == "1.00" or not entry.coding]
    cut = [net_speech(_resampled(store.samples(entry), up, down)) for entry in ordered]
    return tuple(speech for speech in cut if len(speech) >= RATE // 2)


def _resampled(samples: Samples, up: int, down: int) -> Samples:
    if up == down:
        return np.asarray(samples)
    played = resample_poly(samples.astype(np.float32), up, down)
    rounded: Samples = np.clip(np.rint(played), -32768, 32767).astype(np.int16)
    return rounded


def teacher_space(clips: dict[str, Clip], file: dict[str, NDArray[np.float32]]) -> Space:
    """Fitted on the people of `train`."""
    names = [str(name) for name in file["names"]]
    who = np.array([person(clips[name].speaker) if clips[name].bonafide else "" for name in names])
    return fit(file["vectors"][who != ""], who[who != ""], SIZE)


def dev_sides(corpus: Path, cache: Path, seconds: float = 3.0, split: str = "dev") -> list[Side]:
    """The people of a split, `seconds` of net speech each, through G.711."""
    store = AudioStore(cache / split)
    plain = {entry.source: entry for entry in store.entries if not entry.copy and not entry.coding}
    clips = [clip for clip in read_corpus(corpus, [split]) if clip.bonafide and clip.name in plain]
    return sides(clips, lambda clip: through_g711(store.samples(plain[clip.name])), seconds)
