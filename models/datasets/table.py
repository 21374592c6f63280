"""A call centre's own recordings, or our own corpus: a CSV with path and label, and whatever more is known.

Columns: path, label (bonafide or spoof), and optionally split, generator, generator_family, seen, speaker, language,
gender, codec, challenge, duration_s, orig_sr, orig_codec, repo, orig_path, licence. Paths are relative to the CSV's
folder unless absolute. What spreadsheets do is borne: semicolons or tabs, quotation marks, and a byte order mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip, clip_of
from models.datasets.base import Complain, Reader, Tree, header, table

NOISE = "noise"  # the folder of a corpus whose recordings hold no speech
MANIFEST = "manifest.csv"
NEEDED = ("path", "label")
SUFFIXES = frozenset({".csv", ".tsv"})


def recordings(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """The rows of the file given, of manifest.csv, or of the only table with these columns in the folder."""
    listing = _listing(tree.root)
    for where, row in table(listing, NEEDED, complain):
        try:
            clip = clip_of(row, listing.parent, where)
        except ValueError as error:
            complain(str(error))
            continue
        yield clip


def _remark(root: Path) -> str:
    """Other separators are borne here only, and whoever is told that nothing is wrong goes on to train or measure."""
    listing = _listing(root)
    if header(listing)[1] == ",":
        return ""
    return f"{listing.name} is not comma-separated, which vivavoce train, score and evaluate need"


def _listing(root: Path) -> Path:
    if root.is_file():
        return root
    found = _tables(root)
    named = [path for path in found if path.name == MANIFEST]
    if len(named or found) != 1:
        what = " and ".join(path.name for path in found) if found else "no table"
        raise ValueError(f"{root} holds {what} with the columns path and label; name the file itself")
    return (named or found)[0]


def _tables(root: Path) -> list[Path]:
    files = [path for path in sorted(root.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    return [path for path in files if set(NEEDED) <= set(header(path)[0])]


def _fits(tree: Tree) -> bool:
    if tree.root.is_file():
        return set(NEEDED) <= set(header(tree.root)[0])
    return tree.root.is_dir() and bool(_tables(tree.root))


def _someone_else_s(root: Path, inside: Path) -> bool:
    """Noise, and folders that have a manifest of their own."""
    return inside.parts[0] == NOISE or any((root / folder / MANIFEST).is_file() for folder in inside.parents[:-1])


READERS = (Reader("table", "a table of recordings", _fits, recordings, unlabelled=_someone_else_s, remark=_remark),)
