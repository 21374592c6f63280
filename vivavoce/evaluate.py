"""`vivavoce evaluate`: a model on a corpus split, clip by clip through the same call path as live audio."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine.call import CallInfo
from engine.config import load_settings
from engine.errors import AudioError
from engine.offline import Job
from models import metrics
from vivavoce import service_model
from vivavoce.recordings import CODECS, Codec, legs_of, make_job, screen_all, through_codec

HELP = "measure a model on a corpus split: EER, AUROC, minDCF, Cllr"
SECONDS = (2.0, 4.0)
CONDITION_NAMES = {"none": "wideband", "pcmu": "G.711 mu-law", "pcma": "G.711 A-law"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The corpus is a folder with manifest.csv (columns path, split, label and, for the groups, seen, generator,\n"
        "generator_family, repo, speaker). Thresholds and calibration are the model's; nothing is fitted here."
    )
    add = parser.add_argument
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--split", default="dev", metavar="NAME", help="rows of this split (default: dev)")
    add("--codec", choices=CODECS, action="append", help="condition; may be repeated (default: none and pcmu)")
    add("--model", type=Path, metavar="FILE", help="an .onnx file instead of the weights that ship")
    add("--limit", type=int, metavar="N", help="only the first N clips, for a quick look")
    add("--json", action="store_true", help="print one JSON object")


@dataclass(frozen=True)
class Scored:
    """A clip's row of the manifest with its LLRs by length."""

    row: dict[str, str]
    llr: dict[str, float]  # "2 s", "4 s", "whole"
    speech_s: float

    @property
    def bonafide(self) -> bool:
        return self.row["label"] == "bonafide"


def run(args: argparse.Namespace) -> int:
    rows = _rows(args.corpus, args.split)[: args.limit]
    settings = load_settings(None, os.environ, [f"model.path={args.model}"] if args.model else [])
    model = service_model.load(settings)
    report: dict[str, Any] = {"model": model.version, "split": args.split, "conditions": {}}
    for codec in args.codec or ("none", "pcmu"):
        scored = _score(rows, args.corpus, codec, settings, model)
        report["conditions"][CONDITION_NAMES[codec]] = _figures(scored, model.info.deepfake_llr)
    print(json.dumps(report, indent=1) if args.json else _table(report))
    return 0


def _rows(corpus: Path, split: str) -> list[dict[str, str]]:
    manifest = corpus / "manifest.csv"
    if not manifest.is_file():
        raise ValueError(f"{corpus} holds no manifest.csv")
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("split", split) == split]
    if not rows:
        raise ValueError(f'{manifest} has no rows of split "{split}"')
    return rows


def _score(rows: list[dict[str, str]], corpus: Path, codec: Codec, settings: Any, model: Any) -> list[Scored]:
    config = service_model.call_config(settings, model.info)

    def jobs() -> Iterator[Job]:
        for index, row in enumerate(rows):
            try:
                source, leg, frames = legs_of(corpus / row["path"])[0]
            except AudioError as error:
                tqdm.write(f"skipped: {error}", file=sys.stderr)
                continue
            info = CallInfo(str(index), leg, source)
            coded = through_codec(frames, codec)
            yield make_job(info, coded, config, settings, lambda _: None, key=index, marks=SECONDS)

    scored = []
    with tqdm(total=len(rows), unit="clip", desc=CONDITION_NAMES[codec], file=sys.stderr) as bar:
        for job in screen_all(jobs(), model):
            whole = job.call.llr or 0.0
            lengths = {f"{s:g} s": job.marked.get(s, whole) for s in SECONDS}
            scored.append(Scored(rows[job.key], {**lengths, "whole": whole}, job.call.evidence_s))
            bar.update()
    return scored


def _figures(scored: list[Scored], threshold: float) -> dict[str, Any]:
    """By length and group; each group of spoofs against all bona fide speech."""
    groups: dict[str, Callable[[Scored], bool]] = {
        "all": lambda s: True,
        "unseen generators": lambda s: s.row.get("seen") != "yes",
        "seen generators": lambda s: s.row.get("seen") == "yes",
    }
    bona = [s for s in scored if s.bonafide]
    figures: dict[str, Any] = {}
    for name, belongs in groups.items():
        spoofs = [s for s in scored if not s.bonafide and belongs(s)]
        if bona and spoofs:
            figures[name] = {
                length: asdict(metrics.summary([s.llr[length] for s in bona], [s.llr[length] for s in spoofs]))
                for length in bona[0].llr
            }
    figures["families"] = _families(bona, [s for s in scored if not s.bonafide])
    accused = sum(s.llr["whole"] <= threshold for s in bona)
    figures["at the shipped threshold"] = {
        "deepfake_llr": threshold,
        "false positives": accused / max(1, len(bona)),
        "caught": sum(s.llr["whole"] <= threshold for s in scored if not s.bonafide) / max(1, len(scored) - len(bona)),
    }
    return figures


def _families(bona: list[Scored], spoofs: list[Scored]) -> dict[str, Any]:
    real = [s.llr["whole"] for s in bona]
    found: dict[str, list[float]] = {}
    for s in spoofs:
        found.setdefault(s.row.get("generator_family") or "unknown", []).append(s.llr["whole"])
    return {
        name: {"clips": len(llrs), "eer": metrics.eer(real, llrs)} for name, llrs in sorted(found.items()) if real
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"model {report['model']}, split {report['split']}"]
    for condition, figures in report["conditions"].items():
        lines += ["", f"{condition:22} {'speech':>7} {'bona':>5} {'spoof':>5} {'EER %':>6} {'AUROC':>6} {'minDCF':>7} "
                  f"{'actDCF':>7} {'Cllr':>6} {'min':>6} {'caught at 1 %':>14}"]  # fmt: skip
        for group in ("all", "unseen generators", "seen generators"):
            for length, s in figures.get(group, {}).items():
                lines.append(
                    f"{group:22} {length:>7} {s['bonafide']:5} {s['spoof']:5} {100 * s['eer']:6.1f} {s['auroc']:6.3f} "
                    f"{s['min_dcf']:7.3f} {s['act_dcf']:7.3f} {s['cllr']:6.3f} {s['min_cllr']:6.3f} "
                    f"{100 * s['caught_at_1_percent']:13.1f}%"
                )
        for name, family in figures["families"].items():
            lines.append(f"{'  ' + name:38} {family['clips']:5} clips, EER {100 * family['eer']:.1f} %")
        shipped = figures["at the shipped threshold"]
        lines.append(
            f"  at LLR {shipped['deepfake_llr']:.2f}: {100 * shipped['false positives']:.1f} % of people accused, "
            f"{100 * shipped['caught']:.1f} % of synthetic clips caught"
        )
    return "\n".join(lines)
