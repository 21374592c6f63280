"""XMAD-Bench: <data set>/{real,fake}/<sample> and a meta.csv with sample_name, is_fake, split in each.

Traps: the published loaders take some meta.csv for tab-separated and copies of them differ, so the separator is sniffed.
The cross-domain sets (all that are not Common Voice) are used whole for testing, whatever their column `split` says.
A person and the fake of that recording have the same sample name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, header, table, word

COLUMNS = ("sample_name", "is_fake", "split")
LABELS = {"0": "bonafide", "1": "spoof"}
FOLDERS = {"bonafide": "real", "spoof": "fake"}
SPLITS = {"train": "train", "val": "dev", "test": "eval"}
LANGUAGES = {"masc": "ar", "aishell3": "zh", "voxpopuli": "ro"}  # names without a language in them


def xmad(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every data set of the benchmark that is there."""
    for meta in _tables(tree):
        name = meta.parent.name
        language = name.rpartition("-")[2] if "-" in name else LANGUAGES.get(name, "")
        for where, row in table(meta, COLUMNS, complain):
            label = word(row["is_fake"], LABELS, "is_fake", where, complain)
            split = word(row["split"], SPLITS, "split", where, complain) if name.startswith("commonvoice") else "eval"
            if label and split:
                yield Clip(
                    meta.parent / FOLDERS[label] / row["sample_name"],
                    label,
                    split,
                    repo=f"xmad/{name}",
                    language=language,
                    orig_path=row["sample_name"],
                )


def _tables(tree: Tree) -> list[Path]:
    """meta.csv with these columns, in the root or the folders below."""
    folders = [folder for level in tree.levels for folder in level if (folder / "meta.csv").is_file()]
    return [folder / "meta.csv" for folder in folders if set(COLUMNS) <= set(header(folder / "meta.csv")[0])]


READERS = (Reader("xmad", "XMAD-Bench", lambda tree: bool(_tables(tree)), xmad),)
