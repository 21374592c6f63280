"""Whether somebody speaks: fitted on train's speech and on what a voice activity detector takes for speech.

webrtcvad calls a crowd, an engine, keys and the ringing of a telephone speech, and a score of such sound means nothing.
The model's own frames know better: a small network on them says of each whether it holds a voice. What it calls none
is no evidence for either side. `vivavoce train` and `vivavoce explain fit` write it into the file that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from models.corpus import Clip, read_corpus, read_speech
from models.dataset import FRAME, read_noises, speech_frames
from models.runtime import OnnxModel, draft_of, load_info, load_model, save_info
from models.selection import NOISY, TELEPHONE, conditions_with
from models.voice_graph import Layers, attach, tapped
from models.voice_material import CROP, LONG, read_material, spoken, unspoken

Samples = NDArray[np.int16]
SKIP = 4  # frames before these know too little
HIDDEN = 128
ROWS = 9000  # crops with a voice at most, and as many without
PER_CLIP = 9  # crops of one clip at most
EPOCHS, BATCH, RATE_OF_LEARNING = 16, 4096, 3e-3
LOST = 0.05  # share of dev's chunks of people's speech that may be taken for none
LEAST_S = 0.06  # of speech in a chunk that counts, as engine.policy has it


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
    voices, others = (tap(audio)[:, SKIP:] for audio in (speech, unspoken(material, max(1, count * CROP // LONG), rng)))
    frames = np.concatenate([voices.reshape(-1, voices.shape[2]), others.reshape(-1, others.shape[2])])
    wanted = np.concatenate([voiced[:, SKIP:].ravel(), np.zeros(others.shape[0] * others.shape[1], np.float32)])
    layers = fit(frames, wanted, seed)
    with draft_of(weights) as draft:
        attach(draft, layers)
        found = limit_on_dev(draft, corpus)
        info = load_info(draft.with_suffix(".json"))
        info = replace(info, voice=found["limit"], provenance={**info.provenance, "voice": found})
        save_info(info, draft.with_suffix(".json"))
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
        for condition in conditions_with(noises, (TELEPHONE, NOISY)):
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
