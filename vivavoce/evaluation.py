"""The figures of an evaluation, and how they read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from models import detection, metrics
from models.metrics import Trial
from vivavoce import evaluation_lived as lived
from vivavoce.evaluation_lived import Scored

SECONDS = (1.0, 2.0, 4.0, 8.0)  # of net speech at which a clip's score is also noted
CHANGERS = ("dsp-voice-changer", "dsp-voice-conversion")  # families: real voices, altered
CODECS = "copy-synthesis:codec"  # how generators begin that are neural codecs: real voices, coded
APART = ("unseen synthesis", "speech changers", "neural codecs")
SHOWN = ("whole", "10 s call", "10 s voice", "30 s call")  # lengths that are shown of every group


def changer(row: dict[str, str]) -> bool:
    return row.get("generator_family", "") in CHANGERS


def codec(row: dict[str, str]) -> bool:
    return row.get("generator", "").startswith(CODECS)


GROUPS: dict[str, Callable[[dict[str, str]], bool]] = {
    "all": lambda row: True,
    "unseen generators": lambda row: row.get("seen") != "yes",
    "seen generators": lambda row: row.get("seen") == "yes",
    "unseen synthesis": lambda row: row.get("seen") != "yes" and not changer(row) and not codec(row),
    "speech changers": changer,
    "neural codecs": codec,
}


def figures(scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Every metric by length and by group; each group of spoofs against all bona fide speech. Rates 0-1."""
    found: dict[str, Any] = {name: _lengths(scored, belongs) for name, belongs in GROUPS.items()}
    clips = [s for s in scored if "whole" in s.llr]
    bona, spoofs = [s for s in clips if s.bonafide], [s for s in clips if not s.bonafide]
    found["families"] = _by(bona, spoofs, "generator_family")
    found["languages"] = _by(bona, spoofs, "language", both=True)
    trials = [Trial(s.llr["whole"], s.bonafide, s.row.get("repo", "")) for s in clips]
    within, repositories = metrics.within_repository_auroc(trials, 8)
    found["within repositories"] = {"auroc": within if repositories else None, "repositories": repositories}
    found["false positives by source"] = lived.sources(bona, threshold)
    found["worst source"] = lived.worst(found["false positives by source"]["repo"])
    found["subgroups"] = lived.subgroups(bona, threshold)
    found["false alarms"] = lived.alarms(scored)
    found["time to detect"] = lived.times(scored)
    found["at the shipped threshold"] = _shipped(scored, threshold)
    return found


def _lengths(scored: Sequence[Scored], belongs: Callable[[dict[str, str]], bool]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for length in dict.fromkeys(name for s in scored for name in s.llr):
        bona = [s for s in scored if s.bonafide and length in s.llr]
        fake = [s for s in scored if not s.bonafide and length in s.llr and belongs(s.row)]
        if bona and fake:
            people, llrs = [s.llr[length] for s in bona], [s.llr[length] for s in fake]
            out[length] = asdict(metrics.summary(people, llrs)) | _precision(people, fake, length)
            out[length]["raw_cllr"] = _raw_cllr(bona, fake) if all(s.end == length for s in bona + fake) else None
    return out


def _precision(people: list[float], fake: Sequence[Scored], length: str) -> dict[str, Any]:
    generators: dict[str, list[float]] = defaultdict(list)
    for s in fake:
        generators[s.row.get("generator") or "unknown"].append(s.llr[length])
    found = detection.mean_average_precision(people, generators)
    return {
        "mean_average_precision": found.mean,
        "chance_precision": found.chance,
        "generators": found.generators,
    }


def _raw_cllr(bona: Sequence[Scored], fake: Sequence[Scored]) -> float | None:
    """Cllr as if the model's mean scores were log-likelihood ratios already; None where a trial has none."""
    people, spoofs = [s.raw for s in bona if s.raw is not None], [s.raw for s in fake if s.raw is not None]
    return metrics.cllr(people, spoofs) if people and spoofs else None


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


def _shipped(scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Shares at or below the threshold that the model ships with; None where a class has no trials."""
    out: dict[str, Any] = {"deepfake_llr": threshold}
    for length in dict.fromkeys(name for s in scored for name in s.llr):
        of = [s for s in scored if length in s.llr]
        below = [s for s in of if s.llr[length] <= threshold]
        people, fakes = sum(s.bonafide for s in of), sum(not s.bonafide for s in of)
        accused = sum(s.bonafide for s in below)
        out[length] = {
            "false positives": accused / people if people else None,
            "caught": (len(below) - accused) / fakes if fakes else None,
        }
    return out


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def table(report: dict[str, Any]) -> str:
    """The report for a person at a terminal."""
    lines = [f"model {report['model']}, split {report['split']}"]
    for condition, found in report["conditions"].items():
        lines += ["", *_condition(condition, found)]
    return "\n".join(lines)


def _condition(condition: str, found: dict[str, Any]) -> list[str]:
    lines = [
        f"{condition:22} {'speech':>10} {'bona':>5} {'spoof':>5} {'EER %':>6} {'AUROC':>6} {'mAP':>6} {'minDCF':>7} "
        f"{'actDCF':>7} {'Cllr':>6} {'min':>6} {'caught at 1 %':>14}"
    ]
    for group in GROUPS:
        for length, s in found[group].items():
            if group in APART and length not in SHOWN:
                continue
            lines.append(
                f"{group:22} {length:>10} {s['bonafide']:5} {s['spoof']:5} {100 * s['eer']:6.1f} {s['auroc']:6.3f} "
                f"{s['mean_average_precision']:6.3f} {s['min_dcf']:7.3f} {s['act_dcf']:7.3f} {s['cllr']:6.3f} "
                f"{s['min_cllr']:6.3f} {100 * s['caught_at_1_percent']:13.1f}%"
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
                f"  at LLR {shipped['deepfake_llr']:.2f}, {length}: {_percent(row['false positives'])} of people accused, "
                f"{_percent(row['caught'])} of synthetic speech caught"
            )
    return lines + _lived(found)


def _lived(found: dict[str, Any]) -> list[str]:
    lines = []
    for kind, row in found["false alarms"].items():
        lines.append(
            f"  {kind}: {row['alarms']} false alarms in {row['hours']:.2f} h of genuine speech, {row['per_hour']:.1f} an hour "
            f"({row['low']:.1f} to {row['high']:.1f})"
        )
    for kind, row in found["time to detect"].items():
        median = "" if row["median_s"] is None else f", after {row['median_s']:.1f} s in the median"
        by = ", ".join(f"{100 * row[f'detected_by_{s:g}_s']:.1f} % by {s:g} s" for s in detection.DETECTED_BY)
        lines.append(f"  {kind}: {row['detected']} of {row['spoof']} fakes named on the way{median}; {by}")
    for name, group in found["subgroups"].items():
        rates = ", ".join(
            f"{value} {row['accused']}/{row['clips']} ({100 * row['low']:.1f}-{100 * row['high']:.1f} %)"
            for value, row in sorted(group["groups"].items(), key=lambda item: -item[1]["clips"])[:4]
        )
        lines.append(f"  accused by {name} (told of {group['known']} clips): {rates}")
    by_source = sorted(found["false positives by source"]["repo"].items(), key=lambda item: -item[1]["rate"])[:3]
    return lines + [f"  accused of {name}: {row['accused']} of {row['clips']} clips" for name, row in by_source]
