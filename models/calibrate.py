"""From raw scores to calibrated log-likelihood ratios and the thresholds a call is tagged by. Fitted on dev.

Trials look like calls: whole clips, their first 1, 2 and 4 s, and clips of one speaker or one generator joined to 10
and 30 s, each under wideband, G.711 and noisy G.711 and, before G.711, through what mobile and other networks speak:
whom a codec makes look synthetic counts too where it is settled at which score one person in a hundred is accused.
Scores come from the model that ships, chunk by chunk.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import webrtcvad
from numpy.typing import NDArray
from tqdm import tqdm

from models import metrics
from models.calibration import Calibration
from models.channel import Channel, apply
from models.metrics import Trial
from models.runtime import StreamingModel
from models.selection import NOISY, TELEPHONE, WIDEBAND, conditions_with
from models.transcode import NETWORKS, transcode

Samples = NDArray[np.int16]
FORGET_S = 20.0  # speech seconds after which an old chunk counts 1/e in the running mean
VAD_FRAME = 160  # samples, 20 ms
SPREAD, WARM_S = 1.0, 2.0  # of the level: chosen on dev (EXPERIMENTS.md), small enough that one odd chunk decides nothing
CONDITIONS = (WIDEBAND, TELEPHONE, NOISY)
LINES = (*CONDITIONS, *NETWORKS)  # over which a call may come
GROWTHS, CAPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8), (4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True)
class Recording:
    """Clean 8 kHz audio to be screened: a clip, a prefix of one, or several joined."""

    samples: Samples
    bonafide: bool
    span: str  # "1", "2", "4", "clip", "10", "30": what kind of trial, seconds
    repo: str = ""
    family: str = ""
    generator: str = ""
    seen: bool = False


@dataclass(frozen=True)
class Scored:
    """A screened recording: the running level at its end and the speech it rests on."""

    recording: Recording
    condition: str
    level: float
    speech_s: float

    def trial(self, calibration: Calibration) -> Trial:
        r = self.recording
        llr = calibration.llr(self.level, self.speech_s)
        return Trial(llr, r.bonafide, r.repo, r.family, r.generator, r.seen)


@dataclass(frozen=True)
class Thresholds:
    """LLRs: at or below `deepfake_llr` a call is tagged Deepfake-likely, at or above `human_llr` Human-likely."""

    deepfake_llr: float
    human_llr: float


def prefixes(whole: Iterable[Recording], seconds: Sequence[int] = (1, 2, 4)) -> list[Recording]:
    """The first seconds of every recording that is longer, plus the recording itself."""
    out = []
    for r in whole:
        out.append(r)
        for s in seconds:
            if len(r.samples) >= s * 8000 + 4000:
                out.append(_as(r, r.samples[: s * 8000], str(s)))
    return out


def joined_calls(whole: Sequence[Recording], keys: Sequence[str], seconds: int) -> list[Recording]:
    """Recordings with the same key joined into calls of at least `seconds`; what is left over is dropped."""
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording, key in zip(whole, keys, strict=True):
        groups[key].append(recording)
    calls = []
    for group in groups.values():
        parts: list[Samples] = []
        for recording in group:
            parts.append(recording.samples)
            if sum(map(len, parts)) >= seconds * 8000:
                calls.append(_as(recording, np.concatenate(parts)[: (seconds + 2) * 8000], str(seconds)))
                parts = []
    return calls


def _as(recording: Recording, samples: Samples, span: str) -> Recording:
    r = recording
    return Recording(samples, r.bonafide, span, r.repo, r.family, r.generator, r.seen)


def under(condition: str, samples: Samples, index: int, noises: Sequence[Samples]) -> Samples:
    """`samples` through the line of that name (`conditions_with` says which can be had); the noise depends on `index` only."""
    if condition == WIDEBAND:
        return samples
    if condition in NETWORKS:
        samples = transcode(samples, NETWORKS[condition])
    noise = index % len(noises) if condition == NOISY else -1
    return apply(samples, Channel(law="mu", noise=noise, noise_at=(index * 0.37) % 1, snr_db=15.0), noises, ())


def speech_per_chunk(samples: Samples, chunk: int, aggressiveness: int = 2) -> NDArray[np.float64]:
    """Seconds of speech in each whole chunk, by webrtcvad on 20 ms frames at 8 kHz."""
    vad = webrtcvad.Vad(aggressiveness)
    whole = samples[: len(samples) // chunk * chunk]
    flags = [vad.is_speech(whole[i : i + VAD_FRAME].tobytes(), 8000) for i in range(0, len(whole), VAD_FRAME)]
    flagged = np.array(flags, dtype=np.float64).reshape(-1, chunk // VAD_FRAME)
    seconds: NDArray[np.float64] = flagged.sum(axis=1) * 0.02
    return seconds


def running_level(
    scores: NDArray[np.float32], speech: NDArray[np.float64], spread: float, warm_s: float, forget_s: float = FORGET_S
) -> float:
    """Level of chunk scores as engine/policy.py has it: old ones fade with the speech heard since. 0 without speech."""
    since = np.cumsum(speech[::-1])[::-1] - speech
    weight = speech * np.exp(-since / forget_s)
    if warm_s:
        weight = weight * np.minimum(1.0, np.cumsum(speech) / warm_s)
    if weight.sum() <= 0:
        return 0.0
    mean = (weight * scores).sum() / weight.sum()
    return float(mean - spread * np.sqrt((weight * (scores - mean) ** 2).sum() / weight.sum()))


def chunk_scores(model: StreamingModel, audio: Sequence[Samples]) -> list[NDArray[np.float32]]:
    """Scores of every whole chunk of several recordings, streamed side by side."""
    chunk = model.chunk_samples
    counts = [len(a) // chunk for a in audio]
    block = np.zeros((len(audio), max(counts, default=0) * chunk), dtype=np.int16)
    for row, samples in zip(block, audio, strict=True):
        row[: len(samples) // chunk * chunk] = samples[: len(samples) // chunk * chunk]
    state = model.init_state(len(audio))
    columns = []
    for start in range(0, block.shape[1], chunk):
        scores, state = model.step(np.ascontiguousarray(block[:, start : start + chunk]), state)
        columns.append(scores)
    table = np.stack(columns, axis=1) if columns else np.zeros((len(audio), 0), np.float32)
    return [row[:count] for row, count in zip(table, counts, strict=True)]


def screen(
    model: StreamingModel,
    recordings: Sequence[Recording],
    noises: Sequence[Samples],
    conditions: Sequence[str] = CONDITIONS,
    rows: int = 32,
    level: tuple[float, float] = (SPREAD, WARM_S),
) -> list[Scored]:
    """Every recording under every condition, by a level of that spread and warming. What holds no speech is left out."""
    jobs = [(i, r, c) for c in conditions_with(noises, conditions) for i, r in enumerate(recordings)]
    jobs.sort(key=lambda job: len(job[1].samples))
    out: list[Scored] = []
    for start in tqdm(range(0, len(jobs), rows), desc="screen dev", unit="batch"):
        group = jobs[start : start + rows]
        audio = [under(condition, r.samples, i, noises) for i, r, condition in group]
        for (_, r, condition), samples, scores in zip(group, audio, chunk_scores(model, audio), strict=True):
            speech = speech_per_chunk(samples, model.chunk_samples)
            if speech.sum() > 0:
                out.append(Scored(r, condition, running_level(scores, speech, *level), float(speech.sum())))
    return out


def fit(scored: Sequence[Scored], level: tuple[float, float] = (SPREAD, WARM_S)) -> Calibration:
    """The calibration with the least Cllr; each span and condition counts the same, each class half of it.

    `level` is the spread and the warming that `scored` was screened with.
    """
    if not scored:
        raise ValueError("nothing to calibrate on")
    levels = np.array([s.level for s in scored])
    speech = np.array([s.speech_s for s in scored])
    person = np.array([s.recording.bonafide for s in scored])
    weight = _balanced_weights(scored)
    best: tuple[float, Calibration] | None = None
    for cap in CAPS:
        for growth in GROWTHS:
            factor = np.minimum(speech, cap) ** growth
            slope, offset = logistic(np.stack([levels * factor, factor], axis=1), person, weight)
            llr = (slope * levels + offset) * factor
            cost = float((weight * np.logaddexp(0, np.where(person, -llr, llr))).sum())
            if best is None or cost < best[0] - 1e-6:
                best = cost, Calibration(slope, offset, growth, cap, *level)
    assert best is not None  # the grid is not empty
    return best[1]


def _balanced_weights(scored: Sequence[Scored]) -> NDArray[np.float64]:
    groups = [(s.condition, s.recording.span, s.recording.bonafide) for s in scored]
    counts = {group: groups.count(group) for group in set(groups)}
    share = 1 / len(counts)
    return np.array([share / counts[group] for group in groups], dtype=np.float64)


def logistic(
    inputs: NDArray[np.float64], person: NDArray[np.bool_], weight: NDArray[np.float64], rounds: int = 50
) -> tuple[float, float]:
    """Two coefficients of a logistic regression without intercept, by Newton's method with a trace of ridge."""
    coefficients = np.zeros(2)
    for _ in range(rounds):
        posterior = 1 / (1 + np.exp(-np.clip(inputs @ coefficients, -40, 40)))
        gradient = inputs.T @ (weight * (person - posterior)) - 1e-6 * coefficients
        curvature = (inputs * (weight * posterior * (1 - posterior))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        coefficients += step
        if np.abs(step).max() < 1e-9:
            break
    return float(coefficients[0]), float(coefficients[1])


def choose_thresholds(scored: Sequence[Scored], calibration: Calibration) -> Thresholds:
    """Deepfake-likely: at most 1 % of people, per clip (with 3 s of speech) and per call. Human-likely: 10 % of fakes.

    Conditions are pooled: the line a call comes by is not known when it is tagged.
    """

    def llrs(spans: tuple[str, ...], person: bool, least_s: float) -> list[float]:
        return [
            calibration.llr(s.level, s.speech_s)
            for s in scored
            if s.recording.span in spans and s.recording.bonafide == person and s.speech_s >= least_s
        ]

    limits = [metrics.threshold_at_fpr(clips, 0.01) for clips in [llrs(("clip", "4"), True, 3.0)] if clips]
    limits += [metrics.threshold_at_fpr(calls, 0.01) for calls in [llrs(("10", "30"), True, 3.0)] if calls]
    if not limits:
        raise ValueError("no bona fide trial with 3 s of speech to set thresholds on")
    fakes = np.sort(llrs(("clip", "4", "10", "30"), False, 3.0))
    deepfake = min(limits)
    human = float(fakes[len(fakes) - len(fakes) // 10 - 1]) if len(fakes) else 1.0
    # Rounded away from the middle: who reaches a threshold is tagged by it, and these are next to somebody's own LLR.
    deepfake, human = math.floor(1000 * deepfake - 1e-6) / 1000, math.ceil(1000 * human + 1e-6) / 1000
    return Thresholds(deepfake_llr=deepfake, human_llr=max(human, round(deepfake + 0.2, 3)))
