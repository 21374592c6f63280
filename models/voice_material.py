"""What teaches whether somebody speaks: crops of voices, and of what a voice activity detector takes for one.

Voices are train's people and fakes, and people who whisper, sing or cry out; the rest is noise, coughs and claps, and what
is made here: tones as telephones have them, hum, coloured noise, clicks. All of it comes over simulated telephone lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.channel import ChannelConfig, apply, draw
from models.corpus import RATE, Clip, read_speech
from models.dataset import FRAME, cut, read_noises, speech_frames
from models.manifests import read_table

Samples = NDArray[np.int16]
Rng = np.random.Generator
CROP = 80 * FRAME  # samples: 3.2 s
LONG = 8 * CROP  # of what holds no voice: a tone goes on, and the model's running mean gets used to it
SHARES = (0.38, 0.12, 0.5)  # of the crops without a voice: noises, people's noises, tones and made noise
KINDS = (0.08, 0.64, 0.12, 0.06, 0.1)  # of what is made: any tone or two, telephones' tones, hum, coloured noise, clicks
VOICES = frozenset({  # activities of the folder `challenge` that are voices, and those that are none
    "whispering", "singing_note", "sustained_vowel", "accented_english", "breathy_voice", "calm", "emotional_angry",
    "emotional_disgust", "emotional_fear", "emotional_happy", "emotional_sad", "emotional_surprised", "exaggerated_speech",
    "high_pitch", "low_creaky_voice", "speaking_fast", "speaking_slow", "filled_pauses",
})  # fmt: skip
NONE = frozenset({
    "clapping", "coughing", "lip_popping", "lip_smacking", "nose_blowing", "panting", "sighing", "sneezing",
    "teeth_chattering", "throat_clearing", "tongue_clicking", "breathing",
})  # fmt: skip
NETWORK = (  # what callers and held lines hear most: Hz, of ITU-T E.180 and North America's precise tones
    (425,), (440, 480), (400, 450), (480, 620), (350, 440), (950, 1400), (440,), (1400,),
)  # fmt: skip
CADENCES = ((0.5, 0.5), (0.25, 0.25), (0.4, 0.2), (1.0, 4.0), (2.0, 4.0), (0.1, 0.4))  # s on and off, of the same
TONES = (350, 400, 425, 440, 450, 480, 620, 950, 1400, 1800, 697, 770, 852, 941, 1209, 1336, 1477, 1633)  # Hz, of telephones
SPOKEN = ChannelConfig(clean=0.15, noise=0.8)
UNSPOKEN = ChannelConfig(clean=0.1, noise=0.0, g711=0.8)  # noise is what they are


@dataclass(frozen=True)
class Material:
    """What crops are cut from, all int16 at 8 kHz."""

    voices: Sequence[Clip]
    unusual: Sequence[Samples]  # voices: whispered, sung, cried out
    bodies: Sequence[Samples]  # people without a voice: coughs, claps
    noises: Sequence[Samples]
    rooms: Sequence[Samples]


def read_material(corpus: Path, clips: Sequence[Clip]) -> Material:
    """Of the split train. The folders `challenge` and `noise` may be missing."""
    noises, rooms = read_noises(corpus / "noise", hold_out=False)
    unusual, bodies = (_activities(corpus / "challenge", names) for names in (VOICES, NONE))
    return Material(clips, unusual, bodies, noises, rooms)


def _activities(folder: Path, names: frozenset[str]) -> list[Samples]:
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return []
    table = read_table(manifest, ("path", "split", "activity"))[1]
    rows = [row for row, _ in table if row["split"] == "train" and row["activity"] in names]
    return [read_speech(folder / row["path"]) for row in rows]


def spoken(material: Material, count: int, rng: Rng) -> tuple[Samples, NDArray[np.float32]]:
    """(crops [count, CROP] of voices on telephone lines with noise, 1 where the clean crop speaks [count, frames])."""
    rows, frames = [], []
    for index in tqdm(range(count), desc="voices", unit="crop"):
        unusual = material.unusual and index % 6 == 5
        source = (
            material.unusual[int(rng.integers(len(material.unusual)))]
            if unusual
            else read_speech(material.voices[int(rng.integers(len(material.voices)))].path)
        )
        crop = cut(source, CROP, float(rng.random()))
        rows.append(_through(crop, SPOKEN, material, rng))
        frames.append(speech_frames(crop))
    return np.stack(rows), np.stack(frames)


def unspoken(material: Material, count: int, rng: Rng) -> Samples:
    """Crops [count, LONG] that hold no voice: noises, coughs and claps, tones of telephones, made noise."""
    pools = (material.noises, material.bodies)
    rows = []
    for _ in tqdm(range(count), desc="noises", unit="crop"):
        kind = int(rng.choice(3, p=SHARES))
        crop = _noise(pools[kind], rng) if kind < 2 and pools[kind] else made(rng)
        rows.append(_through(crop, UNSPOKEN, material, rng))
    return np.stack(rows)


def _noise(pool: Sequence[Samples], rng: Rng) -> Samples:
    """Somewhere of one, often backwards or with another over it, at any level."""
    crop = cut(pool[int(rng.integers(len(pool)))], LONG, float(rng.random())).astype(np.float64)
    if rng.random() < 0.3:
        crop = crop[::-1]
    if rng.random() < 0.3:
        other = cut(pool[int(rng.integers(len(pool)))], LONG, float(rng.random())).astype(np.float64)
        crop = crop + other * 10 ** (rng.uniform(-15, 5) / 20) * _rms(crop) / max(1.0, _rms(other))
    return _levelled(crop, rng)


def made(rng: Rng) -> Samples:
    """[LONG] of a pair of tones, one tone, hum, coloured noise or clicks; the first three may come and go."""
    at, kind = np.arange(LONG) / RATE, int(rng.choice(5, p=KINDS))
    if kind == 1 and rng.random() < 0.5:
        sound = np.sum([np.sin(2 * np.pi * hz * at) for hz in NETWORK[int(rng.integers(len(NETWORK)))]], axis=0)
    elif kind < 2:
        high, low = rng.choice(TONES, 2, replace=False) if kind else rng.uniform(200, 3000, 2)
        sound = np.sin(2 * np.pi * high * at) + (rng.random() < 0.6) * np.sin(2 * np.pi * low * at)
    elif kind == 2:
        mains = float(rng.choice((50.0, 60.0, 100.0, 120.0)))
        overtones = np.arange(1, 20)[:, None]
        phase = 2 * np.pi * mains * overtones * at + rng.uniform(0, 6, (19, 1))
        sound = (np.sin(phase) * rng.random((19, 1)) / overtones).sum(axis=0)
    elif kind == 3:
        spectrum = np.fft.rfft(rng.standard_normal(LONG))
        sound = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1) ** -rng.uniform(0, 1.2), LONG)
    else:
        sound = np.zeros(LONG)
        for place in np.cumsum(rng.exponential(rng.uniform(400, 4000), 480)).astype(int):
            click = rng.standard_normal(400) * np.exp(-np.arange(400) / rng.uniform(10, 150)) * rng.uniform(0.3, 1)
            sound[place : place + 400] += click[: max(0, LONG - place)]
    if kind < 3 and rng.random() < 0.7:
        drawn = kind < 2 and rng.random() < 0.5
        on, off = CADENCES[int(rng.integers(len(CADENCES)))] if drawn else (rng.uniform(0.1, 2.0), rng.uniform(0.1, 4.0))
        sound = sound * ((at + rng.uniform(0, 5)) % (on + off) < on)
    return _levelled(sound, rng)


def _rms(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt((sound**2).mean()))


def _levelled(sound: NDArray[np.float64], rng: Rng) -> Samples:
    gain = 10 ** (rng.uniform(-55, -12) / 20) * 32768 / max(1e-6, _rms(sound))
    out: Samples = np.clip(np.rint(sound * gain), -32768, 32767).astype(np.int16)
    return out


def _through(crop: Samples, lines: ChannelConfig, material: Material, rng: Rng) -> Samples:
    channel = draw(lines, rng, len(material.noises), len(material.rooms))
    return apply(crop, channel, material.noises, material.rooms)
