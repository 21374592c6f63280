"""Prompts that can be heard: a pack of spoken clips, put together into the sentence a caller is asked.

A pack is a folder with a manifest.json:

    {"schema": 1, "voice": "espeak-ng 1.51", "rates": [8000, 16000], "level_dbfs": -20,
     "clips": {"en/word/river": {"text": "river", "voice": "espeak-ng 1.51",
                                 "files": {"8000": {"file": "8000/en/word/river.wav", "sha256": "..."},
                                           "16000": {...}}}}}

Everything is checked on load, and `check` says before any call which texts the pack cannot speak.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from challenges.clips import LEVEL_DBFS, RATES, Clip, MissingPrompt, PackError, PromptError, clip_faults, parse_clip, read_clip
from challenges.content import Question, clip_texts
from engine.audio import Samples

SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES = 8 << 20  # some ten times what four languages need
LEAD_S = 0.4  # pause between the instruction and what it asks for, seconds
WORD_S = 0.25  # pause between two words: they are to be understood, not read fluently
CACHED = 128  # clips kept in memory, at most MAX_S * 16 kHz * 2 bytes = 480 kB each: never more than 62 MB


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack says of itself."""

    voice: str
    rates: tuple[int, ...]  # Hz
    clips: Mapping[str, Clip]  # by name, "en/word/river"

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({name.split("/")[0] for name in self.clips}))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the pack in `folder`. PackError names what is wrong with it; no clip is opened."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise PackError(f"{path} is larger than {MANIFEST_BYTES:,} bytes")
        raw = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise PackError(f"{folder} is no prompt pack: it holds no {MANIFEST}") from None
    except OSError as error:
        raise PackError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path} is no JSON: {error}") from None
    try:
        return _parse_manifest(raw)
    except PackError as error:
        raise PackError(f"{path}: {error}") from None


def _parse_manifest(raw: Any) -> Manifest:
    if not isinstance(raw, dict):
        raise PackError("it is no object")
    if raw.get("schema") != SCHEMA:
        raise PackError(f"schema is {raw.get('schema')!r}, this version reads {SCHEMA}")
    if raw.get("level_dbfs") != LEVEL_DBFS:
        raise PackError(f"level_dbfs is {raw.get('level_dbfs')!r}, not {LEVEL_DBFS:g}")
    rates, clips = raw.get("rates"), raw.get("clips")
    if rates != list(RATES):
        raise PackError(f"rates are {rates!r}, not {list(RATES)}")
    if not isinstance(raw.get("voice"), str):
        raise PackError(f"voice {raw.get('voice')!r} is no name")
    if not isinstance(clips, dict) or not clips:
        raise PackError("clips are missing")
    return Manifest(raw["voice"], RATES, {name: parse_clip(name, entry, RATES) for name, entry in clips.items()})


def find_faults(folder: Path, manifest: Manifest) -> list[str]:
    """Everything that is wrong with the clips of a pack, a sentence each. Reads every file."""
    return [fault for clip in manifest.clips.values() for fault in clip_faults(folder, clip)]


class PromptPack:
    """A checked pack. Made by `load`; what it renders depends on the question and the rate only."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._clip = lru_cache(maxsize=CACHED)(self._read)

    @classmethod
    def load(cls, folder: Path) -> PromptPack:
        """Read and check every clip of the pack in `folder`. PackError names the first fault and counts the others."""
        manifest = read_manifest(folder)
        if faults := find_faults(folder, manifest):
            more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
            raise PackError(f"{folder}: {faults[0]}{more}")
        return cls(folder, manifest)

    def speaks(self, language: str) -> bool:
        """Whether there are clips of that language at all; `check` tells whether they are enough."""
        return language in self.manifest.languages

    def check(self, languages: Iterable[str], keys: Iterable[str] | None = None) -> list[str]:
        """What the pack lacks to ask the challenges `keys` (default: all) in `languages`: names of clips, "es: no clip at all".

        A clip that speaks another text than is asked today, from a pack of another version, counts as missing.
        Empty when any question that can be drawn of them can be rendered. ValueError: a language or key nobody knows.
        """
        missing: list[str] = []
        chosen = None if keys is None else tuple(keys)
        for language in languages:
            texts = clip_texts(language, chosen)
            if language in self.manifest.languages:
                missing += [told for name, (text, _) in texts.items() if (told := self._lack(name, text))]
            else:
                missing.append(f"{language}: no clip at all")
        return list(dict.fromkeys(missing))

    def _lack(self, name: str, text: str) -> str:
        clip = self.manifest.clips.get(name)
        if clip is None:
            return name
        return "" if clip.text == text else f"{name}: it says {clip.text!r}, not {text!r}"

    def render(self, question: Question, rate: int) -> Samples:
        """What the caller hears, int16 [n] mono at `rate` Hz: the instruction, a pause, the content piece by piece.

        MissingPrompt names the clip the pack lacks, PackError one that was changed since the pack was loaded.
        """
        if rate not in self.manifest.rates:
            raise PromptError(f"prompts are kept at {' and '.join(map(str, self.manifest.rates))} Hz, not at {rate} Hz")
        instruction, *words = question.clips
        parts = [self._clip(instruction, rate)]
        for index, name in enumerate(words):
            parts += [np.zeros(round((WORD_S if index else LEAD_S) * rate), np.int16), self._clip(name, rate)]
        return np.concatenate(parts)

    def _read(self, name: str, rate: int) -> Samples:
        clip = self.manifest.clips.get(name)
        if clip is None:
            raise MissingPrompt(f"the prompt pack {self.folder} has no clip {name}")
        return read_clip(self.folder, clip, rate)
