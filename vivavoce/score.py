"""`vivavoce score`: a log-likelihood ratio for every file of a list. No label is read."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from engine.call import CallInfo
from engine.config import load_settings
from engine.errors import AudioError
from engine.offline import Job
from vivavoce import second_opinion, service_model
from vivavoce.recordings import CODECS, legs_of, make_job, screen_all, through_codec

HELP = "score every audio file of a CSV manifest; adds the column llr"
NO_EVIDENCE = 0.0  # nobody was heard to speak: neither side gains


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "llr is the natural-log likelihood ratio of bona fide over spoof: high = human. Of a capture with several legs it is\n"
        "the lowest: that of the voice that sounds least alive. A file in which nobody speaks gets 0; one that cannot be\n"
        "read gets an empty llr, a line on stderr, and the exit status is 1."
    )
    add = parser.add_argument
    add("--manifest", type=Path, required=True, metavar="IN.csv", help="with a column `path`, relative to the file")
    add("--out", type=Path, required=True, metavar="OUT.csv", help="the same rows with the column llr added")
    add("--codec", choices=CODECS, default="none", help="put the audio through G.711 at 8 kHz first (default: none)")
    add("--seconds", type=float, metavar="S", help="score after S seconds of net speech (default: the whole file)")
    add("--model", type=Path, metavar="FILE", help="an .onnx file instead of the weights that ship")
    second_opinion.add_option(parser)
    add("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    if args.seconds is not None and not args.seconds > 0:
        raise ValueError(f"--seconds {args.seconds} must be above 0")
    names, rows = _read(args.manifest)
    args.out.open("a").close()  # a place that cannot be written to is told now, not after hours of scoring
    settings = load_settings(None, os.environ, [f"model.path={args.model}"] if args.model else [])
    model = service_model.load(settings)
    config = service_model.call_config(settings, model.info)
    again = second_opinion.Rehearing(second_opinion.load(args.second_opinion, settings.model.device))
    added = ["llr", "second_llr"] if again.opinion else ["llr"]
    marks = (args.seconds,) if args.seconds else ()
    until = {"marks": marks, "stop_at_last_mark": bool(marks)}
    unread: set[int] = set()
    row_of: list[int] = []  # of every leg so far; a leg's place here is its key

    def told(text: str) -> None:
        tqdm.write(f"vivavoce score: {text}", file=sys.stderr)

    def jobs() -> Iterator[Job]:
        for index, row in enumerate(rows):
            try:
                legs = legs_of(_path(args.manifest, row, index), note=told)
            except AudioError as error:
                unread.add(index)
                told(str(error))
                bar.update()
                continue
            bar.total += len(legs) - 1
            for source, leg, frames in legs:
                key = len(row_of)
                row_of.append(index)
                coded = again.keep(through_codec(frames, args.codec), key)
                info = CallInfo(str(index), leg, source)
                yield make_job(info, coded, config, settings, lambda _: None, key=key, **until)

    first: list[list[float]] = [[] for _ in rows]  # of every row, of its legs in which somebody speaks
    second: list[list[float]] = [[] for _ in rows]
    with tqdm(total=len(rows), unit="leg", disable=args.quiet, file=sys.stderr) as bar:
        for job in screen_all(jobs(), model):
            index = row_of[job.key]
            if (llr := job.marked.get(args.seconds, job.call.llr)) is not None:
                first[index].append(llr)
            if (llr := again.llr(job.call.state, job.key)) is not None:
                second[index].append(llr)
            bar.update()
    for index, row in enumerate(rows):
        row["llr"] = "" if index in unread else f"{min(first[index], default=NO_EVIDENCE):.6f}"
        if again.opinion:
            row["second_llr"] = f"{min(second[index]):.6f}" if second[index] else ""
    _write(args.out, names, rows, added)
    return 1 if unread else 0


def _path(manifest: Path, row: dict[str, str], index: int) -> Path:
    """The file of a row. AudioError when the row is too short or the field is empty."""
    path = (row["path"] or "").strip()  # None in a row that ends before the column
    if not path:
        raise AudioError(f"row {index + 1} of {manifest} has no path")
    if "\n" in path or "\r" in path:
        raise AudioError(f"row {index + 1} of {manifest}: a line ends inside its path: is a quotation mark not closed?")
    return manifest.parent / path


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a CSV with a byte order mark
        try:
            reader = csv.DictReader(file)
            names, rows = list(reader.fieldnames or ()), list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    if "path" not in names:
        raise ValueError(f'{path} has no column "path" (its columns: {", ".join(names) or "none"})')
    return names, rows


def _write(path: Path, names: list[str], rows: list[dict[str, str]], added: list[str]) -> None:
    partial = path.with_name(path.name + ".partial") if path.is_file() else path  # a pipe, say
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(n for n in names if n not in added), *added], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    if partial != path:
        partial.replace(path)  # who is stopped here leaves what was there before
