"""Attacks on the examination, counted: how calls of every simulated caller end, and which part noticed what."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from challenges.fusion import Judgement, weigh
from connectors.mixing import MixedRecording
from engine.events import Verdict
from models.detection import wilson
from vivavoce.callers import CALLERS, INNOCENT, Person, Stock
from vivavoce.manners import Samples
from vivavoce.rehearsal import Outcome, Rehearsal, Rules, Told

NOTICED = {"compliance": "non-compliance", "realism": "distortion", "identity": "identity-drift"}  # part -> its reason
ENDS = (Verdict.DEEPFAKE_LIKELY, Verdict.UNCERTAIN, Verdict.HUMAN_LIKELY)
Json = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One call and how it went."""

    caller: str
    challenge: str  # of the first question
    outcome: Outcome


def rehearse_all(
    people: Sequence[Person], stock: Stock, keys: Sequence[str], names: Sequence[str], rules: Rules,
    noises: Sequence[Samples], snr_db: float, seed: int, record: Path | None = None,
) -> Iterator[Trial]:  # fmt: skip
    """Every caller as every person before every challenge, in that order; what cannot be simulated is left out.

    `record` is a folder for one WAV a call, CALLER-CHALLENGE-PERSON.wav. AudioError when such a file is there already.
    """
    with tqdm(total=len(people) * len(names) * len(keys), unit="call", desc="callers", file=sys.stderr) as bar:
        for person in people:
            for name in names:
                caller = CALLERS[name](person, stock, random.Random(f"{seed}/{person.name}/{name}"))
                for key in keys:
                    rng = random.Random(f"{seed}/{person.name}/{key}")  # all callers on one line, with one noise
                    noise = noises[rng.randrange(len(noises))]
                    kept = f"{name}-{key}-{re.sub(r'[^A-Za-z0-9._-]', '_', person.name)}.wav"
                    file = MixedRecording(record / kept, rules.call.rate) if record and caller.can(key) else None
                    with closing(file) if file else nullcontext():
                        outcome = Rehearsal(caller, key, rules, noise, snr_db, rng, file).play()
                    bar.update()
                    if outcome is not None:
                        yield Trial(name, key, outcome)


def figures(trials: Sequence[Trial]) -> Json:
    """By caller, and by caller and first challenge. Rates 0-1, with 95 % intervals."""
    out: Json = {}
    for name in dict.fromkeys(trial.caller for trial in trials):
        mine = [trial for trial in trials if trial.caller == name]
        out[name] = {
            **ends(mine),
            "stages": _shares(told.stage for told in _told(mine)),
            "reasons": _shares(reason for told in _told(mine) for reason in told.reasons),
            "parts": parts(mine),
            "by_challenge": {
                key: ends([t for t in mine if t.challenge == key]) for key in dict.fromkeys(t.challenge for t in mine)
            },
            "by_answer": {
                how: ends([t for t in mine if t.outcome.told and t.outcome.told[0].how == how])
                for how in sorted({told.how for t in mine for told in t.outcome.told[:1] if told.how})
            },
        }
    return out


def ends(trials: Sequence[Trial]) -> Json:
    """How calls ended, how often a part named something, and how they stood before the first question."""
    count = len(trials)
    tags = Counter(str(trial.outcome.verdict) for trial in trials)
    accused = tags[Verdict.DEEPFAKE_LIKELY]
    noticed = sum(any(reason in NOTICED.values() for told in t.outcome.told for reason in told.reasons) for t in trials)
    low, high = wilson(accused, count) if count else (0.0, 1.0)
    return {
        "calls": count, "ends": {str(end): tags[end] for end in ENDS} | {"other": count - sum(tags[e] for e in ENDS)},
        "accused": _rate(accused, count), "accused_low": round(low, 4), "accused_high": round(high, 4),
        "cleared": _rate(tags[Verdict.HUMAN_LIKELY], count), "noticed": _rate(noticed, count),
        "accused_before": _rate(sum(t.outcome.before is Verdict.DEEPFAKE_LIKELY for t in trials), count),
        "failed": _rate(sum(any(told.stage == "failed" for told in t.outcome.told) for t in trials), count),
    }  # fmt: skip


