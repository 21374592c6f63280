"""What a row tells about a speaker, and what it does not."""

from __future__ import annotations

import pytest

from models.subgroups import SUBGROUPS, accent, age, ancestry, gender, language, narrowband


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"gender": "F", "speaker": "x:M1"}, "f"),  # the column counts most
        ({"gender": "male"}, "m"),
        ({"speaker": "emodb:emodb-03"}, "m"),
        ({"speaker": "emodb:emodb-09"}, "f"),
        ({"speaker": "LJSpeech"}, "f"),
        ({"speaker": "hyke:M_1298660054", "note": "digits over a phone, male, line 2"}, "m"),
        ({"note": "female, line 1"}, "f"),
        ({"speaker": "urdu:urdu-SF6"}, "f"),
        ({"speaker": "algan-Speaker_2_Male"}, "m"),
        ({"speaker": "DAPS", "orig_path": "audio/gt/f10_script1.mp3"}, "f"),
        ({"speaker": "", "orig_path": "data/clean/f308-92d0-4b7e.wav"}, "f"),
        ({"speaker": "", "orig_path": "data/clean/9a-f308-4b7e.wav"}, ""),  # part of a UUID
        ({"speaker": "VCTK-p246"}, ""),
        ({"speaker": "mfa:se10x016", "note": "one male and one female"}, ""),
        ({"speaker": "malaya:husein"}, ""),
        ({}, ""),
    ],
)
def test_gender_is_read_from_column_id_note_or_path(row: dict[str, str], told: str) -> None:
    assert gender(row) == told


def test_source_rate_and_lossy_ancestry() -> None:
    assert [narrowband({"orig_sr": rate}) for rate in ("8000", "16000", "", "0")] == ["8 kHz", "above 8 kHz", "", ""]
    assert ancestry({"orig_codec": "mp3/mp3"}) == "mp3"
    assert ancestry({"orig_codec": "flac", "note": "LibriVox MP3 origin, read speech"}) == "mp3"
    assert [ancestry({"orig_codec": c}) for c in ("gsm/gsm", "pcm_s16le", "")] == ["other lossy", "none known", ""]


@pytest.mark.parametrize(
    ("note", "accented"),
    [
        ("L2 English, L1 Mandarin; adults and children", "accented"),
        ("self-recorded Indian-accent speakers", "accented"),
        ("volunteer (Duke international students) on own device", "accented"),
        ("Accent test sample", "accented"),
        ("ASR test recording (dialect/far-field/noisy)", ""),  # told of a set of which it may be any
        ("read by a LibriVox volunteer", ""),
    ],
)
def test_accents_are_read_from_notes(note: str, accented: str) -> None:
    assert accent({"note": note}) == accented


def test_children_are_told_from_sets_that_hold_some_and_from_noises() -> None:
    assert age({"note": "adults and children; quiet room"}) == "adults and children"
    assert age({"note": "children reading aloud"}) == "children"
    assert age({"note": "own voice note with crying-child noise, phone"}) == ""
    assert age({"note": "read speech"}) == ""


def test_an_undetermined_language_is_not_told() -> None:
    assert [language({"language": text}) for text in ("de", "und", "")] == ["de", "", ""]


def test_every_subgroup_bears_an_empty_row() -> None:
    assert [told({}) for told in SUBGROUPS.values()] == [""] * len(SUBGROUPS)
