"""FakeOrReal: for-{original,norm,2sec,rerec}/{training,validation,testing}/{real,fake}; the folder is the label.

Traps: a name may hold several ".wav" (one for each step it went through); the four versions are the same recordings,
so a clip of one is no independent trial of another: `orig_path` is what they share. for-rerec is for-2sec played over
a loudspeaker and recorded again. Some archives unpack one folder deeper.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, folders_in

SPLITS = {"training": "train", "validation": "dev", "testing": "eval"}
LABELS = {"real": "bonafide", "fake": "spoof"}
REPLAYED = ("for-rerec", "for-rerecorded")


def fakeorreal(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every version that is there, each its own `repo`."""
    for version in _versions(tree):
        for part in folders_in(version):
            if part.name not in SPLITS:
                complain(f"{part}: {part.name!r} is none of {', '.join(SPLITS)}")
                continue
            for folder in folders_in(part):
                if folder.name not in LABELS:
                    complain(f"{folder}: label {folder.name!r} is none of {', '.join(LABELS)}")
                    continue
                for path in audio_in(folder):
                    yield Clip(
                        path,
                        LABELS[folder.name],
                        SPLITS[part.name],
                        repo=f"fakeorreal/{version.name}",
                        language="en",
                        codec="loudspeaker" if version.name in REPLAYED else "",
                        orig_path=f"{part.name}/{folder.name}/{path.name.split('.', 1)[0]}",
                    )


def _versions(tree: Tree) -> list[Path]:
    """Folders for-* holding the three parts, the root itself among them."""
    candidates = [folder for level in tree.levels for folder in level if folder.name.startswith("for-")]
    return [folder for folder in candidates if any((folder / part).is_dir() for part in SPLITS)]


READERS = (Reader("fakeorreal", "FakeOrReal", lambda tree: bool(_versions(tree)), fakeorreal),)