def parts(trials: Sequence[Trial]) -> Json:
    """Of every part: answers it could measure, how often it named its reason, and its mean evidence (nat, high is human)."""
    judged = [told.judgement for told in _told(trials) if told.judgement is not None]
    out: Json = {}
    for part, reason in NOTICED.items():
        alone = [weigh(one) for judgement in judged if (one := only(judgement, part)) is not None]
        out[part] = {
            "answers": len(judged), "measured": len(alone),
            "named": _rate(sum(reason in one.reasons for one in alone), len(alone)),
            "mean_llr": round(sum(one.llr for one in alone) / len(alone), 3) if alone else None,
        }  # fmt: skip
    return out


def only(judgement: Judgement, part: str) -> Judgement | None:
    """What was measured by `part` alone; None where it could not."""
    if getattr(judgement, part) is None:
        return None
    if part == "realism":
        return Judgement(None, judgement.realism, judgement.baseline, None)
    return Judgement(
        judgement.compliance if part == "compliance" else None, None, None, judgement.identity if part == "identity" else None
    )


def table(found: Mapping[str, Json]) -> list[str]:
    """For a terminal: one block of callers, one of callers by challenge, one of parts."""
    lines = [
        f"{'caller':>16} {'calls':>5} {'deepfake-likely':>24} {'uncertain':>10} {'human-likely':>13} "
        f"{'noticed':>8} {'before':>7}"
    ]
    for name, row in found.items():
        interval = f"{row['accused']:6.1%} ({row['accused_low']:.1%} to {row['accused_high']:.1%})"
        mark = "" if name in INNOCENT else " *"
        lines.append(
            f"{name + mark:>16} {row['calls']:5} {interval:>24} {row['ends']['uncertain']:10} {row['ends']['human-likely']:13} "
            f"{row['noticed']:8.0%} {row['accused_before']:7.0%}"
        )
    lines += ["* an attack; noticed: a part named its reason; before: deepfake-likely before any question", ""]
    return lines + _challenge_lines(found) + [""] + _part_lines(found)


def _challenge_lines(found: Mapping[str, Json]) -> list[str]:
    keys = list(dict.fromkeys(key for row in found.values() for key in row["by_challenge"]))
    lines = ["ends as deepfake-likely/uncertain/human-likely, by first challenge"]
    lines.append(f"{'':>22} " + " ".join(f"{name[:10]:>10}" for name in found))
    for key in keys:
        cells = []
        for row in found.values():
            got = row["by_challenge"].get(key)
            cells.append("/".join(str(got["ends"][str(end)]) for end in ENDS) if got else "-")
        lines.append(f"{key:>22} " + " ".join(f"{cell:>10}" for cell in cells))
    return lines


def _part_lines(found: Mapping[str, Json]) -> list[str]:
    lines = [f"{'':>16} " + " ".join(f"{part:^26}" for part in NOTICED)]
    lines.append(f"{'caller':>16} " + " ".join(f"{'measured':>9} {'named':>6} {'mean nat':>9}" for _ in NOTICED))
    for name, row in found.items():
        cells = []
        for part in NOTICED:
            p = row["parts"][part]
            mean = "-" if p["mean_llr"] is None else f"{p['mean_llr']:+.2f}"
            cells.append(f"{p['measured']:>5}/{p['answers']:<3} {p['named']:6.0%} {mean:>9}")
        lines.append(f"{name:>16} " + " ".join(cells))
    return lines


def _told(trials: Iterable[Trial]) -> list[Told]:
    return [told for trial in trials for told in trial.outcome.told]


def _shares(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


def _rate(hits: int, of: int) -> float:
    return round(hits / of, 4) if of else 0.0
