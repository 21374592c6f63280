"""Readers of public anti-spoofing data sets: whatever their layout, one typed record per recording.

READERS names them, `detect` says which one fits a folder, `read` yields its clips. Nothing here opens audio or
decides what to train on; nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from models.corpus import Clip
from models.datasets import addc, asvspoof, audeter, codecfake, fakeorreal, mlaad, pitch, sonar, table, vocoded, wild, xmad
from models.datasets.base import Complain, Reader, Tree, refuse

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        reader.name: reader
        for module in (asvspoof, wild, mlaad, codecfake, vocoded, fakeorreal, sonar, xmad, addc, audeter, pitch, table)
        for reader in module.READERS
    }
)
LAST = frozenset({"table"})  # fits much; taken only where nothing else does


def detect(root: Path) -> str:
    """The name of the reader that fits. ValueError when none does, or several do."""
    if not root.exists():
        raise ValueError(f"{root} does not exist")
    tree = Tree(root)
    found = [name for name, reader in READERS.items() if reader.fits(tree)]
    found = [name for name in found if name not in LAST] or found
    if not found:
        raise ValueError(f"{root} looks like no data set known here; known: {', '.join(READERS)}")
    if len(found) > 1:
        raise ValueError(f"{root} looks like {' and '.join(found)}; name one, or point to the folder of one")
    return found[0]


def read(root: Path, name: str | None = None, complain: Complain = refuse) -> Iterator[Clip]:
    """Every labelled recording below `root` as reader `name` (default: the one that fits) finds it.

    Each clip's `key` is its path below `root` behind the name of the set, so that names are unique across sets; with the
    extension, for a.wav and a.flac of one folder are two recordings.
    ValueError names file and line of the first thing wrong, unless `complain` takes the sentences instead.
    """
    if name is None:
        name = detect(root)
    if name not in READERS:
        raise ValueError(f"unknown kind of data set {name!r}; known: {', '.join(READERS)}")
    if not root.exists():
        raise ValueError(f"{root} does not exist")
    above = f"{root if root.is_dir() else root.parent}{os.sep}"
    for clip in READERS[name].clips(Tree(root), complain):
        inside = str(clip.path).removeprefix(above)  # text, not Path: a set may have a million files
        yield replace(clip, key=f"{name}/{inside.lstrip(os.sep)}")
