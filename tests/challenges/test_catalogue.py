"""The catalogue of challenges: complete, consistent, and offered only where the line carries the cue."""

from __future__ import annotations

import itertools
import json
import pickle

import pytest

from challenges.catalogue import (
    CATALOGUE,
    CONTENTS,
    FAMILIES,
    LINES,
    MEASURABLE,
    NEEDS,
    PHONE,
    VERIFIERS,
    Challenge,
    Line,
    by_line,
    by_name,
    pool,
)
from vivavoce.cli import main

PHONE_SAFE = {"foreign-words", "sing", "emotions", "high-pitch", "whisper", "static-mouth", "cup-mouth"}
ALL = list(CATALOGUE.values())
EVERY_LINE = [Line(*bits) for bits in itertools.product((False, True), repeat=3)]
each = pytest.mark.parametrize("challenge", ALL, ids=list(CATALOGUE))


def keys(challenges: tuple[Challenge, ...]) -> set[str]:
    return {challenge.key for challenge in challenges}


def test_the_twenty_ids_of_the_authors_in_order() -> None:
    unused = {11, 15}
    assert [challenge.id for challenge in ALL] == [f"{n:02}" for n in range(1, 23) if n not in unused]


def test_eleven_are_of_tier_a() -> None:
    assert {c.id for c in ALL if c.tier == "A"} == {"01", "02", "03", "05", "09", "12", "14", "16", "20", "21", "22"}
    assert {c.tier for c in ALL} == {"A", "B"}


@each
def test_every_field_holds_a_known_value(challenge: Challenge) -> None:
    assert CATALOGUE[challenge.key] is challenge
    assert challenge.family in FAMILIES
    assert challenge.content in CONTENTS
    assert challenge.needs <= set(NEEDS)
    assert challenge.verifier in VERIFIERS
    assert challenge.measurable in MEASURABLE
    assert challenge.note
    assert all(isinstance(value, float) for value in challenge.parameters.values())
    assert (challenge.verifier == "unmeasured") == (challenge.measurable == "not measurable")
    assert bool(challenge.parameters) == (challenge.verifier != "unmeasured")


@each
def test_an_answer_may_take_between_8_and_15_seconds_at_most(challenge: Challenge) -> None:
    assert 0 < challenge.min_s < 8 <= challenge.max_s <= 15


@each
def test_the_alternative_is_of_another_family_and_asks_no_more_of_the_line(challenge: Challenge) -> None:
    alternative = CATALOGUE[challenge.alternative]
    assert alternative.family != challenge.family
    assert alternative.needs <= challenge.needs
    assert alternative.measurable != "not measurable"
    assert alternative.tier == "B"  # weaker


@each
def test_a_challenge_survives_the_way_to_another_process(challenge: Challenge) -> None:
    assert pickle.loads(pickle.dumps(challenge)) == challenge
    assert hash(challenge) == hash(pickle.loads(pickle.dumps(challenge)))


def test_a_telephone_line_gets_the_phone_safe_ones() -> None:
    assert keys(pool(PHONE)) == PHONE_SAFE == {c.key for c in ALL if c.phone_safe}


def test_no_whisper_where_quiet_sounds_are_not_sent() -> None:
    assert keys(pool(PHONE._replace(dtx=True))) == PHONE_SAFE - {"whisper"}


def test_a_clean_wideband_line_gets_all_that_can_be_measured() -> None:
    assert keys(pool(Line(wideband=True, noise_suppressed=False, dtx=False))) == set(CATALOGUE) - {"accent"}


@pytest.mark.parametrize("line", EVERY_LINE, ids=str)
def test_playback_noises_and_loudness_only_where_the_line_carries_them(line: Line) -> None:
    families = {challenge.family for challenge in pool(line)}
    clean = not (line.noise_suppressed or line.dtx)
    assert ({"playback", "noise"} & families != set()) == (line.wideband and clean)
    assert ("level" in families) == (line.wideband and clean)


@pytest.mark.parametrize("line", EVERY_LINE, ids=str)
def test_every_line_leaves_a_second_challenge_of_another_family(line: Line) -> None:
    assert len({challenge.family for challenge in pool(line)}) >= 3


@pytest.mark.parametrize("text", ["03", "3", "whisper", "Whisper", " WHISPER "])
def test_a_challenge_goes_by_id_key_or_name(text: str) -> None:
    assert by_name(text).key == "whisper"
    assert by_name("Cough / Whistle").key == "cough-whistle"


@pytest.mark.parametrize("text", ["", "11", "15", "yodel", "0"])
def test_an_unknown_name_is_told_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is none of .*03 whisper.*22 lyric-playback"):
        by_name(text)


def test_an_unknown_line_is_told_with_the_choices() -> None:
    assert by_line("wideband") is LINES["wideband"]
    with pytest.raises(ValueError, match=r"'gsm' is none of narrowband, .*wideband-dtx"):
        by_line("gsm")


def test_the_command_prints_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenges"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [[c.id, c.key] for c in ALL]


def test_the_command_prints_an_array_with_the_pools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenges", "--json", "--language", "es"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["key"] for record in records] == list(CATALOGUE)
    whisper = records[2]
    assert whisper["instruction"] == "Por favor, susurre estas palabras:"
    assert whisper["lines"] == ["narrowband", "narrowband-suppressed", "wideband", "wideband-suppressed"]
    assert whisper["parameters"] == dict(CATALOGUE["whisper"].parameters)


def test_the_command_keeps_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenges", "--json", "--line", "narrowband-dtx"]) == 0
    assert {record["key"] for record in json.loads(capsys.readouterr().out)} == PHONE_SAFE - {"whisper"}


def test_the_command_draws_another_sample_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []
    for _ in range(2):
        assert main(["challenges", "--show", "whisper", "--language", "de", "--json"]) == 0
        drawn.append(json.loads(capsys.readouterr().out))
    assert drawn[0]["words"] != drawn[1]["words"]
    assert drawn[0]["sentence"].startswith("Bitte flüstern Sie diese Wörter: ")
    assert main(["challenges", "--show", "14"]) == 0
    assert "to the tune of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--language", "it"], "language 'it' is none of en, es, fr, de"),
        (["--line", "gsm"], "line 'gsm' is none of narrowband"),
        (["--show", "yodel"], "challenge 'yodel' is none of 01 static-mouth"),
        (["--show", "clap", "--line", "narrowband"], "challenge clap is not in the default pool of the line narrowband"),
    ],
)
def test_the_command_says_what_is_wrong(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenges", *options]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert not captured.out
