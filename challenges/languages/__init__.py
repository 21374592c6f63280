"""What is said to callers, one TOML file per language, read and checked as a whole.

A language is complete or it is refused: a text that is missing would be noticed by a caller otherwise.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any

from challenges.catalogue import CATALOGUE

LANGUAGES = ("en", "es", "fr", "de")  # by their ISO 639-1 codes; the first is the default
SPELT = ("es", "de", "fr")  # whose words have a file of phones: no English dictionary has them
MIN_WORDS = 200
DETAILED = frozenset({"foreign-phrase", "accent", "tune", "emotion", "rhythm", "noise-count"})  # contents that fill a {detail}
COUNT_BLANKS = {"rhythm": {"first", "second"}, "noises": {"first", "second"}, "cough": {"times"}, "whistle": {"times"}}


@dataclass(frozen=True, slots=True)
class Tongue:
    """A language foreign to the caller."""

    name: str  # as the caller's language calls it
    words: Mapping[str, str]  # word -> how the caller would spell what is heard, stress in capitals


@dataclass(frozen=True, slots=True)
class Counts:
    """How numbers of claps, coughs and whistles are said."""

    times: tuple[str, ...]  # "once", "twice", ...
    rhythm: str  # of {first} and {second}, both of `times`
    noises: str  # of {first} and {second}: `cough` and `whistle`, either way round
    cough: str  # of {times}
    whistle: str  # of {times}


@dataclass(frozen=True, slots=True)
class Language:
    """Everything that is said to a caller in one language."""

    code: str  # of LANGUAGES
    name: str
    words: tuple[str, ...]  # as they are written: German nouns have capitals
    digits: tuple[str, ...]  # zero to nine
    instructions: Mapping[str, str]  # by key of the challenge; holds {detail} where something of DETAILED is drawn
    accents: Mapping[str, str]
    tunes: Mapping[str, str]
    emotions: Mapping[str, str]
    counts: Counts
    foreign: Mapping[str, Tongue]  # by code, "sw"


@cache
def load(code: str) -> Language:
    """The language with this code. ValueError names `code` and the choices, or what its file lacks."""
    if code not in LANGUAGES:
        raise ValueError(f"language {code!r} is none of {', '.join(LANGUAGES)}")
    return parse(code, (resources.files(__name__) / f"{code}.toml").read_text(encoding="utf-8"))


@cache
def spellings(code: str) -> Mapping[str, tuple[str, ...]]:
    """Word in lower case -> its phones in the letters of cmudict, one for each way to say it; {} for English, whose
    dictionary the recogniser has."""
    found: dict[str, tuple[str, ...]] = {}
    if code in SPELT:
        text = (resources.files(__name__) / f"{code}.dict").read_text(encoding="utf-8")
        for word, way in (line.split(" ", 1) for line in text.splitlines()):
            bare = word.partition("(")[0]
            found[bare] = (*found.get(bare, ()), way)
    return found


def parse(code: str, text: str) -> Language:
    """A language from its TOML text. ValueError says what is missing or wrong in it."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        language = Language(
            code=code,
            name=raw["name"],
            words=tuple(raw["words"].split()),
            digits=tuple(raw["digits"]),
            instructions=raw["instructions"],
            accents=raw["accents"],
            tunes=raw["tunes"],
            emotions=raw["emotions"],
            counts=Counts(**{**raw["counts"], "times": tuple(raw["counts"]["times"])}),
            foreign={key: Tongue(tongue["name"], tongue["words"]) for key, tongue in raw["foreign"].items()},
        )
    except KeyError as error:
        raise ValueError(f"language {code}: {error.args[0]} is missing") from None
    except (TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"language {code}: {error}") from None
    _check(language)
    return language


def _check(language: Language) -> None:
    for name, items, least in (
        ("words", [word.lower() for word in language.words], MIN_WORDS),
        ("digits", language.digits, 10),
        ("times", language.counts.times, 4),
        *((f"foreign.{key}", list(tongue.words), 20) for key, tongue in language.foreign.items()),
    ):
        if len(set(items)) < max(least, len(items)):
            raise ValueError(f"language {language.code}: {name} has {len(set(items))} different entries of {len(items)}")
    for name, table in (("accents", language.accents), ("tunes", language.tunes), ("emotions", language.emotions)):
        if len(set(table.values())) < max(2, len(table)):
            raise ValueError(f"language {language.code}: {name} needs two entries at least, all different")
    if not language.foreign:
        raise ValueError(f"language {language.code}: foreign is empty")
    for key, challenge in CATALOGUE.items():
        blanks = {"detail"} if challenge.content in DETAILED else set()
        _check_blanks(language.code, f"instruction {key}", language.instructions.get(key, ""), blanks)
    for name, blanks in COUNT_BLANKS.items():
        _check_blanks(language.code, name, getattr(language.counts, name), blanks)


def _check_blanks(code: str, name: str, text: str, blanks: AbstractSet[str]) -> None:
    """ValueError when `text` says nothing or has other {blanks} than these."""
    try:
        found = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"language {code}: {name} is {text!r}: {error}") from None
    if not text or found != blanks:
        raise ValueError(f"language {code}: {name} is {text!r}; its blanks must be {sorted(blanks)}")
