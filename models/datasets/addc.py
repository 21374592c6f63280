"""ADD-C: one recording over many lines. C0 is clean; C1 to C5 are speech codecs at 0, 1, 5, 10 and 20 % packet loss.

Its tree is described nowhere public, so the folders between the root and a file are read in whatever order they
come: one is the condition (C0 to C5), one the label, what is left names the codec. A test set.

Trap: C1 to C5 are copies of C0, so a score over all of them counts one recording thirty-one times; `orig_path` is
what they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, folders_in

LOST = {"C0": None, "C1": 0, "C2": 1, "C3": 5, "C4": 10, "C5": 20}  # percent of the packets
LABELS = {
    "real": "bonafide", "bonafide": "bonafide", "bona-fide": "bonafide", "genuine": "bonafide",
    "fake": "spoof", "spoof": "spoof", "deepfake": "spoof",
}  # fmt: skip


def addc(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every audio file below the folder that holds the conditions."""
    root = _root(tree)
    for path in audio_in(root):
        folders = path.relative_to(root).parts[:-1]
        conditions = [name for name in folders if name in LOST]
        labels = {LABELS[name.lower()] for name in folders if name.lower() in LABELS}
        if len(conditions) != 1:
            complain(f"{path}: {len(conditions)} folders instead of one name a condition (C0 to C5)")
        elif len(labels) != 1:
            complain(f"{path}: its folders say {' and '.join(sorted(labels)) or 'neither real nor fake'}")
        else:
            rest = [name for name in folders if name not in LOST and name.lower() not in LABELS]
            yield Clip(
                path,
                labels.pop(),
                "eval",
                repo="add-c",
                codec=_line(conditions[0], "/".join(rest)),
                orig_path=path.name,
            )


def _line(condition: str, codec: str) -> str:
    lost = LOST[condition]
    return "" if lost is None else f"{codec or 'codec'}, {lost} % lost"


def _root(tree: Tree) -> Path:
    """The shallowest folder with conditions in it, or in the folders of its labels; else the root."""
    return next((folder for level in tree.levels for folder in level if _holds_conditions(folder)), tree.root)


def _holds_conditions(folder: Path) -> bool:
    below = folders_in(folder)
    candidates = [below, *(folders_in(child) for child in below if child.name.lower() in LABELS)]
    names = [{child.name for child in children} for children in candidates]
    return any("C0" in found and len(found & LOST.keys()) > 1 for found in names)  # CodecFake's tests begin with C1


READERS = (
    Reader("add-c", "ADD-C", lambda tree: any(_holds_conditions(folder) for level in tree.levels for folder in level), addc),
)
