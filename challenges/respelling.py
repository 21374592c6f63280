"""How the phones of a respelling are guessed: "hah-BAH-ree" to "HH AA B AA R IY", in the letters of cmudict.

A respelling is written for the ear of an English reader, so each of its letter groups has one sound. Only the respellings
of challenges/languages/en.toml are meant; English words as they are written have no such rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SOUNDS: Mapping[str, str] = {  # longest first where one begins another
    "sh": "SH", "ch": "CH", "th": "TH", "ng": "NG", "ny": "N Y",
    "ah": "AA", "ee": "IY", "oo": "UW", "oh": "OW", "eh": "EH", "ow": "AW", "oy": "OY", "ie": "AY", "ay": "EY",
    "a": "AE", "e": "EH", "i": "IH", "o": "AA", "u": "AH",
    "b": "B", "c": "K", "d": "D", "f": "F", "g": "G", "h": "HH", "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N",
    "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "v": "V", "w": "W", "x": "K S", "y": "Y", "z": "Z",
}  # fmt: skip
_SOUND = re.compile("|".join(SOUNDS))


def phones(respelt: str) -> str:
    """The phones of one respelt word, separated by spaces. ValueError: a letter without a sound."""
    found = []
    for syllable in respelt.lower().split("-"):
        if left := _SOUND.sub("", syllable):
            raise ValueError(f"respelling {respelt!r}: {left!r} has no sound")
        found += [SOUNDS[match] for match in _SOUND.findall(syllable)]
    return " ".join(found)
