"""ASVspoof 2019 LA, 2021 LA, 2021 DF and ASVspoof 5: every label stands in a protocol, none in a file name.

Traps: the protocols of ASVspoof 5 end in .tsv and hold spaces; an early release had 6 columns and other names. Of the
2021 sets only the subset "eval" is scored, so "progress" and "hidden" stay splits of their own. 2019's dev and eval
folders also hold the speaker verifier's enrolment, which is in no protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, protocol, word

LABELS = {"bonafide": "bonafide", "spoof": "spoof"}
TRIALS = {"target": "bonafide", "nontarget": "bonafide", "spoof": "spoof"}
GENDERS = {"F": "f", "M": "m", "-": "", "female": "f", "male": "m"}
SUBSETS = {"eval": "eval", "progress": "progress", "hidden": "hidden"}
NOTHING = frozenset({"-", "none", "nocodec", "bonafide"})  # how the columns say "no codec" and "no attack"
CODECS_5 = {
    "-": "", "C01": "opus-wb", "C02": "amr-wb", "C03": "speex-wb", "C04": "encodec", "C05": "mp3", "C06": "m4a",
    "C07": "mp3+encodec", "C08": "opus-nb", "C09": "amr-nb", "C10": "speex-nb", "C11": "device",
}  # fmt: skip
PHONE_LIKE_5 = frozenset({"opus-nb", "amr-nb", "speex-nb", "amr-wb", "device"})  # the slice nearest to a call
PARTS_5 = {
    "train": ("flac_T", ("ASVspoof5.train.tsv", "ASVspoof5.train.metadata.txt")),
    "dev": ("flac_D", ("ASVspoof5.dev.track_1.tsv", "ASVspoof5.dev.metadata.txt")),
    "eval": ("flac_E_eval", ("ASVspoof5.eval.track_1.tsv",)),
}


def la_2019(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """speaker, file, "-", attack, key; audio in ASVspoof2019_LA_<part>/flac."""
    protocols = tree.folder("ASVspoof2019_LA_cm_protocols")
    for split, kind in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        path = protocols / f"ASVspoof2019.LA.cm.{split}.{kind}.txt"
        if not path.is_file():
            continue  # whoever fetched only a part may use it
        audio = protocols.parent / f"ASVspoof2019_LA_{split}" / "flac"
        for where, (speaker, name, _, attack, key) in protocol(path, (5,), complain):
            label = _label(attack, key, where, complain)
            if label:
                yield Clip(
                    audio / f"{name}.flac", label, split, _name(attack), speaker=speaker, repo="asvspoof2019-la", language="en"
                )


def la_2021(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """speaker, file, codec, transmission, attack, key, trim, subset: true VoIP and telephone lines."""
    audio = tree.folder("ASVspoof2021_LA_eval") / "flac"
    for where, row in protocol(_metadata(tree, "LA"), (8,), complain):
        speaker, name, codec, _, attack, key, _, subset = row
        label, split = _label(attack, key, where, complain), word(subset, SUBSETS, "subset", where, complain)
        if label and split:
            yield Clip(
                audio / f"{name}.flac", label, split, _name(attack), speaker=speaker, repo="asvspoof2021-la",
                language="en", codec=_name(codec),
            )  # fmt: skip


def df_2021(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """speaker, file, codec, source, attack, key, trim, subset, vocoder, then fields without meaning."""
    audio = tree.folder("ASVspoof2021_DF_eval") / "flac"
    for where, row in protocol(_metadata(tree, "DF"), (9, 13), complain):
        speaker, name, codec, source, attack, key, _, subset, vocoder = row[:9]
        label, split = _label(attack, key, where, complain), word(subset, SUBSETS, "subset", where, complain)
        if label and split:
            yield Clip(
                audio / f"{name}.flac", label, split, _name(attack), _name(vocoder), speaker=speaker,
                repo=f"asvspoof2021-df/{source}", language="en", codec=_name(codec),
            )  # fmt: skip


def five(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Track 1 of ASVspoof 5, then what only Track 2 (speaker verification) lists."""
    for split, (folder, names) in PARTS_5.items():
        audio = tree.folder(folder)
        files = [path for name in names for path in tree.find(name)]
        listed = set()
        for where, row in protocol(files[0], (10, 6), complain) if files else ():
            if clip := _clip_5(row, audio, split, where, complain):
                listed.add(row[1])
                yield clip
        for path in tree.find(f"ASVspoof5.{split}.track_2.enroll.tsv"):
            for speaker, utterances in enrolment(path, complain):
                fresh = [name for name in utterances if name not in listed]
                listed.update(fresh)
                yield from (
                    Clip(audio / f"{name}.flac", "bonafide", split, speaker=speaker, repo="asvspoof5", language="en")
                    for name in fresh
                )
        for path in tree.find(f"ASVspoof5.{split}.track_2.trial.tsv"):
            for where, row in protocol(path, (5,), complain):
                if row[1] not in listed and (clip := _trial_5(row, audio, split, where, complain)):
                    listed.add(row[1])
                    yield clip


