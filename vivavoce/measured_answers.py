"""Answers done and not done, measured at the other end of the line, and kept in a folder for the next time.

What was kept is used again only for the same people, seed and noise, and as long as nothing that makes or measures an
answer has changed.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from challenges import measures, pace, tones, track
from challenges.catalogue import CATALOGUE, Challenge
from challenges.measures import Measures
from vivavoce import caller_stock, callers, compliance_trials, manners
from vivavoce.callers import ACTIVITIES, Person, Stock
from vivavoce.compliance_trials import FEW, Answer, Scorer, made, recorded, refused
from vivavoce.manners import Samples

MAKERS = (measures, pace, tones, track, manners, callers, caller_stock, compliance_trials)  # their text decides


@dataclass(frozen=True)
class Answered:
    """One answer to one challenge; None where nothing stood out from the noise, or nobody spoke before."""

    done: bool
    answer: Measures | None
    before: Measures | None


class Source:
    """Answers of at most `limit` people of one split, over noise `snr_db` (least, most) below the voice."""

    def __init__(self, corpus: Path, split: str, limit: int, snr_db: tuple[float, float], seed: int, folder: Path) -> None:
        self.split, self._corpus, self._limit, self._snr_db, self._seed = split, corpus, limit, snr_db, seed
        self._folder = folder

    def answers(self, challenge: Challenge) -> list[Answered]:
        """Those that are kept, else made, measured and kept; the people are read only for that."""
        file = self._file(challenge)
        if file.is_file():
            return [_read(row) for row in json.loads(file.read_text(encoding="utf-8"))]
        found = list(self._measured(challenge))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
        return found

    def _file(self, challenge: Challenge) -> Path:
        text = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in MAKERS)
        what = f"{self._corpus.resolve()}/{self._limit}/{self._snr_db}/{self._seed}/{text}"
        return self._folder / f"{self.split}-{challenge.key}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"

    def _measured(self, challenge: Challenge) -> Iterator[Answered]:
        rng = random.Random(f"{self._seed}/{challenge.key}")
        done = self._done(challenge, rng)
        if not done:
            return
        scorer = Scorer(challenge, self._noises, self._snr_db, rng)
        both = [*((True, one) for one in done), *((False, one) for one in refused(self._people, rng))]
        for kind, (answer, before) in tqdm(both, desc=f"{self.split} {challenge.key}", unit="answer", file=sys.stderr):
            yield Answered(kind, *scorer.heard(answer, before))

    def _done(self, challenge: Challenge, rng: random.Random) -> list[Answer]:
        """Recordings of this very split where there are enough, else what can be made of plain speech, else the few."""
        own = Stock([one for one in self._stock.recordings if one.split == self.split], self._stock.played)
        speakers = [*self._people, *self._recorded]
        real, _ = recorded(challenge, ACTIVITIES.get(challenge.key, ()), speakers, own)
        return real if len(real) >= FEW else made(challenge.key, self._people, self._stock, rng) or real

    @cached_property
    def _people(self) -> list[Person]:
        rng = random.Random(f"{self._seed}/people")
        return caller_stock.read_people(self._corpus, self.split, self._limit, rng)

    @cached_property
    def _stock(self) -> Stock:
        return caller_stock.read_stock(self._corpus, self.split)

    @cached_property
    def _recorded(self) -> list[Person]:
        return caller_stock.read_recorded(self._corpus, self._stock)

    @cached_property
    def _noises(self) -> Sequence[Samples]:
        found = caller_stock.read_noises(self._corpus / "noise")
        if not found:
            raise ValueError(f"{self._corpus}: no noise for the line")
        return found


def measurable() -> list[Challenge]:
    """The challenges that a regression can weigh, in the catalogue's order."""
    return [one for one in CATALOGUE.values() if one.verifier not in ("unmeasured", "words")]


def _read(row: dict[str, Any]) -> Answered:
    return Answered(row["done"], _measures(row["answer"]), _measures(row["before"]))


def _measures(kept: dict[str, Any] | None) -> Measures | None:
    return None if kept is None else Measures(**kept | {"tones": tuple(kept["tones"])})
