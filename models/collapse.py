"""Neural collapse: how far the embeddings have fallen onto their class means, and which clips stand for the others.

A network trained long enough pulls the embeddings of a class together (NC1), spreads the class means evenly (NC2), turns
the classifier's rows towards them (NC3) and decides as the nearest mean would (NC4): Papyan, Han, Donoho, "Prevalence of
neural collapse during the terminal phase of deep learning training", PNAS 2020. Where that holds, clips near their mean
say most about their class, and a few of them can stand for many: Yousif et al., arXiv 2404.13008.

Shapes: N clips, H the width of the embedding, C classes. The global mean is the mean of the class means, so that a large
class does not draw it to itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Collapse:
    """NC1 to NC4; a collapsed network has 0, 0, 0, 0 and 1."""

    within: float  # NC1: trace of within-class covariance times pseudo-inverse of between-class covariance, over C
    norms: float  # NC2: standard deviation of the centred means' lengths over their mean; of two classes always 0
    angles: float  # NC2: mean difference of the cosines between centred means from -1 / (C - 1); of two classes always 0
    duality: float  # NC3: mean 1 - cosine between a class's classifier row and its centred mean, 0 to 2
    agreement: float  # NC4: share of clips that the nearest class mean and the network put into the same class


def class_means(embeddings: Floats, classes: NDArray[np.intp], count: int) -> Floats:
    """[C, H]. ValueError names a class without clips."""
    if empty := [c for c in range(count) if not (classes == c).any()]:
        raise ValueError(f"class {empty[0]} has no clips")
    return np.stack([embeddings[classes == c].mean(axis=0) for c in range(count)])


def within_class(embeddings: Floats, classes: NDArray[np.intp], means: Floats) -> float:
    """NC1. Each class counts the same, whatever its size. ValueError when all class means are one point."""
    centred = means - means.mean(axis=0)
    if not centred.any():
        raise ValueError("all class means are the same point: there is nothing between the classes")
    between = centred.T @ centred / len(means)
    covariances = []
    for index, mean in enumerate(means):
        off = embeddings[classes == index] - mean
        covariances.append(off.T @ off / len(off))
    inverse = np.linalg.pinv(between, rcond=1e-10, hermitian=True)
    return float(np.trace(np.mean(covariances, axis=0) @ inverse)) / len(means)


def equal_norms(means: Floats) -> float:
    """NC2, the lengths."""
    lengths = np.linalg.norm(means - means.mean(axis=0), axis=1)
    return float(lengths.std() / lengths.mean())


def equal_angles(means: Floats) -> float:
    """NC2, the angles."""
    directions = _unit(means - means.mean(axis=0))
    cosines = (directions @ directions.T)[np.triu_indices(len(means), 1)]
    return float(np.abs(cosines + 1 / (len(means) - 1)).mean())


def self_duality(means: Floats, rows: Floats) -> float:
    """NC3; `rows` [C, H] are the classifier's, in the order of the classes."""
    centred = rows - rows.mean(axis=0)
    cosines = (_unit(means - means.mean(axis=0)) * _unit(centred)).sum(axis=1)
    return float((1 - cosines).mean())


def nearest_mean(embeddings: Floats, means: Floats) -> NDArray[np.intp]:
    """Index of the nearest mean of each row, by Euclidean distance."""
    nearest: Indices = squared_distances(embeddings, means).argmin(axis=1)
    return nearest


def measure(embeddings: ArrayLike, classes: ArrayLike, rows: ArrayLike, decided: ArrayLike) -> Collapse:
    """All four. `rows` [C, H] are the classifier's, `decided` [N] the classes that the network chose."""
    x, c, w = np.asarray(embeddings, float), np.asarray(classes, np.intp), np.asarray(rows, float)
    means = class_means(x, c, len(w))
    agreement = float((nearest_mean(x, means) == np.asarray(decided)).mean())
    return Collapse(within_class(x, c, means), equal_norms(means), equal_angles(means), self_duality(means, w), agreement)


