"""`vivavoce evaluate`: a model on a corpus split, clip by clip through the same call path as live audio."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine.audio import AudioFrame
from engine.call import CallInfo
from engine.config import Settings, load_settings
from engine.errors import AudioError
from engine.offline import Job
from models.corpus import clip_of
from models.manifests import read_table
from models.runtime import OnnxModel
from vivavoce import copy_trials, robustness, service_model
from vivavoce.evaluation import SECONDS, figures, table
from vivavoce.evaluation_lived import Scored, Watch
from vivavoce.evaluation_names import NAMES
from vivavoce.evaluation_page import page
from vivavoce.recordings import CODECS, Codec, Timed, make_job, only_leg, screen_all, through_codec

HELP = "measure a model on a corpus split: EER, AUROC, minDCF, Cllr"
CALLS = (("10 s call", 10, False), ("30 s call", 30, False), ("10 s voice", 10, True))  # name, seconds, one voice
CONDITION_NAMES = {"none": "wideband", "pcmu": "G.711 mu-law", "pcma": "G.711 A-law"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The corpus is a folder with manifest.csv (columns path, split, label and, for the groups, seen, generator,\n"
        "generator_family, repo, speaker, language). Clips of one speaker, or of one generator of one repository, are also\n"
        "joined to calls of 10 and 30 s, by the column duration_s. A clip that cannot be read, or a capture with several\n"
        "legs, is named on stderr and left out. Thresholds and calibration are the model's; nothing is fitted here.\n"
        "The JSON says under `names` what every figure means."
    )
    add = parser.add_argument
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--split", default="dev", metavar="NAME", help="rows of this split (default: dev)")
    add("--codec", choices=CODECS, action="append", help="condition; may be repeated (default: none and pcmu)")
    add("--model", type=Path, metavar="FILE", help="an .onnx file instead of the weights that ship")
    add("--robustness", action="store_true", help="instead, one line per cell of the robustness grid (extra: train)")
    add("--copies", action="store_true", help="instead, real clips against copies of them by unknown vocoders (extra: train)")
    add("--collapse", action="store_true", help="instead, NC1 to NC4: how far the embeddings have collapsed (extra: train)")
    add("--full", action="store_true", help="all three in one report: figures, copies and grid (extra: train)")
    add("--vocoders", type=Path, default=Path("..") / "shared" / "vocoders", metavar="DIR", help="of --copies (%(default)s)")
    add("--cache", type=Path, default=Path("runs") / "cache", metavar="DIR", help="where copies are kept (%(default)s)")
    add("--every", type=int, default=1, metavar="N", help="only every N-th clip (default: all)")
    add("--page", type=Path, metavar="FILE.html", help="write the report as a page with curves too, and as FILE.json")
    add("--limit", type=int, metavar="N", help="only the first N clips, for a quick look")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    for name, number in (("every", args.every), ("limit", args.limit)):
        if number is not None and number < 1:
            raise ValueError(f"--{name} {number} must be at least 1")
    if args.collapse and (args.full or args.robustness or args.copies):
        raise ValueError("--collapse stands alone: ask for the other figures in a run of their own")
    rows = _rows(args.corpus, args.split)[: args.limit : args.every]
    _check_page(args)
    settings = load_settings(None, os.environ, [f"model.path={args.model}"] if args.model else [])
    model = service_model.load(settings)
    figured = args.full or not (args.robustness or args.copies or args.collapse)
    if not (figured or args.robustness or args.collapse):
        rows = [row for row in rows if row["label"] == "bonafide"]  # of which copies are made: no other needs to be opened
    rows = _readable(rows, args.corpus)
    if args.collapse:
        return _collapse(rows, args, model)
    if args.full or args.robustness:
        _check_grid(rows, args.corpus)
    report: dict[str, Any] = {"model": model.version, "split": args.split, "names": NAMES, "conditions": {}}
    scored: list[tuple[str, list[Scored]]] = []
    if figured:
        _tell_what_is_missing(rows, args.corpus)
        trials = _trials(rows)
        for codec in args.codec or ("none", "pcmu"):
            scored.append((CONDITION_NAMES[codec], _score(trials, args.corpus, codec, settings, model)))
            report["conditions"][CONDITION_NAMES[codec]] = figures(scored[-1][1], model.info.deepfake_llr)
    try:
        if args.full or args.copies:
            report["copies"] = _copies(rows, args, settings, model)
        if args.full or args.robustness:
            report["robustness"] = _robustness(rows, args, settings, model)
    finally:  # what is finished is told, whatever becomes of the rest
        if report["conditions"] or "copies" in report or "robustness" in report:
            _tell(report, scored, args)
    return 0


def _tell(report: dict[str, Any], scored: list[tuple[str, list[Scored]]], args: argparse.Namespace) -> None:
    try:
        print(json.dumps(report, indent=1) if args.json else _text(report))
    finally:  # neither costs the other: a page that has become impossible the figures, a reader who has gone the page
        _write_page(args.page, report, scored)


def _check_page(args: argparse.Namespace) -> None:
    """A page that cannot be written is told now, not after hours of scoring."""
    if args.page is None:
        return
    if args.collapse:
        raise ValueError(f"--page {args.page}: --collapse makes no page")
    if args.page.suffix.lower() == ".json":
        raise ValueError(f"--page {args.page}: the figures go into a .json beside the page, which needs another suffix")
    for path in (args.page, args.page.with_suffix(".json")):
        path.open("a").close()


def _collapse(rows: list[dict[str, str]], args: argparse.Namespace, model: OnnxModel) -> int:
    try:
        from vivavoce import evaluation_collapse  # needs scipy and onnx
    except ImportError as error:
        raise ValueError(f"--collapse needs the extra: pip install 'vivavoce[train]' ({error})") from None
    clips = [clip_of(row, args.corpus, row["path"]) for row in rows]
    found = evaluation_collapse.measure(model, args.corpus, args.split, clips)
    report = {"model": model.version, "split": args.split, "collapse": found}
    print(json.dumps(report, indent=1) if args.json else evaluation_collapse.table(report))
    return 0


def _text(report: dict[str, Any]) -> str:
    parts = [table(report)]
    if "copies" in report:
        parts.append("\n".join(copy_trials.table(report["copies"])))
    if "robustness" in report:
        parts.append(robustness.table(report["robustness"]))
    return "\n\n".join(parts)


def _trials(rows: list[dict[str, str]]) -> list[tuple[str, list[dict[str, str]]]]:
    """(kind of call or "" for a clip, rows whose audio it is)."""
    trials = [("", [row]) for row in rows]
    return trials + [(name, parts) for name, seconds, voice in CALLS for parts in joined(rows, seconds, voice=voice)]


def _copies(rows: list[dict[str, str]], args: argparse.Namespace, settings: Settings, model: Any) -> dict[str, Any]:
    store, entries = copy_trials.prepare(args.corpus, rows, args.split, args.cache, args.vocoders)
    found = copy_trials.measure(store, entries, args.codec or ("pcmu",), settings, model)
    return {CONDITION_NAMES[codec]: paths for codec, paths in found.items()}


def _check_grid(rows: list[dict[str, str]], corpus: Path) -> None:
    """ValueError for what the grid lacks, before anything is scored."""
    if importlib.util.find_spec("scipy") is None:
        raise ValueError("--robustness needs the extra: pip install 'vivavoce[train]' (no scipy)")
    if len({row["label"] for row in rows}) < 2:
        raise ValueError(f"{corpus}: --robustness needs clips of people and synthetic ones")


def _robustness(rows: list[dict[str, str]], args: argparse.Namespace, settings: Settings, model: Any) -> list[dict[str, Any]]:
    from models.dataset import read_noises

    noises, _ = read_noises(args.corpus / "noise", hold_out=True, split="train" if args.split == "dev" else args.split)
    if not noises:
        print(f"{args.corpus}: no recordings of noise for this split: the grid lacks its cells with noise", file=sys.stderr)
    return robustness.measure(robustness.load(rows, args.corpus), noises, settings, model)


def _write_page(path: Path | None, report: dict[str, Any], scored: list[tuple[str, list[Scored]]]) -> None:
    if path is not None:
        path.write_text(page(report, scored), encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        print(f"{path} and {path.with_suffix('.json')} written", file=sys.stderr)


def _rows(corpus: Path, split: str) -> list[dict[str, str]]:
    manifest = corpus / "manifest.csv"
    if not manifest.is_file():
        raise ValueError(f"{corpus} holds no manifest.csv")
    table = read_table(manifest)[1]
    for row, where in table:
        clip_of(row, corpus, where)  # ValueError names what is wrong
    rows = [row for row, _ in table if (row.get("split") or split) == split]
    if not rows:
        raise ValueError(f'{manifest} has no rows of split "{split}"')
    return rows


def _readable(rows: list[dict[str, str]], corpus: Path) -> list[dict[str, str]]:
    """The rows whose audio can be opened and is one leg; the others are named on stderr."""
    found = []
    for row in rows:
        try:
            only_leg(corpus / row["path"])
        except AudioError as error:
            print(f"skipped: {error}", file=sys.stderr)
        else:
            found.append(row)
    if rows and not found:
        raise ValueError(f"{corpus}: no clip can be read")
    return found


def _tell_what_is_missing(rows: list[dict[str, str]], corpus: Path) -> None:
    """A line on stderr for every kind of figure that these rows cannot give."""
    for label, who, lost in (("bonafide", "people", "who is accused"), ("spoof", "synthetic speech", "what is caught")):
        if all(row["label"] != label for row in rows):
            print(f"{corpus}: no clip of {who} among {len(rows)}: no error rates, nor {lost}", file=sys.stderr)
    if not any(row.get("duration_s") for row in rows):
        print(f"{corpus}: manifest.csv tells no duration_s: no calls of 10 and 30 s are made", file=sys.stderr)


def joined(rows: Iterable[dict[str, str]], seconds: int, *, voice: bool = False) -> list[list[dict[str, str]]]:
    """Clips of one person, or of one generator of one repository (and, with `voice`, with one speaker's voice), in calls of
    at least `seconds`; leftovers are dropped. A speaker's name is one of its repository's: "1" of another is another. Where
    no speaker is named nobody knows whose voice it is, and of people without a repository as well nobody is joined."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        repo, speaker = row.get("repo", ""), row.get("speaker", "")
        if voice and not speaker:
            continue
        if row["label"] == "bonafide":
            if repo or speaker:
                groups["bonafide", repo, speaker].append(row)
        else:
            groups["spoof", row.get("generator", ""), repo, speaker if voice else ""].append(row)
    calls = []
    for group in groups.values():
        parts: list[dict[str, str]] = []
        for row in group:
            parts.append(row)
            if sum(float(part.get("duration_s") or 0) for part in parts) >= seconds:
                calls.append(parts)
                parts = []
    return calls


def _score(
    trials: list[tuple[str, list[dict[str, str]]]], corpus: Path, codec: Codec, settings: Settings, model: Any
) -> list[Scored]:
    """Every trial (kind of call or "", rows whose audio it is) through the call path."""
    config = service_model.call_config(settings, model.info)

    def jobs() -> Iterator[Job]:
        for index, (_, rows) in enumerate(trials):
            parts = (only_leg(corpus / row["path"]) for row in rows)  # opened one by one: a call may have dozens
            coded = through_codec(one_after_another(parts), codec)
            info = CallInfo(str(index), "caller", "recording")
            watches[index] = Watch()
            yield make_job(info, coded, config, settings, watches[index], key=index, marks=SECONDS)

    scored: list[Scored] = []
    watches: dict[int, Watch] = {}
    with tqdm(total=len(trials), unit="trial", desc=CONDITION_NAMES[codec], file=sys.stderr) as bar:
        for job in screen_all(jobs(), model):
            kind, rows = trials[job.key]
            whole = job.call.llr or 0.0
            # A clip that ends before a mark has no score there: it would only repeat the whole clip's.
            marked = {f"{s:g} s": job.marked[s] for s in SECONDS if s in job.marked}
            lengths = {kind: whole} if kind else marked | {"whole": whole}
            call, watch = job.call, watches.pop(job.key)
            scored.append(Scored(rows[0], lengths, call.net_speech_s, call.mean_score, watch.detected_s, watch.alarms))
            bar.update()
    return scored


def one_after_another(parts: Iterable[Timed]) -> Timed:
    """Recordings as one, in time and position."""
    offset_s, position = 0.0, 0
    for frames in parts:
        now, start = 0.0, position
        for frame, now in frames:
            position = start + frame.timestamp + len(frame.samples)
            yield AudioFrame(frame.samples, frame.rate, start + frame.timestamp, frame.lost), offset_s + now
        offset_s += now
