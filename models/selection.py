"""How a model under training is judged on dev, and by what figure a checkpoint is chosen.

Pooled wideband EER mostly measures which recording world a clip comes from, so the choice rests on telephone channels
and on real against spoof of the same repository. Copies by vocoders kept out of training are reported beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.channel import Channel, apply
from models.corpus import RATE, Clip
from models.dataset import FRAME, speech_frames
from models.metrics import Trial
from models.store import AudioStore, Entry
from models.transcode import NETWORKS, available

Samples = NDArray[np.int16]
ScoreFrames = Callable[[Samples], NDArray[np.float32]]  # int16 [B, n] -> views [B, n / 320, 2]
MIXES = tuple((share, 1 - share) for share in (0.2, 0.35, 0.5, 0.65, 0.8))  # weights of the two views to choose from
WIDEBAND, TELEPHONE, NOISY, DRAWN = "wideband", "g711", "g711+15dB", "drawn"


def conditions_with(noises: Sequence[Samples], wanted: Sequence[str] = (WIDEBAND, TELEPHONE, NOISY)) -> tuple[str, ...]:
    """Those of the conditions that can be had: no noisy line without recordings of noise, no network without its codec."""
    silent = () if len(noises) else (NOISY,)
    missing = [name for name, coding in NETWORKS.items() if coding not in available()]
    return tuple(condition for condition in wanted if condition not in (*silent, *missing))


@dataclass(frozen=True)
class Probe:
    """One dev clip (or copy) as it is scored: `audio` per condition, cut to at most `Dev.seconds`."""

    entry: Entry
    trial: Trial  # llr is filled in when scored
    audio: dict[str, Samples]
    speech: NDArray[np.float32]  # [frames] 1 where the clean clip has speech


@dataclass(frozen=True)
class DevFigures:
    """Figures of one checkpoint; rates 0-1."""

    eer: dict[str, float]  # per condition, all dev clips
    auroc: dict[str, float]
    within: dict[str, float]  # mean AUROC inside repositories
    copies: dict[str, float]  # AUROC of real clips against their copies, per vocoder, G.711
    mix: tuple[float, float] = (0.5, 0.5)  # of the views

    @property
    def choice(self) -> float:
        """Higher is better: the mean of 1 - noisy EER, AUROC inside repositories and AUROC against copies.

        The last two ask the same question, synthesis and nothing else; few repositories of dev hold both classes.
        """
        parts = [1 - self.eer.get(NOISY, self.eer[TELEPHONE])]
        within = [self.within[c] for c in (TELEPHONE, NOISY) if not isnan(self.within.get(c, nan))]
        parts += [float(np.mean(within))] if within else []
        parts += [float(np.mean(list(self.copies.values())))] if self.copies else []
        return float(np.mean(parts))

    @property
    def blend(self) -> float:
        """By what the views are weighed: AUROC over all clips and inside repositories. Copies are the one view's own trade."""
        parts = [*self.auroc.values(), *(value for value in self.within.values() if not isnan(value))]
        return float(np.mean(parts))

    def line(self) -> str:
        parts = [f"{c}: EER {100 * self.eer[c]:.1f} within {self.within[c]:.3f}" for c in self.eer]
        copies = " ".join(f"{path} {value:.2f}" for path, value in sorted(self.copies.items()))
        return f"choice {self.choice:.4f} mix {self.mix[0]:.2f} | {' | '.join(parts)} | copies: {copies}"


