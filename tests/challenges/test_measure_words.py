"""What the measure of the recogniser counts: whose answer, by which question, and what the table makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from challenges.content import Question
from challenges.words import Heard, Recogniser
from engine.audio import Samples
from models.corpus import Clip
from vivavoce.measure_words import DIGITS, Judged, Spoken, cost, in_manner, judge, real_digits, row, table

NOISE = [(np.random.default_rng(0).normal(size=16000) * 300).astype(np.int16)]


def judged(material: str, done: bool, score: float | None) -> Judged:
    return Judged(material, done, Heard(share=float(done), score=score), cpu=0.1, seconds=2.0)


def test_a_row_counts_both_errors_and_leaves_out_what_cannot_be_told() -> None:
    done, other = (0.9, 0.8, 0.2, None), (0.1, 0.6, 0.15, 0.3)
    found = row([*(judged("a", True, s) for s in done), *(judged("a", False, s) for s in other)])
    assert found["done"] == 3
    assert found["not_done"] == 4
    assert found["cannot_tell"] == 1
    assert found["done_failed"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["not_done_passed"] == 0.25
    assert found["auroc"] == pytest.approx(10 / 12, abs=1e-3)


def test_a_row_without_one_side_claims_no_figure() -> None:
    found = row([judged("a", False, 0.2)])
    assert (found["auroc"], found["done_failed"], found["share"]) == (None, None, None)
    assert found["not_done_passed"] == 0.0


def test_plain_speech_has_its_row_and_all_is_the_last() -> None:
    rows = table([judged("b", True, 0.9), judged("plain speech", False, 0.1), judged("a", True, 0.8)])
    assert list(rows) == ["a", "b", "plain speech", "all"]
    assert rows["all"]["done"] == 2
    assert rows["all"]["not_done"] == 1


def test_cost_is_per_five_seconds_of_answer() -> None:
    assert cost([judged("a", True, 0.5), judged("a", False, 0.5)]) == 250.0


def test_the_digits_are_those_of_the_recordings_names(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "said.wav"), "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(bytes(16000))
    names = "recordings/7_lucas_31.wav;recordings/0_lucas_4.wav"
    said = Clip(tmp_path / "said.wav", "bonafide", repo=f"someone/{DIGITS}", orig_path=names)
    other = Clip(tmp_path / "said.wav", "bonafide", repo="someone/else", orig_path="7_a.wav")
    (found,) = real_digits([said, other])
    assert found.words == ("seven", "zero")
    assert (found.kind, len(found.samples)) == ("digits", 8000)


class Listener(Recogniser):
    """Writes down what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Question] = []

    def answer(self, samples: Samples, question: Question) -> Heard:
        self.asked.append(question)
        return Heard(score=0.5)


def test_every_answer_is_judged_by_its_question_and_by_two_others_of_its_length() -> None:
    listener = Listener()
    words = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    said = Spoken("real digits", "digits", "en", words, np.full(16000, 500, np.int16))
    found = list(judge([said, Spoken("plain speech", "words", "en", (), said.samples)], NOISE, 15.0, listener))
    assert [one.done for one in found] == [True, False, False, False, False]
    assert listener.asked[0].words == words
    assert [len(question.words) for question in listener.asked[1:3]] == [9, 9]
    assert all(question.words != words for question in listener.asked[1:])
    assert len({question.words for question in listener.asked}) == 5
    assert 2.4 <= found[0].seconds <= 3.2


def test_answers_are_brought_into_a_manner_or_left_as_they_are() -> None:
    said = Spoken("a", "words", "en", ("banana",), (np.sin(np.arange(16000) / 10) * 4000).astype(np.int16))
    assert in_manner([said], None) == [said]
    (quick,) = in_manner([said], "read-quickly")
    assert quick.words == said.words
    assert 0.55 < len(quick.samples) / len(said.samples) < 0.8
    with pytest.raises(ValueError, match="nothing is brought into the manner of 'clap'"):
        in_manner([said], "clap")
