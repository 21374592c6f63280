"""Challenge sets laid out as PITCH's published samples: {imp,gt,df}NN in one folder for each pair of people.

imp is the impostor doing challenge NN in the own voice, gt the genuine target doing it, df the impostor's attempt
through a live voice converter. Behind NN a name may go on with "_" or "-". Sets of another layout are read as a table
with the column `challenge`.

Traps: two recordings of three are people, the impostor's among them; 11 and 15 are no challenges; 00 is plain speech;
df and imp are the same utterance (`orig_path`), so they are no independent trials of content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, is_audio

NAME = re.compile(r"(imp|gt|df)(\d\d)([_-].*)?")
CHALLENGES = {
    0: "", 1: "static-mouth", 2: "cup-mouth", 3: "whisper", 4: "speak-loudly", 5: "speak-softly", 6: "read-quickly",
    7: "read-slowly", 8: "hold-nose", 9: "high-pitch", 10: "low-pitch", 12: "foreign-words", 13: "accent", 14: "sing",
    16: "emotions", 17: "question", 18: "cough-or-whistle", 19: "clap", 20: "crosstalk", 21: "instrumental-playback",
    22: "lyric-playback",
}  # fmt: skip
ROLES = {"imp": "impostor", "gt": "target", "df": "target"}  # whose voice is to be heard


def pitch(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every file of these names, a test set."""
    for path in audio_in(tree.root):
        found = NAME.fullmatch(path.stem)
        if not found:
            continue
        role, number, rest = found[1], int(found[2]), found[3] or ""
        if number not in CHALLENGES:
            complain(f"{path}: no challenge has the number {number:02}")
            continue
        folder = path.parent.relative_to(tree.root).as_posix()
        fake = role == "df"
        yield Clip(
            path,
            "spoof" if fake else "bonafide",
            "eval",
            family="voice-conversion" if fake else "",
            speaker=f"{folder}:{ROLES[role]}",
            repo="pitch",
            orig_path="" if role == "gt" else f"{folder}/{number:02}{rest}",
            challenge=CHALLENGES[number],
        )


def _fits(tree: Tree) -> bool:
    return any(_roles(folder) >= {"gt", "df"} for level in tree.levels for folder in level)


def _roles(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:  # a beginning is enough: folders of such sets are small, other sets' huge
        names = [Path(entry.name) for entry in islice(entries, 500)]
    return {found[1] for name in names if is_audio(name) and (found := NAME.fullmatch(name.stem))}


READERS = (Reader("pitch", "challenge sets in the layout of PITCH", _fits, pitch),)