def classifier_row(embeddings: Floats, scores: Floats) -> Floats:
    """The row w of score = w h + b, read back from what it gave: the shortest that explains the scores (least squares).

    Directions in which no clip differs are left at 0: nobody can tell from outside what the row says about them.
    """
    off = embeddings - embeddings.mean(axis=0)
    row: Floats = np.linalg.lstsq(off, scores - scores.mean(), rcond=1e-6)[0]
    return row


def squared_distances(points: Floats, centres: Floats) -> Floats:
    """[N, K]."""
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * points @ centres.T
    distances: Floats = np.maximum(squares, 0.0)
    return distances


def k_means(points: Floats, count: int, seed: int = 1, rounds: int = 100) -> Floats:
    """[K, H] cluster centres: Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii, 2007).

    At most as many centres as there are different points. ValueError without points.
    """
    if count < 1 or not len(points):
        raise ValueError(f"cannot make {count} clusters of {len(points)} points")
    rng = np.random.default_rng(seed)
    centres = _seeds(points, count, rng)
    for _ in range(rounds):
        nearest = nearest_mean(points, centres)
        after = np.stack(
            [points[nearest == k].mean(axis=0) if (nearest == k).any() else centre for k, centre in enumerate(centres)]
        )
        if np.array_equal(after, centres):
            break
        centres = after
    return centres


def _seeds(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """The first at random, each other with odds by its squared distance from the nearest one so far."""
    chosen = [points[int(rng.integers(len(points)))]]
    while len(chosen) < count:
        away = ((points[:, None, :] - np.stack(chosen)) ** 2).sum(axis=2).min(axis=1)
        if not away.any():
            break
        chosen.append(points[int(rng.choice(len(points), p=away / away.sum()))])
    return np.stack(chosen)


def select(
    embeddings: ArrayLike, bonafide: ArrayLike, share: float, *, clusters: int = 8, correct: ArrayLike | None = None
) -> Indices:
    """Indices of a coreset, ascending: `share` of the real clips nearest to their mean, and of the fakes to K centres.

    Fakes are taken from each cluster in proportion to its size. Clips that the network got wrong (`correct` false)
    stand last whatever their distance. ValueError for a share outside ]0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} is not above 0 and at most 1")
    x, people = np.asarray(embeddings, float), np.asarray(bonafide, bool)
    right = np.ones(len(x), bool) if correct is None else np.asarray(correct, bool)
    real, fake = np.flatnonzero(people), np.flatnonzero(~people)
    chosen = []
    if len(real):
        base = real[right[real]] if right[real].any() else real
        distance = squared_distances(x[real], x[base].mean(axis=0)[None])[:, 0]
        chosen.append(_nearest(real, distance, right, _portion(len(real), share)))
    if len(fake):
        base = fake[right[fake]] if right[fake].any() else fake
        distances = squared_distances(x[fake], k_means(x[base], clusters))
        nearest = distances.argmin(axis=1)
        sizes = np.bincount(nearest, minlength=distances.shape[1])
        for k, wanted in enumerate(shared_out(_portion(len(fake), share), sizes)):
            mine = nearest == k
            chosen.append(_nearest(fake[mine], distances[mine, k], right, wanted))
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)


def shared_out(total: int, sizes: NDArray[np.intp]) -> list[int]:
    """`total` divided in proportion to `sizes`, in whole numbers (largest remainders first, then the first)."""
    exact = total * sizes / max(1, sizes.sum())
    parts = np.floor(exact).astype(int)
    for k in np.argsort(parts - exact, kind="stable")[: total - int(parts.sum())]:
        parts[k] += 1
    return [int(part) for part in parts]


def _portion(count: int, share: float) -> int:
    return max(1, round(count * share))


def _nearest(indices: Indices, distance: Floats, right: NDArray[np.bool_], wanted: int) -> Indices:
    order = np.lexsort((indices, distance, ~right[indices]))
    return indices[order[:wanted]]


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
