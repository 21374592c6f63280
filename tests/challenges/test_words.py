"""Reading answers: the alignment and its score, what cannot be told and why, and the recogniser on spoken words."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest

from challenges import words
from challenges.catalogue import CATALOGUE
from challenges.cepstra import cepstra, filter_bank, log_bands
from challenges.content import Question, draw
from challenges.languages import load
from challenges.respelling import phones
from challenges.words import (
    Heard,
    Recogniser,
    _read,
    any_of,
    distractors,
    in_order,
    one_after_the_other,
    respellings,
    score,
    unfit,
)
from engine.audio import Samples
from models.channel import Channel, apply
from vivavoce.voices import Espeak, resample

WORDS = ("river", "table", "window", "garden", "camel")


def question(key: str = "question", language: str = "en", seed: int = 1) -> Question:
    return draw(CATALOGUE[key], language, random.Random(seed), 0.0)


def noise(seconds: float, level: float, seed: int = 0) -> Samples:
    return (np.random.default_rng(seed).normal(size=int(seconds * 8000)) * level).astype(np.int16)


@pytest.mark.parametrize(
    ("read", "found"),
    [
        ("river table window garden camel", "river table window garden camel"),
        ("oh river please table window no garden camel", "river table window garden camel"),
        ("camel lion", "camel"),
        ("table river window", "river window"),
        ("garden", "garden"),
        ("lion tiger", ""),
        ("", ""),
    ],
)
def test_words_count_in_the_order_in_which_they_were_drawn(read: str, found: str) -> None:
    assert in_order(WORDS, read.split()) == tuple(found.split())


def test_a_digit_that_was_drawn_twice_must_be_said_twice() -> None:
    assert in_order(("one", "two", "one"), ("one", "two")) == ("one", "two")
    assert in_order(("one", "two", "one"), ("one", "one", "two", "one")) == ("one", "two", "one")


def test_the_score_rises_with_words_found_and_falls_with_words_beside_them() -> None:
    scores = [score(WORDS, WORDS[:n], WORDS[:n]) for n in range(6)]
    assert scores == sorted(scores)
    assert scores[0] < 0.05
    assert scores[4] > 0.5 > scores[1]
    assert scores[5] > 0.95
    hedged = [*WORDS, *["lion"] * 20]
    assert score(WORDS, hedged, WORDS) < scores[5]
    assert score(WORDS, WORDS, ()) < scores[5]
    assert score((), ("lion",), ()) == 1.0, "nothing was asked"


def test_grammars_lead_from_their_first_state_to_their_last() -> None:
    assert any_of(("a", "b")) == [(0, 0, 1 / 3, "a"), (0, 0, 1 / 3, "b"), (0, 1, 1 / 3)]
    known = {"a": ("a_X", "a_Y"), "b": ("b",)}
    steps = [(0, 1, 1.0, "a_X"), (0, 1, 1.0, "a_Y"), (0, 1, 1e-8), (1, 2, 1.0, "b"), (1, 2, 1e-8)]
    assert one_after_the_other(("a", "b"), known) == steps


def test_what_cannot_be_told_says_why() -> None:
    recogniser, loud = Recogniser(), noise(3, 3000)
    assert recogniser.heard(loud[:1600], WORDS, ()).reason == "too-short"
    assert recogniser.heard(loud, WORDS, ()) == Heard(reason="too-noisy")
    assert recogniser.answer(loud, question("speak-loudly", "fr")) == Heard(reason="language"), "French digits are not read"
    assert recogniser.answer(loud, question(language="fr")) == Heard(reason="too-noisy"), "French words are"
    assert unfit(noise(3, 3), 5) == "silent"
    assert unfit(np.concatenate([noise(1, 3), noise(1, 46), noise(1, 3)]), 2) == "", "a soft line, at -57 dBFS, is read"
    said_nothing = recogniser.heard(noise(3, 3), WORDS, ())
    assert said_nothing.score is not None
    assert said_nothing.score < 0.05


@pytest.mark.parametrize("hz", [0, 25, 50, 60, 100])
def test_a_line_s_hum_is_no_noise(hz: int) -> None:
    """Nor is a direct current: neither lies in the telephone band, where the recogniser listens."""
    said = np.concatenate([noise(1, 8), noise(2, 1500), noise(1, 8)])
    hum = 3000 * np.cos(2 * np.pi * hz * np.arange(len(said)) / 8000)
    assert unfit((said + hum).astype(np.int16), 5) == ""
    assert unfit((noise(4, 400) + hum).astype(np.int16), 5) == "too-noisy"
    assert unfit((noise(4, 3) + hum / 3000).astype(np.int16), 5) == "silent"


def test_a_hopeless_reading_and_a_whole_one_are_not_read_again(recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    others = " ".join(f"word{i}" for i in range(12))
    readings = {"": 1, others: 1, " ".join(WORDS): 1, "river table window": 2}
    for first, times in readings.items():
        seen: list[object] = []

        def read(
            decoder: object, features: bytes, grammar: object, known: object, said: str = first, seen: list[object] = seen
        ) -> tuple[str, ...]:
            seen.append(grammar)
            return tuple(said.split()) if len(seen) == 1 else WORDS

        monkeypatch.setattr(words, "_read", read)
        found = recogniser.heard(noise(2.0, 3000.0) * np.linspace(0.1, 1, 16000) ** 3 // 1, WORDS, ())
        assert len(seen) == times, first
        assert found.score is not None
        assert (found.score < 0.35) == (first in ("", others))


def test_without_the_extra_it_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pocketsphinx", None)
    speech = np.concatenate([noise(1, 20), noise(1, 3000), noise(1, 20)])
    assert Recogniser().heard(speech, WORDS, ()) == Heard(reason="no-recogniser")


def test_distractors_are_the_nonce_s_and_none_of_the_drawn_words() -> None:
    asked = question()
    chosen = distractors(asked)
    assert chosen == distractors(asked)
    assert chosen != distractors(replace(asked, nonce="0123456789abcdef"))
    assert len(set(chosen)) == len(chosen) == 50
    assert not set(chosen) & set(asked.words)
    assert set(chosen) <= set(load("en").words)


def test_all_digits_are_offered_where_digits_were_drawn() -> None:
    assert set(load("en").digits) <= set(distractors(question("speak-loudly")))


def test_foreign_words_are_read_as_they_are_respelt() -> None:
    asked = question("foreign-words")
    known = respellings(asked)
    assert set(asked.words) <= set(known)
    assert set(distractors(asked)) & set(known)
    assert respellings(question()) == {}
    assert phones("hah-BAH-ree") == "HH AA B AA R IY"
    assert phones("NYOOM-bah") == "N Y UW M B AA"
    with pytest.raises(ValueError, match="'é' has no sound"):
        phones("cé")


def test_every_respelling_of_english_has_phones() -> None:
    for tongue in load("en").foreign.values():
        for spelt in tongue.words.values():
            assert len(phones(spelt).split()) >= 3


def test_bands_are_those_that_a_telephone_carries() -> None:
    assert filter_bank().shape == (19, 129)
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)).astype(np.int16)
    peak = int(filter_bank()[:, round(1000 / 31.25)].argmax())
    assert int((log_bands(np.concatenate([tone, noise(1, 10)]))[20]).argmax()) == peak
    with pytest.raises(ValueError, match="make no frame"):
        log_bands(tone[:79])


def test_cepstra_are_one_row_every_10_ms_and_do_not_mind_the_level() -> None:
    speech = np.concatenate([noise(0.5, 40), noise(0.5, 2000), noise(0.5, 40)])
    found = cepstra(speech)
    assert found.shape == (150, 13)
    loud = found[:, 0] >= found[:, 0].mean()
    assert 0 < loud.sum() < 150
    np.testing.assert_allclose(found[loud].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(cepstra(speech * 4), found, atol=0.5)


needs_espeak = pytest.mark.skipif(
    not os.environ.get("CI") and shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"
)


def spoken(text: str, voice: str = "en-us", speed: int = 150) -> Samples:
    call = ["espeak-ng", "-b", "1", "-s", str(speed), "-v", voice, "--stdin", "--stdout"]
    done = subprocess.run(call, input=text.encode(), capture_output=True, check=True, timeout=20)
    frames = np.frombuffer(done.stdout[44:], "<i2").astype(np.int16)
    return apply(resample(frames, 22050, 8000), Channel(noise=0, snr_db=15.0, law="mu"), [noise(3, 500)], [])


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    pytest.importorskip("pocketsphinx")
    return Recogniser()


@pytest.mark.peer
@needs_espeak
def test_every_english_word_is_in_the_dictionary(recogniser: Recogniser) -> None:
    with recogniser._decoder() as decoder:
        english = load("en")
        assert [w for w in (*english.words, *english.digits) if decoder.lookup_word(w) is None] == []


@pytest.mark.peer
@needs_espeak
def test_spoken_words_are_told_from_others_in_noise(recogniser: Recogniser) -> None:
    rights, wrongs = [], []
    for seed in range(4):
        asked = question("question" if seed % 2 else "speak-loudly", seed=seed)
        said = spoken(", ".join(asked.words))
        rights.append(recogniser.answer(said, asked).score)
        wrongs.append(recogniser.answer(said, question(asked.challenge.key, seed=seed + 50)).score)
    assert np.median(rights) > 0.8
    assert min(rights) > max(wrongs)


@pytest.mark.peer
@needs_espeak
def test_words_are_read_through_a_hum(recogniser: Recogniser) -> None:
    asked = question()
    said = np.concatenate([noise(1, 8), spoken(", ".join(asked.words)), noise(1, 8)])
    for hz in (0, 50, 60):
        hum = 5000 * np.cos(2 * np.pi * hz * np.arange(len(said)) / 8000)
        read = recogniser.answer(np.clip(said + hum, -32768, 32767).astype(np.int16), asked)
        assert read.score == pytest.approx(recogniser.answer(said, asked).score, abs=0.1), hz


@pytest.mark.peer
@needs_espeak
@pytest.mark.parametrize("language", ["es", "de"])
def test_other_languages_are_read_by_their_sounds(recogniser: Recogniser, language: str) -> None:
    """A decoder that has read one goes on to the next: "radio" is another word in each."""
    rights, wrongs = [], []
    for seed, key in enumerate(("question", "speak-loudly") * 3):
        asked = question(key, language, seed)
        said = spoken(", ".join(asked.words), voice=f"{language}+m3")
        rights.append(recogniser.answer(said, asked).score)
        wrongs.append(recogniser.answer(said, question(key, language, seed + 50)).score)
    assert np.median(rights) > 0.6
    assert np.median(rights) > max(wrongs)


@pytest.mark.peer
@needs_espeak
def test_french_words_that_are_read_count_and_those_that_are_not_say_nothing(recogniser: Recogniser) -> None:
    read = 0
    for seed in range(12):
        asked = question("question", "fr", seed)
        said = spoken(", ".join(asked.words), voice="fr+f2")
        right, wrong = recogniser.answer(said, asked), recogniser.answer(said, question("question", "fr", seed + 50))
        assert (wrong.score, wrong.reason) == (None, "language")
        assert right.reason == ("" if right.score is not None else "language")
        read += right.score is not None and right.score >= 0.5
    assert read >= 6


@pytest.mark.peer
@needs_espeak
def test_a_reading_leaves_the_features_as_they_are(recogniser: Recogniser) -> None:
    """pocketsphinx writes into the bytes it is given, unless told not to: a second reading would hear something else."""
    features = cepstra(spoken(", ".join(WORDS))).astype("<f4").tobytes()
    before = bytes(bytearray(features))  # a copy in memory of its own
    with recogniser._decoder() as decoder:
        known = {word: (word,) for word in WORDS}
        first = _read(decoder, features, any_of(WORDS), known)
        assert features == before
        assert _read(decoder, features, any_of(WORDS), known) == first


@pytest.mark.peer
@needs_espeak
def test_reading_ten_seconds_costs_a_fraction_of_what_it_did(recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all Gaussians sought in every frame, in the same run: the machine's speed cancels out."""
    monkeypatch.setattr(words, "SETTINGS", {**words.SETTINGS, "ds": 1, "topn": 4})
    full, asked = Recogniser(), question()
    said = np.resize(spoken(", ".join(asked.words)), 80000)
    costs: dict[Recogniser, list[float]] = {full: [], recogniser: []}
    for _ in range(5):
        for one, seconds in costs.items():
            before = time.thread_time()
            one.answer(said, asked)
            seconds.append(time.thread_time() - before)
    assert np.median(costs[recogniser]) < 0.85 * np.median(costs[full])


@pytest.mark.peer
@needs_espeak
def test_a_rendered_prompt_reads_back(recogniser: Recogniser) -> None:
    """The words of a prompt as callers hear it, at 8 kHz: were they not read, they could not be understood."""
    shares = []
    for seed in range(4):
        asked = question(seed=seed)
        parts: list[Samples] = []
        for word in asked.words:
            samples, rate = Espeak().say(word, "en")
            parts += [np.zeros(2000, np.int16), resample(samples, rate, 8000)]
        shares.append(recogniser.answer(np.concatenate(parts), asked).share)
    assert np.mean(shares) >= 0.8


@pytest.mark.peer
@needs_espeak
def test_a_word_that_no_dictionary_has_is_not_judged(recogniser: Recogniser) -> None:
    said = spoken("river, table")
    assert recogniser.heard(said, ("river", "xyzzyx"), WORDS) == Heard(reason="unknown-word")
    assert recogniser.heard(said, ("river", "table"), (*WORDS, "xyzzyx")).share == 1.0
