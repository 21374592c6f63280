"""`vivavoce evaluate-identity`: does the voice model know a person again, on people it never heard?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.corpus import Clip, read_corpus, read_speech
from models.identity.embed import DEFAULT_WEIGHTS, LEAST_S, Samples, VoiceEmbedder
from models.identity.trials import Side, figures, pairs, sides, through_g711
from models.manifests import read_table
from models.metrics import cllr

HELP = "measure the voice model: EER of one person against others"
SECONDS = (1.5, 3.0, 6.0)
APART = ("whispering", "singing_note", "sustained_vowel", "high_pitch", "screaming", "breathy_voice")  # no ordinary speech


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Sides are S seconds of net speech of one person through G.711, no recording in two of them; all pairs are\n"
        "compared. eer_capped lets nobody bring more than 20 same-person pairs; same_repository compares with people\n"
        "published together only, who often share room and microphone. Whispered, sung and other answers of the\n"
        "corpus's challenge folder are told apart: same person, and against everybody's plain speech."
    )
    add = parser.add_argument
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--split", default="dev", choices=("train", "dev", "eval"), help="people of this split (default: dev)")
    add("--model", type=Path, default=DEFAULT_WEIGHTS, metavar="FILE", help="an .onnx file instead of the one that ships")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    model = VoiceEmbedder(args.model)
    clips = [clip for clip in read_corpus(args.corpus, [args.split]) if clip.bonafide and clip.speaker]
    if not clips:
        raise ValueError(f'{args.corpus} names no speakers in split "{args.split}"')
    audio = _read_all(clips)
    report: dict[str, Any] = {"model": model.version, "split": args.split, "condition": "G.711 mu-law", "seconds": {}}
    for seconds in SECONDS:
        found = sides(clips, lambda clip: audio[clip.path], seconds)
        report["seconds"][f"{seconds:g}"] = _compare(model, found, seconds)
    report["answers"] = _answers(model, args.corpus, sides(clips, lambda clip: audio[clip.path], LEAST_S))
    print(json.dumps(report, indent=1) if args.json else table(report))
    return 0


def _read_all(clips: list[Clip]) -> dict[Path, Samples]:
    try:
        return {clip.path: through_g711(read_speech(clip.path)) for clip in clips}
    except ImportError as error:
        raise ValueError(f"this needs the extra: pip install 'vivavoce[train]' ({error})") from None


def _vectors(model: VoiceEmbedder, of: list[Side]) -> NDArray[np.float64]:
    """Unit vectors [sides, d]; the sides are net speech already and long enough."""
    return np.stack([model.of_speech(side.samples) for side in of]).astype(np.float64)


def _compare(model: VoiceEmbedder, of: list[Side], seconds: float) -> dict[str, Any]:
    if len(of) < 2:
        return {"people": len(of)}
    vectors, made = _vectors(model, of), pairs(of)
    scores = (vectors[made.first] * vectors[made.second]).sum(1)
    near = ~made.same & made.same_repo
    out: dict[str, Any] = {"people": len({side.speaker for side in of}), "sides": len(of)} | figures(scores, made)
    if made.capped.any() and near.any():
        llr = np.array([model.worth.llr(score, seconds) for score in scores])
        out["cllr_same_repository"] = round(cllr(llr[made.capped], llr[near]), 3)
        out["same_judged_other"] = round(float((llr[made.capped] < 0).mean()), 4)
        out["other_judged_same"] = round(float((llr[near] >= 0).mean()), 4)
    return out


def _answers(model: VoiceEmbedder, corpus: Path, plain: list[Side]) -> dict[str, Any]:
    """Per activity of the challenge folder: what of one person agrees, and with how many others it is confused."""
    report: dict[str, Any] = {}
    everybody = _vectors(model, plain)
    for activity, clips in _by_activity(corpus / "challenge"):
        audio = _read_all(clips)
        of = sides(clips, lambda clip, audio=audio: audio[clip.path], LEAST_S)  # type: ignore[misc]
        if len(of) < 2:
            continue
        vectors, made = _vectors(model, of), pairs(of)
        own = (vectors[made.first] * vectors[made.second]).sum(1)[made.same]
        strange = np.array([[side.speaker != other.speaker for other in plain] for side in of])
        other = (vectors @ everybody.T)[strange]
        report[activity] = {"sides": len(of), "people": len({side.speaker for side in of}), "same": len(own)} | {
            f"{name}_{what}": round(float(value), 3)
            for name, scores in (("same", own), ("other", other))
            if len(scores)
            for what, value in (
                ("cosine", scores.mean()),
                ("judged_same", np.mean([model.worth.llr(score, LEAST_S) >= 0 for score in scores])),
            )
        }
    return report


def _by_activity(folder: Path) -> Iterator[tuple[str, list[Clip]]]:
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        print(f"no challenge answers: {manifest} does not exist", file=sys.stderr)
        return
    table = read_table(manifest, ("path", "activity", "speaker", "repo", "orig_path"))[1]
    rows = [row for row, _ in table if row["activity"] in APART or row["activity"].startswith("emotional")]
    empty = Clip(folder, "bonafide")
    for activity in sorted({row["activity"] for row in rows}):
        yield activity, [
            replace(empty, path=folder / row["path"], speaker=row["speaker"], repo=row["repo"], orig_path=row["orig_path"])
            for row in rows
            if row["activity"] == activity
        ]


def table(report: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [f"{report['model']} on {report['split']}, {report['condition']}; EER in %, then against the same repository"]
    lines.append(f"{'speech':>8} {'people':>6} {'same':>6} {'other':>6} {'EER':>6} {'capped':>6} {'near':>6} {'capped':>6}")
    for seconds, f in report["seconds"].items():
        rates = (f.get(n) for n in ("eer", "eer_capped", "eer_same_repository", "eer_capped_same_repository"))
        cells = " ".join(f"{100 * rate:6.1f}" if rate is not None else f"{'-':>6}" for rate in rates)
        lines.append(f"{seconds + ' s':>8} {f['people']:>6} {f.get('same', 0):>6} {f.get('other', 0):>6} {cells}")
    lines.append(f"{'answers':>20} {'people':>6} {'pairs':>6} {'same person judged same':>24} {'others judged same':>20}")
    for activity, f in report["answers"].items():
        own, other = (f.get(f"{name}_judged_same", float("nan")) for name in ("same", "other"))
        lines.append(f"{activity:>20} {f['people']:>6} {f['same']:>6} {own:>24.0%} {other:>20.0%}")
    return "\n".join(lines)
