"""The sound of an answer is judged as an answer, and is no part of the call's running evidence besides."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from challenges.catalogue import PHONE
from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from challenges.words import Heard
from engine.audio import AudioFrame
from engine.session import Session
from tests.engine.test_call import CONFIG
from tests.examined import Desk, Judge, Player
from tests.test_callers import voice
from vivavoce.callers import Spoken
from vivavoce.rehearsal import Rehearsal, Rules

NOTHING = Judgement(None, None, None, None)


class Line(Desk):
    """A desk whose leg is fed packets: the observer is shown what the call itself made of them."""

    def hear(self, level: float, seconds: float) -> list[bool]:
        """Whether its chunks were set aside."""
        chunks = self.session._scorer.chunks  # type: ignore[attr-defined]
        first = len(chunks)
        for _ in range(round(seconds / 0.16)):
            samples = (self._rng.standard_normal(1280) * level).astype(np.int16)
            self.now += 0.16
            self.session.on_frame(AudioFrame(samples, 8000, self.index * 1280), self.now)
            self.index += 1
            if self.player is not None:
                self.player.look(self.now)
            self.examiner.tick(self.now)
        return [chunk.aside for chunk in chunks[first:]]

    def another(self) -> Session:
        session = super().another()
        session.call._vad = lambda pcm, rate: bool(np.abs(np.frombuffer(pcm, np.int16)).max() > 500)
        return session


def test_what_is_heard_is_set_aside_from_the_prompt_s_first_word_to_the_answer_s_last() -> None:
    line = Line(Judge(NOTHING), player=Player())
    assert not any(line.hear(2000, 4.0))
    line.examiner.press(line.session, line.now, "ask")
    assert all(line.hear(20, 2.0))
    assert line.record["state"] == "answering"
    heard = line.hear(2000, 4.0) + line.hear(20, 2.0)
    assert line.record["state"] == "judging"
    ended = heard.index(False)
    assert all(heard[:ended])
    assert ended * 0.16 == pytest.approx(4.0 + 1.3, abs=0.2), "the answer and the pause that ended it"
    assert not any(heard[ended:])


def test_an_answer_begun_over_the_prompt_is_set_aside_from_its_first_sound() -> None:
    player = Player()
    line = Line(Judge(NOTHING), player=player)
    line.hear(2000, 4.0)
    line.examiner.press(line.session, line.now, "ask")
    player.until += 20.0
    line.examiner._watches[id(line.session)].examination._deadline = player.until
    assert all(line.hear(20, 2.0) + line.hear(2000, 3.0))
    assert line.record["state"] == "answering"


def test_talk_with_an_operator_who_speaks_the_question_is_evidence_until_the_answer() -> None:
    line = Line(Judge(NOTHING), mode="operator")
    line.examiner.press(line.session, line.now, "ask")
    assert not any(line.hear(2000, 2.0))
    line.examiner.press(line.session, line.now, "answering")
    assert all(line.hear(2000, 2.0))


@pytest.mark.parametrize("key", ["skip", "accept", "stop"])
def test_plain_speech_is_evidence_again_when_the_operator_cuts_the_answer_off(key: str) -> None:
    line = Line(Judge(NOTHING), mode="operator", player=Player())
    line.examiner.press(line.session, line.now, "ask")
    line.examiner.press(line.session, line.now, "answering")
    assert all(line.hear(2000, 2.0))
    line.examiner.press(line.session, line.now, key)
    assert not any(line.hear(2000, 2.0))


def test_a_fault_of_the_examination_leaves_the_call_its_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(Judge(NOTHING), player=Player())
    line.examiner.press(line.session, line.now, "ask")
    line.examiner.press(line.session, line.now, "answering")
    listener = line.examiner._watches[id(line.session)].examination._listener
    monkeypatch.setattr(listener, "receive_chunk", lambda chunk: 1 / 0)
    line.hear(2000, 0.16)
    assert line.record["state"] == "over"
    assert not any(line.hear(2000, 2.0))


# --- the rehearsal --------------------------------------------------------------------------------------------------


class Model:
    """Finds loud speech synthetic and soft speech human."""

    def init_state(self, batch: int) -> None:
        return None

    def judge(self, audio: np.ndarray, state: Any) -> tuple[np.ndarray, None, Any]:
        return np.array([-9.0 if np.abs(audio.astype(np.int32)).max() > 8000 else 1.0]), None, state


class Shouter:
    """Talks softly and answers loudly."""

    def talk(self) -> np.ndarray:
        return voice(120, 6.0) // 4

    def can(self, key: str) -> bool:
        return True

    def answer(self, question: Any) -> Spoken:
        return Spoken(voice(120, 4.0) * 3, "plain")


def test_a_rehearsed_answer_s_sound_does_not_move_the_rehearsed_call() -> None:
    judges = SimpleNamespace(judge=lambda *_: NOTHING)
    config = ExaminationConfig(questions=1)
    rules = Rules(CONFIG, config, judges, Model(), PHONE)  # type: ignore[arg-type]
    outcome = Rehearsal(Shouter(), "speak-loudly", rules, np.ones(8000, np.int16), 40.0, random.Random(1)).play()  # type: ignore[arg-type]
    assert outcome is not None
    assert outcome.stages == ["asked", "answering", "judging", "unclear", "over"]
    assert outcome.llr == pytest.approx(1.0), "as soft as before, and after"


@dataclass(frozen=True)
class Readers:
    """Judges of which only the recogniser is asked."""

    words: Callable[[np.ndarray, Any], Heard] | None

    def judge(self, question: Any, answer: Any, *_: Any) -> Judgement:
        assert self.words is not None
        return replace(NOTHING, compliance=self.words(answer.samples, question).score)


@pytest.mark.parametrize("says", [True, False])
def test_the_recogniser_hears_the_drawn_words_of_who_says_them_and_the_answer_of_who_does_not(says: bool) -> None:
    heard: list[np.ndarray] = []

    def words(samples: np.ndarray, question: Any) -> Heard:
        heard.append(samples)
        return Heard(score=0.5)

    shouter = Shouter()
    shouter.wording = lambda said: said[:7000] if says else None  # type: ignore[attr-defined]
    drawn = voice(200, 1.0)
    rules = Rules(CONFIG, ExaminationConfig(questions=1), Readers(words), Model(), PHONE, say=lambda *_: drawn)  # type: ignore[arg-type]
    outcome = Rehearsal(shouter, "speak-loudly", rules, np.ones(8000, np.int16), 40.0, random.Random(1)).play()  # type: ignore[arg-type]
    assert outcome is not None
    assert outcome.told[0].judgement is not None
    assert outcome.told[0].judgement.compliance == 0.5
    assert len(heard) == 1
    assert (len(heard[0]) == 7000) == says
