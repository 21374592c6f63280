"""The shell around examinations: prompts into a player, answers into a thread, decisions into the call."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from engine.audio import Chunk
from engine.call import Call, CallInfo
from engine.config import Examination as ExaminationSettings
from engine.events import Tag
from engine.session import Session
from tests.engine.test_session import CONFIG, FakeScorer
from vivavoce.examiner import Examiner

CHUNK_S = 0.16


class Player:
    def __init__(self) -> None:
        self.playing = False
        self.played: list[np.ndarray] = []

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        self.played.append(samples)
        self.playing = True
        return now + len(samples) / rate

    def stop(self) -> None:
        self.playing = False


class Pack:
    def render(self, question: Any, rate: int) -> np.ndarray:
        return np.ones(rate, np.int16)


class Judge:
    def __init__(self, judgement: Judgement | Exception) -> None:
        self.judgement = judgement

    def judge(self, *_: Any) -> Judgement:
        if isinstance(self.judgement, Exception):
            raise self.judgement
        return self.judgement


class Desk:
    """One leg, an examiner, and a queue of what would run on the event loop."""

    def __init__(
        self, judge: Judge, *, mode: str = "automatic", player: Player | None = None,
        pool: tuple[str, ...] = ("sing", "whisper"),
    ) -> None:  # fmt: skip
        self.soon: list[Callable[[], None]] = []
        self.outcomes: list[Mapping[str, Any]] = []
        self.tags: list[Tag] = []
        self.now, self.index = 10.0, 0
        self.player = player
        self._rng = np.random.default_rng(3)
        self.examiner = Examiner(
            ExaminationSettings(mode=mode, pool=pool), ExaminationConfig(mode=mode), judge, Pack(), soon=self.soon.append,  # type: ignore[arg-type]
            chunk_s=CHUNK_S, outcome=self.outcomes.append, rng=random.Random(4),
        )  # fmt: skip
        call = Call(CallInfo("c"), CONFIG, lambda pcm, rate: True, self.now)
        self.session = Session(call, FakeScorer(), lambda tag, at: self.tags.append(tag))  # type: ignore[arg-type]
        self.session.begin(self.now)
        self.examiner.watch(self.session, (lambda: player) if player is not None else None)

    def hear(self, level: float, seconds: float) -> None:
        for _ in range(round(seconds / CHUNK_S)):
            samples = (self._rng.standard_normal(1280) * level).astype(np.int16)
            assert self.session.observer is not None
            self.now += CHUNK_S
            self.session.observer(Chunk(samples, self.index, CHUNK_S if level > 1000 else 0.0, 0.0, self.now), self.now)
            self.index += 1
            self.examiner.tick(self.now)

    def settle(self) -> None:
        """Let the judge's thread finish, then run what it left for the loop."""
        self.examiner._thread.submit(lambda: None).result()
        for _ in range(50):
            if self.soon:
                break
            self.examiner._thread.submit(lambda: None).result()
        while self.soon:
            self.soon.pop(0)()

    @property
    def record(self) -> dict[str, Any]:
        found = self.examiner.record(self.session, self.now)
        assert found is not None
        return found


def asked_and_answered(desk: Desk) -> None:
    desk.hear(2000, 4.0)
    desk.examiner.press(desk.session, desk.now, "ask", who="ana")
    desk.hear(20, 2.0)
    desk.hear(2000, 4.0)
    desk.hear(20, 2.0)
    desk.settle()


def test_a_question_is_played_answered_judged_and_told_in_order() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(0.95, 1.0, 0.0, None)), player=player)
    asked_and_answered(desk)
    told = [tag.examination["state"] for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert told == ["asked", "answering", "judging", "passed"]
    assert len(player.played) == 1
    assert desk.record["by"] == "operator"
    assert desk.session.call.llr is not None
    assert desk.session.call.llr > 0, "the answer's evidence is the call's"


def test_a_judge_that_fails_costs_one_answer() -> None:
    desk = Desk(Judge(RuntimeError("no memory")), player=Player())
    asked_and_answered(desk)
    told = [tag.examination for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert "unclear" in [record["state"] for record in told]
    assert ["judge-failed"] in [record["reasons"] for record in told]
    assert desk.session.call.llr is None, "no evidence either way"


def test_without_a_player_the_operator_is_given_the_sentence() -> None:
    desk = Desk(Judge(Judgement(0.9, None, None, None)), mode="operator")
    record = desk.examiner.press(desk.session, desk.now, "ask", challenge="whisper")
    assert (record["state"], record["spoken_by"]) == ("asked", "operator")
    assert record["sentence"].startswith("Please whisper")
    assert desk.examiner.press(desk.session, desk.now, "answering")["state"] == "answering"


def test_a_player_that_cannot_play_falls_back_to_the_operator() -> None:
    class Deaf(Player):
        def play(self, samples: np.ndarray, rate: int, now: float) -> float:
            raise ValueError("no source yet")

    desk = Desk(Judge(Judgement(None, None, None, None)), player=Deaf())
    record = desk.examiner.press(desk.session, desk.now, "ask")
    assert (record["spoken_by"], record["reasons"]) == ("operator", ["prompt-failed"])


def test_keys_that_say_go_on_hush_the_prompt() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    assert player.playing
    desk.examiner.press(desk.session, desk.now, "skip")
    assert not player.playing or len(player.played) == 2, "the next question may already be playing"


def test_the_same_caller_is_never_asked_the_same_twice() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator", player=Player(), pool=())
    sentences = []
    for _ in range(2):
        desk.examiner.press(desk.session, desk.now, "ask", challenge="whisper")
        sentences.append(desk.record["sentence"])
        desk.examiner.press(desk.session, desk.now, "skip")
    assert len(set(sentences)) == 2


def test_an_override_is_published_and_kept_to_learn_from() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    desk.examiner.press(desk.session, desk.now, "ask", who="ana")
    desk.examiner.press(desk.session, desk.now, "override", who="ana", verdict="deepfake-likely", why="known voice")
    assert desk.session.call.state == "deepfake-likely"
    desk.examiner.forget(desk.session, desk.now)
    (outcome,) = desk.outcomes
    assert (outcome["before"], outcome["after"], outcome["overridden"]) == ("listening", "deepfake-likely", True)
    assert outcome["examination"]["why"] == "known voice"


def test_a_leg_that_is_over_is_forgotten_and_a_late_result_changes_nothing() -> None:
    desk = Desk(Judge(Judgement(0.0, -5.0, None, None)), player=Player())
    desk.hear(2000, 4.0)
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.hear(20, 2.0)
    desk.hear(2000, 4.0)
    desk.hear(20, 2.0)
    desk.examiner.forget(desk.session, desk.now)
    desk.settle()
    assert desk.examiner.watched == 0
    assert desk.session.call.llr is None
    with pytest.raises(ValueError, match="switched off"):
        desk.examiner.press(desk.session, desk.now, "ask")


def test_switched_off_nothing_is_watched() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="off", player=Player())
    assert desk.examiner.watched == 0
    assert desk.session.observer is None


def test_an_unknown_challenge_is_named() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    with pytest.raises(ValueError, match="'juggle' is none of"):
        desk.examiner.press(desk.session, desk.now, "ask", challenge="juggle")