def enrolment(path: Path, complain: Complain) -> Iterator[tuple[str, list[str]]]:
    """(speaker, file names) of a Track 2 enrolment file: the names stand in one column, between commas."""
    for _, (speaker, names) in protocol(path, (2,), complain):
        yield speaker, [name for name in names.split(",") if name]


def _clip_5(row: list[str], audio: Path, split: str, where: str, complain: Complain) -> Clip | None:
    speaker, name, gender, codec = row[:4]
    attack, key = (row[4], row[5]) if len(row) == 6 else (row[7], row[8])
    label = _label(attack, key, where, complain)
    sent_through = word(codec, CODECS_5, "codec", where, complain)
    who = word(gender, GENDERS, "gender", where, complain)
    if label is None or sent_through is None or who is None:
        return None
    return Clip(
        audio / f"{name}.flac", label, split, _name(attack), speaker=speaker, repo="asvspoof5", language="en",
        gender=who, codec=sent_through,
    )  # fmt: skip


def _trial_5(row: list[str], audio: Path, split: str, where: str, complain: Complain) -> Clip | None:
    claimed, name, gender, attack, key = row
    label, who = word(key, TRIALS, "key", where, complain), word(gender, GENDERS, "gender", where, complain)
    if label is None or who is None:
        return None
    if key == "nontarget":  # somebody else: the column names whom the trial claims to hear
        claimed = who = ""
    generator = _name(attack) if label == "spoof" else ""
    return Clip(audio / f"{name}.flac", label, split, generator, speaker=claimed, repo="asvspoof5", language="en", gender=who)


def _label(attack: str, key: str, where: str, complain: Complain) -> str | None:
    label = word(key, LABELS, "key", where, complain)
    if label and (label == "bonafide") != (attack in NOTHING):
        complain(f"{where}: key {key!r} cannot go with attack {attack!r}")
        return None
    return label


def _name(text: str) -> str:
    return "" if text in NOTHING else text


def _metadata(tree: Tree, track: str) -> Path:
    found = tree.find(f"keys/{track}/CM/trial_metadata.txt") or tree.find(f"{track}/CM/trial_metadata.txt")
    if not found:
        raise ValueError(f"{tree.root}: keys/{track}/CM/trial_metadata.txt is missing; without it no file has a label")
    return found[0]


def _enrolment_2019(_root: Path, inside: Path) -> bool:
    return bool(re.fullmatch(r"LA_[DE]_A\d+", inside.stem))


def _fits_2021(track: str) -> Reader:
    return Reader(
        f"asvspoof2021-{track.lower()}",
        f"ASVspoof 2021 {track}",
        lambda tree: bool(tree.find(f"keys/{track}/CM") or tree.find(f"ASVspoof2021_{track}_eval")),
        la_2021 if track == "LA" else df_2021,
    )


READERS = (
    Reader(
        "asvspoof2019-la", "ASVspoof 2019 LA", lambda tree: bool(tree.find("ASVspoof2019_LA_cm_protocols")), la_2019,
        unlabelled=_enrolment_2019,
    ),
    _fits_2021("LA"),
    _fits_2021("DF"),
    Reader(
        "asvspoof5", "ASVspoof 5",
        lambda tree: any(tree.find(name) for _, names in PARTS_5.values() for name in names), five,
    ),
)  # fmt: skip
