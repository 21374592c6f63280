"""Made-up trees: protocols as text, audio as empty files, because reading opens none."""

from __future__ import annotations

from pathlib import Path

from models.corpus import Clip
from models.datasets import read


def plant(root: Path, *audio: str, **texts: str) -> Path:
    """Empty files at the paths `audio`; `texts` is {path: content} given as keywords."""
    for name in audio:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name, content in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def by_stem(root: Path, name: str | None = None) -> dict[str, Clip]:
    clips = list(read(root, name))
    assert len({clip.name for clip in clips}) == len(clips), "two clips share a name"
    return {clip.path.stem: clip for clip in clips}


def complaints(root: Path, name: str | None = None) -> list[str]:
    """Everything that is wrong, with the reading gone through to its end."""
    found: list[str] = []
    list(read(root, name, found.append))
    return found
