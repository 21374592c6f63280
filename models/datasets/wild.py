"""In-the-Wild: meta.csv with file, speaker, label; the clips lie beside it.

Traps: the label of a person is "bona-fide", with a hyphen; the speakers are whom a clip sounds like, people and fakes
alike, so a speaker is on both sides. The generators are not known.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, header, table, word

COLUMNS = ("file", "speaker", "label")
LABELS = {"bona-fide": "bonafide", "spoof": "spoof"}


def in_the_wild(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """All 31,779 are one test set, hence split "eval"."""
    for meta in tree.find("meta.csv"):
        for where, row in table(meta, COLUMNS, complain):
            label = word(row["label"], LABELS, "label", where, complain)
            if label:
                yield Clip(meta.parent / row["file"], label, "eval", speaker=row["speaker"], repo="in-the-wild", language="en")


def _fits(tree: Tree) -> bool:
    return any(header(meta)[0] == list(COLUMNS) for meta in tree.find("meta.csv"))


READERS = (Reader("in-the-wild", "In-the-Wild", _fits, in_the_wild),)
