"""`vivavoce data check`: what a data set on disk holds, and what is wrong with it. `select`: a part that stands for it.
`worlds`: more real speech, out of Debian's packages."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from engine.errors import ConfigError
from models.corpus import SPLITS, Clip
from models.datasets import READERS
from models.datasets.check import Findings, check

HELP = "look at a data set on disk: what is there, and what is wrong"
SHOWN = 12  # values of a group in the table; the others are summed up
UNKNOWN = "not said"


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    sub = commands.add_parser(
        "check",
        help="count a data set and name its faults",
        description="Count a data set by split, label, generator and language, and name its faults.",
        epilog="Kinds of data set:\n"
        + "\n".join(f"  {reader.name:16} {reader.title}" for reader in READERS.values())
        + "\n\nThe exit status is 1 when something is wrong, 2 when the folder is no data set known here.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = sub.add_argument
    add("root", type=Path, metavar="ROOT", help="the folder of a data set, or a table with the columns path and label")
    add("--kind", choices=tuple(READERS), metavar="NAME", help="which data set it is (default: what fits)")
    add("--audio", action="store_true", help="open every header too: hours, and files that cannot be read")
    add("--show", type=int, default=10, metavar="N", help="name at most N faults of a sort; 0 for all (default: 10)")
    add("--json", action="store_true", help="print one JSON object")
    _configure_select(commands)
    _configure_worlds(commands)


def _configure_worlds(commands: Any) -> None:
    sub = commands.add_parser(
        "worlds",
        help="fetch real speech that Debian packages hold, to train on (extra: train)",
        description="Download Debian packages with recorded voices (telephone prompts, games, language lessons) from this\n"
        "system's mirror, install none of them, and write their voices as clips with a manifest: for vivavoce train --more.\n"
        "About 900 MB are fetched and 200 MB written; a run that was stopped goes on where it was.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("out", type=Path, metavar="OUT", help="folder to write manifest.csv and audio/ to")


def _configure_select(commands: Any) -> None:
    sub = commands.add_parser(
        "select",
        help="a share of a manifest that stands for the whole (extra: train)",
        description="Choose training clips by a model's embeddings: people nearest to their mean, fakes nearest to the\n"
        "centres of their clusters, clips that the model gets wrong last. `vivavoce train --manifest FILE` trains on them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = sub.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="CSV with path and label; rows of split train or of none count")
    add("--share", type=float, required=True, metavar="X", help="of each class, above 0 and at most 1")
    add("--out", type=Path, required=True, metavar="FILE", help="manifest to write; paths relative to its folder")
    add("--model", type=Path, metavar="FILE", help="whose embeddings (default: the weights that ship)")
    add("--clusters", type=int, default=8, metavar="N", help="clusters of fakes (default: 8)")
    add("--random", type=int, metavar="SEED", help="by lot instead, as many of each class: what to compare with")


def run(args: argparse.Namespace) -> int:
    if args.what == "select":
        return _select(args)
    if args.what == "worlds":
        return _worlds(args.out)
    if args.show < 0:
        raise ValueError(f"--show {args.show} must be at least 0")
    findings = check(args.root, args.kind, audio=args.audio, progress=_bar)
    print(json.dumps(report(findings, args.show), indent=1) if args.json else table(findings, args.show))
    return 1 if findings.faults else 0


def _select(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("scipy") is None:
        raise ConfigError("selecting needs scipy: install the extra with pip install 'vivavoce[train]'")
    from models import coreset
    from models.runtime import load_model

    if args.clusters < 1:
        raise ValueError(f"--clusters {args.clusters} must be at least 1")
    rows, clips = coreset.read_rows(args.manifest)
    if args.random is not None:
        picked = coreset.choose_at_random(clips, args.share, args.random)
    else:
        picked = coreset.choose(load_model(args.model), clips, args.share, args.clusters)
    coreset.write_rows([rows[i] for i in picked], args.manifest, args.out)
    people = sum(clips[i].bonafide for i in picked)
    print(f"{args.out}: {people} bona fide and {len(picked) - people} spoof of {len(clips)} clips")
    return 0


def _worlds(out: Path) -> int:
    if importlib.util.find_spec("scipy") is None:
        raise ConfigError("this needs scipy: install the extra with pip install 'vivavoce[train]'")
    from models import worlds

    print(f"{out}: {worlds.build(out)} clips of real speech")
    return 0


def _bar(clips: Iterable[Clip], what: str) -> Iterable[Clip]:
    bar: Iterable[Clip] = tqdm(clips, desc=what, unit="clip", file=sys.stderr, delay=0.0 if what == "headers" else 1.0)
    return bar


def report(findings: Findings, show: int) -> dict[str, Any]:
    """What `--json` prints; of each sort of fault the number and at most `show` (0: all) sentences."""
    return {
        "root": str(findings.root),
        "kind": findings.kind,
        "title": findings.title,
        "clips": findings.clips,
        "counts": {group: dict(counter.most_common()) for group, counter in findings.counts.items()},
        "labels_by_split": _nested(findings.labels_by_split),
        "hours": None if findings.seconds is None else _nested({k: v / 3600 for k, v in findings.seconds.items()}),
        "notes": findings.notes,
        "faults": {
            what: {"count": len(sentences), "examples": sentences[: show or None]}
            for what, sentences in findings.faults.items()
        },
    }


def table(findings: Findings, show: int) -> str:
    """The same for people."""
    lines = [f"{findings.root}: {findings.title} ({findings.kind}), {_number(findings.clips)} clips", ""]
    lines += _matrix("clips", {k: _number(v) for k, v in findings.labels_by_split.items()})
    if findings.seconds is not None:
        lines += _matrix("hours", {k: f"{v / 3600:.2f}" for k, v in findings.seconds.items()})
    for group, counter in findings.counts.items():
        if group not in ("split", "label") and set(counter) - {""}:
            lines += _group(group, counter)
    lines += [f"note: {note}" for note in findings.notes]
    for what, sentences in findings.faults.items():
        lines += [f"{what}: {_number(len(sentences))}", *(f"  {sentence}" for sentence in sentences[: show or None])]
        if show and len(sentences) > show:
            lines.append(f"  and {_number(len(sentences) - show)} more")
    if not findings.faults:
        lines.append("nothing wrong")
    return "\n".join(lines)


def _matrix(what: str, cells: dict[tuple[str, str], str]) -> list[str]:
    splits = sorted({split for split, _ in cells}, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s))
    head = f"{what:16}{'bonafide':>14}{'spoof':>14}"
    body = [f"{s or UNKNOWN:16}{cells.get((s, 'bonafide'), '-'):>14}{cells.get((s, 'spoof'), '-'):>14}" for s in splits]
    return [head, *body, ""]


def _group(group: str, counter: Counter[str]) -> list[str]:
    shown = counter.most_common(SHOWN if len(counter) > SHOWN + 1 else None)
    rest = sum(counter.values()) - sum(count for _, count in shown)
    empty = "none" if group in ("codec", "challenge") else UNKNOWN
    rows = [(value or empty, count) for value, count in shown] + ([("others", rest)] if rest else [])
    width = max(len(value) for value, _ in rows) + 2
    known = len(set(counter) - {""})
    return [f"{group} ({known})", *(f"  {value:{width}}{_number(count):>10}" for value, count in rows), ""]


def _nested(cells: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for (split, label), value in cells.items():
        nested.setdefault(split, {})[label] = value
    return nested


def _number(count: int) -> str:
    return f"{count:,}"
