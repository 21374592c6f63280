"""Simulated callers: each does what its name says, from made-up voices only."""

from __future__ import annotations

import random

import numpy as np
import pytest

from challenges.answer import ListenerConfig
from challenges.catalogue import CATALOGUE, by_name
from challenges.content import Question, draw
from challenges.measures import measure
from vivavoce import manners
from vivavoce.callers import CALLERS, Person, Recording, Stock, piece
from vivavoce.manners import RATE


def voice(f0: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Four syllables a second of a buzz with three formants: voiced, and nothing like a person."""
    at = np.arange(round(seconds * RATE)) / RATE
    track = f0 * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * at))
    phase = np.cumsum(2 * np.pi * track / RATE)
    harmonics = range(1, int(3600 / f0))
    weight = {k: sum(np.exp(-(((k * f0 - f) / 220) ** 2)) for f in (600, 1400, 2500)) + 0.02 for k in harmonics}
    buzz = sum(weight[k] * np.sin(k * phase) for k in harmonics)
    beat = np.clip(np.sin(2 * np.pi * 2.0 * at) ** 2 * 1.4 - 0.2, 0.0, 1.0)
    noise = np.random.default_rng(seed).standard_normal(len(at)) * 4
    return (3000 * buzz * beat / np.abs(buzz).max() * 3 + noise).astype(np.int16)


PERSON = Person("ann", voice(120, 8.0), voice(120, 6.0, 1))
HISS = (np.random.default_rng(3).standard_normal(5 * RATE) * 500).astype(np.int16)
STOCK = Stock((Recording("whispering", "bob", "train", HISS),), {"instrumental-playback": voice(440, 2.0)})


def ask(key: str) -> Question:
    return draw(by_name(key), "en", random.Random(1), 0.0)


def caller(name: str, seed: int = 1, stock: Stock = STOCK):  # type: ignore[no-untyped-def]
    return CALLERS[name](PERSON, stock, random.Random(seed))


def f0(samples: np.ndarray) -> float:
    found = measure(samples)
    assert found is not None
    assert found.f0_hz is not None
    return found.f0_hz


def test_the_honest_one_whispers_from_a_recording_and_says_so() -> None:
    spoken = caller("honest").answer(ask("whisper"))
    assert spoken.how == "recording"
    assert np.array_equal(spoken.samples, HISS)


@pytest.mark.parametrize(("key", "low", "high"), [("high-pitch", 1.3, 1.8), ("low-pitch", 0.68, 0.86)])
def test_the_honest_one_raises_and_lowers_pitch_but_not_pace(key: str, low: float, high: float) -> None:
    spoken = caller("honest").answer(ask(key))
    assert spoken.how == "processed"
    assert low < f0(spoken.samples) / 120 < high
    assert 3.2 * RATE < len(spoken.samples) < 4.8 * RATE  # to a pause near four seconds


@pytest.mark.parametrize(("key", "low", "high"), [("read-quickly", 2.3, 3.2), ("read-slowly", 5.2, 7.5)])
def test_the_honest_one_changes_pace_but_not_pitch(key: str, low: float, high: float) -> None:
    spoken = caller("honest").answer(ask(key))
    assert low < len(spoken.samples) / RATE < high
    assert f0(spoken.samples) == pytest.approx(120, rel=0.06)


def test_the_honest_one_speaks_up_and_down() -> None:
    levels = []
    for key in ("speak-softly", "speak-loudly"):
        found = measure(caller("honest").answer(ask(key)).samples)
        assert found is not None
        levels.append(found.level_db)
    assert levels[1] - levels[0] > 12


def test_a_question_ends_high() -> None:
    spoken = caller("honest").answer(ask("question"))
    assert f0(spoken.samples[-RATE // 2 :]) > 1.15 * f0(spoken.samples[: 2 * RATE])


def test_what_nobody_can_make_honestly_is_not_made() -> None:
    assert caller("honest").answer(ask("static-mouth")) is None
    assert caller("honest", stock=Stock()).answer(ask("sing")) is None


@pytest.mark.parametrize("name", sorted(set(CALLERS) - {"neural-converter"}))
def test_whoever_can_be_simulated_answers(name: str) -> None:
    for key in CATALOGUE:
        one = caller(name)
        assert (one.answer(ask(key)) is not None) == one.can(key), key


def test_the_refuser_says_plain_speech_and_the_silent_one_nothing() -> None:
    assert caller("refuser").answer(ask("whisper")).how == "plain"
    assert len(caller("silent").answer(ask("whisper")).samples) == 0


def test_the_late_one_begins_after_every_limit() -> None:
    late = caller("late").answer(ask("whisper"))
    assert late.begins_s > ListenerConfig().begin_s + 3


def test_the_replayer_never_does_the_task() -> None:
    for seed in range(20):
        assert not np.array_equal(caller("replayer", seed).answer(ask("whisper")).samples, HISS)


@pytest.mark.parametrize("seed", range(4))
def test_the_converter_is_another_voice_at_one_level_and_the_same_all_call_long(seed: int) -> None:
    converter = caller("converter", seed)
    shift = f0(converter.talk()) / 120
    assert abs(12 * np.log2(shift)) == pytest.approx(3.75, abs=1.4)
    assert f0(converter.answer(ask("foreign-words")).samples) == pytest.approx(120 * shift, rel=0.08)
    soft, loud = (measure(converter.answer(ask(key)).samples) for key in ("speak-softly", "speak-loudly"))
    assert soft is not None
    assert loud is not None
    assert abs(loud.level_db - soft.level_db) < 3


def test_the_muter_converts_but_the_answer() -> None:
    muter = caller("muter")
    assert not np.array_equal(muter.talk(), PERSON.talk)
    assert np.array_equal(muter.answer(ask("whisper")).samples, HISS)


def test_the_mixer_s_music_is_clean_beside_a_converted_voice() -> None:
    mixer = caller("mixer")
    answer = mixer.answer(ask("instrumental-playback")).samples
    assert 0.1 < np.corrcoef(answer, np.resize(STOCK.played["instrumental-playback"], len(answer)))[0, 1] < 0.9


def test_who_does_as_asked_says_the_words_and_who_does_not_says_others() -> None:
    said = voice(100, 3.0)
    for name in ("honest", "late", "muter"):
        assert np.array_equal(caller(name).wording(said), said), name
    for name in ("refuser", "silent", "replayer"):
        assert caller(name).wording(said) is None, name
    for name in ("converter", "mixer"):
        converted = caller(name).wording(said)
        assert len(converted) == len(said)
        assert not np.array_equal(converted, said), name


def test_a_seed_gives_the_same_call_again() -> None:
    for name in set(CALLERS) - {"neural-converter"}:
        one, other = (caller(name, 7).answer(ask("high-pitch")) for _ in range(2))
        assert np.array_equal(one.samples, other.samples), name


def test_neural_conversion_without_weights_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="weights"):
        caller("neural-converter").talk()


def test_overlap_add_leaves_the_unchanged_nearly_unchanged() -> None:
    plain = PERSON.spare
    assert f0(manners.pitched(plain, 1.0)) == pytest.approx(f0(plain), rel=0.02)
    assert len(manners.faster(plain, 1.0)) == pytest.approx(len(plain), rel=0.02)


def test_a_piece_of_speech_ends_where_it_is_soft() -> None:
    said = np.full(9 * RATE, 4000, np.int16)
    for pause in range(9):
        said[pause * RATE : pause * RATE + 1000] = 3
    for seed in range(20):
        cut = piece(said, 4.0, random.Random(seed))
        assert 3.2 * RATE <= len(cut) <= 4.8 * RATE
        assert np.abs(cut[-350:].astype(int)).max() == 3, seed


def test_a_short_store_of_speech_is_one_piece() -> None:
    assert len(piece(np.ones(500, np.int16), 4.0, random.Random(0))) == 500
