"""MLAAD (fakes only) with M-AILABS (the people beside them).

MLAAD: fake/<language>/<model>/*.wav, a meta.csv in each model's folder. M-AILABS: <language>/by_book/<gender>/
<speaker>/<book>/wavs/*.wav, a metadata.csv in each book. A fake and the reading whose text it speaks have the same
`orig_path`. Neither set has splits.

Traps: meta.csv is separated by "|" and its transcripts hold quotation marks that are never closed, separators and line
ends; its paths begin in differing places, only their last part counts. A book's metadata.csv may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite, nan
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, folders_in, lines, table

LICENCE = "CC BY-NC 4.0"
LANGUAGE = re.compile(r"[a-z]{2,3}([-_]\w+)?")
GENDERS = {"female": "f", "male": "m"}


def mlaad(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Fakes by language and model, then every reading of M-AILABS."""
    for fake in _fakes(tree):
        for language in folders_in(fake):
            for model in folders_in(language):
                yield from _model(model, language.name, complain)
    for by_book in tree.find("by_book"):
        for gender in folders_in(by_book):
            for book in _books(gender):
                yield from _book(book, by_book)


def _model(folder: Path, language: str, complain: Complain) -> Iterator[Clip]:
    meta = folder / "meta.csv"
    if not meta.is_file():  # the folders say enough
        for path in audio_in(folder):
            yield Clip(path, "spoof", generator=folder.name, repo="mlaad", language=language, licence=LICENCE)
        return
    for where, row in table(meta, ("path",), complain, transcripts=True):
        name = row["path"].replace("\\", "/").rsplit("/", 1)[-1]
        if not name:
            complain(f"{where}: empty path")
            continue
        yield Clip(
            folder / name,
            "spoof",
            generator=row.get("model_name") or folder.name,
            family=row.get("architecture", ""),
            repo="mlaad",
            language=language,
            duration_s=_seconds(row.get("duration", ""), where, complain),
            orig_path=row.get("original_file", ""),
            licence=LICENCE,
        )


def _seconds(text: str, where: str, complain: Complain) -> float:
    try:
        seconds = float(text) if text else 0.0
    except ValueError:
        seconds = nan
    if not isfinite(seconds):
        complain(f"{where}: duration {text!r} is not a number")
        return 0.0
    return seconds


def _books(gender: Path) -> Iterator[Path]:
    """Books stand below their speaker, or directly in "mix", where several read."""
    for folder in folders_in(gender):
        if (folder / "wavs").is_dir():
            yield folder
        else:
            yield from (book for book in folders_in(folder) if (book / "wavs").is_dir())


def _book(book: Path, by_book: Path) -> Iterator[Clip]:
    inside = book.relative_to(by_book).parts
    language = by_book.parent.name
    for path in ljspeech_style(book):
        yield Clip(
            path,
            "bonafide",
            speaker=inside[1] if len(inside) == 3 else "",
            repo="m-ailabs",
            language=language.split("_")[0],
            gender=GENDERS.get(inside[0], ""),
            orig_path=f"{language}/by_book/{'/'.join(inside)}/wavs/{path.name}",
        )


def ljspeech_style(folder: Path) -> Iterator[Path]:
    """The recordings of a folder laid out as LJSpeech is: those its metadata.csv lists, or all where it lists none."""
    metadata, wavs = folder / "metadata.csv", folder / "wavs"
    listed = [line.split("|", 1)[0].strip() for _, line in lines(metadata)] if metadata.is_file() else []
    if listed:
        yield from (wavs / f"{name.removesuffix('.wav')}.wav" for name in listed)
    else:
        yield from audio_in(wavs)


def _fakes(tree: Tree) -> list[Path]:
    """Folders "fake" that hold <language>/<model>: other sets have folders of that name with something else in them."""
    return [
        fake
        for fake in tree.find("fake")
        if any(LANGUAGE.fullmatch(child.name) and folders_in(child) for child in folders_in(fake))
    ]


READERS = (Reader("mlaad", "MLAAD with M-AILABS", lambda tree: bool(_fakes(tree) or tree.find("by_book")), mlaad),)
