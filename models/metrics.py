"""Detection metrics on scores where high means bona fide. Pure numpy.

Definitions follow the ASVspoof 5 evaluation plan: a miss is a bona fide call rejected, a false acceptance a spoof
accepted, and a score is accepted when it is at or above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]
SPOOF_PRIOR, COST_MISS, COST_FALSE_ACCEPT = 0.05, 1.0, 10.0  # ASVspoof 5, track 1


def _scores(values: ArrayLike, name: str) -> Scores:
    array = np.asarray(values, dtype=np.float64).ravel()
    if not len(array):
        raise ValueError(f"no {name} scores")
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} of {len(array)} {name} scores are not finite")
    return array


def det_points(bonafide: ArrayLike, spoof: ArrayLike) -> tuple[Scores, Scores, Scores]:
    """(p_miss, p_false_accept, threshold) at every distinct threshold, from accepting all to rejecting all."""
    bona, fake = _scores(bonafide, "bona fide"), _scores(spoof, "spoof")
    thresholds = np.unique(np.concatenate([bona, fake]))
    miss = np.searchsorted(np.sort(bona), thresholds, side="left") / len(bona)
    accept = 1 - np.searchsorted(np.sort(fake), thresholds, side="left") / len(fake)
    return np.append(miss, 1.0), np.append(accept, 0.0), np.append(thresholds, np.inf)


def eer(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Equal error rate, 0-1: the mean of both errors where they are nearest to each other."""
    miss, accept, _ = det_points(bonafide, spoof)
    best = int(np.argmin(np.abs(miss - accept)))
    return float((miss[best] + accept[best]) / 2)


