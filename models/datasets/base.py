"""What the readers share: looking for files in a tree, protocols by spaces, tables by a sniffed separator.

A reader walks names and reads protocol text; it opens no audio. What is wrong is told to `complain` as one sentence
naming file and line; with the default, `refuse`, the first one is raised. After a complaint the reader goes on with
the next line, so that a check can list them all. ValueError is raised only where there is no going on.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.corpus import Clip

AUDIO = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac"})
SEPARATORS = "|\t;,"
Complain = Callable[[str], None]


def refuse(sentence: str) -> None:
    """The strict way to complain: ValueError."""
    raise ValueError(sentence)


class Tree:
    """A folder on disk as readers look at it; its folders are listed once, however many readers ask."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def levels(self) -> list[list[Path]]:
        """The root, its folders and theirs, each level sorted. A user may point above or below where a set begins."""
        levels = [[self.root] if self.root.is_dir() else []]
        for _ in range(2):
            levels.append([child for folder in levels[-1] for child in folders_in(folder)])
        return levels

    def find(self, relative: str) -> list[Path]:
        """Every `relative` that exists, below the shallowest folders that have one."""
        for level in self.levels:
            if found := [folder / relative for folder in level if (folder / relative).exists()]:
                return found
        return []

    def folder(self, name: str) -> Path:
        """The first folder of that name, or where it ought to be, so that its files are reported as missing."""
        return next(iter(self.find(name)), self.root / name)


@dataclass(frozen=True)
class Reader:
    """One data set: `fits` looks at names only, `clips` yields one record for each labelled recording."""

    name: str
    title: str
    fits: Callable[[Tree], bool]
    clips: Callable[[Tree, Complain], Iterator[Clip]]
    unlabelled: Callable[[Path, Path], bool] = lambda root, inside: False  # is <root>/<inside> rightly in no list?
    remark: Callable[[Path], str] = lambda root: ""  # what is no fault of the set but in the way of whoever uses it


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones and what archives leave behind."""
    with os.scandir(folder) as entries:  # not Path.iterdir: a folder of audio may hold 600,000 files
        return sorted(Path(entry.path) for entry in entries if entry.name[0] not in "._" and entry.is_dir())


def is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO and not path.name.startswith("._")


def audio_in(folder: Path) -> Iterator[Path]:
    """Every audio file anywhere below `folder`, sorted by path."""
    return (path for path in sorted(folder.rglob("*")) if is_audio(path))


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(where, line) for every line that is not blank; `where` is "FILE, line N"."""
    with path.open(encoding="utf-8-sig", errors="replace", newline=None) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path}, line {number}", line.rstrip("\n")


def protocol(path: Path, widths: tuple[int, ...], complain: Complain) -> Iterator[tuple[str, list[str]]]:
    """(where, fields) of a file without header whose fields stand between spaces or tabs, whatever it is called."""
    for where, line in lines(path):
        fields = line.split()
        if len(fields) in widths:
            yield where, fields
        else:
            wanted = " or ".join(str(width) for width in widths)
            complain(f"{where}: {len(fields)} columns instead of {wanted}")


def sniff(line: str) -> str:
    """The separator of a table by its header: the candidate that occurs most often, a comma if none does."""
    return max(SEPARATORS, key=lambda candidate: (line.count(candidate), candidate == ","))


def header(path: Path) -> tuple[list[str], str]:
    """The column names of a table, and its separator."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline().rstrip("\r\n")
    separator = sniff(line)
    return [name.strip().strip('"') for name in line.split(separator)], separator


def table(
    path: Path, needed: tuple[str, ...], complain: Complain, *, transcripts: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """(where, row) of a table with a header, its separator sniffed.

    Only commas are read with quotes: elsewhere a quotation mark is part of the text, often an unbalanced one, and the
    last column may hold the separator; of those only a pair around a whole field is taken off. With `transcripts` that
    column is free text which may go on in further lines.
    """
    names, separator = header(path)
    if missing := [name for name in needed if name not in names]:
        complain(f"{path}: the column {missing[0]!r} is missing")
        return
    read = _quoted if separator == "," else _plain
    for where, fields in read(path, separator, len(names)):
        if transcripts and len(fields) == 1 < len(names):
            continue
        if len(fields) == len(names):
            yield where, {name: field.strip() for name, field in zip(names, fields, strict=True)}
        else:
            complain(f"{where}: {len(fields)} columns instead of {len(names)}")


def _plain(path: Path, separator: str, width: int) -> Iterator[tuple[str, list[str]]]:
    rows = lines(path)
    next(rows, None)
    for where, line in rows:
        yield where, [_bare(field.strip()) for field in line.split(separator, width - 1)]


def _bare(field: str) -> str:
    """A field without the quotation marks that a spreadsheet puts around it, doubling those inside."""
    return field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field


def _quoted(path: Path, separator: str, _width: int) -> Iterator[tuple[str, list[str]]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        try:
            next(reader, None)
            for fields in reader:
                if any(fields):
                    yield f"{path}, line {reader.line_num}", fields
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: cannot be read as a table ({error})") from error


def word(text: str, known: Mapping[str, str], what: str, where: str, complain: Complain) -> str | None:
    """What a data set's own word stands for; None, after a complaint, for a word that it does not use."""
    if text not in known:
        complain(f"{where}: {what} {text!r} is none of {', '.join(known)}")
    return known.get(text)


def split_by(key: str) -> str:
    """A split for a set that has none, always the same for a key: eight tenths train, one dev, one eval."""
    tenth = hashlib.blake2b(key.encode(), digest_size=4).digest()[0] % 10
    return "dev" if tenth == 8 else "eval" if tenth == 9 else "train"
