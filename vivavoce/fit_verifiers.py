"""The verifiers' weights fitted again: `python -m vivavoce.fit_verifiers CORPUS` prints them in the catalogue's form.

Answers that do a task and plain speech that does not come from people of the split `train`, made as
vivavoce.compliance_trials makes them, over G.711 with noise at 8 to 30 dB; recordings only where nothing can be made
and there are enough. Per challenge a logistic regression with a ridge is fitted on the cues that its weights name; both
kinds of answer weigh alike. People of `dev` then say, at 15 dB, what the old weights and the new ones tell apart. What
was measured is kept in a folder, so that a second fit takes seconds.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train,examine", "scipy", "pyworld", "swift_f0")

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenges.catalogue import Challenge, by_name
from challenges.content import draw
from challenges.verifiers import CUES, RELATIVE, logistic
from models.metrics import auroc
from vivavoce.cli import alone
from vivavoce.measured_answers import Answered, Source, measurable

TRAIN_SNR_DB, DEV_SNR_DB = (8.0, 30.0), (15.0, 15.0)
Floats = NDArray[np.float64]
Parameters = dict[str, float]
RIDGE = 2.0  # on standardised cues
FOLDS = 5  # of people, for the figure on train
LEAST = 10  # answers of each kind: with fewer nothing is fitted
STEPS = 30  # of Newton's method


@dataclass(frozen=True)
class Fit:
    """One challenge's weights, and what they tell apart; None where there was nothing to measure it on."""

    challenge: Challenge
    parameters: Parameters  # the new ones
    done: int  # answers of train
    not_done: int
    crossed: float | None  # AUROC on train, every person judged by weights fitted on others
    dev: tuple[int, int]  # answers done, not done
    dev_old: float | None  # AUROC
    dev_new: float | None


def cues_of(challenge: Challenge, answers: Sequence[Answered]) -> tuple[Floats, NDArray[np.bool_]]:
    """([answers, cues] of those that can be measured, whether each was done), cues in the order of the weights."""
    names = [name for name in challenge.parameters if name not in ("bias", "words")]
    rows, done = [], []
    question = draw(challenge, "en", random.Random(0), 0.0)
    for one in answers:
        if one.answer is None or (challenge.verifier in RELATIVE and one.before is None):
            continue
        cues = CUES[challenge.verifier](one.answer, one.before, question)
        rows.append([cues[name] for name in names])
        done.append(one.done)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names)), np.array(done, dtype=np.bool_)


def regression(cues: Floats, done: NDArray[np.bool_], ridge: float = RIDGE) -> Floats:
    """[1 + cues] bias and weights of a logistic regression by Newton's method; the ridge is on standardised cues."""
    mean, scale = cues.mean(axis=0), cues.std(axis=0) + 1e-9
    inputs = np.column_stack([np.ones(len(cues)), (cues - mean) / scale])
    share = np.where(done, 0.5 / done.mean(), 0.5 / (1 - done.mean()))
    penalty = np.full(inputs.shape[1], ridge)
    penalty[0] = 1e-6
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        guess = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (share * (guess - done)) + penalty * weights
        curve = (inputs * (share * guess * (1 - guess) + 1e-9)[:, None]).T @ inputs + np.diag(penalty)
        weights -= np.linalg.solve(curve, slope)
    raw = weights[1:] / scale
    return np.concatenate([[weights[0] - raw @ mean], raw])


def crossed(cues: Floats, done: NDArray[np.bool_], ridge: float = RIDGE) -> float | None:
    """AUROC with weights fitted on other people: answers of each kind come in the order of the people."""
    fold = np.zeros(len(done), dtype=np.int64)
    for kind in (True, False):
        at = np.flatnonzero(done == kind)
        fold[at] = np.arange(len(at)) * FOLDS // max(1, len(at))
    scores = np.zeros(len(done))
    for n in range(FOLDS):
        here = fold == n
        if not 0 < done[~here].sum() < (~here).sum():
            return None
        weights = regression(cues[~here], done[~here], ridge)
        scores[here] = weights[0] + cues[here] @ weights[1:]
    return round(auroc(scores[done].tolist(), scores[~done].tolist()), 4)


