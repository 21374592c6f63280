"""AUDETER by a manifest: its tree is described nowhere public, so whoever fetched it lists it in a table.

The table is named *audeter*.csv (or .tsv, .txt), or is manifest.csv or metadata.csv in a folder named *audeter*, or is
given itself. Its columns may have any of the names in COLUMNS; only a path and a label are needed. Paths are relative
to its folder.

Trap: a label 0 or 1 says nothing without a column named is_fake; elsewhere it is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, header, table, word

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "file_name", "filename", "file_path", "audio", "audio_path"),
    "label": ("label", "key", "class", "is_fake"),
    "generator": ("generator", "system", "model", "tts", "vocoder"),
    "family": ("family", "type", "category"),
    "source": ("source", "corpus", "dataset"),
    "split": ("split", "partition", "subset"),
    "speaker": ("speaker", "speaker_id"),
    "language": ("language", "lang"),
    "original": ("original", "original_file", "orig_path"),
}
LABELS = {"real": "bonafide", "bonafide": "bonafide", "bona-fide": "bonafide", "fake": "spoof", "spoof": "spoof"}
IS_FAKE = {"0": "bonafide", "1": "spoof", "false": "bonafide", "true": "spoof"}
SPLITS = {"": "", "train": "train", "val": "dev", "dev": "dev", "validation": "dev", "test": "eval", "eval": "eval"}


def audeter(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every row of the manifest."""
    found = _manifests(tree.root)
    if not found:
        raise ValueError(f"{tree.root} holds no manifest of AUDETER: a table with the columns path and label")
    manifest = found[0]
    names = _columns(manifest)
    for needed in ("path", "label"):
        if needed not in names:
            complain(f"{manifest}: none of the columns {', '.join(COLUMNS[needed])} is there")
            return
    for where, row in table(manifest, tuple(names.values()), complain):
        if clip := _clip({meaning: row[name] for meaning, name in names.items()}, names, manifest, where, complain):
            yield clip


def _clip(row: Mapping[str, str], names: Mapping[str, str], manifest: Path, where: str, complain: Complain) -> Clip | None:
    known = IS_FAKE if names["label"] == "is_fake" else LABELS
    label = word(row["label"].lower(), known, names["label"], where, complain)
    split = word(row.get("split", "").lower(), SPLITS, "split", where, complain)
    if not row["path"]:
        complain(f"{where}: empty path")
        return None
    if label is None or split is None:
        return None
    source = row.get("source", "")
    return Clip(
        manifest.parent / row["path"],
        label,
        split,
        row.get("generator", "") if label == "spoof" else "",
        row.get("family", "") if label == "spoof" else "",
        speaker=row.get("speaker", ""),
        repo=f"audeter/{source}" if source else "audeter",
        language=row.get("language", ""),
        orig_path=row.get("original", ""),
    )


def _columns(manifest: Path) -> dict[str, str]:
    """meaning -> name of the column that has it."""
    there = header(manifest)[0]
    found = {meaning: next((name for name in names if name in there), "") for meaning, names in COLUMNS.items()}
    return {meaning: name for meaning, name in found.items() if name}


def _manifests(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    files = [path for path in sorted(root.iterdir()) if path.suffix.lower() in (".csv", ".tsv", ".txt")]
    named = [path for path in files if "audeter" in path.name.lower()]
    plain = [path for path in files if path.name in ("manifest.csv", "metadata.csv")]
    return named or (plain if "audeter" in root.name.lower() else [])


def _fits(tree: Tree) -> bool:
    if tree.root.is_file():
        return "audeter" in tree.root.name.lower()
    return tree.root.is_dir() and bool(_manifests(tree.root))


READERS = (Reader("audeter", "AUDETER by a manifest", _fits, audeter),)
