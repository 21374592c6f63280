"""SONAR: one folder for each system and one of people; a test set.

Trap: the label is the folder alone, so a folder that nobody knows must not count as one more system. AudioGen makes
sounds, not speech: its `family` says so, and whoever measures speech leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.corpus import Clip
from models.datasets.base import Complain, Reader, Tree, audio_in, folders_in

PEOPLE = "real_samples"
SYSTEMS = (
    "AudioGen", "FlashSpeech", "NaturalSpeech3", "OpenAI", "PromptTTS2", "SeedTTS", "VALLE", "VoiceBox", "xTTS",
)  # fmt: skip


def sonar(tree: Tree, complain: Complain) -> Iterator[Clip]:
    """Every folder of the set, sorted by name."""
    for folder in folders_in(_root(tree)):
        if folder.name not in (PEOPLE, *SYSTEMS):
            if next(audio_in(folder), None):
                complain(f"{folder}: {folder.name!r} is neither {PEOPLE} nor a system of SONAR")
            continue
        people = folder.name == PEOPLE
        for path in audio_in(folder):
            yield Clip(
                path,
                "bonafide" if people else "spoof",
                "eval",
                "" if people else folder.name,
                "sounds" if folder.name == "AudioGen" else "",
                repo="sonar",
            )


def _root(tree: Tree) -> Path:
    return tree.folder(PEOPLE).parent


def _fits(tree: Tree) -> bool:
    return bool(tree.find(PEOPLE)) and any((_root(tree) / system).is_dir() for system in SYSTEMS)


READERS = (Reader("sonar", "SONAR", _fits, sonar),)