def fit(challenge: Challenge, train: Sequence[Answered], dev: Sequence[Answered], ridge: float = RIDGE) -> Fit | None:
    """New weights of one challenge; None with fewer than LEAST answers of a kind."""
    cues, done = cues_of(challenge, train)
    if min(int(done.sum()), int((~done).sum())) < LEAST:
        return None
    weights = regression(cues, done, ridge).round(2).tolist()
    names = ["bias", *(name for name in challenge.parameters if name not in ("bias", "words"))]
    parameters: Parameters = dict(zip(names, weights, strict=True))
    if "words" in challenge.parameters:
        parameters["words"] = challenge.parameters["words"]
    here = cues_of(challenge, dev)[1]
    return Fit(
        challenge, parameters, int(done.sum()), int((~done).sum()), crossed(cues, done, ridge),
        (int(here.sum()), int((~here).sum())),
        told_apart(challenge, dev), told_apart(replace(challenge, parameters=parameters), dev),
    )  # fmt: skip


def told_apart(challenge: Challenge, answers: Sequence[Answered]) -> float | None:
    """AUROC of the challenge's own weights; None without both kinds."""
    names = [name for name in challenge.parameters if name not in ("bias", "words")]
    cues, done = cues_of(challenge, answers)
    scores = np.array([logistic(challenge, dict(zip(names, row, strict=True))) for row in cues.tolist()])
    if not done.any() or done.all():
        return None
    return round(auroc(scores[done].tolist(), scores[~done].tolist()), 4)


def line(found: Fit) -> str:
    """As it stands in the catalogue, and the figures behind it."""
    weights = ", ".join(f'"{name}": {value!r}' for name, value in found.parameters.items())
    figures = (
        f"train {found.done}/{found.not_done} {_figure(found.crossed)}, "
        f"dev {found.dev[0]}/{found.dev[1]} {_figure(found.dev_old)} -> {_figure(found.dev_new)}"
    )
    return f'"{found.challenge.verifier}", {{{weights}}},  # {found.challenge.key}: AUROC {figures}'


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def as_json(found: Fit) -> dict[str, Any]:
    """One row of --json."""
    return {
        "challenge": found.challenge.key, "verifier": found.challenge.verifier, "parameters": found.parameters,
        "train": {"done": found.done, "not_done": found.not_done, "auroc_crossed": found.crossed},
        "dev": {"done": found.dev[0], "not_done": found.dev[1], "auroc_old": found.dev_old, "auroc_new": found.dev_new},
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = argparse.ArgumentParser(prog="python -m vivavoce.fit_verifiers", description=(__doc__ or "").split("\n")[0])
    add = found.add_argument
    add("corpus", type=Path, metavar="CORPUS", help="a folder with manifest.csv, challenge/ and noise/")
    add("--people", type=int, default=60, metavar="N", help="so many of train, drawn at random (default: %(default)s)")
    add("--dev-people", type=int, default=20, metavar="N", help="so many of dev (default: %(default)s)")
    add("--challenge", action="append", metavar="NAME", help="only this; may be repeated (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="everything drawn hangs on it (default: %(default)s)")
    add("--ridge", type=float, default=RIDGE, metavar="X", help="on standardised cues (default: %(default)s)")
    add("--cache", type=Path, default=Path("runs") / "verifiers", metavar="DIR", help="kept measures (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Fits and prints. ValueError for a challenge that is none, or a corpus that cannot be used."""
    args = parser().parse_args(argv)
    chosen = [by_name(name) for name in args.challenge] if args.challenge else measurable()
    train = Source(args.corpus, "train", args.people, TRAIN_SNR_DB, args.seed, args.cache)
    dev = Source(args.corpus, "dev", args.dev_people, DEV_SNR_DB, args.seed, args.cache)
    rows = []
    for challenge in chosen:
        found = fit(challenge, train.answers(challenge), dev.answers(challenge), args.ridge)
        if args.json and found is not None:
            rows.append(as_json(found))
        elif not args.json:
            print(f"# {challenge.key}: too few answers" if found is None else line(found), flush=True)
    if args.json:
        print(json.dumps({"seed": args.seed, "ridge": args.ridge, "fitted": rows}, indent=1))


if __name__ == "__main__":
    sys.exit(alone("vivavoce.fit_verifiers", main))
