"""What a manifest's row tells about a speaker and a recording: the groups whose false positives are compared.

Only what is written down is used: a column, a speaker's id, a folder's name or the note. Where nothing is said the
answer is empty, and reports count how many of those there are: "not told" is not "no".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Row = Mapping[str, str]

# EMO-DB numbers its ten actors (Burkhardt et al. 2005).
EMODB = dict.fromkeys(("08", "09", "13", "14", "16"), "f") | dict.fromkeys(("03", "10", "11", "12", "15"), "m")
# Voices known by name: LJSpeech, the two actresses of TESS, speakers of CMU ARCTIC.
NAMED = {"ljspeech": "f", "tess-oaf": "f", "tess-yaf": "f", "arctic-slt": "f", "arctic-clb": "f", "arctic-bdl": "m"} | {
    "arctic-rms": "m",
    "arctic-jmk": "m",
}
_WORDS = (("f", re.compile(r"\b(female|woman|girl|actress)\b")), ("m", re.compile(r"\b(male|man|boy|actor)\b")))
# "F25", "hyke:M_1298", "urdu-SF6", "Speaker_2_Male"; a hyphen does not begin one in paths, where names are often UUIDs
_CODE = r"(?:s?([fm])_?\d+(?:[-_.]|$)|(?:[a-z]+_\d_)?(female|male)(?:[-_/.]|$))"
_CODED_ID, _CODED_PATH = re.compile(r"(?:^|[:-])" + _CODE, re.I), re.compile(r"(?:^|/)" + _CODE, re.I)
_ACCENTED = re.compile(r"\b(accents?|l2 |non-?native|indian?|singlish|imda|dialects?(?!/)|international students?)\b|\bl2\b")
_CHILDREN = re.compile(r"\bchild(ren)?\b(?!\s+noise)(?<!crying-child)")


def gender(row: Row) -> str:
    """ "f", "m" or "" for not told."""
    column = row.get("gender", "").strip().lower()
    if column[:1] in ("f", "m"):
        return column[:1]
    speaker = row.get("speaker", "")
    emodb = re.search(r"emodb-(\d\d)$", speaker)
    if emodb:
        return EMODB.get(emodb[1], "")
    for name, told in NAMED.items():
        if speaker.lower().endswith(name):
            return told
    words = {told for told, pattern in _WORDS if pattern.search(row.get("note", "").lower())}
    if len(words) == 1:
        return words.pop()
    matches = (_CODED_ID.search(speaker), _CODED_PATH.search(row.get("orig_path", "")))
    coded = {(match[1] or match[2][0]).lower() for match in matches if match}
    return coded.pop() if len(coded) == 1 else ""


def narrowband(row: Row) -> str:
    """Rate of the source before it came here: "8 kHz", "above 8 kHz" or ""."""
    rate = row.get("orig_sr", "").strip()
    return "" if not rate or rate == "0" else "8 kHz" if rate == "8000" else "above 8 kHz"


def ancestry(row: Row) -> str:
    """Lossy coding in the recording's past, by its codec or its note: "mp3", "other lossy", "none known" or ""."""
    codec, note = row.get("orig_codec", "").lower(), row.get("note", "").lower()
    if "mp3" in codec or "mp3" in note:
        return "mp3"
    if any(name in codec for name in ("gsm", "aac", "opus", "vorbis", "amr", "u8")):
        return "other lossy"
    return "none known" if codec else ""


def accent(row: Row) -> str:
    """ "accented" where the note says accent, dialect or a second language; else ""."""
    return "accented" if _ACCENTED.search(row.get("note", "").lower()) else ""


def age(row: Row) -> str:
    """ "children", "adults and children" (told of a set, not of the clip) or ""."""
    note = row.get("note", "").lower()
    if not _CHILDREN.search(note):
        return ""
    return "adults and children" if "adult" in note else "children"


def language(row: Row) -> str:
    """The column; "und" (not determined) counts as not told."""
    told = row.get("language", "").strip()
    return "" if told == "und" else told


SUBGROUPS: Mapping[str, Callable[[Row], str]] = {
    "language": language,
    "gender": gender,
    "source rate": narrowband,
    "lossy ancestry": ancestry,
    "accent": accent,
    "age": age,
}
