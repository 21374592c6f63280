"""Scores of answers done and not done, and when nobody can tell."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.catalogue import CATALOGUE, LINES, PHONE, by_name
from challenges.content import Question, draw
from challenges.fusion import FAILED_TASK, Judgement, weigh
from challenges.measures import measure
from challenges.verifiers import CUES, RELATIVE, UNTOLD, logistic, verify
from challenges.words import Heard
from tests.challenges.voices import claps, voice, whisper

OPEN = LINES["wideband"]
PLAIN = measure(voice(5.0, seed=3))


def question(key: str) -> Question:
    return draw(by_name(key), "en", random.Random(1), 0.0)


DONE = {
    "whisper": whisper(), "high-pitch": voice(hz=240), "low-pitch": voice(hz=72),
    "sing": voice(hz=220, wobble=0.0, syllables=0), "clap": claps(), "speak-softly": voice(seed=4) // 6,
    "question": voice(wobble=0.02, glide_st=7.0, syllables=0),
}  # fmt: skip


@pytest.mark.parametrize("key", DONE)
def test_a_task_done_scores_high_and_plain_speech_instead_low(key: str) -> None:
    line = OPEN if CATALOGUE[key].needs else PHONE
    done = verify(question(key), measure(DONE[key].astype("int16")), PLAIN, line)
    refused = verify(question(key), measure(voice(seed=5)), PLAIN, line)
    assert done.score is not None
    assert refused.score is not None
    assert done.score > 0.6 > 0.5 > refused.score, (done, refused)


@pytest.mark.parametrize("challenge", [c for c in CATALOGUE.values() if c.verifier in CUES], ids=lambda c: c.key)
def test_every_weight_of_the_catalogue_names_a_cue(challenge) -> None:
    assert PLAIN is not None
    cues = CUES[challenge.verifier](PLAIN, PLAIN, question(challenge.key))
    assert 0.0 <= logistic(challenge, cues) <= 1.0


@pytest.mark.parametrize(
    ("key", "answer", "before", "line", "reason"),
    [
        ("clap", measure(claps()), PLAIN, PHONE, "line-limited"),
        ("accent", PLAIN, PLAIN, PHONE, "not-measured"),
        ("whisper", None, PLAIN, PHONE, "too-short"),
        ("high-pitch", PLAIN, None, PHONE, "no-baseline"),
        ("high-pitch", PLAIN, PLAIN and replace(PLAIN, active_s=1.9), PHONE, "no-baseline"),
        ("read-slowly", PLAIN, PLAIN and replace(PLAIN, snr_db=4.0), PHONE, "no-baseline"),
        ("high-pitch", PLAIN, PLAIN and replace(PLAIN, tones=()), PHONE, "no-baseline"),
        ("low-pitch", PLAIN and replace(PLAIN, tones=()), PLAIN, PHONE, "too-little-voice"),
        ("whisper", PLAIN and replace(PLAIN, snr_db=2.0), PLAIN, PHONE, "too-noisy"),
        ("whisper", PLAIN and replace(PLAIN, active_s=0.2), PLAIN, PHONE, "too-short"),
        ("foreign-words", PLAIN, PLAIN, PHONE, "no-recogniser"),
    ],
)
def test_cannot_tell_says_why(key, answer, before, line, reason) -> None:
    found = verify(question(key), answer, before, line)
    assert (found.score, found.reason) == (None, reason)


def test_spoken_words_are_the_recogniser_s_affair() -> None:
    found = verify(question("foreign-words"), None, None, PHONE, Heard(score=0.9))
    assert found.score == 0.9
    assert verify(question("foreign-words"), PLAIN, PLAIN, PHONE, Heard(reason="language")).reason == "language"


def test_what_compares_needs_something_to_compare_with() -> None:
    assert {c.key for c in CATALOGUE.values() if c.verifier in RELATIVE} >= {"high-pitch", "speak-loudly", "read-slowly"}


@pytest.mark.parametrize("key", ["high-pitch", "read-quickly", "cup-mouth", "hold-nose", "speak-loudly", "crosstalk"])
def test_nothing_is_compared_with_a_word_or_two(key: str) -> None:
    """A greeting of a third of a second moves pitch and pace by as much as the task does."""
    answer, line = measure(DONE["high-pitch"]), OPEN
    for hello in (voice(0.32, seed=3), voice(1.0, seed=3)):
        assert verify(question(key), answer, measure(hello), line).reason == "no-baseline"
    assert verify(question(key), answer, PLAIN, line).score is not None


def test_who_has_no_voice_cannot_be_told_to_have_raised_it_and_who_whispers_instead_has_not() -> None:
    hoarse = measure(whisper(5.0))
    assert hoarse is not None
    assert hoarse.active_s > 2.0
    assert verify(question("high-pitch"), measure(whisper(seed=2)), hoarse, PHONE).reason == "no-baseline"
    assert verify(question("high-pitch"), PLAIN, hoarse, PHONE).reason == "no-baseline"
    found = verify(question("high-pitch"), measure(whisper(seed=2)), PLAIN, PHONE)
    assert found.score is not None
    assert found.score < FAILED_TASK, "heard well, and in no voice at all"


@pytest.mark.parametrize("key", sorted(UNTOLD))
@pytest.mark.parametrize("heard", [None, Heard(score=0.95), Heard(score=0.4), Heard(reason="too-noisy")])
def test_where_the_manner_cannot_be_told_it_counts_for_neither_side(key: str, heard: Heard | None) -> None:
    for answer in (voice(seed=6), voice(seed=6, hz=200.0), voice(seed=6, hz=70.0, wobble=0.3)):
        found = verify(question(key), measure(answer), PLAIN, PHONE, heard)
        assert (found.score, found.reason) == (None, "manner-untold")
        assert found.manner is not None, "it is measured all the same"
        assert weigh(Judgement(found.score, 0.5, None, None)).llr == 0.0


@pytest.mark.parametrize("key", sorted(UNTOLD))
def test_other_words_than_were_drawn_count_also_where_the_manner_cannot_be_told(key: str) -> None:
    found = verify(question(key), measure(voice(seed=6)), PLAIN, PHONE, Heard(score=0.02))
    assert found.score == pytest.approx(0.126)
    assert weigh(Judgement(found.score, None, None, None)).reasons == ("non-compliance",)


def test_the_manner_of_other_tasks_is_their_score() -> None:
    found = verify(question("cup-mouth"), measure(voice(seed=6)), PLAIN, PHONE, Heard(score=0.4))
    assert found.score is not None
    assert found.manner is not None
    assert found.score == pytest.approx(0.62 * found.manner)


@pytest.mark.parametrize("key", ["whisper", "high-pitch", "cup-mouth", "hold-nose", "read-quickly"])
def test_other_words_undo_a_task_and_words_that_cannot_be_read_do_not(key: str) -> None:
    answer = measure(DONE[key].astype("int16")) if key in DONE else measure(voice(seed=6))
    bare, right, misheard, wrong, unread = (
        verify(question(key), answer, PLAIN, PHONE, heard).score
        for heard in (None, Heard(score=0.95), Heard(score=0.4), Heard(score=0.02), Heard(reason="too-noisy"))
    )
    assert bare is not None
    assert right == unread == bare
    assert misheard == pytest.approx(0.62 * bare)
    assert wrong == pytest.approx(0.126 * bare)
