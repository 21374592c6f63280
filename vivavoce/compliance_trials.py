"""Was the task done? The verifiers measured: answers that do the task against plain speech that does not.

Everything passes one telephone line: G.711 with noise. Genuine answers are real recordings of the activity where there
are any that can be used, else plain speech brought into that manner by signal processing, and the table says which.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from challenges.catalogue import CATALOGUE, Challenge, Line
from challenges.content import draw
from challenges.fusion import FAILED_TASK
from challenges.measures import Measures, measure
from challenges.verifiers import RELATIVE, verify
from models.metrics import auroc
from vivavoce.callers import ACTIVITIES, ANSWER_S, ANYBODY, GAPS_S, Honest, Person, Recording, Stock, piece
from vivavoce.manners import RATE, Samples
from vivavoce.rehearsal import Wire

CARRIES_ALL = Line(wideband=True, noise_suppressed=False, dtx=False)  # every cue is looked at; the sound is still G.711's
LEAST_S = 2.0  # shorter recordings of one person are joined; bursts of noise are not
FEW = 20  # recordings: with fewer, made answers are a row of their own
PIECES = 2  # answers made of one person's plain speech, per challenge
HUM = "sing (vowels held)"  # the same verifier on another activity
Json = dict[str, Any]
Answer = tuple[Samples, Samples | None]  # (answer, plain speech of the same person before it)
Heard = tuple[Measures | None, Measures | None]  # the same, measured


def measure_all(
    people: Sequence[Person], stock: Stock, noises: Sequence[Samples], snr_db: float, seed: int,
    keys: Sequence[str] = (),
) -> dict[str, Json]:  # fmt: skip
    """A row per challenge of `keys` (default: all). `people` include those of the recordings, for their plain speech."""
    rows: dict[str, Json] = {}
    names = list(keys) or [*CATALOGUE, HUM]
    with tqdm(total=len(names), unit="task", desc="compliance", file=sys.stderr) as bar:
        for name in names:
            challenge = CATALOGUE["sing" if name == HUM else name]
            rng = random.Random(f"{seed}/{name}")
            activities = ("sustained_vowel",) if name == HUM else ACTIVITIES.get(name, ())
            scorer = Scorer(challenge, noises, (snr_db, snr_db), rng)
            real, splits = recorded(challenge, activities, people, stock)
            if len(real) < FEW and name != HUM:
                rows[name] = _row(challenge, made(challenge.key, people, stock, rng), "made from plain speech", people, scorer)
            if real:
                second = f"{name} (recorded)" if name in rows and rows[name]["material"] != "none" else name
                rows[second] = _row(challenge, real, f"recorded ({splits})", people, scorer)
            bar.update()
    return rows


class Scorer:
    """Scores answers to one challenge after the line, whose noise is `snr_db` (least, most) below the voice."""

    def __init__(
        self, challenge: Challenge, noises: Sequence[Samples], snr_db: tuple[float, float], rng: random.Random
    ) -> None:
        self.challenge, self.rng = challenge, rng
        self._noises, self._snr_db = noises, snr_db
        self._question = draw(challenge, "en", rng, 0.0)

    def heard(self, answer: Samples, before: Samples | None) -> Heard:
        """Both measured at the other end."""
        noise = self._noises[self.rng.randrange(len(self._noises))]
        snr_db, start = self.rng.uniform(*self._snr_db), self.rng.randrange(1 << 20)
        wire = Wire(noise, snr_db, answer if before is None else before, start)
        plain = None if before is None else measure(wire.send(before))
        return measure(wire.send(answer)), plain

    def score(self, answer: Samples, before: Samples | None) -> tuple[float | None, str]:
        """(compliance, or what the manner alone scores where that counts for nothing; why nobody can tell)."""
        found = verify(self._question, *self.heard(answer, before), CARRIES_ALL)
        return (found.manner if found.score is None else found.score), found.reason

    def split(self, answers: Sequence[Answer]) -> tuple[list[float], list[str]]:
        """Scores, and the reasons where there is none."""
        found = [self.score(*answer) for answer in answers]
        return [score for score, _ in found if score is not None], [why for score, why in found if score is None]


def _row(challenge: Challenge, done: Sequence[Answer], material: str, people: Sequence[Person], scorer: Scorer) -> Json:
    if challenge.verifier in ("unmeasured", "words"):
        why = "no cue is measured" if challenge.verifier == "unmeasured" else "no recording says the drawn words"
        return {"material": "none", "note": why}
    if not done:
        return {"material": "none", "note": "no recording, and no honest way to make one"}
    genuine, unknown = scorer.split(done)
    other, unknown_other = scorer.split(refused(people, scorer.rng))
    return {"material": material} | figures(genuine, other, unknown, unknown_other)


def recorded(
    challenge: Challenge, activities: Sequence[str], people: Sequence[Person], stock: Stock
) -> tuple[list[Answer], str]:
    """Real answers, with the same person's plain speech where the verifier compares with it, and their splits."""
    if challenge.verifier in ("unmeasured", "words"):
        return [], ""
    plain = {person.name: person.talk for person in people}
    anybody = challenge.key in ANYBODY and challenge.verifier not in RELATIVE
    fitting = [r for r in stock.recordings if r.activity in activities and (anybody or r.speaker in plain)]
    least_s = 0.0 if challenge.verifier == "bursts" else LEAST_S
    joined = _joined(fitting, GAPS_S.get(challenge.key, 0.2), least_s)
    return [(samples, plain.get(speaker)) for speaker, samples in joined], ", ".join(sorted({r.split for r in fitting}))


