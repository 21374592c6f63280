"""The figures of an evaluation, and how they read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models import metrics
from models.metrics import Trial

SECONDS = (1.0, 2.0, 4.0, 8.0)  # of net speech at which a clip's score is also noted
LEAST = 20  # clips of a group of people, from which its false positives are listed


@dataclass(frozen=True)
class Scored:
    """A trial's row of the manifest (its first, of a call) with its LLRs by length."""

    row: dict[str, str]
    llr: dict[str, float]  # "1 s" ... "8 s" and "whole" of a clip; "10 s call" or "30 s call" of a call
    speech_s: float

    @property
    def bonafide(self) -> bool:
        return self.row["label"] == "bonafide"


def figures(scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Every metric by length and by group; each group of spoofs against all bona fide speech. Rates 0-1."""
    groups: dict[str, Callable[[Scored], bool]] = {
        "all": lambda s: True,
        "unseen generators": lambda s: s.row.get("seen") != "yes",
        "seen generators": lambda s: s.row.get("seen") == "yes",
    }
    found: dict[str, Any] = {name: _lengths(scored, belongs) for name, belongs in groups.items()}
    clips = [s for s in scored if "whole" in s.llr]
    bona, spoofs = [s for s in clips if s.bonafide], [s for s in clips if not s.bonafide]
    found["families"] = _by(bona, spoofs, "generator_family")
    found["languages"] = _by(bona, spoofs, "language", both=True)
    trials = [Trial(s.llr["whole"], s.bonafide, s.row.get("repo", "")) for s in clips]
    within, repositories = metrics.within_repository_auroc(trials, 8)
    found["within repositories"] = {"auroc": within if repositories else None, "repositories": repositories}
    found["false positives by source"] = {
        field: _accused(bona, field, threshold) for field in ("repo", "language", "orig_sr")
    }
    found["at the shipped threshold"] = _shipped(scored, threshold)
    return found


def _lengths(scored: Sequence[Scored], belongs: Callable[[Scored], bool]) -> dict[str, Any]:
    out = {}
    for length in dict.fromkeys(name for s in scored for name in s.llr):
        bona = [s.llr[length] for s in scored if s.bonafide and length in s.llr]
        fake = [s.llr[length] for s in scored if not s.bonafide and length in s.llr and belongs(s)]
        if bona and fake:
            out[length] = asdict(metrics.summary(bona, fake))
    return out


def _by(bona: Sequence[Scored], spoofs: Sequence[Scored], field: str, *, both: bool = False) -> dict[str, Any]:
    """EER of each value's spoofs against all bona fide speech, or (`both`) against that of the same value."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for s in spoofs:
        groups[s.row.get(field) or "unknown"].append(s)
    out = {}
    for name, group in sorted(groups.items()):
        people = [s.llr["whole"] for s in bona if not both or (s.row.get(field) or "unknown") == name]
        if people:
            llrs = [s.llr["whole"] for s in group]
            out[name] = {"people": len(people), "clips": len(group), "eer": metrics.eer(people, llrs)}
    return out


def _accused(bona: Sequence[Scored], field: str, threshold: float) -> dict[str, Any]:
    """Groups of at least LEAST people's clips: how many, and how many of them are below the threshold."""
    groups: dict[str, list[float]] = defaultdict(list)
    for s in bona:
        groups[s.row.get(field) or "unknown"].append(s.llr["whole"])
    rows = {name: {"clips": len(g), "accused": sum(v <= threshold for v in g)} for name, g in groups.items()}
    return {name: row for name, row in sorted(rows.items()) if row["clips"] >= LEAST}


def _shipped(scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Shares at or below the threshold that the model ships with."""
    out: dict[str, Any] = {"deepfake_llr": threshold}
    for length in dict.fromkeys(name for s in scored for name in s.llr):
        of = [s for s in scored if length in s.llr]
        below = [s for s in of if s.llr[length] <= threshold]
        people, fakes = sum(s.bonafide for s in of), sum(not s.bonafide for s in of)
        accused = sum(s.bonafide for s in below)
        out[length] = {
            "false positives": accused / max(1, people), "caught": (len(below) - accused) / max(1, fakes),
        }  # fmt: skip
    return out


def table(report: dict[str, Any]) -> str:
    """The report for a person at a terminal."""
    lines = [f"model {report['model']}, split {report['split']}"]
    for condition, found in report["conditions"].items():
        lines += ["", *_condition(condition, found)]
    return "\n".join(lines)


def _condition(condition: str, found: dict[str, Any]) -> list[str]:
    lines = [
        f"{condition:22} {'speech':>10} {'bona':>5} {'spoof':>5} {'EER %':>6} {'AUROC':>6} {'minDCF':>7} {'actDCF':>7} "
        f"{'Cllr':>6} {'min':>6} {'caught at 1 %':>14}"
    ]
    for group in ("all", "unseen generators", "seen generators"):
        for length, s in found[group].items():
            lines.append(
                f"{group:22} {length:>10} {s['bonafide']:5} {s['spoof']:5} {100 * s['eer']:6.1f} {s['auroc']:6.3f} "
                f"{s['min_dcf']:7.3f} {s['act_dcf']:7.3f} {s['cllr']:6.3f} {s['min_cllr']:6.3f} "
                f"{100 * s['caught_at_1_percent']:13.1f}%"
            )
    for name, family in found["families"].items():
        lines.append(f"{'  ' + name:38} {family['clips']:5} clips, EER {100 * family['eer']:.1f} %")
    within = found["within repositories"]
    if within["repositories"]:
        lines.append(f"  inside {within['repositories']} repositories with 8 clips of each class: AUROC {within['auroc']:.3f}")
    shipped = found["at the shipped threshold"]
    for length in ("whole", "10 s call", "30 s call"):
        if length in shipped:
            row = shipped[length]
            lines.append(
                f"  at LLR {shipped['deepfake_llr']:.2f}, {length}: {100 * row['false positives']:.1f} % of people accused, "
                f"{100 * row['caught']:.1f} % of synthetic speech caught"
            )
    worst = sorted(found["false positives by source"]["repo"].items(), key=lambda i: -i[1]["accused"] / i[1]["clips"])[:3]
    lines += [f"  accused of {name}: {row['accused']} of {row['clips']} clips" for name, row in worst]
    return lines
