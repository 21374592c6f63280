"""Copies of known recordings by vocoders: WaveFake (of LJSpeech and JSUT) and LibriSeVoc (of LibriTTS).

Traps: WaveFake has no protocol, and the same sentence is there once per vocoder: the split goes by the sentence, so
that none crosses, and its folders' names carry the speaker in front of the vocoder. LibriSeVoc has lists of sentences,
but its authors' loader cuts a directory listing into pieces, which mixes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, folders_in, lines, split_by
from models.datasets.mlaad import ljspeech_style

FAMILY = "vocoder-copy-synthesis"
SOURCES = {  # prefix of a folder of WaveFake -> source, speaker, language
    "ljspeech_": ("ljspeech", "lj", "en"),
    "jsut_": ("jsut", "jsut", "ja"),
    "common_voices_": ("common-voices", "", "en"),
}
SPEECH_FROM_TEXT = "prompts_from_"  # one folder of WaveFake holds synthesis from text, no copies
ORIGINALS = ("LJSpeech-1.1", "jsut_ver1.1")  # people, though one is called like copies of it
VOCODERS = ("diffwave", "melgan", "parallel_wave_gan", "wavegrad", "wavenet", "wavernn")
LISTS = {"train": "train.txt", "dev": "dev.txt", "eval": "test.txt"}


def wavefake(tree: Tree, _complain: Complain) -> Iterator[Clip]:
    """Copies by folder, then the recordings that they are copies of, where those lie beside them."""
    for folder, prefix in _wavefake_folders(tree):
        source, speaker, language = SOURCES[prefix]
        for path in audio_in(folder):
            yield Clip(
                path,
                "spoof",
                split_by(f"{source}:{sentence(path)}"),
                folder.name.removeprefix(prefix),
                "" if SPEECH_FROM_TEXT in folder.name else FAMILY,
                speaker=speaker,
                repo=f"wavefake/{source}",
                language=language,
                orig_path=sentence(path),
            )
    for folder in tree.find("LJSpeech-1.1"):
        yield from (_original(path, "ljspeech_") for path in ljspeech_style(folder))
    for folder in tree.find("jsut_ver1.1"):
        yield from (_original(path, "jsut_") for path in audio_in(folder))


def _original(path: Path, prefix: str) -> Clip:
    source, speaker, language = SOURCES[prefix]
    split = split_by(f"{source}:{path.stem}")
    return Clip(path, "bonafide", split, speaker=speaker, repo=f"wavefake/{source}", language=language, orig_path=path.stem)


def sentence(path: Path) -> str:
    """What a copy is a copy of: LJ001-0001 for LJ001-0001_gen.wav."""
    found = re.search(r"LJ\d{3}-\d{4}", path.stem)
    return found[0] if found else path.stem.removesuffix("_gen")


def librisevoc(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every listed sentence as the person read it and as each vocoder there gives it back."""
    gt = tree.folder("gt")
    if not any((gt.parent / name).is_file() for name in LISTS.values()):
        raise ValueError(f"{gt.parent}: train.txt, dev.txt and test.txt are missing; without them there are no splits")
    vocoders = [name for name in VOCODERS if (gt.parent / name).is_dir()]
    seen: dict[str, str] = {}
    for split, name in LISTS.items():
        listing = gt.parent / name
        for where, line in lines(listing) if listing.is_file() else ():
            stem = Path(line.strip()).stem
            if seen.setdefault(stem, split) != split:
                complain(f"{where}: {stem} is in {LISTS[seen[stem]]} too")
                continue
            reader = f"libritts-{stem.split('_')[0]}"
            yield Clip(gt / f"{stem}.wav", "bonafide", split, speaker=reader, repo="librisevoc", language="en", orig_path=stem)
            for vocoder in vocoders:
                yield Clip(
                    gt.parent / vocoder / f"{stem}_gen.wav",
                    "spoof",
                    split,
                    vocoder,
                    FAMILY,
                    speaker=reader,
                    repo="librisevoc",
                    language="en",
                    orig_path=stem,
                )


def _wavefake_folders(tree: Tree) -> list[tuple[Path, str]]:
    """Folders of copies at the shallowest level that has any, with the prefix that says of whom."""
    for level in tree.levels:
        children = [child for folder in level for child in folders_in(folder) if child.name not in ORIGINALS]
        if found := [(child, prefix) for child in children for prefix in SOURCES if child.name.startswith(prefix)]:
            return found
    return []


READERS = (
    Reader("wavefake", "WaveFake with LJSpeech and JSUT", lambda tree: bool(_wavefake_folders(tree)), wavefake),
    Reader(
        "librisevoc",
        "LibriSeVoc",
        lambda tree: bool(tree.find("gt")) and any(tree.find(vocoder) for vocoder in VOCODERS),
        librisevoc,
    ),
)