def refused(people: Sequence[Person], rng: random.Random) -> list[Answer]:
    """Plain speech instead of the task: PIECES of everybody."""
    return [(piece(person.spare, ANSWER_S, rng), person.talk) for person in people for _ in range(PIECES)]


def made(key: str, people: Sequence[Person], stock: Stock, rng: random.Random) -> list[Answer]:
    """The task done by signal processing, PIECES by everybody; none where there is no honest way."""
    callers = [Honest(person, Stock((), stock.played), random.Random(rng.random())) for person in people for _ in range(PIECES)]
    return [(spoken.samples, caller.person.talk) for caller in callers if (spoken := caller.does(key)) is not None]


def _joined(recordings: Sequence[Recording], gap_s: float, least_s: float) -> Iterator[tuple[str, Samples]]:
    """Recordings of one person doing one thing, joined until `least_s`; none is in two."""
    waiting: dict[tuple[str, str], list[Samples]] = {}
    gap = np.zeros(round(gap_s * RATE), np.int16)
    for recording in recordings:
        parts = waiting.setdefault((recording.speaker, recording.activity), [])
        parts += [gap, recording.samples] if parts else [recording.samples]
        if sum(map(len, parts)) >= least_s * RATE:
            yield recording.speaker, np.concatenate(parts)
            parts.clear()


def figures(genuine: Sequence[float], other: Sequence[float], unknown: Sequence[str], unknown_other: Sequence[str]) -> Json:
    """AUROC, and both errors at the threshold below which a task counts as not done."""
    failed = sum(score < FAILED_TASK for score in genuine)
    passed = sum(score >= FAILED_TASK for score in other)
    out: Json = {
        "genuine": len(genuine), "not_done": len(other), "threshold": FAILED_TASK,
        "cannot_tell": len(unknown), "cannot_tell_not_done": len(unknown_other),
        "why_not": sorted({*unknown, *unknown_other}),
    }  # fmt: skip
    if genuine and other:
        out["auroc"] = round(auroc(genuine, other), 4)
        out["genuine_failed"] = round(failed / len(genuine), 4)
        out["not_done_unnoticed"] = round(passed / len(other), 4)
        out["error"] = round((failed / len(genuine) + passed / len(other)) / 2, 4)
    return out


def table(rows: Mapping[str, Json]) -> list[str]:
    """For a terminal."""
    lines = [
        f"{'task':>22} {'done':>5} {'not':>5} {'cannot tell':>11} {'AUROC':>6} {'error':>6} {'failed':>7} "
        f"{'unnoticed':>9}  answers"
    ]
    for name, row in rows.items():
        if "auroc" not in row:
            lines.append(
                f"{name:>22} {'-':>5} {'-':>5} {'':>11} {'-':>6} {'-':>6} {'-':>7} {'-':>9}  {row.get('note', 'none measured')}"
            )
            continue
        unknown = f"{row['cannot_tell']}/{row['cannot_tell_not_done']}"
        lines.append(
            f"{name:>22} {row['genuine']:5} {row['not_done']:5} {unknown:>11} {row['auroc']:6.3f} {row['error']:6.1%} "
            f"{row['genuine_failed']:7.0%} {row['not_done_unnoticed']:9.0%}  {row['material']}"
        )
    lines.append(f"error at a compliance of {FAILED_TASK:g}: mean of done but failed, and not done but unnoticed")
    return lines
