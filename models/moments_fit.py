"""Fits what a voice's moments say of it on train's speech, by the very graph that serves, and writes it into that graph.

Clips are heard over a telephone line as it is, with noise, through the codecs of other networks, and over a line drawn by
lot, whose microphone, room, level and noise are others than the recording's: people must be told the same over all of
them. Copies are heard over fewer. All to their ends and, where they are longer, for their first seconds too: a call is
judged while it is short. A quarter of an hour on one core. Scores are to be calibrated after it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.calibrate import under
from models.channel import OTHER_LINES, apply, draw
from models.corpus import RATE
from models.dataset import read_noises
from models.moments import FEATURES, ONE, SUMS, WITH_WAVES, Kernel, Voices, fit
from models.moments_graph import STATE, attach
from models.runtime import OnnxModel, draft_of, load_info, load_model, save_info
from models.selection import DRAWN, NOISY, TELEPHONE, conditions_with
from models.store import AudioStore, Entry
from models.transcode import NETWORKS
from models.waveform import NUMBERS

Samples = NDArray[np.int16]
COPIES = 3000  # at most, by lot
EARLY_S, LONGEST_S = 3.0, 10.0  # of a piece: heard so far as well where it goes on for a second, and heard no farther
LEAST_ROWS = 20.0  # a piece in which less of a voice is heard teaches nothing
ROWS = 64  # pieces side by side


def fit_weights(
    weights: Path, store: AudioStore, noise: Path, shares: tuple[float, float], seed: int = 0, *, waves: bool = False
) -> dict[str, Any]:
    """Fit on a store of clips and copies; write into WEIGHTS (.onnx) and its .json. Returns what was done.

    `noise`: the corpus's folder of noises and rooms; `shares`: of what strangers and of what copies teach; `waves`: with the
    shapes of waves, which cost a sixteenth of the time that scoring takes. ValueError where the store has too little to
    learn from.
    """
    voices = gathered(weights, store, *read_noises(noise, hold_out=False), seed, waves=waves)
    kernel = fit(voices, shares, seed=seed)
    info = load_info(weights.with_suffix(".json"))
    said = (kernel(voices.sums) > 0) == voices.people
    found: dict[str, Any] = {
        "shares": list(shares), "waves": waves, "seed": seed, "pieces": len(said), "of_copies": int(voices.copies.sum()),
        "landmarks": len(kernel.heights), "flops_per_chunk": kernel.flops(info.chunk_samples),
        "right_of_train": round(float(said[~voices.copies].mean()), 4),
    }  # fmt: skip
    with draft_of(weights) as draft:
        attach(draft, kernel)
        without = info.flops_per_chunk - info.provenance.get("moments", {}).get("flops_per_chunk", 0.0)
        flops = without + found["flops_per_chunk"]
        info = replace(info, flops_per_chunk=flops, provenance={**info.provenance, "moments": found})
        save_info(info, draft.with_suffix(".json"))
    return found


def chosen(store: AudioStore, seed: int) -> list[Entry]:
    """All clips and COPIES of the copies, as they were before any codec."""
    entries = [entry for entry in store.entries if not entry.coding]
    copies = [entry for entry in entries if entry.copy]
    drawn = np.random.default_rng(seed).permutation(len(copies))[:COPIES]
    return [entry for entry in entries if not entry.copy] + [copies[i] for i in drawn]


def lines_of(entry: Entry, *, waves: bool = False) -> tuple[str, ...]:
    """Over which lines an entry is heard. What tells copies by their waves has to know them in noise."""
    networks = tuple(NETWORKS)
    if entry.copy:
        return (TELEPHONE, NOISY, DRAWN, networks[0]) if waves else (TELEPHONE, DRAWN, networks[0])
    return (TELEPHONE, NOISY, DRAWN, *networks)


def gathered(
    weights: Path, store: AudioStore, noises: Sequence[Samples], rooms: Sequence[Samples], seed: int = 0,
    *, waves: bool = False,
) -> Voices:  # fmt: skip
    """The sums of what is `chosen`. ValueError where no voice is heard in any of it."""
    entries = enumerate(chosen(store, seed))
    jobs = [(entry, line, index) for index, entry in entries
            for line in conditions_with(noises, lines_of(entry, waves=waves))]  # fmt: skip
    jobs.sort(key=lambda job: job[0].length)
    sums, of, early = [], [], []

    def over(entry: Entry, line: str, index: int) -> Samples:
        samples = np.array(store.samples(entry)[: round(LONGEST_S * RATE)])
        if line != DRAWN:
            return under(line, samples, index, noises)
        rng = np.random.default_rng((seed, index))
        return apply(samples, draw(OTHER_LINES, rng, len(noises), len(rooms)), noises, rooms)

    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(jobs), desc="moments", unit="piece") as bar:
        model = listening(weights, Path(folder), waves=waves)
        for start in range(0, len(jobs), ROWS):
            group = jobs[start : start + ROWS]
            for row, short, found in heard(model, [over(*job) for job in group]):
                if found[ONE] >= LEAST_ROWS:
                    sums.append(found.astype(np.float64))
                    of.append(group[row][0])
                    early.append(short)
            bar.update(len(group))
    if not sums:
        raise ValueError(f"{store} holds no piece of speech in which {weights} hears a voice")
    return Voices(
        np.stack(sums),
        np.array([e.label == "bonafide" for e in of]),
        np.array([e.copy for e in of]),
        np.array([e.source for e in of]),
        np.array([e.repo for e in of]),
        np.array(early),
    )


def listening(weights: Path, folder: Path, *, waves: bool = False) -> OnnxModel:
    """The model of WEIGHTS with the sums among its states; what they say counts nothing yet."""
    draft = folder / weights.name
    for end in (weights.suffix, ".json"):
        shutil.copyfile(weights.with_suffix(end), draft.with_suffix(end))
    sums, features = (WITH_WAVES, FEATURES + 2 * NUMBERS) if waves else (SUMS, FEATURES)
    nothing = Kernel(np.ones(sums), np.zeros((1, features)), np.zeros(1), np.zeros((1, 1)), np.zeros(1), 1.0)
    attach(draft, nothing)
    return load_model(draft)


def heard(model: OnnxModel, audio: Sequence[Samples]) -> Iterator[tuple[int, bool, NDArray[np.float32]]]:
    """(which recording, whether early, its sums) of several, at their ends and where they are longer at EARLY_S too."""
    chunk, at = model.chunk_samples, model.state_names.index(STATE)
    counts = [len(samples) // chunk for samples in audio]
    early = round(EARLY_S * model.rate / chunk)
    block = np.zeros((len(audio), max(counts, default=0) * chunk), np.int16)
    for place, samples, count in zip(block, audio, counts, strict=True):
        place[: count * chunk] = samples[: count * chunk]
    state = model.init_state(len(audio))
    for index in range(block.shape[1] // chunk):
        _, state = model.step(np.ascontiguousarray(block[:, index * chunk : (index + 1) * chunk]), state)
        for row, count in enumerate(counts):
            if index + 1 == count or (index + 1 == early and (count - early) * chunk >= model.rate):
                yield row, index + 1 < count, state[at][row].copy()
