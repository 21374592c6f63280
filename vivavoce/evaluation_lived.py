"""The figures of an evaluation that a call centre feels: alarms per hour, time to detect, and who is accused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from engine.events import Tag, Verdict
from models import detection
from models.subgroups import SUBGROUPS

NOT_TOLD = "not told"
LEAST = 20  # clips of a source, from which its false positives are listed


@dataclass(frozen=True)
class Scored:
    """A trial's row of the manifest (its first, of a call), its LLRs by length, and how the tag went on the way."""

    row: dict[str, str]
    llr: dict[str, float]  # "1 s" ... "8 s" and "whole" of a clip; "10 s call", "30 s call" or "10 s voice" of a call
    speech_s: float  # net speech
    raw: float | None = None  # mean of the model's scores at the end, before calibration
    detected_s: float | None = None  # net speech when the tag first was Deepfake-likely
    alarms: int = 0  # how often the tag became Deepfake-likely

    @property
    def bonafide(self) -> bool:
        return self.row["label"] == "bonafide"

    @property
    def end(self) -> str:
        """The length that is the whole trial."""
        return next(reversed(self.llr))


class Watch:
    """Follows the records of one call as an operator sees them."""

    def __init__(self) -> None:
        self.detected_s: float | None = None
        self.alarms = 0
        self._shown = Verdict.LISTENING

    def __call__(self, tag: Tag) -> None:
        if tag.tag is Verdict.DEEPFAKE_LIKELY and self._shown is not tag.tag:
            self.alarms += 1
            self.detected_s = tag.net_speech_s if self.detected_s is None else self.detected_s
        self._shown = tag.tag


def _by_end(trials: Sequence[Scored]) -> dict[str, list[Scored]]:
    kinds: dict[str, list[Scored]] = defaultdict(list)
    for s in trials:
        kinds[s.end].append(s)
    return kinds


def alarms(scored: Sequence[Scored]) -> dict[str, Any]:
    """By kind of trial: how often genuine speech was tagged Deepfake-likely on the way, per hour of it."""
    out: dict[str, Any] = {}
    for kind, people in _by_end([s for s in scored if s.bonafide]).items():
        found = detection.alarms_per_hour(sum(s.alarms for s in people), sum(s.speech_s for s in people))
        if found is not None:
            ever = sum(s.alarms > 0 for s in people) / len(people)
            out[kind] = asdict(found) | {"trials": len(people), "ever_accused": ever}
    return out


def times(scored: Sequence[Scored]) -> dict[str, Any]:
    """By kind of trial: net speech until a fake was tagged Deepfake-likely."""
    out: dict[str, Any] = {}
    for kind, fakes in _by_end([s for s in scored if not s.bonafide]).items():
        found = detection.times_to_detect([s.detected_s for s in fakes], [s.speech_s for s in fakes])
        if found is not None:
            row: dict[str, Any] = {"spoof": found.spoofs, "detected": found.detected, "median_s": found.median_s}
            row |= {f"detected_by_{s:g}_s": share for s, share in found.by.items()}
            out[kind] = row | {f"lasting_{s:g}_s": count for s, count in found.long_enough.items()}
    return out


def accused(bona: Sequence[Scored], value: Callable[[dict[str, str]], str], threshold: float) -> dict[str, Any]:
    """Whole clips of people by group: how many, and of how many the score is at or below the threshold."""
    groups: dict[str, list[float]] = defaultdict(list)
    for s in bona:
        groups[value(s.row) or NOT_TOLD].append(s.llr["whole"])
    return {name: _share(sum(v <= threshold for v in g), len(g)) for name, g in sorted(groups.items())}


def _share(hits: int, of: int) -> dict[str, Any]:
    low, high = detection.wilson(hits, of)
    return {"clips": of, "accused": hits, "rate": hits / of, "low": low, "high": high}


def sources(bona: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Groups of at least LEAST clips by repository, language and source rate."""
    tables = {field: accused(bona, partial(_column, field), threshold) for field in ("repo", "language", "orig_sr")}
    return {field: {name: row for name, row in table.items() if row["clips"] >= LEAST} for field, table in tables.items()}


def _column(field: str, row: dict[str, str]) -> str:
    return row.get(field) or "unknown"


def worst(by_source: dict[str, Any]) -> dict[str, Any] | None:
    """The row of the repository whose people are accused most, with its name; None without any."""
    if not by_source:
        return None
    name = max(by_source, key=lambda n: (by_source[n]["rate"], by_source[n]["clips"]))
    return {"source": name, **by_source[name]}


def subgroups(bona: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Per property of speaker or recording: of how many clips it is told, and who is accused."""
    out: dict[str, Any] = {}
    for name, value in SUBGROUPS.items():
        groups = accused(bona, value, threshold)
        unknown = groups[NOT_TOLD]["clips"] if NOT_TOLD in groups else 0
        out[name] = {"known": len(bona) - unknown, "not_told": unknown, "groups": groups}
    return out