def auroc(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Chance that a bona fide score is above a spoof score, ties counting half."""
    bona, fake = _scores(bonafide, "bona fide"), np.sort(_scores(spoof, "spoof"))
    below, not_above = np.searchsorted(fake, bona, "left"), np.searchsorted(fake, bona, "right")
    return float((below + not_above).mean() / 2 / len(fake))


def _dcf(miss: Scores, accept: Scores) -> Scores:
    """Detection cost, 1 = as good as no detector."""
    cost = COST_MISS * (1 - SPOOF_PRIOR) * miss + COST_FALSE_ACCEPT * SPOOF_PRIOR * accept
    return cost / min(COST_MISS * (1 - SPOOF_PRIOR), COST_FALSE_ACCEPT * SPOOF_PRIOR)


def min_dcf(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Normalised detection cost at the best threshold."""
    miss, accept, _ = det_points(bonafide, spoof)
    return float(_dcf(miss, accept).min())


def bayes_threshold() -> float:
    """The LLR above which accepting costs less than rejecting: -ln 1.9 = -0.642."""
    return -log(COST_MISS * (1 - SPOOF_PRIOR) / (COST_FALSE_ACCEPT * SPOOF_PRIOR))


def act_dcf(bonafide_llr: ArrayLike, spoof_llr: ArrayLike) -> float:
    """Normalised detection cost of calibrated LLRs at the Bayes threshold."""
    bona, fake = _scores(bonafide_llr, "bona fide"), _scores(spoof_llr, "spoof")
    threshold = bayes_threshold()
    miss, accept = np.mean(bona < threshold, keepdims=True), np.mean(fake >= threshold, keepdims=True)
    return float(_dcf(miss, accept)[0])


def cllr(bonafide_llr: ArrayLike, spoof_llr: ArrayLike) -> float:
    """Cost of natural-log likelihood ratios in bits; 0 perfect, 1 says nothing."""
    bona, fake = _scores(bonafide_llr, "bona fide"), _scores(spoof_llr, "spoof")
    bits = np.logaddexp(0, -bona).mean() + np.logaddexp(0, fake).mean()
    return float(bits / 2 / log(2))


def min_cllr(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Cllr after the best monotone recalibration (pool adjacent violators)."""
    bona, fake = _scores(bonafide, "bona fide"), _scores(spoof, "spoof")
    values = np.concatenate([bona, fake])
    labels = np.concatenate([np.ones(len(bona)), np.zeros(len(fake))])
    order = np.lexsort((labels, values))
    groups, where = np.unique(values[order], return_inverse=True)  # equal scores get equal ratios
    weight = np.bincount(where, minlength=len(groups)).astype(float)
    mean = np.bincount(where, labels[order], minlength=len(groups)) / weight
    posterior = np.clip(_pool(mean, weight)[where], 1e-12, 1 - 1e-12)
    llr = np.log(posterior / (1 - posterior)) - log(len(bona) / len(fake))
    sorted_labels = labels[order].astype(bool)
    return cllr(llr[sorted_labels], llr[~sorted_labels])


def _pool(means: Scores, weights: Scores) -> Scores:
    """Isotonic regression: the nearest rising sequence in weighted least squares."""
    blocks: list[list[float]] = []  # value, weight, how many
    for value, weight in zip(means, weights, strict=True):
        blocks.append([float(value), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            later, earlier = blocks.pop(), blocks[-1]
            total = earlier[1] + later[1]
            earlier[0] = (earlier[0] * earlier[1] + later[0] * later[1]) / total
            earlier[1], earlier[2] = total, earlier[2] + later[2]
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])


def false_positive_rate(bonafide: ArrayLike, threshold: float) -> float:
    """Share of bona fide scores at or below `threshold`: people called fakes, as a call is tagged."""
    return float(np.mean(_scores(bonafide, "bona fide") <= threshold))


def threshold_at_fpr(bonafide: ArrayLike, rate: float) -> float:
    """The highest threshold that rejects at most `rate` of the bona fide scores, which are those at or below it."""
    bona = np.sort(_scores(bonafide, "bona fide"))
    return float(np.nextafter(bona[min(int(rate * len(bona) + 1e-9), len(bona) - 1)], -np.inf))


@dataclass(frozen=True)
class Summary:
    """What is reported of one condition. Rates 0-1; `cllr` and `act_dcf` hold for calibrated LLRs only."""

    bonafide: int
    spoof: int
    eer: float
    auroc: float
    min_dcf: float
    act_dcf: float
    cllr: float
    min_cllr: float
    caught_at_1_percent: float  # spoof rejected at the threshold that rejects 1 % of these bona fide


def summary(bonafide_llr: ArrayLike, spoof_llr: ArrayLike) -> Summary:
    """Every metric of one condition. ValueError when a class is empty or a score not finite."""
    bona, fake = _scores(bonafide_llr, "bona fide"), _scores(spoof_llr, "spoof")
    return Summary(
        bonafide=len(bona),
        spoof=len(fake),
        eer=eer(bona, fake),
        auroc=auroc(bona, fake),
        min_dcf=min_dcf(bona, fake),
        act_dcf=act_dcf(bona, fake),
        cllr=cllr(bona, fake),
        min_cllr=min_cllr(bona, fake),
        caught_at_1_percent=float(np.mean(fake <= threshold_at_fpr(bona, 0.01))),
    )


@dataclass(frozen=True)
class Trial:
    """One scored clip with what it is grouped by."""

    llr: float
    bonafide: bool
    repo: str = ""
    family: str = ""
    generator: str = ""
    seen: bool = False


def within_repository_auroc(trials: list[Trial], least: int = 4) -> tuple[float, int]:
    """Mean AUROC over repositories with at least `least` clips of each class, and how many those are.

    The share of skill that is not "which recording world is this". (nan, 0) when no repository qualifies.
    """
    figures = []
    for repo in {trial.repo for trial in trials}:
        bona = [t.llr for t in trials if t.repo == repo and t.bonafide]
        fake = [t.llr for t in trials if t.repo == repo and not t.bonafide]
        if min(len(bona), len(fake)) >= least:
            figures.append(auroc(bona, fake))
    return (float(np.mean(figures)), len(figures)) if figures else (float("nan"), 0)


def false_positives_by_repository(trials: list[Trial], threshold: float) -> list[tuple[str, int, int]]:
    """(repository, bona fide clips, of them at or below the threshold), worst share first."""
    rows = []
    for repo in {trial.repo for trial in trials if trial.bonafide}:
        scores = np.array([t.llr for t in trials if t.repo == repo and t.bonafide])
        rows.append((repo, len(scores), int((scores <= threshold).sum())))
    return sorted(rows, key=lambda row: (-row[2] / row[1], -row[1]))
