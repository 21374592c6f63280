"""Fill the cache: every original clip at 8 kHz, and copy-synthesis of the real ones (vocoders.py).

Which clip is copied how is fixed by names and a seed, never by the order of work, so a run can be stopped, resumed
or widened. Copies get the level and the sample rounding of their originals: neither may tell the two apart.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.corpus import RATE, Clip, UnreadableError, read_audio, read_speech, resample
from models.store import AudioStore, Entry, crc_of
from models.vocoders import RATE as VOCODER_RATE
from models.vocoders import Vocoder, vocoders

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class CopyPlan:
    """Minutes of real speech to copy per path; a path that is missing is kept out (a held-out test of dev)."""

    minutes: Mapping[str, float]
    seed: int = 20261121
    min_s: float = 0.8  # shorter clips are not copied

    def jobs(self, clips: list[Clip]) -> Iterator[tuple[Clip, str]]:
        for path, minutes in self.minutes.items():
            left = minutes * 60
            for clip in spread(clips, f"{self.seed}:{path}"):
                if left <= 0:
                    break
                if clip.bonafide and clip.duration_s >= self.min_s:
                    left -= clip.duration_s
                    yield clip, path


TRAIN_PLAN = CopyPlan(
    {
        "lpc": 1e9, "mel-smooth": 1e9, "world": 1e9, "hifigan": 62.0, "sinusoidal": 60.0, "hifigan-convert": 62.0,
        "istft": 1e9, "istft-convert": 1e9, "waves": 70.0, "waves-convert": 40.0, "tokens": 1e9, "tokens-convert": 60.0,
        "harmonics": 70.0, "harmonics-convert": 40.0,
    }
)  # fmt: skip
MORE_PLAN = CopyPlan(  # of real speech from outside the corpus
    {
        "lpc": 1e9, "mel-smooth": 1e9, "world": 1e9, "hifigan-convert": 60.0, "sinusoidal": 50.0, "hifigan": 32.0,
        "istft": 50.0, "istft-convert": 50.0, "waves": 30.0, "waves-convert": 20.0, "tokens": 50.0, "tokens-convert": 30.0,
        "harmonics": 30.0, "harmonics-convert": 20.0,
    }
)  # fmt: skip
DEV_PLAN = CopyPlan(
    {
        "griffin-lim": 12.0, "world": 8.0, "lpc": 8.0, "mel-smooth": 8.0, "sinusoidal": 8.0, "hifigan": 8.0,
        "istft": 8.0, "istft-convert": 8.0,
    }
)  # fmt: skip

# Paths that no training may use, with what kind each is: `vivavoce evaluate --copies` tests with them (held_out.py).
# Neural codecs are reported apart: they carry real speech on ordinary networks too.
NEURAL_CODEC = "neural codec"
HELD_OUT: Mapping[str, str] = {
    "griffin-lim": "phase recovery",
    "cepstral": "source and filter",
    "lyra": NEURAL_CODEC,
    "hn-nsf": "neural source-filter",
}
HELD_OUT_PLAN = CopyPlan(dict.fromkeys(HELD_OUT, 1e9) | {"hn-nsf": 6.0})  # slow: a sample of the speakers, and last


def name_seed(text: str) -> int:
    return zlib.crc32(text.encode())


def spread(clips: list[Clip], salt: str) -> list[Clip]:
    """The clips in an order that visits every speaker and repository once before any of them twice."""
    taken: dict[str, int] = defaultdict(int)
    ranked = []
    for clip in sorted(clips, key=lambda c: name_seed(salt + c.name)):
        who = clip.speaker or clip.name
        ranked.append((max(taken[who], taken[clip.repo] // 4), name_seed(clip.name + salt), clip))
        taken[who] += 1
        taken[clip.repo] += 1
    return [clip for _, _, clip in sorted(ranked, key=lambda item: item[:2])]


def copy_speech(original: Samples, rate: int, vocoder: Vocoder, seed: int) -> Samples:
    """A copy of int16 [n] at `rate` Hz through `vocoder`, back at `rate`, with the original's level and rounding."""
    rng = np.random.default_rng(seed)
    wide = resample(original, rate, VOCODER_RATE).astype(np.float64) / 32768
    dither = rng.standard_normal(len(wide)) * 1e-5  # analysis divides by the power of digital silence otherwise
    made = vocoder(wide + dither, rng)
    made = made * active_level(wide) / max(active_level(made), 1e-6)
    step = rounding_step(original)
    pcm = np.clip(np.rint(made * 32768 / step) * step, -32768, 32767).astype(np.int16)
    return resample(pcm, VOCODER_RATE, rate)


