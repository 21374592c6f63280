"""Where vectors of one person lie close: a linear map fitted on labelled people (linear discriminants, shrunk)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Unit vectors [n, d] -> unit vectors [n, k]."""

    centre: NDArray[np.float64]
    map: NDArray[np.float64]  # [d, k]

    def __call__(self, vectors: Vectors) -> Vectors:
        moved = (vectors - self.centre) @ self.map
        unit: Vectors = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return unit


def fit(vectors: Vectors, people: NDArray[np.str_], size: int, shrink: float = 0.7) -> Space:
    """The `size` directions in which people differ most against what one person varies, each scaled by that.

    `shrink` (0-1) draws the variation within people towards a sphere: few people have many recordings.
    """
    names, index = np.unique(people, return_inverse=True)
    count = np.bincount(index).astype(float)
    means = np.stack([vectors[index == i].mean(0) for i in range(len(names))]).astype(np.float64)
    centre = means.mean(0)
    # A person of many clips counts as their root, so that none shapes the map alone.
    weight = (count**-0.5)[index] * (count[index] > 1)
    spread = vectors - means[index]
    within = (spread * weight[:, None]).T @ spread / max(weight.sum(), 1e-9)
    within = (1 - shrink) * within + shrink * np.trace(within) / len(within) * np.eye(len(within))
    between = np.cov(means.T)
    values, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(values)
    _, turn = np.linalg.eigh(whiten.T @ between @ whiten)
    return Space(centre, (whiten @ turn)[:, ::-1][:, :size])
