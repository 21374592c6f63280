"""The two data sets called CodecFake, and CodecFake+ which continues the second.

Xie et al. (2405.04880): label/<part>.txt with file, real|fake, codec; audio in train/, dev/ and test/<part>/.
Wu et al. (2406.07237): datalist.csv (or the columns of the parquet files in a CSV), audio as the archives unpack.
CodecFake+ (2501.08238): CoRS_labels.txt with speaker, file, label; CoSG_labels.txt with system, clip, three kinds,
label. Speech that a neural codec took apart and put together again counts as spoof in all three.

Traps: two sets, one name; the labels of CodecFake+ change their case; datalist.csv begins with a line that holds the
authors' own folder; Wu's audio is inside its parquet files, where no path leads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import AUDIO, Complain, Reader, Tree, audio_in, header, protocol, table, word

LABELS_XIE = {"real": "bonafide", "fake": "spoof"}
LABELS_WU = {"genuine": "bonafide", "bonafide": "bonafide", "real": "bonafide", "spoof": "spoof", "fake": "spoof"}
LABELS_PLUS = {"bonafide": "bonafide", "spoof": "spoof"}
PARTS_XIE = ("train", "dev", *(f"C{n}" for n in range(1, 8)), *(f"A{n}" for n in range(1, 4)))
HELD_OUT = {"p226": "dev", "p229": "dev", "p227": "eval", "p228": "eval"}  # VCTK speakers, by the authors' own loader
COLUMNS_WU = (("wavpath", "label", "spkID", "CodecName"), ("file_name", "label", "speaker_id", "codec_name"))
FAMILY = "neural-codec"


def xie(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Parts C1-C7 hold codecs, A1-A3 language models of audio; all of them are tests."""
    for labels in _label_folders(tree):
        for part in PARTS_XIE:
            path = labels / f"{part}.txt"
            if not path.is_file():
                continue
            audio = labels.parent / (part if part in ("train", "dev") else f"test/{part}")
            for where, (name, key, *rest) in protocol(path, (2, 3), complain):
                label = word(key, LABELS_XIE, "label", where, complain)
                if label:
                    codec = rest[0] if rest and label == "spoof" else ""
                    yield Clip(
                        audio / name,
                        label,
                        part if part in ("train", "dev") else "eval",
                        codec,
                        FAMILY if label == "spoof" else "",
                        repo=f"codecfake-xie/{part}",
                        licence="CC BY-NC-ND",
                    )


def wu(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """One CSV for the whole; a speaker belongs to one split."""
    found = tree.find("datalist.csv")
    if not found:
        raise ValueError(
            f"{tree.root}: datalist.csv is missing; the audio in parquet files has no path: unpack the archives of wavs"
        )
    listing = found[0]
    columns = next((names for names in COLUMNS_WU if names[0] in header(listing)[0]), COLUMNS_WU[0])
    for where, row in table(listing, columns, complain):
        name, key, speaker, codec = (row[column] for column in columns)
        if not (key or speaker or codec):
            continue  # the authors' own folder
        label = word(key, LABELS_WU, "label", where, complain)
        if label:
            yield Clip(
                listing.parent / name,
                label,
                HELD_OUT.get(speaker, "train"),
                codec if label == "spoof" else "",
                FAMILY if label == "spoof" else "",
                speaker=speaker,
                repo="codecfake-wu",
                language="en",
                licence="CC BY 4.0",
            )


def plus(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """CoRS, speech through codecs, by speaker; then CoSG, the demonstrations of systems, as one test."""
    for labels in tree.find("CoRS_labels.txt"):
        audio = _beside(labels, "all_data_16k", "Codecfake_plus_CoRS")
        for where, (speaker, name, key) in protocol(labels, (3,), complain):
            label = word(key.lower(), LABELS_PLUS, "label", where, complain)
            if label:
                yield _plus(audio / _wav(name), label, HELD_OUT.get(speaker, "train"), _codec(name), speaker)
    for labels in tree.find("CoSG_labels.txt"):
        yield from _systems(labels, complain)
    for folder in () if tree.find("CoRS_labels.txt") else tree.find("all_data_16k"):
        for path in audio_in(folder):  # no list: the names say as much
            codec, speaker = _codec(path.name), path.name.split("_")[0]
            yield _plus(path, "spoof" if codec else "bonafide", HELD_OUT.get(speaker, "train"), codec, speaker)
    if tree.find("SLMdemos_16k") and not tree.find("CoSG_labels.txt"):
        complain(f"{tree.root}: SLMdemos_16k needs CoSG_labels.txt: people and systems lie in the same folders")


def _systems(labels: Path, complain: Complain) -> Iterator[Clip]:
    folder = _beside(labels, "SLMdemos_16k", "CoSG")
    there = {path.stem: path for path in audio_in(folder)} if folder.is_dir() else {}
    for where, (system, name, _, _, _, key) in protocol(labels, (6,), complain):
        label = word(key.lower(), LABELS_PLUS, "label", where, complain)
        if label:
            stem = _wav(name).removesuffix(".wav")
            yield _plus(there.get(stem, folder / system / f"{stem}.wav"), label, "eval", system if label == "spoof" else "")


def _plus(path: Path, label: str, split: str, generator: str, speaker: str = "") -> Clip:
    fake = label == "spoof"
    return Clip(
        path,
        label,
        split,
        generator if fake else "",
        FAMILY if fake else "",
        speaker=speaker,
        repo="codecfake-plus",
        licence="MIT",
    )


def _codec(name: str) -> str:
    """The codec in a name such as p225_001_audiodec_24k_320d.wav; empty where there is none."""
    found = re.fullmatch(r"[a-z]+\d+_\d+(?:_mic\d)?_(?!mic\d)(.+)", _wav(name).removesuffix(".wav"))
    return found[1] if found else ""


def _wav(name: str) -> str:
    return name if Path(name).suffix.lower() in AUDIO else f"{name}.wav"


def _beside(labels: Path, *names: str) -> Path:
    return next((labels.parent / name for name in names if (labels.parent / name).is_dir()), labels.parent / names[0])


def _label_folders(tree: Tree) -> list[Path]:
    return [path.parent for part in ("train", "dev", "C1", "A1") for path in tree.find(f"label/{part}.txt")][:1]


def _fits_wu(tree: Tree) -> bool:
    return any(set(names) <= set(header(path)[0]) for path in tree.find("datalist.csv") for names in COLUMNS_WU)


def _fits_plus(tree: Tree) -> bool:
    return any(tree.find(name) for name in ("CoRS_labels.txt", "CoSG_labels.txt", "all_data_16k", "SLMdemos_16k"))


READERS = (
    Reader("codecfake-xie", "CodecFake (Xie et al.)", lambda tree: bool(_label_folders(tree)), xie),
    Reader("codecfake-wu", "CodecFake (Wu et al.)", _fits_wu, wu),
    Reader("codecfake-plus", "CodecFake+", _fits_plus, plus),
)
