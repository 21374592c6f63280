"""How a voice moves: second moments of the bands and of their cepstra over a call, and what they say of who is speaking.

A few hundred numbers a call, with the voice's probability as the weight of each row: how bands vary, how they hang together
from one row to the next and the rows after, how cepstra vary and how fast, which bands rise together and, where copies of
people are to be told, what shape its waves have (waveform.py). What is learned of them is a smooth function of them all
(kernel ridge regression on landmarks, a closed form): so few hours of people teach that better than a deep network, which
learns recording worlds by heart (EXPERIMENTS.md, 2026-11-23).

The graph keeps the sums (moments_graph.py); here is their layout, what is made of them, and the fit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.waveform import NUMBERS

Floats = NDArray[np.float64]

BANDS = 120  # of the front end
COARSE, WIDE, CEPSTRA = 40, 20, 64  # neighbouring bands taken together by three and by six; coefficients after the first
COLUMNS = COARSE + 1 + CEPSTRA + WIDE  # of a row: coarse bands, 1, cepstra, wide bands
ONE = COARSE  # column that is 1 before rows are weighed
LAGS = (1, 2, 4)  # rows of 10 ms; the longest is how many rows a call carries
PAST = max(LAGS)
FORGET_S = 20.0  # as the level of a call forgets
HOP, ROW_S = 80, 0.01  # samples and seconds between rows
NATS = 3.0  # the front end's bands are thirds of a nat
PRIOR_ROWS = 10.0  # how many rows of the average voice a call starts with
FLOOR = 0.01  # nats squared, added to every variance: finer is rounding
LEAST = 1e-4  # what rounding makes of a variance is raised to this
MOVING = 5 * COARSE + 2 * CEPSTRA  # features before what wide bands have in common
FEATURES = MOVING + WIDE * (WIDE - 1) // 2
_UPPER = np.triu_indices(WIDE, 1)


class Layout(NamedTuple):
    """Where the sums of a call stand, each a slice."""

    means: slice = slice(0, COLUMNS)
    lag0: slice = slice(COLUMNS, 2 * COLUMNS)
    lag1: slice = slice(2 * COLUMNS, 3 * COLUMNS)
    lag2: slice = slice(3 * COLUMNS, 3 * COLUMNS + COARSE)
    lag4: slice = slice(3 * COLUMNS + COARSE, 3 * COLUMNS + 2 * COARSE)
    cross: slice = slice(3 * COLUMNS + 2 * COARSE, 3 * COLUMNS + 2 * COARSE + WIDE * WIDE)
    waves: slice = slice(3 * COLUMNS + 2 * COARSE + WIDE * WIDE, 3 * COLUMNS + 2 * COARSE + WIDE * WIDE + 2 * NUMBERS)


AT = Layout()
SUMS, WITH_WAVES = AT.cross.stop, AT.waves.stop
CEPSTRA_AT, WIDE_AT = slice(ONE + 1, ONE + 1 + CEPSTRA), slice(COLUMNS - WIDE, COLUMNS)  # in a row


def projection() -> Floats:
    """[BANDS, COLUMNS]: from a row of the front end's bands to a row here, but for the 1."""
    columns = np.zeros((BANDS, COLUMNS))
    for width, first in ((BANDS // COARSE, 0), (BANDS // WIDE, COLUMNS - WIDE)):
        for index in range(BANDS // width):
            columns[index * width : (index + 1) * width, first + index] = NATS / width
    angle = np.pi * (np.arange(BANDS)[:, None] + 0.5) * np.arange(1, CEPSTRA + 1) / BANDS
    columns[:, CEPSTRA_AT] = NATS * np.sqrt(2 / BANDS) * np.cos(angle)
    return columns


def describe(sums: Floats, prior: Floats) -> Floats:
    """How voices move: sums [N, SUMS] -> [N, FEATURES], and of WITH_WAVES sums 2 * NUMBERS more. `prior`: the sums of one
    row of the average voice.

    Half the logarithms of variances (of the bands' first and second difference, of cepstra and of their difference), then
    correlations of bands from row to row, then between wide bands; then, of the waves' shapes, means and deviations.
    """
    heard = sums[:, ONE : ONE + 1]
    mean = (sums + prior * PRIOR_ROWS) / (heard + PRIOR_ROWS)
    centre, own, later = mean[:, AT.means], mean[:, AT.lag0], mean[:, AT.lag1]
    square = centre[:, :COARSE] ** 2
    lag0, lag1 = own[:, :COARSE] - square, later[:, :COARSE] - square
    lag2, lag4 = mean[:, AT.lag2] - square, mean[:, AT.lag4] - square
    still = own[:, CEPSTRA_AT] - centre[:, CEPSTRA_AT] ** 2
    moving = own[:, CEPSTRA_AT] - later[:, CEPSTRA_AT]
    varying = np.concatenate([lag0 - lag1, 3 * (lag0 - lag1) - (lag1 - lag2), still, moving], axis=1)
    spread = 0.5 * np.log(np.maximum(varying, LEAST) + FLOOR)
    along = np.concatenate([lag1, lag2, lag4], axis=1) / (np.tile(lag0, 3) + FLOOR)
    i, j = _UPPER
    wide = centre[:, WIDE_AT]
    deviation = np.sqrt(np.maximum(own[:, WIDE_AT] - wide**2, LEAST) + FLOOR)
    cross = mean[:, AT.cross].reshape(-1, WIDE, WIDE)[:, i, j] - wide[:, i] * wide[:, j]
    found = [spread, along, cross / (deviation[:, i] * deviation[:, j])]
    if sums.shape[1] == WITH_WAVES:
        shape, squared = np.split(mean[:, AT.waves], 2, axis=1)
        found += [shape, np.sqrt(np.maximum(squared - shape**2, LEAST))]
    return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Kernel:
    """A smooth function of how a voice moves: a sum of Gaussians about landmarks in a few directions; high: a person."""

    prior: Floats  # [SUMS] or [WITH_WAVES] one row of the average voice
    turn: Floats  # [directions, features of so many sums]
    shift: Floats  # [directions]
    landmarks: Floats  # [L, directions]
    heights: Floats  # [L]
    width: float  # k = exp(-width * squared distance)

    @property
    def waves(self) -> bool:
        """Whether the shapes of waves count."""
        return bool(len(self.prior) == WITH_WAVES)

    def __call__(self, sums: Floats) -> Floats:
        """Sums [N, SUMS or WITH_WAVES] -> [N], what is added to scores."""
        at = describe(sums, self.prior) @ self.turn.T + self.shift
        return _gaussians(at, self.landmarks, self.width) @ self.heights

    def flops(self, samples: int) -> float:
        """Of the matrix products that so many samples of one call cost the graph."""
        rows = samples // HOP
        products = rows * (BANDS * COLUMNS + WIDE * WIDE + 3 * COLUMNS + 2 * COARSE) + 25 * samples * self.waves
        description = len(self.turn[0]) + WIDE * WIDE - WIDE * (WIDE - 1) // 2
        return 2.0 * (products + len(self.turn) * (description + len(self.landmarks)) + len(self.landmarks))


@dataclass(frozen=True)
class Voices:
    """What a kernel learns from: N pieces of speech."""

    sums: Floats  # [N, SUMS or WITH_WAVES]
    people: NDArray[np.bool_]  # [N]
    copies: NDArray[np.bool_]  # [N] copies of people of these
    sources: NDArray[np.str_]  # [N] which clip each is of or was made from
    repos: NDArray[np.str_]  # [N]
    early: NDArray[np.bool_]  # [N] of a clip's first seconds only

    def some(self, rows: NDArray[Any]) -> Voices:
        return Voices(*(getattr(self, field.name)[rows] for field in fields(self)))


def fit(
    voices: Voices, shares: tuple[float, float], *, seed: int = 0,
    directions: int = 128, landmarks: int = 1000, width: float = 0.25, ridge: float = 2.0, steady: float = 3.0,
) -> Kernel:  # fmt: skip
    """Ridge regression of +-1: on people and fakes from everywhere, and apart from it on people and copies of their very
    recordings; the kernel is the sum of both, each times its share. Classes count the same, repositories by the root of
    how much they have. `steady` is what it costs that a person is told otherwise over another line. It, `width` and
    `ridge` were chosen on repositories of train that were left out.

    ValueError without both classes, or without copies where these have a share.
    """
    strangers = np.nonzero(~voices.copies)[0]
    paired = np.nonzero(voices.copies | (voices.people & np.isin(voices.sources, voices.sources[voices.copies])))[0]
    parts = [(rows, share) for rows, share in zip((strangers, paired), shares, strict=True) if share]
    for rows, _ in parts:
        if voices.people[rows].all() or not voices.people[rows].any():
            raise ValueError("moments need people and, beside them, fakes or copies of them")
    prior = voices.sums[strangers].sum(axis=0) / voices.sums[strangers, ONE].sum()
    features = describe(voices.sums, prior)
    turn, shift = _directions(features[strangers], directions)
    at = features @ turn.T + shift
    chosen = at[_spread_over(voices.copies, landmarks, seed)]
    near = _gaussians(at, chosen, width)
    drift = _drift(near[voices.people], voices.some(voices.people))
    between = ridge * _gaussians(chosen, chosen, width) + steady * drift.T @ drift + 1e-6 * np.eye(len(chosen))
    heights = np.zeros(len(chosen))
    for rows, share in parts:
        weight = _balanced(voices.people[rows], voices.repos[rows])
        here = near[rows]
        weighed = (here * weight[:, None]).T
        heights += share * np.linalg.solve(weighed @ here + between, weighed @ np.where(voices.people[rows], 1.0, -1.0))
    return Kernel(prior, turn, shift, chosen, heights, width)


def _drift(near: Floats, voices: Voices) -> Floats:
    """How far each row of `near` lies from the mean of the same speech over all its lines."""
    pieces = np.char.add(voices.sources, np.where(voices.early, "<", ""))
    _, piece, lines = np.unique(pieces, return_inverse=True, return_counts=True)
    mean = np.zeros((len(lines), near.shape[1]))
    np.add.at(mean, piece, near)
    return near - (mean / lines[:, None])[piece]


def _spread_over(copies: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.int64]:
    """So many rows by lot, a quarter of them copies where there are as many."""
    order = np.random.default_rng(seed).permutation(len(copies))
    made = order[copies[order]][: count // 4]
    return np.concatenate([order[~copies[order]][: count - len(made)], made])


def _balanced(people: NDArray[np.bool_], repos: NDArray[np.str_]) -> Floats:
    """Weights with mean 1."""
    weight = np.zeros(len(people))
    for member in (people, ~people):
        _, index, count = np.unique(repos[member], return_inverse=True, return_counts=True)
        each = count[index] ** -0.5
        weight[member] = each / each.sum() * len(people) / 2
    return weight


def _directions(features: Floats, count: int) -> tuple[Floats, Floats]:
    """The principal directions of standardised features, scaled so that two voices are about a squared distance of 2 apart."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    _, values, turn = np.linalg.svd((features - mean) / deviation, full_matrices=False)
    kept = values[:count]
    scale = 1 / np.sqrt((kept**2).sum() / len(features))
    turn = turn[:count] * scale / deviation
    return turn, -turn @ mean


def _gaussians(a: Floats, b: Floats, width: float) -> Floats:
    distance = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    out: Floats = np.exp(-width * np.maximum(distance, 0))
    return out
