"""Scores of answers done and not done, and when nobody can tell."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.catalogue import CATALOGUE, LINES, PHONE, by_name
from challenges.content import Question, draw
from challenges.measures import measure
from challenges.verifiers import CUES, RELATIVE, logistic, verify
from challenges.words import Heard
from tests.challenges.voices import claps, voice, whisper

OPEN = LINES["wideband"]
PLAIN = measure(voice(seed=3))


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


@pytest.mark.parametrize("key", ["whisper", "high-pitch", "cup-mouth", "static-mouth", "hold-nose", "read-quickly", "emotions"])
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
