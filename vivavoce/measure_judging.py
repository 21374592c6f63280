"""What does judging one answer cost? Processor time per challenge, for answers that are speech from end to end.

The answers are the people of the bundled samples, who talk on and do no task: pauses would only make it cheaper. What
it costs where the task counts as done ("done") is more for challenges whose words are read only then. The speech before
the question is measured while it is being asked ("before"), and not again when the answer is over.
`python -m vivavoce.measure_judging` prints a table, with `--json` one JSON object (extra `examine`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from challenges.answer import Answer, ListenerConfig
from challenges.catalogue import CATALOGUE, Line
from challenges.content import Question, draw
from connectors.g711 import decode_mu_law
from engine.audio import Samples
from engine.config import load_settings
from models.identity.embed import net_speech
from vivavoce import service_model
from vivavoce.judging import Judges, available
from vivavoce.samples import SAMPLES, mu_law
from vivavoce.service_examination import judges as everything

RATE = 8000
BEFORE_S = ListenerConfig().before_s  # of the caller's plain speech that is kept to compare with
LENGTHS_S = (5.0, 10.0)
CARRIES_ALL = Line(wideband=True, noise_suppressed=False, dtx=False)  # every challenge is judged in earnest


def speech(seconds: float) -> Samples:
    """int16 at 8 kHz: people of the bundled samples one after the other, pauses cut out; from the first again if need be."""
    people = [decode_mu_law(mu_law(sample.path)) for sample in SAMPLES if sample.name.startswith("person")]
    return np.resize(net_speech(np.concatenate(people)), round(seconds * RATE))


def costs(judges: Judges, seconds: float, runs: int = 5, *, done: bool = False) -> dict[str, float]:
    """Milliseconds of one core per challenge, medians over `runs`, for answers of so many seconds."""
    said, before = speech(BEFORE_S + seconds), round(BEFORE_S * RATE)
    answer = Answer(said[before:], 2.0, 0.0, said[:before])
    known = judges.before(answer.before)
    known.measure(judges.measuring)
    asked = {key: draw(challenge, "en", random.Random(1), 0.0) for key, challenge in CATALOGUE.items()}
    if done:
        asked = {key: taken_for_done(one) for key, one in asked.items()}
    return {key: _median_ms(partial(judges.judge, one, answer, CARRIES_ALL, (), known), runs) for key, one in asked.items()}


def cost_before(judges: Judges, runs: int = 5) -> float:
    """Milliseconds of one core for the speech before a question."""

    def prepare() -> None:
        judges.before(speech(BEFORE_S)).measure(judges.measuring)

    return _median_ms(prepare, runs)


def taken_for_done(question: Question) -> Question:
    """The same question, whose verifier finds the manner in any answer."""
    challenge = question.challenge
    parameters = {name: 30.0 if name == "bias" else value for name, value in challenge.parameters.items()}
    return replace(question, challenge=replace(challenge, parameters=parameters))


def _median_ms(judge: Callable[[], object], runs: int) -> float:
    judge()  # models are loaded on first use
    taken = []
    for _ in range(runs):
        before = time.process_time()
        judge()
        taken.append(time.process_time() - before)
    return round(1000 * statistics.median(taken), 1)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vivavoce.measure_judging", description="what judging one answer costs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs to take the median of (default: %(default)s)")
    args = parser.parse_args(argv)
    if not available():
        parser.error("nothing measures an answer: install the extra with pip install 'vivavoce[examine]'")
    settings = load_settings(None, os.environ, [])
    judges = everything(settings, service_model.load(settings))
    before = cost_before(judges, args.runs)
    found = {
        f"{seconds:g} s{', done' * done}": costs(judges, seconds, args.runs, done=done)
        for seconds in LENGTHS_S
        for done in (False, True)
    }
    print(json.dumps({"before": before, **found}) if args.json else f"{table(found)}\n{'before the question':24}{before:12.0f}")
    return 0


def table(found: dict[str, dict[str, float]]) -> str:
    """A line per challenge, the dearest last."""
    longest = list(found)[-1]
    lines = [f"{'ms of one core':24}" + "".join(f"{length:>12}" for length in found)]
    for key in sorted(found[longest], key=found[longest].__getitem__):
        lines.append(f"{key:24}" + "".join(f"{costs[key]:12.0f}" for costs in found.values()))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