def active_level(signal: NDArray[np.float64]) -> float:
    """RMS of the louder half of 20 ms blocks."""
    blocks = signal[: len(signal) // 320 * 320].reshape(-1, 320)
    if not len(blocks):
        return float(np.sqrt(np.mean(signal**2)))
    power = np.sort((blocks**2).mean(axis=1))
    return float(np.sqrt(power[len(power) // 2 :].mean()))


def rounding_step(samples: Samples) -> int:
    """The largest power of two that divides every sample, at most 256."""
    bits = int(np.bitwise_or.reduce(np.abs(samples.astype(np.int32)))) | 256
    return bits & -bits


def add_originals(store: AudioStore, clips: list[Clip], skip: Callable[[UnreadableError], None] | None = None) -> list[Clip]:
    """Those that the store lacks; returns the clips that it has now. ValueError when it holds one of that name from another
    file. One that cannot be read is told to `skip`, and raises without it."""
    kept = {entry.source: entry for entry in store.entries if not entry.copy and not entry.coding}
    for clip in clips:
        if clip.name in kept and not _is_of(kept[clip.name], clip.path):
            raise ValueError(f"{store} holds another {clip.name} than {clip.path}: give this corpus a cache of its own")
    todo = [clip for clip in clips if (clip.name, clip.generator, "") not in store]
    with store:
        for clip in tqdm(todo, desc="originals", unit="clip", disable=not todo):
            try:
                speech = read_speech(clip.path)
            except UnreadableError as error:
                if skip is None:
                    raise
                skip(error)
                continue
            file = (clip.path.stat().st_size, crc_of(clip.path))
            store.add(speech, *file, **_fields(clip, clip.label, clip.generator))
    return [clip for clip in clips if (clip.name, clip.generator, "") in store]


def _is_of(entry: Entry, path: Path) -> bool:
    """Whether an entry was read from a file as it is now, as far as was noted then."""
    same = entry.octets in (0, path.stat().st_size)
    return same and (not entry.crc or entry.crc == crc_of(path))


def timed(clips: list[Clip], store: AudioStore) -> list[Clip]:
    """The clips with the length that the store has of them, where their table tells none."""
    lengths = {entry.source: entry.length / RATE for entry in store.entries if not entry.copy and not entry.coding}
    return [c if c.duration_s else replace(c, duration_s=lengths.get(c.name, 0.0)) for c in clips]


def add_copies(
    store: AudioStore,
    clips: list[Clip],
    plan: CopyPlan,
    weights: Path | None,
    paths: Mapping[str, Vocoder] | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Make the copies of `plan` that the store, which holds the originals, lacks by `paths` (default: vocoders.py's). Paths
    that are absent are skipped.

    `only`: make those of these names and of no other, so that a part of the clips is copied as it is in the whole.
    """
    paths = vocoders(weights) if paths is None else paths
    jobs = [(c, p) for c, p in plan.jobs(timed(clips, store)) if p in paths and (c.name, f"copy:{p}", "") not in store]
    jobs = [(clip, path) for clip, path in jobs if only is None or clip.name in only]
    with store:
        for clip, path in tqdm(jobs, desc="copies", unit="copy", disable=not jobs):
            original, rate = read_audio(clip.path)
            made = copy_speech(original, rate, paths[path], name_seed(f"{plan.seed}:{path}:{clip.name}"))
            store.add(resample(made, rate, RATE), **_fields(clip, "spoof", f"copy:{path}"))


def _fields(clip: Clip, label: str, generator: str) -> dict[str, str]:
    return {
        "source": clip.name,
        "label": label,
        "generator": generator,
        "repo": clip.repo,
        "speaker": clip.speaker,
        "coding": "",
    }
