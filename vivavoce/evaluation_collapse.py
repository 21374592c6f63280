"""Neural collapse of a model on a corpus split: NC1 to NC4, people against fakes, and NC1 and NC2 over families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models import collapse
from models.calibrate import CONDITIONS
from models.calibration import Calibration
from models.corpus import Clip
from models.embeddings import Heard
from models.explain import centres_of, heard_of
from models.runtime import OnnxModel

LEAST = 5  # clips of a family that counts as a class


def measure(model: OnnxModel, corpus: Path, split: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Condition -> figures. ValueError when a class is missing or the model does not give its embeddings."""
    heard = heard_of(model, corpus, split, clips)
    had = [c for c in CONDITIONS if not heard or any(h.condition == c for h in heard)]
    return {c: figures([h for h in heard if h.condition == c], model.info.calibration) for c in had}


def figures(heard: Sequence[Heard], calibration: Calibration) -> dict[str, Any]:
    """NC1 to NC4 of clips; of two classes NC2 is 0 whatever the model, so it is measured over families."""
    if not heard:
        raise ValueError("no speech is found in any clip")
    points, people = centres_of(heard)
    chunks = np.concatenate([h.embeddings for h in heard]).astype(np.float64)
    row = collapse.classifier_row(chunks, np.concatenate([h.scores for h in heard]).astype(np.float64))
    decided = np.array([h.level(calibration) <= calibration.boundary for h in heard]).astype(np.intp)
    two = collapse.measure(points, (~people).astype(np.intp), np.stack([row, -row]), decided)
    found = {
        "clips": len(heard), "nc1": two.within, "nc3": two.duality, "nc4": two.agreement,
        "right": {
            "network": float((decided == ~people).mean()),
            "nearest mean": float((collapse.nearest_mean(points, _means(points, people)) == ~people).mean()),
        },
    }  # fmt: skip
    return {**found, "families": _families(heard, points)}


def _means(points: Any, people: Any) -> Any:
    return collapse.class_means(points, (~people).astype(np.intp), 2)


def _families(heard: Sequence[Heard], points: Any) -> dict[str, Any] | None:
    """NC1 and NC2 with bona fide speech and each family of generators as classes; None with fewer than three."""
    names = ["bona fide" if h.clip.bonafide else h.clip.family or "unknown" for h in heard]
    kept = sorted(name for name, count in Counter(names).items() if count >= LEAST)
    if len(kept) < 3:
        return None
    mine = np.array([name in kept for name in names])
    classes = np.array([kept.index(name) for name in names if name in kept])
    means = collapse.class_means(points[mine], classes, len(kept))
    return {
        "classes": kept,
        "nc1": collapse.within_class(points[mine], classes, means),
        "nc2 norms": collapse.equal_norms(means),
        "nc2 angles": collapse.equal_angles(means),
    }


def table(report: dict[str, Any]) -> str:
    """The report for a person at a terminal."""
    lines = [
        f"model {report['model']}, split {report['split']}: neural collapse (collapsed: NC1 0, NC2 0, NC3 0, NC4 100 %)", "",
        f"{'condition':14}{'clips':>6}{'NC1':>8}{'NC3':>8}{'NC4':>9}{'network right':>15}{'nearest mean right':>20}"
        f"{'families':>10}{'NC1':>8}{'NC2 norms':>11}{'angles':>8}",
    ]  # fmt: skip
    for condition, found in report["collapse"].items():
        right, families = found["right"], found["families"]
        line = (
            f"{condition:14}{found['clips']:6}{found['nc1']:8.2f}{found['nc3']:8.2f}{100 * found['nc4']:7.1f} %"
            f"{100 * right['network']:13.1f} %{100 * right['nearest mean']:18.1f} %"
        )
        if families:
            line += (
                f"{len(families['classes']):10}{families['nc1']:8.2f}{families['nc2 norms']:11.2f}{families['nc2 angles']:8.2f}"
            )
        lines.append(line)
    return "\n".join(lines)
