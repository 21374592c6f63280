"""Whether somebody speaks: fitted on train's speech and on what a voice activity detector takes for speech.

webrtcvad calls a crowd, an engine, keys and the ringing of a telephone speech, and a score of such sound means nothing.
The model's own frames know better: a small network on them says of each whether it holds a voice. What it calls none
is no evidence for either side. `vivavoce train` and `vivavoce explain fit` write it into the file that serves.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from models.calibrate import speech_per_chunk, under
from models.channel import ChannelConfig, apply, draw
from models.corpus import RATE, Clip, read_corpus, read_speech
from models.dataset import FRAME, cut, read_noises, speech_frames
from models.runtime import OnnxModel, load_info, load_model, save_info
from models.selection import NOISY, TELEPHONE
from models.voice_graph import Layers, attach, tapped

Samples = NDArray[np.int16]
Rng = np.random.Generator
CROP = 80 * FRAME  # samples: 3.2 s
SKIP = 4  # frames before these know too little
HIDDEN = 128
ROWS = 9000  # crops with a voice at most, and as many without
PER_CLIP = 9  # crops of one clip at most
EPOCHS, BATCH, RATE_OF_LEARNING = 16, 4096, 3e-3
LOST = 0.05  # share of dev's chunks of people's speech that may be taken for none
LEAST_S = 0.06  # of speech in a chunk that counts, as engine.policy has it
SHARES = (0.45, 0.15, 0.4)  # of the crops without a voice: noises, people's noises, tones and made noise
KINDS = (0.15, 0.4, 0.2, 0.1, 0.15)  # of what is made: any tone or two, telephones' tones, hum, coloured noise, clicks
VOICES = frozenset({  # activities of the folder `challenge` that are voices, and those that are none
    "whispering", "singing_note", "sustained_vowel", "accented_english", "breathy_voice", "calm", "emotional_angry",
    "emotional_disgust", "emotional_fear", "emotional_happy", "emotional_sad", "emotional_surprised", "exaggerated_speech",
    "high_pitch", "low_creaky_voice", "speaking_fast", "speaking_slow", "filled_pauses",
})  # fmt: skip
NONE = frozenset({
    "clapping", "coughing", "lip_popping", "lip_smacking", "nose_blowing", "panting", "sighing", "sneezing",
    "teeth_chattering", "throat_clearing", "tongue_clicking", "breathing",
})  # fmt: skip
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
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["activity"] in names]
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
    """Crops [count, CROP] that hold no voice: noises, coughs and claps, tones of telephones, made noise."""
    pools = (material.noises, material.bodies)
    rows = []
    for _ in tqdm(range(count), desc="noises", unit="crop"):
        kind = int(rng.choice(3, p=SHARES))
        crop = _noise(pools[kind], rng) if kind < 2 and pools[kind] else made(rng)
        rows.append(_through(crop, UNSPOKEN, material, rng))
    return np.stack(rows)


def _noise(pool: Sequence[Samples], rng: Rng) -> Samples:
    """Somewhere of one, often backwards or with another over it, at any level."""
    crop = cut(pool[int(rng.integers(len(pool)))], CROP, float(rng.random())).astype(np.float64)
    if rng.random() < 0.3:
        crop = crop[::-1]
    if rng.random() < 0.3:
        other = cut(pool[int(rng.integers(len(pool)))], CROP, float(rng.random())).astype(np.float64)
        crop = crop + other * 10 ** (rng.uniform(-15, 5) / 20) * _rms(crop) / max(1.0, _rms(other))
    return _levelled(crop, rng)


def made(rng: Rng) -> Samples:
    """[CROP] of a pair of tones, one tone, hum, coloured noise or clicks; the first three may come and go."""
    at, kind = np.arange(CROP) / RATE, int(rng.choice(5, p=KINDS))
    if kind < 2:
        high, low = rng.choice(TONES, 2, replace=False) if kind else rng.uniform(200, 3000, 2)
        sound = np.sin(2 * np.pi * high * at) + (rng.random() < 0.6) * np.sin(2 * np.pi * low * at)
    elif kind == 2:
        mains = float(rng.choice((50.0, 60.0, 100.0, 120.0)))
        overtones = np.arange(1, 20)[:, None]
        phase = 2 * np.pi * mains * overtones * at + rng.uniform(0, 6, (19, 1))
        sound = (np.sin(phase) * rng.random((19, 1)) / overtones).sum(axis=0)
    elif kind == 3:
        spectrum = np.fft.rfft(rng.standard_normal(CROP))
        sound = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1) ** -rng.uniform(0, 1.2), CROP)
    else:
        sound = np.zeros(CROP)
        for place in np.cumsum(rng.exponential(rng.uniform(400, 4000), 60)).astype(int):
            click = rng.standard_normal(400) * np.exp(-np.arange(400) / rng.uniform(10, 150)) * rng.uniform(0.3, 1)
            sound[place : place + 400] += click[: max(0, CROP - place)]
    if kind < 3 and rng.random() < 0.7:
        on, off = rng.uniform(0.1, 2.0), rng.uniform(0.1, 4.0)
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


class Tap:
    """The frames of a file's model: int16 [rows, n] -> [rows, n / 320, D]."""

    def __init__(self, weights: Path) -> None:
        self._session = onnxruntime.InferenceSession(tapped(weights), providers=["CPUExecutionProvider"])
        self._state = load_model(weights).init_state

    def __call__(self, audio: Samples, rows: int = 32) -> NDArray[np.float32]:
        names = [i.name for i in self._session.get_inputs()][1:]
        out = []
        for start in range(0, len(audio), rows):
            part = np.ascontiguousarray(audio[start : start + rows])
            given = dict(zip(names, self._state(len(part)), strict=True))
            (frames,) = self._session.run(["frames"], {"audio": part, **given})
            out.append(frames.reshape(len(part), part.shape[1] // FRAME, -1))
        return np.concatenate(out)


def fit(frames: NDArray[np.float32], voiced: NDArray[np.float32], seed: int = 0, epochs: int = EPOCHS) -> Layers:
    """The two layers that tell frames [N, D] with a voice (1) from those without (0)."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(frames.shape[1], HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1))
    inputs, wanted = torch.from_numpy(frames), torch.from_numpy(voiced) * 0.98 + 0.01
    optimizer = torch.optim.AdamW(net.parameters(), RATE_OF_LEARNING, weight_decay=1e-2)
    for epoch in tqdm(range(epochs), desc="fit voice", unit="epoch"):
        for group in optimizer.param_groups:
            group["lr"] = RATE_OF_LEARNING * (1 - epoch / epochs)
        order = torch.randperm(len(inputs))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            loss = F.binary_cross_entropy_with_logits(net(inputs[rows])[:, 0], wanted[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return Layers(*(_array(p) for p in net.parameters()))


def _array(parameter: Tensor) -> NDArray[np.float32]:
    out: NDArray[np.float32] = parameter.detach().numpy().astype(np.float32)
    return out


def fit_weights(weights: Path, corpus: Path, clips: Sequence[Clip] | None = None, seed: int = 0) -> dict[str, Any]:
    """Fit on train, set the limit on dev, write both into WEIGHTS (.onnx) and its .json. Returns what was found.

    `clips`: what to take for train's instead of the corpus's.
    """
    rng = np.random.default_rng(seed)
    material = read_material(corpus, read_corpus(corpus, ["train"]) if clips is None else clips)
    count = min(ROWS, PER_CLIP * len(material.voices))
    speech, voiced = spoken(material, count, rng)
    tap = Tap(weights)
    frames = np.concatenate([tap(speech), tap(unspoken(material, count, rng))])[:, SKIP:]
    wanted = np.concatenate([voiced, np.zeros_like(voiced)])[:, SKIP:]
    attach(weights, fit(frames.reshape(-1, frames.shape[2]), wanted.ravel(), seed))
    found = limit_on_dev(weights, corpus)
    info = load_info(weights.with_suffix(".json"))
    info = replace(info, voice=found["limit"], provenance={**info.provenance, "voice": found})
    save_info(info, weights.with_suffix(".json"))
    return found


def limit_on_dev(weights: Path, corpus: Path) -> dict[str, Any]:
    """The probability that LOST of dev's chunks of people's speech lie below, on quiet and noisy lines; None without any.

    Beside it what of fakes' speech lies below, and of the noises that were kept out of training above (shares 0-1).
    """
    model = load_model(weights)
    noises, _ = read_noises(corpus / "noise", hold_out=True)
    heard: dict[bool, list[float]] = {True: [], False: []}
    for index, clip in enumerate(tqdm(read_corpus(corpus, ["dev"]), desc="voices of dev", unit="clip")):
        clean = read_speech(clip.path)
        for condition in (TELEPHONE, NOISY):
            heard[clip.bonafide] += chunks_of_speech(model, under(condition, clean, index, noises), clean)
    limit = round(float(np.quantile(heard[True], LOST)), 3) if heard[True] else None
    kept = [voice for noise in noises for voice in chunks_of_speech(model, noise)]
    return {
        "limit": limit,
        "people_lost": _below(heard[True], limit),
        "fakes_lost": _below(heard[False], limit),
        "noise_kept": round(1 - _below(kept, limit), 4) if kept else None,
    }


def chunks_of_speech(model: OnnxModel, audio: Samples, clean: Samples | None = None) -> list[float]:
    """What the model says of the chunks that a voice activity detector calls speech, of those that `clean` says hold some."""
    size = model.chunk_samples
    count = len(audio) // size
    wanted = speech_per_chunk(audio, size) >= LEAST_S
    if clean is not None:
        wanted &= speech_frames(clean[: count * size]).reshape(count, -1).mean(axis=1) >= 0.5
    state, found = model.init_state(1), []
    for index in range(count):
        _, voice, state = model.voiced(audio[None, index * size : (index + 1) * size], state)
        found.append(float(voice[0]))
    return [voice for voice, kept in zip(found, wanted, strict=True) if kept]


def _below(voices: Sequence[float], limit: float | None) -> float:
    return round(float(np.mean([voice < limit for voice in voices])), 4) if voices and limit is not None else 0.0
