"""Rendering a question: order, pauses and level of what the caller hears, and what a pack is found to lack before a call."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from challenges.catalogue import CATALOGUE, by_name
from challenges.clips import MAX_S, MissingPrompt, PackError, PromptError, active_level
from challenges.content import Question, clip_texts, draw
from challenges.prompts import CACHED, PromptPack
from tests.challenges.packs import RATES, make_pack, tone, write_manifest, write_wav

CLIPS = ("en/instruction/whisper", "en/word/river", "en/word/camel", "en/digit/seven")
SECONDS = 0.4  # of each clip of the made-up packs


def question(*words: str, key: str = "whisper", language: str = "en") -> Question:
    return Question(by_name(key), language, words, "", "Please whisper these words: river.", 60.0, "0" * 16)


@pytest.fixture
def pack(tmp_path: Path) -> PromptPack:
    make_pack(tmp_path, CLIPS)
    return PromptPack.load(tmp_path)


@pytest.mark.parametrize("rate", RATES)
def test_instruction_pause_then_the_words_in_order(pack: PromptPack, rate: int) -> None:
    heard = pack.render(question("camel", "river"), rate)
    pitches = [300, 320, 310]  # of the instruction, camel, river
    starts = [0.0, SECONDS + 0.4, 2 * SECONDS + 0.4 + 0.25]
    assert heard.dtype == np.int16
    assert len(heard) == round((3 * SECONDS + 0.4 + 0.25) * rate)
    for pitch, start in zip(pitches, starts, strict=True):
        begin = round(start * rate)
        np.testing.assert_array_equal(heard[begin : begin + round(SECONDS * rate)], tone(rate, SECONDS, hz=pitch))


def test_pauses_are_silent_and_the_whole_is_at_its_level(pack: PromptPack) -> None:
    heard = pack.render(question("camel", "river"), 8000)
    assert not heard[3200:6400].any()
    assert not heard[9600:11600].any()
    assert active_level(heard, 8000) == pytest.approx(-20.0, abs=0.1)


def test_a_question_without_words_is_its_instruction(pack: PromptPack) -> None:
    assert len(pack.render(question(), 16000)) == SECONDS * 16000


def test_a_caller_of_render_may_change_what_it_got(pack: PromptPack) -> None:
    for asked in (question("river"), question()):
        first = pack.render(asked, 8000)
        again = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(pack.render(asked, 8000), again)


@pytest.mark.parametrize("rate", [44100, 48000, 0])
def test_a_rate_that_is_not_kept_is_refused(pack: PromptPack, rate: int) -> None:
    with pytest.raises(PromptError, match=f"8000 and 16000 Hz, not at {rate} Hz"):
        pack.render(question("river"), rate)


@pytest.mark.parametrize(
    ("asked", "name"),
    [(question("dragon"), "en/word/dragon"), (question("river", language="fr"), "fr/instruction/whisper"),
     (question("river", key="low-pitch"), "en/instruction/low-pitch")],
)  # fmt: skip
def test_a_missing_clip_is_named(pack: PromptPack, asked: Question, name: str) -> None:
    with pytest.raises(MissingPrompt, match=name):
        pack.render(asked, 8000)


def test_a_clip_changed_after_loading_is_not_played(pack: PromptPack) -> None:
    pack.render(question("camel"), 8000)
    write_wav(pack.folder / "8000/en/word/river.wav", tone(8000, 0.4, -3.0), 8000)
    with pytest.raises(PackError, match="en/word/river"):
        pack.render(question("river"), 8000)
    (pack.folder / "16000/en/word/river.wav").unlink()
    with pytest.raises(PackError, match="does not exist"):
        pack.render(question("river"), 16000)


def test_a_clip_is_read_once_while_it_is_remembered(pack: PromptPack) -> None:
    first = pack.render(question("river"), 8000)
    (pack.folder / "8000/en/word/river.wav").unlink()
    np.testing.assert_array_equal(pack.render(question("river"), 8000), first)


def test_memory_is_bounded_whatever_is_asked(tmp_path: Path) -> None:
    words = [f"w{index}" for index in range(CACHED + 40)]
    make_pack(tmp_path, ["en/instruction/whisper", *(f"en/word/{word}" for word in words)], seconds=0.1)
    pack = PromptPack.load(tmp_path)
    for word in words:
        pack.render(question(word), 16000)
    assert pack._clip.cache_info().currsize == CACHED
    assert CACHED * MAX_S * 16000 * 2 < 64e6


def test_check_lists_what_no_clip_speaks(pack: PromptPack) -> None:
    missing = pack.check(["en"], ["whisper"])
    assert "en/word/dragon" in missing
    assert not set(CLIPS) & set(missing)
    assert "en/instruction/low-pitch" not in missing
    assert {"en/instruction/low-pitch", "en/digit/three"} <= set(pack.check(["en"], ["low-pitch"]))
    assert "en/digit/seven" not in pack.check(["en"], ["low-pitch"])


def test_check_names_a_clip_that_says_something_else(tmp_path: Path) -> None:
    manifest = make_pack(tmp_path, clip_texts("en", ["whisper"]), seconds=0.1)
    manifest["clips"]["en/word/river"]["text"] = "stream"
    write_manifest(tmp_path, manifest)
    assert PromptPack.load(tmp_path).check(["en"], ["whisper"]) == ["en/word/river: it says 'stream', not 'river'"]


def test_check_says_in_one_line_that_a_language_is_not_there(pack: PromptPack) -> None:
    assert pack.check(["fr"], ["whisper"]) == ["fr: no clip at all"]
    assert pack.check([], ["whisper"]) == []


def test_check_refuses_languages_and_challenges_nobody_knows(pack: PromptPack) -> None:
    with pytest.raises(ValueError, match="'xx'"):
        pack.check(["xx"], ["whisper"])
    with pytest.raises(ValueError, match="'dance'"):
        pack.check(["en"], ["dance"])


def test_a_pack_that_check_finds_complete_renders_every_question(tmp_path: Path) -> None:
    keys = ("whisper", "foreign-words", "sing", "clap")
    make_pack(tmp_path, clip_texts("de", keys), seconds=0.1)
    pack = PromptPack.load(tmp_path)
    assert pack.check(["de"], keys) == []
    assert pack.check(["de"]) != []
    rng = random.Random(4)
    for key in keys * 10:
        asked = draw(CATALOGUE[key], "de", rng, 0.0)
        words = len(asked.words)
        assert len(pack.render(asked, 8000)) == 800 * (1 + words) + 3200 + 2000 * (words - 1)
