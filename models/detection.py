"""Detection as an operator lives it: how early a fake is named, how often a person is, and how sure the shares are.

Scores are log-likelihood ratios, high = bona fide, as in models.metrics. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054  # standard normal quantile of 0.975: intervals of 95 %
DETECTED_BY = (2.0, 4.0, 8.0)  # seconds of net speech


def average_precision(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Area under precision over recall when spoofs are looked for from the lowest score up, 0-1.

    The step-wise sum of (recall gained) x (precision reached) over distinct scores; equal scores are found together.
    Chance is the share of spoofs. ValueError when there is no spoof.
    """
    bona, fake = np.asarray(bonafide, dtype=np.float64).ravel(), np.asarray(spoof, dtype=np.float64).ravel()
    if not len(fake):
        raise ValueError("no spoof scores")
    thresholds = np.unique(fake)  # only where a spoof is found does recall grow
    found = np.searchsorted(np.sort(fake), thresholds, side="right")
    wrong = np.searchsorted(np.sort(bona), thresholds, side="right")
    gained = np.diff(found, prepend=0) / len(fake)
    return float((gained * found / (found + wrong)).sum())


@dataclass(frozen=True)
class MeanPrecision:
    """Average precision over generators: each one's spoofs among all real speech. Shares 0-1."""

    mean: float
    chance: float  # what random scores would reach in the mean: precision depends on how rare a generator's spoofs are
    generators: int


def mean_average_precision(bonafide: ArrayLike, spoofs: Mapping[str, ArrayLike]) -> MeanPrecision:
    """mAP over the generators of `spoofs` (name -> scores). ValueError without any generator."""
    if not spoofs:
        raise ValueError("no generators")
    people = len(np.asarray(bonafide).ravel())
    sizes = [len(np.asarray(scores).ravel()) for scores in spoofs.values()]
    values = [average_precision(bonafide, scores) for scores in spoofs.values()]
    chance = float(np.mean([size / (size + people) for size in sizes]))
    return MeanPrecision(float(np.mean(values)), chance, len(sizes))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share, 0-1 (Wilson 1927); (0, 1) of nothing."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, Z95**2
    middle = share + z2 / (2 * of)
    half = Z95 * sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    low, high = (middle - half) / (1 + z2 / of), (middle + half) / (1 + z2 / of)
    return (0.0 if hits == 0 else low), (1.0 if hits == of else high)


def poisson(events: int) -> tuple[float, float]:
    """95 % interval of an expected count of which `events` were seen (Byar's approximation, Breslow and Day 1987)."""

    def bound(count: int, z: float) -> float:
        return float(count * (1 - 1 / (9 * count) + z / (3 * sqrt(count))) ** 3)

    return (bound(events, -Z95) if events else 0.0), bound(events + 1, Z95)


@dataclass(frozen=True)
class Alarms:
    """How often genuine callers' running verdict turned to Deepfake-likely. Rates are per hour of their net speech."""

    alarms: int
    hours: float  # net speech
    per_hour: float
    low: float  # 95 % interval of per_hour
    high: float


def alarms_per_hour(alarms: int, speech_s: float) -> Alarms | None:
    """`alarms` in `speech_s` seconds of genuine net speech; None when nobody spoke."""
    hours = speech_s / 3600
    if hours <= 0:
        return None
    low, high = poisson(alarms)
    return Alarms(alarms, hours, alarms / hours, low / hours, high / hours)


@dataclass(frozen=True)
class Times:
    """When synthetic speech was named. Shares are of all spoofs, those included that are shorter than the time asked for."""

    spoofs: int
    detected: int  # running verdict Deepfake-likely at some time
    median_s: float | None  # net speech until then, of those detected; None when there are none
    by: dict[float, float]  # seconds of net speech -> share detected by then
    long_enough: dict[float, int]  # seconds -> spoofs with that much net speech


def times_to_detect(
    first: Sequence[float | None], speech_s: Sequence[float], by: Sequence[float] = DETECTED_BY
) -> Times | None:
    """`first`: net speech at each spoof's first Deepfake-likely, None for never; `speech_s`: its net speech. None of none."""
    if len(first) != len(speech_s):
        raise ValueError(f"{len(first)} times of detection for {len(speech_s)} spoofs")
    if not first:
        return None
    known = [value for value in first if value is not None]
    return Times(
        spoofs=len(first),
        detected=len(known),
        median_s=float(np.median(known)) if known else None,
        by={s: sum(value <= s for value in known) / len(first) for s in by},
        long_enough={s: sum(length >= s for length in speech_s) for s in by},
    )
