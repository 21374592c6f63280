"""One judgement out of three parts, each of which may be missing, and what then is said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from challenges.answer import Answer
from challenges.catalogue import PHONE, Line, by_name
from challenges.content import Question, draw
from challenges.fusion import Judgement, weigh
from challenges.verifiers import Compliance
from challenges.words import Heard
from engine.policy import Calibration
from tests.challenges.voices import voice, whisper
from vivavoce import judging
from vivavoce.judging import Before, Ear, Judges, Likeness, Taken

EXACT = Calibration(1.0, 0.0, 0.0, 1.0)


class Detector:
    """Scores every chunk by its loudness in its own state: what is told apart is who was asked, not how well."""

    chunk_samples = 1280

    def __init__(self, score: float, voices: Sequence[float] | None = None) -> None:
        self.score, self.voices, self.chunks = score, voices, 0

    def init_state(self, batch: int) -> int:
        return 0

    def judge(self, audio: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray | None, Any]:
        self.chunks += 1
        heard = self.voices[(self.chunks - 1) % len(self.voices)] if self.voices else 1.0
        row = None if self.voices is None else np.array([[1.0, 1.0, 1.0, heard]])
        return np.array([self.score], np.float32), row, state


def question(key: str = "whisper") -> Question:
    return draw(by_name(key), "en", random.Random(1), 0.0)


def answer(samples: np.ndarray, lost_s: float = 0.0) -> Answer:
    return Answer(samples.astype(np.int16), 2.0, lost_s, voice(5.0, seed=9))


def test_whose_voice_it_was_before_is_found_out_once() -> None:
    asked: list[int] = []

    def same(before: np.ndarray) -> Likeness:
        asked.append(len(before))
        return lambda after: len(after) / 8000

    judges, said = Judges((), same=same, measuring=False), answer(voice(seed=2))
    known = judges.before(said.before)
    known.measure(pitch=False)
    assert asked == [len(said.before)]
    found = [judges.judge(question("read-slowly"), said, PHONE, (), known).identity for _ in range(2)]
    assert found == [len(said.samples) / 8000] * 2
    assert len(asked) == 1


def test_the_three_parts_are_judged_apart() -> None:
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    judges = Judges([Ear(Detector(-1.5), EXACT)], same=lambda before: lambda after: 2.0)
    found = judges.judge(question("read-slowly"), answer(voice(seed=2)), PHONE)
    assert found.compliance is not None
    assert (found.realism, found.baseline, found.identity) == (pytest.approx(-1.5), pytest.approx(-1.5), 2.0)


class Counting(Detector):
    """Scores a chunk by the sign of its first sample: two voices that differ in nothing else."""

    def judge(self, audio: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray | None, Any]:
        self.chunks += 1
        return np.sign(audio[:, 0]).astype(np.float32) * self.score, None, state


def test_speech_before_a_question_is_judged_apart_and_once() -> None:
    detector = Counting(2.0)
    judges = Judges([Ear(detector, EXACT)], measuring=False)
    tone = np.tile(np.r_[np.full(640, 900), np.full(640, -900)], 25).astype(np.int16)
    put = question("cup-mouth")
    known = judges.before(-tone)
    known.measure(pitch=False)
    assert detector.chunks == 25
    found = judges.judge(put, Answer(tone[: 1280 * 12], 2.0, 0.0, -tone), PHONE, (), known)
    assert (found.realism, found.baseline) == (pytest.approx(2.0), pytest.approx(-2.0))
    assert detector.chunks == 25 + 12, "what is known is not judged again"
    assert judges.judge(put, Answer(tone, 2.0, 0.0, -tone[:7000]), PHONE).baseline is None, "less than a second says nothing"
    assert judges.judge(put, Answer(tone, 2.0, 0.0, tone[:0]), PHONE).baseline is None


def test_of_two_ears_the_one_that_trusts_an_answer_least_counts() -> None:
    one, other = Ear(Detector(2.0), EXACT), Ear(Detector(-1.0), EXACT)
    for ears, before in (([one, other], 2.0), ([other, one], -1.0)):
        found = Judges(ears, measuring=False).judge(question("cup-mouth"), answer(voice(seed=2)), PHONE)
        assert (found.realism, found.baseline) == (pytest.approx(-1.0), pytest.approx(before))
    deaf = Ear(Detector(-9.0, [0.1]), EXACT, 0.3)  # hears no voice, and so says nothing
    assert Judges([one, deaf], measuring=False).judge(question("cup-mouth"), answer(voice(seed=2)), PHONE).realism == 2.0


def test_nobody_is_recognised_by_a_whisper() -> None:
    judges = Judges((), same=lambda before: pytest.fail("asked who whispers"), measuring=False)
    found = judges.judge(question("whisper"), answer(whisper()), PHONE)
    assert (found.identity, found.realism, found.compliance) == (None, None, None)
    assert found.reasons == ("cannot-tell",)


def test_an_answer_that_was_mostly_lost_is_judged_by_nobody() -> None:
    judges = Judges([Ear(Detector(-9.0), EXACT)], same=lambda before: lambda after: -9.0)
    found = judges.judge(question(), answer(whisper(), lost_s=2.0), PHONE)
    assert found.reasons == ("cannot-tell",)
    assert (found.compliance, found.realism, found.identity) == (None, None, None)


def test_what_the_line_takes_away_is_said_to_be_the_line_s() -> None:
    found = Judges(()).judge(question("clap"), answer(voice()), PHONE)
    assert found.compliance is None
    assert found.reasons == ("line-limited",)


def test_silence_says_nothing_about_a_voice() -> None:
    detector = Detector(-9.0)
    found = Judges([Ear(detector, EXACT)], measuring=False).judge(question(), answer(np.zeros(16000)), PHONE)
    assert found.realism is None


def test_chunks_without_a_voice_say_nothing_of_one() -> None:
    put, sound = question("cup-mouth"), voice(seconds=3.2)
    noise = Judges([Ear(Detector(-9.0, [0.1] * 40), EXACT, 0.3)], measuring=False)
    assert noise.judge(put, answer(sound), PHONE).realism is None
    half = Judges([Ear(Detector(-9.0, [0.1, 0.9] * 20), EXACT, 0.3)], measuring=False)
    assert half.judge(put, answer(sound), PHONE).realism == pytest.approx(-9.0)


def test_the_recogniser_is_asked_about_the_drawn_words() -> None:
    asked: list[tuple[str, ...]] = []

    def words(samples: np.ndarray, put: Question) -> Heard:
        asked.append(put.words)
        return Heard(score=0.8)

    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    put = question("foreign-words")
    found = Judges((), words=words).judge(put, answer(voice()), PHONE)
    assert asked == [put.words]
    assert found.compliance == 0.8


@pytest.mark.parametrize(
    ("key", "least", "most"), [("foreign-words", -1.1, -0.9), ("read-slowly", -1.1, -0.9), ("emotions", 1.0, 1.0)]
)
def test_a_voice_of_another_pitch_is_another_one_where_the_task_is_none_of_pitch(key: str, least: float, most: float) -> None:
    """As a converter's that is switched off for the task. Where pitch cannot be measured, its colour alone is asked."""
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    judges = Judges((), same=lambda before: lambda after: 1.0)
    assert judges.judge(question(key), answer(voice(seed=2)), PHONE).identity == 1.0
    found = judges.judge(question(key), answer(voice(seed=2, hz=170.0)), PHONE).identity
    assert found is not None
    assert least <= found <= most
    unmeasured = Judges((), same=lambda before: lambda after: 1.0, measuring=False)
    assert unmeasured.judge(question(key), answer(voice(seed=2, hz=170.0)), PHONE).identity == 1.0


