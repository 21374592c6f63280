"""The people and recordings that simulated callers are made of, read from a corpus folder.

Plain speech is the corpus's own, by speaker and repository; what people did on purpose is its folder `challenge` with
a manifest of the columns path, split, activity and speaker; music and noises are its folder `noise`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.corpus import Clip, read_corpus, read_speech
from models.identity import trials
from models.manifests import read_table
from vivavoce.callers import Person, Recording, Stock
from vivavoce.manners import RATE, Samples

TALK_S = 8.0  # plain speech before a question
SPARE_S = 4.5  # at least so much more to make answers of
COLUMNS = ("path", "split", "activity", "speaker")


def read_people(corpus: Path, split: str, limit: int, rng: random.Random) -> list[Person]:
    """At most `limit` people of `split` with enough plain speech, drawn by `rng`. ValueError when there is none."""
    by_voice: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in read_corpus(corpus, [split]):
        if clip.bonafide and trials.person(clip.speaker):
            by_voice[clip.speaker, clip.repo].append(clip)
    found: dict[str, list[Clip]] = {}
    for (speaker, _), clips in sorted(by_voice.items()):
        if len(clips) > 1 and sum(clip.duration_s for clip in clips) >= TALK_S + SPARE_S:
            found.setdefault(speaker, clips)
    if not found:
        raise ValueError(f'{corpus}: nobody in split "{split}" is heard for {TALK_S + SPARE_S:g} s in two recordings or more')
    chosen = rng.sample(sorted(found), min(limit, len(found)))
    people = [_person(name, found[name]) for name in chosen]
    return [one for one in people if one is not None]


def read_recorded(corpus: Path, stock: Stock) -> list[Person]:
    """The people of the stock's recordings, of whom the corpus has plain speech too, in whichever split."""
    names = {recording.speaker for recording in stock.recordings}
    known = {recording.samples[:RATE].tobytes() for recording in stock.recordings}
    parts: dict[str, list[Samples]] = defaultdict(list)
    for clip in read_corpus(corpus):
        if clip.bonafide and clip.speaker in names and trials.person(clip.speaker):
            samples = read_speech(clip.path)
            if samples[:RATE].tobytes() not in known:  # the same file may be in both manifests
                parts[clip.speaker].append(samples)
    voices = {name: np.concatenate(found) for name, found in sorted(parts.items())}
    half = {name: len(voice) // 2 for name, voice in voices.items() if len(voice) >= 4 * RATE}
    return [Person(name, voices[name][: min(n, round(TALK_S * RATE))], voices[name][n:]) for name, n in half.items()]


def _person(name: str, clips: Sequence[Clip]) -> Person | None:
    parts = [read_speech(clip.path) for clip in clips]
    talk: list[Samples] = []
    while len(parts) > 1 and sum(map(len, talk)) < TALK_S * RATE:
        talk.append(parts.pop(0))
    spare = np.concatenate(parts)
    if len(spare) < SPARE_S * RATE / 2:
        return None
    return Person(name, np.concatenate(talk)[: round(TALK_S * RATE)], spare)


def read_stock(corpus: Path, split: str, vocoders: Path | None = None) -> Stock:
    """Recordings of activities, of `split` where it has any of an activity, else of the others; and what is played back."""
    recordings = read_recordings(corpus / "challenge")
    kept = [
        r for r in recordings if r.split == split or not any(o.split == split and o.activity == r.activity for o in recordings)
    ]
    return Stock(kept, _played(corpus, kept), _neural(vocoders))


def read_recordings(folder: Path) -> list[Recording]:
    """Every row of the manifest. FileNotFoundError without one, ValueError for a column that is not there."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise FileNotFoundError(f"no recordings of answers: {manifest} does not exist")
    rows = [row for row, _ in read_table(manifest, COLUMNS)[1]]
    return [Recording(r["activity"], r["speaker"], r["split"], read_speech(folder / r["path"])) for r in rows]


def read_noises(folder: Path, *kinds: str) -> list[Samples]:
    """Noises of these kinds (default: all that are no room response), at 8 kHz; none without a manifest."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return []
    rows = [row for row, _ in read_table(manifest, ("path", "kind"))[1] if row["kind"] not in ("rir", "device_ir")]
    return [read_speech(folder / row["path"]) for row in rows if not kinds or row["kind"] in kinds]


def _played(corpus: Path, recordings: Sequence[Recording]) -> dict[str, Samples]:
    """What sounds in the playback challenges: a crowd of voices, music, and music with singing."""
    crowd, music = read_noises(corpus / "noise", "babble"), read_noises(corpus / "noise", "music")
    sung = [r.samples for r in recordings if r.activity == "singing_note"]
    played: dict[str, Samples] = {}
    if crowd:
        played["crosstalk"] = crowd[0]
    if music:
        played["instrumental-playback"] = music[0]
    if music and sung:
        song = np.resize(np.concatenate(sung), len(music[0])).astype(np.int32)
        played["lyric-playback"] = ((music[0].astype(np.int32) + song) // 2).astype(np.int16)
    return played


def _neural(vocoders: Path | None) -> Callable[[Samples, int], Samples] | None:
    """HiFi-GAN's voice conversion; None without its weights."""
    weights = None if vocoders is None else vocoders / "hifigan_v3_fp16.tflite"
    if weights is None or not weights.is_file():
        return None
    try:
        from scipy.signal import resample_poly

        from models.vocoders import HifiGan, fit_length
    except ImportError as error:
        raise ValueError(f"simulated callers need the extra: pip install 'vivavoce[train]' ({error})") from None
    net = HifiGan(weights)

    def convert(samples: Samples, seed: int) -> Samples:
        wide = resample_poly(samples.astype(np.float64) / 32768, 2, 1)
        made = resample_poly(net.convert(wide, np.random.default_rng(seed)), 1, 2)
        out: Samples = np.clip(np.rint(fit_length(made, len(samples)) * 32768), -32768, 32767).astype(np.int16)
        return out

    return convert