class Dev:
    """The dev clips under fixed channels, ready to be scored again and again."""

    def __init__(self, store: AudioStore, clips: Sequence[Clip], noises: Sequence[Samples], seconds: float = 6.0) -> None:
        known = {clip.name: clip for clip in clips}
        self._seconds = seconds
        self._conditions = conditions_with(noises, (TELEPHONE, NOISY))
        self.probes = [
            self._probe(entry, known[entry.source], store, noises, i)
            for i, entry in enumerate(e for e in store.entries if not e.coding and e.source in known)
        ]

    def _probe(self, entry: Entry, clip: Clip, store: AudioStore, noises: Sequence[Samples], index: int) -> Probe:
        samples = np.array(store.samples(entry)[: int(self._seconds * RATE)])
        samples = np.pad(samples, (0, -len(samples) % FRAME))
        lines = {WIDEBAND: Channel(), TELEPHONE: Channel(law="mu")}
        if noises:
            lines[NOISY] = Channel(law="mu", noise=index % len(noises), noise_at=(index * 0.37) % 1, snr_db=15.0)
        trial = Trial(0.0, entry.label == "bonafide", entry.repo, clip.family, entry.generator, clip.seen)
        wanted = (TELEPHONE,) if entry.copy else tuple(lines)  # copies are looked at in one condition: time
        audio = {name: apply(samples, lines[name], noises, ()) for name in wanted}
        return Probe(entry, trial, audio, speech_frames(samples))

    def scores(self, score_frames: ScoreFrames, condition: str, rows: int = 32) -> NDArray[np.float64]:
        """Mean views over speech frames [probes, 2], in the order of `probes`; nan where one lacks the condition."""
        used = [i for i, probe in enumerate(self.probes) if condition in probe.audio]
        order = sorted(used, key=lambda i: len(self.probes[i].audio[condition]))
        out = np.full((len(self.probes), 2), np.nan)
        for start in range(0, len(order), rows):
            group = [self.probes[i] for i in order[start : start + rows]]
            width = max(len(p.audio[condition]) for p in group)
            block = np.stack([np.pad(p.audio[condition], (0, width - len(p.audio[condition]))) for p in group])
            frames = score_frames(block)
            for i, probe, row in zip(order[start : start + rows], group, frames, strict=True):
                out[i] = speech_mean(row[: len(probe.speech)], probe.speech)
        return out

    def judge(self, score_frames: ScoreFrames, conditions: Sequence[str] = ()) -> DevFigures:
        """Figures with the best blend of MIXES, over the telephone and, where there is noise, noisy ones."""
        wanted = conditions or self._conditions
        found: Mapping[str, NDArray[np.float64]] = {c: self.scores(score_frames, c) for c in wanted}
        return max((self._figures(found, mix) for mix in MIXES), key=lambda figures: figures.blend)

    def _figures(self, found: Mapping[str, NDArray[np.float64]], mix: tuple[float, float]) -> DevFigures:
        figures = DevFigures({}, {}, {}, {}, mix)
        for condition, views in found.items():
            trials = [
                Trial(float(s), p.trial.bonafide, p.trial.repo)
                for s, p in zip(views @ np.array(mix), self.probes, strict=True)
                if not p.entry.copy
            ]
            bona, fake = [t.llr for t in trials if t.bonafide], [t.llr for t in trials if not t.bonafide]
            figures.eer[condition] = metrics.eer(bona, fake)
            figures.auroc[condition] = metrics.auroc(bona, fake)
            figures.within[condition] = metrics.within_repository_auroc(trials)[0]
        figures.copies.update(self.copy_aurocs(found[TELEPHONE] @ np.array(mix)))
        return figures

    def copy_aurocs(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Per vocoder: AUROC of the copied real clips against exactly their copies."""
        by_source = {p.entry.source: float(s) for p, s in zip(self.probes, scores, strict=True) if p.trial.bonafide}
        copies: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for probe, score in zip(self.probes, scores, strict=True):
            if probe.entry.copy:
                path = probe.entry.generator.removeprefix("copy:")
                copies[path].append((by_source[probe.entry.source], float(score)))
        return {p: metrics.auroc([r for r, _ in pairs], [c for _, c in pairs]) for p, pairs in copies.items()}


def speech_mean(views: NDArray[np.float32], speech: NDArray[np.float32], skip: int = 12) -> NDArray[np.float64]:
    """Mean of [frames, ...] over speech frames, leaving out the first half second when there is more."""
    weight = speech.astype(np.float64).copy()
    if len(weight) > 3 * skip:
        weight[:skip] *= 0.1
    weight += 1e-3
    mean: NDArray[np.float64] = np.tensordot(weight, views, axes=(0, 0)) / weight.sum()
    return mean
