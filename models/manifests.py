"""Tables of recordings as rows of text: CSV in UTF-8 with a header, as spreadsheets and scripts write it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Row = dict[str, str]


class Numbered(NamedTuple):
    """A row, and where it stands in words for a message."""

    row: Row
    where: str


def read_table(path: Path, needed: Iterable[str] = ("path", "label")) -> tuple[list[str], list[Numbered]]:
    """The columns, and every row with its values stripped. FileNotFoundError without the file.

    ValueError names the line of what cannot be read, a column of `needed` that is missing, a row with more values than
    columns, and a value with a line's end in it: there a quotation mark was not closed, and rows would be lost in it.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a CSV with a byte order mark
        reader = csv.DictReader(file)
        try:
            names = list(reader.fieldnames or ())
            if missing := sorted(set(needed) - set(names)):
                raise ValueError(f"{path}: the column {missing[0]!r} is missing (its columns: {', '.join(names) or 'none'})")
            return names, list(_rows(reader, path, len(names)))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, after line {reader.line_num}: cannot be read as CSV in UTF-8 ({error})") from None


def _rows(reader: csv.DictReader[str], path: Path, columns: int) -> Iterator[Numbered]:
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if more := len(row.get(None) or ()):  # where the reader puts what is too much
            raise ValueError(f"{where}: {columns + more} columns instead of {columns}")
        found = {key: (value or "").strip() for key, value in row.items()}
        if broken := [key for key, value in found.items() if "\n" in value or "\r" in value]:
            raise ValueError(f"{where}: a line ends inside {broken[0]!r}: is a quotation mark not closed?")
        yield Numbered(found, where)
