"""What explains a score: how far the embedding is from people and from fakes, and what the nearest class mean says.

Three numbers a chunk, from the embedding that the score is made of. Distances are Euclidean, in units of the usual spread
of a class about its mean, so that 1 is ordinary. `vivavoce explain fit` fits them on train and dev and writes them into
the graph that serves, where they cost a product with a few columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import collapse
from models.corpus import Clip, read_corpus
from models.dataset import read_noises
from models.embeddings import Heard, hear, running
from models.explain_graph import attach
from models.runtime import ModelInfo, OnnxModel, draft_of, load_info, load_model, save_info
from models.selection import conditions_with

Floats = NDArray[np.float64]
CLUSTERS = 8  # of fakes: synthesis has no one sound
OUTSIDE = 0.01  # share of dev's people that may be called unfamiliar
DOUBTED = 0.1  # share of dev's right verdicts of a kind that may be doubted
LEAST_VERDICTS = 20  # right ones of a kind, to set a limit for doubting it
SPANS = (0.0, 10.0, 30.0)  # seconds: clips, and calls joined of them
CHUNK_S = 0.16
LEAST_SPEECH_S = 2.0  # as a verdict needs


@dataclass(frozen=True)
class Statistics:
    """Means and centres in embedding space. H the width of the embedding, K the number of clusters."""

    real: Floats  # [H] mean of people
    fake: Floats  # [H] mean of fakes
    clusters: Floats  # [K, H] centres of the fakes
    scale: float  # Euclidean distance that counts as 1
    boundary: float  # raw score above which the network says "person"

    def explain(self, embeddings: Floats, scores: Floats) -> Floats:
        """[N, 3]: distance to people, to the nearest cluster of fakes, 1 where nearest mean and network agree else 0."""
        centres = np.vstack([self.real, self.fake, self.clusters])
        distances = np.sqrt(collapse.squared_distances(embeddings, centres)) / self.scale
        agrees = (distances[:, 0] < distances[:, 1]) == (scores > self.boundary)
        return np.stack([distances[:, 0], distances[:, 2:].min(axis=1), agrees], axis=1)


def fit(heard: Sequence[Heard], boundary: float, clusters: int = CLUSTERS, seed: int = 1) -> Statistics:
    """Means, centres and scale from clips; each clip and condition is one point. ValueError without both classes."""
    points, people = centres_of(heard)
    means = collapse.class_means(points, (~people).astype(np.intp), 2)
    off = points - means[(~people).astype(int)]
    spread = (np.square(off[people]).sum(axis=1).mean() + np.square(off[~people]).sum(axis=1).mean()) / 2
    return Statistics(means[0], means[1], collapse.k_means(points[~people], clusters, seed), float(np.sqrt(spread)), boundary)


def centres_of(heard: Sequence[Heard]) -> tuple[Floats, NDArray[np.bool_]]:
    """(centres [N, H], which are people [N])."""
    return np.stack([h.centre for h in heard]), np.array([h.clip.bonafide for h in heard])


def limits_from(statistics: Statistics, dev: Sequence[Heard], info: ModelInfo) -> dict[str, float | None]:
    """The limits that stand beside the weights, under ModelInfo's names; None where dev has too little to set one.

    A verdict is doubted when what is nearer speaks for it less than for 90 % of dev's right verdicts of its kind, of
    clips and of calls alike: the longer a call, the less extreme it need be for a verdict.
    """
    human, fake = [], []
    for seconds in SPANS:
        right = right_margins(statistics, joined(dev, seconds) if seconds else dev, info)
        human += [float(np.quantile(right[True], DOUBTED))] if len(right[True]) >= LEAST_VERDICTS else []
        fake += [float(np.quantile(right[False], 1 - DOUBTED))] if len(right[False]) >= LEAST_VERDICTS else []
    return {
        "unfamiliar": unfamiliar_from(statistics, dev),
        "doubt_human": round(min(human), 4) if human else None,
        "doubt_fake": round(max(fake), 4) if fake else None,
    }


def right_margins(statistics: Statistics, heard: Sequence[Heard], info: ModelInfo) -> dict[bool, list[float]]:
    """Margins of the right verdicts: of people called Human-likely (True) and of fakes called Deepfake-likely (False)."""
    margins: dict[bool, list[float]] = {True: [], False: []}
    for h in heard:
        llr, person = info.calibration.llr(h.level(info.calibration), float(h.speech.sum())), h.clip.bonafide
        right = llr >= info.human_llr if person else llr <= info.deepfake_llr
        if right and h.speech.sum() >= LEAST_SPEECH_S:
            margins[person].append(margin(statistics, h))
    return margins


def joined(heard: Sequence[Heard], seconds: float) -> list[Heard]:
    """Clips of one person, or of one generator of one repository, as calls of at least `seconds`; leftovers are dropped."""
    groups: dict[tuple[str, ...], list[Heard]] = defaultdict(list)
    for h in heard:
        c = h.clip
        groups[(h.condition, "p", c.repo, c.speaker) if c.bonafide else (h.condition, c.generator, c.repo)].append(h)
    calls = []
    for group in groups.values():
        parts: list[Heard] = []
        for h in group:
            parts.append(h)
            if CHUNK_S * sum(len(p.scores) for p in parts) >= seconds:
                embeddings, scores = np.concatenate([p.embeddings for p in parts]), np.concatenate([p.scores for p in parts])
                calls.append(Heard(h.clip, h.condition, embeddings, scores, np.concatenate([p.speech for p in parts])))
                parts = []
    return calls


def margin(statistics: Statistics, heard: Heard) -> float:
    """Running distance to the nearest fakes minus that to people, at the end."""
    found = statistics.explain(heard.embeddings.astype(np.float64), heard.scores.astype(np.float64))
    real, fake, _ = running(found, heard.speech)[-1]
    return float(fake - real)


def strangeness(statistics: Statistics, heard: Heard, least_s: float = LEAST_SPEECH_S) -> float | None:
    """The greatest running distance to what is nearest, once `least_s` of speech were heard; None if they never were."""
    found = statistics.explain(heard.embeddings.astype(np.float64), heard.scores.astype(np.float64))
    enough = np.cumsum(heard.speech) >= least_s
    return float(running(found[:, :2], heard.speech)[enough].min(axis=1).max()) if enough.any() else None


def unfamiliar_from(statistics: Statistics, heard: Sequence[Heard], share: float = OUTSIDE) -> float | None:
    """The threshold that `share` of the people heard ever pass; None when nobody spoke long enough to set one."""
    found = [s for h in heard if h.clip.bonafide and (s := strangeness(statistics, h)) is not None]
    return round(float(np.quantile(found, 1 - share)), 4) if found else None


def fit_weights(
    weights: Path, corpus: Path, clusters: int = CLUSTERS, train: Sequence[Clip] | None = None
) -> dict[str, Any]:
    """Fit on train, set the limits on dev, write both into WEIGHTS (.onnx) and its .json. Returns what was found.

    `train`: the clips to fit on instead of the corpus's. ValueError when the file gives no embeddings or a class is missing.
    """
    unsplit = next((clip.path for clip in read_corpus(corpus) if not clip.split), None)
    if unsplit is not None:
        raise ValueError(f"{corpus}: {unsplit} has no split in manifest.csv; fitting needs rows of train and of dev")
    model = load_model(weights)
    known, dev = heard_of(model, corpus, "train", train), heard_of(model, corpus, "dev")
    fitted = fit(known, model.info.calibration.boundary, clusters)
    limits = limits_from(fitted, dev, model.info)
    found = summary(fitted, dev, limits)
    with draft_of(weights) as draft:
        attach(draft, fitted.real, fitted.fake, fitted.clusters, fitted.scale, fitted.boundary)
        info = load_info(draft.with_suffix(".json"))
        save_info(
            replace(
                info,
                unfamiliar=limits["unfamiliar"],
                doubt_human=limits["doubt_human"],
                doubt_fake=limits["doubt_fake"],
                provenance={**info.provenance, "explanation": found},
            ),
            draft.with_suffix(".json"),
        )
    return found


def heard_of(model: OnnxModel, corpus: Path, split: str, clips: Sequence[Clip] | None = None) -> list[Heard]:
    """A split (or some clips) under wideband, G.711 and noisy G.711; dev has the noises kept out of training."""
    noises, _ = read_noises(corpus / "noise", hold_out=split == "dev", split="train" if split == "dev" else split)
    return list(hear(model, read_corpus(corpus, [split]) if clips is None else clips, conditions_with(noises), noises))


def summary(fitted: Statistics, dev: Sequence[Heard], limits: Mapping[str, float | None]) -> dict[str, Any]:
    """Dev's medians by class, how often nearest mean and network agree, and whose sound was unfamiliar; rates 0-1."""
    out: dict[str, Any] = {"clusters": len(fitted.clusters), **limits}
    limit = limits["unfamiliar"] if limits["unfamiliar"] is not None else float("inf")
    for name, person in (("bona fide", True), ("spoof", False)):
        group = [h for h in dev if h.clip.bonafide == person]
        if not group:
            raise ValueError(f"dev has no {name} clip in which somebody speaks")
        found = fitted.explain(np.stack([h.centre for h in group]), np.array([h.score for h in group]))
        passed = [s > limit for h in group if (s := strangeness(fitted, h)) is not None]
        out[name] = {
            "d_real": round(float(np.median(found[:, 0])), 3),
            "d_fake": round(float(np.median(found[:, 1])), 3),
            "agrees": round(float(found[:, 2].mean()), 4),
            "unfamiliar": round(float(np.mean(passed)), 4) if passed else None,
        }
    return out
