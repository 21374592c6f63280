"""Figures of a screened split as tables: per condition and length, inside repositories, per family, false positives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from models import metrics
from models.calibrate import LINES, Scored, Thresholds
from models.calibration import Calibration
from models.metrics import Trial
from models.selection import TELEPHONE

SPANS = ("1", "2", "4", "clip", "10", "30")
SPAN_NAMES = {"clip": "whole clip", "10": "10 s call", "30": "30 s call"} | {s: f"first {s} s" for s in ("1", "2", "4")}


def trials(scored: Iterable[Scored], calibration: Calibration, condition: str, span: str) -> list[Trial]:
    return [s.trial(calibration) for s in scored if s.condition == condition and s.recording.span == span]


def split_classes(rows: Iterable[Trial]) -> tuple[list[float], list[float]]:
    """(bona fide LLRs, spoof LLRs)."""
    rows = list(rows)
    return [t.llr for t in rows if t.bonafide], [t.llr for t in rows if not t.bonafide]


def figures(scored: Sequence[Scored], calibration: Calibration, thresholds: Thresholds) -> dict[str, Any]:
    """Everything a card needs, JSON-ready; rates 0-1."""
    cells: list[dict[str, Any]] = []
    for condition in LINES:
        for span in SPANS:
            rows = trials(scored, calibration, condition, span)
            bona, fake = split_classes(rows)
            if len(bona) < 5 or len(fake) < 5:
                continue
            cell = {"condition": condition, "span": span, **metrics.summary(bona, fake).__dict__}
            within, cell["repositories"] = metrics.within_repository_auroc(rows)
            cell["within_repository_auroc"] = within if cell["repositories"] else None  # JSON has no nan
            cell["accused"] = metrics.false_positive_rate(bona, thresholds.deepfake_llr)
            cell["caught"] = metrics.false_positive_rate(fake, thresholds.deepfake_llr)
            cells.append({k: round(v, 4) if isinstance(v, float) else v for k, v in cell.items()})
    telephone = trials(scored, calibration, TELEPHONE, "clip")
    return {
        "cells": cells,
        "families": by_group(telephone, "family"),
        "seen": by_group(telephone, "seen"),
        "false_positives": metrics.false_positives_by_repository(telephone, thresholds.deepfake_llr),
    }


def by_group(rows: Sequence[Trial], field: str, least: int = 5) -> dict[str, dict[str, float]]:
    """EER and AUROC of each group of spoofs against all bona fide."""
    bona, _ = split_classes(rows)
    groups = sorted({str(getattr(t, field)) for t in rows if not t.bonafide})
    out = {}
    for group in groups:
        fake = [t.llr for t in rows if not t.bonafide and str(getattr(t, field)) == group]
        if len(fake) >= least and bona:
            out[group] = {
                "spoof": len(fake),
                "eer": round(metrics.eer(bona, fake), 4),
                "auroc": round(metrics.auroc(bona, fake), 4),
            }
    return out


def as_text(found: dict[str, Any]) -> str:
    """The figures as Markdown tables."""
    lines = [
        "| condition | length | people / fakes | EER % | AUROC | within repo. | minDCF | actDCF | Cllr (min) "
        "| accused % | caught % |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for c in found["cells"]:
        within = "-" if c["within_repository_auroc"] is None else f"{c['within_repository_auroc']:.3f}"
        lines.append(
            f"| {c['condition']} | {SPAN_NAMES[c['span']]} | {c['bonafide']} / {c['spoof']} | {100 * c['eer']:.1f} "
            f"| {c['auroc']:.3f} | {within} ({c['repositories']}) | {c['min_dcf']:.3f} "
            f"| {c['act_dcf']:.3f} | {c['cllr']:.3f} ({c['min_cllr']:.3f}) | {100 * c['accused']:.1f} "
            f"| {100 * c['caught']:.1f} |"
        )
    lines += ["", "| family (whole clip, G.711) | fakes | EER % | AUROC |", "|---|---|---|---|"]
    for name, row in sorted(found["families"].items(), key=lambda item: item[1]["eer"]):
        lines.append(f"| {name} | {row['spoof']} | {100 * row['eer']:.1f} | {row['auroc']:.3f} |")
    lines += ["", "| generator seen before | fakes | EER % | AUROC |", "|---|---|---|---|"]
    for name, row in found["seen"].items():
        lines.append(
            f"| {'yes' if name == 'True' else 'no'} | {row['spoof']} | {100 * row['eer']:.1f} | {row['auroc']:.3f} |"
        )
    lines += ["", "| repository of real speech (whole clip, G.711) | clips | accused |", "|---|---|---|"]
    lines += [
        f"| {repo} | {count} | {wrong} |" for repo, count, wrong in found["false_positives"] if wrong or count >= 10
    ]
    return "\n".join(lines) + "\n"