def test_music_on_hold_is_nobody_and_not_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor who was there before, nor somebody who sings."""
    done = {"sing"}
    monkeypatch.setattr(judging, "verify", lambda asked, *_: Compliance(0.95 if asked.challenge.key in done else 0.1))
    monkeypatch.setattr(Taken, "answer", None)
    monkeypatch.setattr(Taken, "unusual", lambda *_: True)
    for voices, likeness in ((0.1, -4.0), (0.1, 4.0), (0.9, -4.0)):
        ear = Ear(Detector(-3.0, [voices]), EXACT, voice=0.5)
        judges = Judges([ear], same=lambda _, likeness=likeness: lambda after: likeness)
        found = judges.judge(question("emotions"), answer(voice(seed=2)), PHONE)
        heard = voices > 0.5
        assert (found.realism is None, found.identity) == (not heard, likeness if heard else None)
        assert found.another_task == heard
        done = {"whisper"}  # which noise is as well
        assert judges.judge(question("cup-mouth"), answer(voice(seed=2)), PHONE).another_task == heard
        done = {"sing"}


def test_who_is_heard_after_music_on_hold_is_nobody_else() -> None:
    class Waits(Detector):
        """Hears no voice in what is given first: the speech before the question is asked about before the answer."""

        def judge(self, audio: np.ndarray, state: Any) -> tuple[np.ndarray, np.ndarray | None, Any]:
            scores, _, state = super().judge(audio, state)
            return scores, np.array([[1.0, 1.0, 1.0, 0.1 if self.chunks <= before else 0.9]]), state

    said = answer(voice(seed=2))
    before = len(said.before) // Detector.chunk_samples
    judges = Judges([Ear(Waits(-3.0), EXACT, voice=0.5)], same=lambda _: lambda after: -4.0, measuring=False)
    known = judges.before(said.before)
    known.measure(pitch=False)
    found = judges.judge(question("foreign-words"), said, PHONE, (), known)
    assert (found.realism, found.baseline, found.identity) == (pytest.approx(-3.0), None, None)


def test_the_room_s_noise_is_nobody_s_answer_but_a_soft_one_to_a_soft_task_is() -> None:
    judges = Judges([Ear(Detector(-3.0), EXACT)], same=lambda before: lambda after: -4.0, measuring=False)
    soft = voice(seed=2) // 6  # 15.6 dB down
    for key in ("foreign-words", "emotions"):
        found = judges.judge(question(key), answer(soft), PHONE)
        assert (found.realism, found.identity, found.reasons) == (None, None, ("cannot-tell",)), key
    assert judges.judge(question("foreign-words"), answer(voice(seed=2) // 2), PHONE).identity == -4.0
    heard = judges.judge(question("speak-softly"), answer(soft), PHONE)
    assert (heard.compliance, heard.reasons) == (None, ("cannot-tell",)), "what cannot be measured may be the room too"


@pytest.mark.parametrize(("likeness", "told"), [(2.0, True), (-3.0, False), (None, False)])
def test_a_soft_answer_that_should_be_soft_counts_in_the_voice_that_is_known(
    likeness: float | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may be somebody in the room; but nobody passes by it without being recognised and heard."""
    monkeypatch.setattr(judging, "verify", lambda asked, *_: Compliance(0.95))
    monkeypatch.setattr(Taken, "answer", None)
    judges = Judges([Ear(Detector(-3.0), EXACT)], same=lambda before: lambda after: likeness)
    found = judges.judge(question("speak-softly"), answer(voice(seed=2) // 6), PHONE)
    if told:
        assert (found.compliance, found.identity) == (0.95, 2.0)
        assert (found.realism, found.baseline) == pytest.approx((-3.0, -3.0))
    else:
        assert found == Judgement(None, None, None, None, ("cannot-tell",))
    whispered = judges.judge(question("whisper"), answer(voice(seed=2) // 6), PHONE)
    assert whispered == Judgement(0.95, None, None, None), "in which no voice is known"


def test_what_is_no_number_is_no_evidence() -> None:
    judges = Judges([Ear(Detector(float("nan")), EXACT)], same=lambda before: lambda after: float("nan"), measuring=False)
    found = judges.judge(question("foreign-words"), answer(voice(seed=2)), PHONE)
    assert (found.realism, found.baseline, found.identity) == (None, None, None)


def test_what_was_said_too_late_is_no_failure_of_the_next_task(monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"sing"}
    monkeypatch.setattr(judging, "verify", lambda asked, *_: Compliance(0.95 if asked.challenge.key in done else 0.1))
    monkeypatch.setattr(Taken, "answer", None)
    monkeypatch.setattr(Taken, "before", None)
    monkeypatch.setattr(Taken, "unusual", lambda *_: True)
    judges = Judges([Ear(Detector(-3.0), EXACT)], same=lambda before: lambda after: -4.0)
    late = judges.judge(question("high-pitch"), answer(voice()), PHONE, [question("sing")])
    assert late == Judgement(None, None, None, None, ("late",))
    assert judges.judge(question("high-pitch"), answer(voice()), PHONE, [question("whisper")]).another_task
    assert judges.judge(question("high-pitch"), answer(voice()), PHONE).another_task, "sung when it was not asked"
    done.clear()
    plain = judges.judge(question("high-pitch"), answer(voice()), PHONE)
    assert (plain.compliance, plain.another_task) == (0.1, False), "plain speech is a task not done, and no other one"


def test_nobody_did_another_task_where_the_one_asked_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"whisper": 0.95, "high-pitch": None, "speak-softly": 0.15}
    monkeypatch.setattr(judging, "verify", lambda asked, *_: Compliance(scores.get(asked.challenge.key, 0.1), "line-limited"))
    monkeypatch.setattr(Taken, "answer", None)
    monkeypatch.setattr(Taken, "before", None)
    monkeypatch.setattr(Taken, "unusual", lambda *_: True)
    judges = Judges([Ear(Detector(0.5), EXACT)])
    assert not judges.judge(question("high-pitch"), answer(voice()), PHONE).another_task
    assert not judges.judge(question("speak-softly"), answer(voice()), PHONE).another_task, "a whisper is soft"
    assert judges.judge(question("cup-mouth"), answer(voice()), PHONE).another_task


def test_a_tone_of_the_line_is_no_song_asked_for_or_not() -> None:
    pytest.importorskip("swift_f0")
    at = np.arange(32000) / 8000
    ringing = (3000 * (np.sin(2 * np.pi * 440 * at) + np.sin(2 * np.pi * 480 * at))).astype(np.int16)
    ringing += (np.random.default_rng(1).standard_normal(32000) * 30).astype(np.int16)
    judges = Judges([])
    for key in ("whisper", "high-pitch", "foreign-words"):
        assert not judges.judge(question(key), answer(ringing), PHONE).another_task, key
    assert judges.judge(question("sing"), answer(ringing), PHONE).compliance is None
    assert not judges.judge(question("cough-whistle"), answer(ringing), Line(True, False, False)).another_task


def ears(voices: float) -> list[Ear]:
    return [Ear(Detector(0.5, [voices]), EXACT, voice=0.5)]


def test_a_whisper_or_song_played_to_another_task_is_one_of_another_task() -> None:
    """It accuses who is known to speak otherwise, where a voice was heard and nobody would do the task like that."""
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    held, at = voice(4.0, wobble=0.0, syllables=0), np.arange(40000)
    told = {"whisper": whisper(4.0), "song": np.interp(at + 12 * np.sin(at / 200), at, held)}  # with vibrato
    plain = voice(6.0, seed=9)

    def another(key: str, done: str, before: np.ndarray, voices: float = 0.9) -> bool:
        said = Answer(told[done].astype(np.int16), 2.0, 0.0, before)
        return Judges(ears(voices)).judge(question(key), said, PHONE).another_task

    for done in told:
        assert another("cup-mouth", done, plain), done
        assert not another("cup-mouth", done, plain, voices=0.1), f"{done}: no voice"
        assert not another("cup-mouth", done, told[done].astype(np.int16)), f"{done}: so the caller speaks"
        assert not another("cup-mouth", done, plain[:0]), f"{done}: nobody knows how the caller speaks"
    for task in ("emotions", "low-pitch", "speak-softly"):
        assert not another(task, "whisper", plain), task
        assert [other.challenge.key for other in judging._others(question(task))] == ["sing"]


def swinging(db: float, level: float) -> np.ndarray:
    """White noise, softer by so much for every other 0.3 s."""
    at = np.arange(32000)
    return np.random.default_rng(0).normal(0, level, len(at)) * 10 ** (-db / 20 * (at // 2400 % 2))


@pytest.mark.parametrize("level", [150.0, 600.0])
def test_noise_is_no_whisper(level: float) -> None:
    """Where the words cannot be read: whoever drowns them may be playing a recording, and what nobody heard is no voice."""
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    noisy, foreign = Heard(reason="too-noisy"), Heard(reason="language")
    cases = [
        (noisy, 0.1, False),
        (noisy, 0.9, False),
        (foreign, 0.1, False),
        (foreign, 0.9, True),
        (Heard(score=0.9), 0.1, True),
    ]
    for heard, voices, done in cases:
        judges = Judges(ears(voices), words=lambda samples, put, heard=heard: heard)
        found = judges.judge(question("whisper"), answer(swinging(11.0, level)), PHONE)
        assert (found.compliance is not None) == done, (heard, voices)
        assert weigh(found).passed == done, (heard, voices)


def test_a_song_is_done_where_a_voice_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "verify", lambda *_: Compliance(0.95))
    monkeypatch.setattr(Taken, "tone", False)
    for voices, compliance in ((0.9, 0.95), (0.1, None)):
        found = Judges(ears(voices)).judge(question("sing"), answer(voice()), PHONE)
        assert (found.compliance, found.realism) == (compliance, None)
    assert Judges(()).judge(question("sing"), answer(voice()), PHONE).compliance == 0.95, "where nobody listens"


def test_chords_of_a_waiting_line_are_no_song() -> None:
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    at = np.arange(4000) / 8000
    chords = [sum(np.sin(2 * np.pi * hz * k * at) / k for k in (1, 1.26, 1.5, 2)) for hz in (196, 220, 247, 262, 220, 196)]
    played = 3000 * np.concatenate([*chords, np.zeros(10400)]) + np.random.default_rng(0).normal(0, 3, 34400)
    found = Judges(ears(0.9)).judge(question("sing"), answer(np.clip(played, -32768, 32767)), PHONE)
    assert found.reasons == ("cannot-tell",)


def test_words_are_read_where_the_manner_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def verified(*put: Any) -> Compliance:
        return Compliance(0.1) if put[4:] and put[4] else Compliance(None, "manner-untold")

    monkeypatch.setattr(judging, "verify", verified)
    monkeypatch.setattr(Taken, "answer", None)
    monkeypatch.setattr(Taken, "before", None)
    judges = Judges((), words=lambda samples, put: Heard(score=0.0))
    assert judges.judge(question("emotions"), answer(voice()), PHONE).compliance == 0.1


def test_a_whisper_is_compared_with_how_whispers_sound_to_the_detector() -> None:
    judges = Judges([Ear(Detector(-1.0), EXACT)], measuring=False)
    spoken, whispered = (judges.judge(question(key), answer(voice()), PHONE).realism for key in ("high-pitch", "whisper"))
    assert spoken == pytest.approx(-1.0)
    assert whispered == pytest.approx(-1.0 + judging.WHISPER_REALISM)


def test_only_what_a_task_is_told_by_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitch costs most of a judgement's time after the words, and a word is told without."""
    measured: list[int] = []
    monkeypatch.setattr("challenges.measures.measure", lambda samples: measured.append(len(samples)))
    judges = Judges((), words=lambda samples, put: Heard(score=0.9))
    said = answer(voice(2.0))
    alone, both = [len(said.samples)], [len(said.samples), len(said.before)]
    for key, parts in (("foreign-words", []), ("whisper", alone), ("high-pitch", both)):
        measured.clear()
        taken = Taken(said, Before(said.before, lambda _: None))
        judges._compliance(question(key), said, taken, PHONE)
        assert measured == parts, key
        assert not judges._done(question(key), taken, PHONE, 0.5) or key == "foreign-words"
        assert measured == parts, "nothing is measured twice"


def test_too_little_sound_is_not_read() -> None:
    judges = Judges((), words=lambda samples, put: pytest.fail("nothing stands out of it"))
    assert judges._heard(np.zeros(16000, np.int16), question("foreign-words")) == Heard(reason="too-short")


def test_words_are_read_only_where_they_can_take_away(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def words(samples: np.ndarray, put: Question) -> Heard:
        read.append(put.challenge.key)
        return Heard(score=0.0)

    manner = {"score": 0.9}
    monkeypatch.setattr(Taken, "answer", None)
    monkeypatch.setattr(Taken, "before", None)
    monkeypatch.setattr(judging, "verify", lambda *put: Compliance(manner["score"] * (0.3 if put[4:] and put[4] else 1)))
    judges = Judges((), words=words)
    loud, taken = question("speak-loudly"), Taken(answer(voice()), Before(voice(), lambda _: None))
    assert judges._compliance(loud, answer(voice()), taken, PHONE).score == pytest.approx(0.27)
    assert read == ["speak-loudly"]
    manner["score"] = 0.1
    assert judges._compliance(loud, answer(voice()), taken, PHONE).score == pytest.approx(0.1)
    assert read == ["speak-loudly"], "not done is not done, with whatever words"
