"""The shell around examinations: prompts into a player, answers into a thread, decisions into the call."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from challenges.fusion import Judgement
from engine.audio import Chunk
from engine.config import Examination as ExaminationSettings
from engine.session import Session
from tests.examined import CHUNK_S, Desk, Judge, Player
from vivavoce.examiner import AHEAD, examination_config


def asked_and_answered(desk: Desk, challenge: str = "") -> None:
    desk.hear(2000, 4.0)
    desk.examiner.press(desk.session, desk.now, "ask", challenge=challenge, who="ana")
    desk.hear(20, 2.0)
    desk.hear(2000, 4.0)
    desk.hear(20, 2.0)
    desk.settle()


def test_a_question_is_played_answered_judged_and_told_in_order() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(0.95, 1.0, 0.0, None)), player=player)
    asked_and_answered(desk, "foreign-words")
    told = [tag.examination["state"] for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert told == ["asked", "answering", "judging", "passed"]
    assert len(player.played) == 1
    assert desk.record["by"] == "operator"
    assert desk.session.call.llr is not None
    assert desk.session.call.llr > 0, "the answer's evidence is the call's"


def test_the_speech_before_is_measured_once_while_the_first_question_is_asked() -> None:
    judge = Judge(Judgement(None, None, None, None))
    desk = Desk(judge, mode="operator", player=Player())
    desk.hear(2000, 4.0)
    desk.examiner._thread.submit(lambda: None).result()
    assert not judge.measured, "not of every call"
    desk.examiner.press(desk.session, desk.now, "ask", challenge="whisper")
    desk.examiner.press(desk.session, desk.now, "repeat")
    desk.examiner._thread.submit(lambda: None).result()
    assert [len(samples) for samples in judge.measured] == [4 * 8000]


def test_a_judge_that_fails_costs_one_answer() -> None:
    desk = Desk(Judge(RuntimeError("no memory")), player=Player())
    asked_and_answered(desk)
    told = [tag.examination for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert "unclear" in [record["state"] for record in told]
    assert ["judge-failed"] in [record["reasons"] for record in told]
    assert desk.session.call.llr is None, "no evidence either way"


def test_many_callers_asked_at_once_leave_the_judges_time_for_answers() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    for _ in range(20):
        session = desk.another()
        desk.examiner.press(session, desk.now, "ask")
    assert desk.examiner._measuring <= AHEAD
    desk.settle()
    assert desk.examiner._measuring == 0
    assert len(desk.judge.measured) <= AHEAD


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
    assert desk.examiner.press(desk.session, desk.now, "ask") is None


def test_switched_off_nothing_is_watched() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="off", player=Player())
    assert desk.examiner.watched == 0
    assert desk.session.observer is None


def test_an_unknown_challenge_is_named() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    with pytest.raises(ValueError, match="'juggle' is none of"):
        desk.examiner.press(desk.session, desk.now, "ask", challenge="juggle")


def test_a_refused_key_changes_nothing() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, pool=("whisper",))
    desk.examiner.press(desk.session, desk.now, "ask")
    for action, wishes in (("override", {}), ("skip", {"challenge": "sing"}), ("ask", {"language": "fr"})):
        with pytest.raises(ValueError, match=r"none of|by now|already"):
            desk.examiner.press(desk.session, desk.now, action, **wishes)
    assert player.playing
    desk.examiner.press(desk.session, desk.now, "repeat")
    assert (desk.record["language"], len(player.played)) == ("en", 2)


@pytest.mark.parametrize("action", ["ask", "repeat"])
def test_another_language_holds_for_the_standing_question(action: str) -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator")
    desk.suspect()
    proposed = desk.record
    if action == "repeat":
        desk.examiner.press(desk.session, desk.now, "ask")
    record = desk.examiner.press(desk.session, desk.now, action, language="fr")
    assert (record["state"], record["language"], record["challenge"]) == ("asked", "fr", proposed["challenge"])
    assert record["sentence"] != proposed["sentence"]


@pytest.mark.parametrize(
    ("given", "spoken"), [("", "en"), ("de", "de"), ("FR-ca", "fr"), ("es_MX", "es"), ("pt", "en"), ("../x", "en")]
)
def test_a_caller_whose_language_nobody_speaks_is_asked_in_the_service_s(given: str, spoken: str) -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator", language=given)
    assert desk.examiner.press(desk.session, desk.now, "ask")["language"] == spoken


def test_a_fault_ends_the_questions_but_neither_the_call_nor_the_operator_s_say() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player)
    desk.hear(2000, 4.0)
    desk.examiner.press(desk.session, desk.now, "ask", who="ana")

    def broken(*_: Any) -> None:
        raise RuntimeError("boom")

    desk.examiner._watches[id(desk.session)].examination.receive_chunk = broken  # type: ignore[method-assign]
    desk.hear(20, 0.16)
    assert (desk.record["state"], desk.record["reasons"]) == ("over", ["judge-failed"])
    assert desk.session.observer is None
    assert not player.playing
    desk.examiner.press(desk.session, desk.now, "override", who="ana", verdict="uncertain")
    assert desk.session.call.state == "uncertain"
    desk.examiner.forget(desk.session, desk.now)
    assert (len(desk.outcomes), desk.examiner.watched) == (1, 0)


def test_a_side_that_nobody_examines_is_not_called_switched_off() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)))
    desk.examiner.forget(desk.session, desk.now)
    assert desk.examiner.record(desk.session, desk.now) is None
    assert desk.examiner.press(desk.session, desk.now, "ask") is None


def test_an_override_without_a_question_is_kept_to_learn_from_and_a_proposal_is_no_question() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator")
    desk.suspect()
    before = desk.session.call.state
    desk.examiner.press(desk.session, desk.now, "override", who="ana", verdict="deepfake-likely")
    desk.examiner.forget(desk.session, desk.now)
    (outcome,) = desk.outcomes
    assert (outcome["before"], outcome["after"], outcome["overridden"]) == (str(before), "deepfake-likely", True)
    assert outcome["asked"] == []


def test_an_answer_nobody_waits_for_any_more_is_not_judged() -> None:
    desk = Desk(Judge(Judgement(0.9, None, None, None)), mode="operator")
    judged: list[Any] = []
    desk.judge.judge = lambda *parts: judged.append(parts) or Judgement(0.9, None, None, None)  # type: ignore[method-assign,func-returns-value]
    gate = threading.Event()
    desk.examiner._thread.submit(gate.wait)  # another call's answer
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.examiner.press(desk.session, desk.now, "answering")
    desk.hear(2000, 4.0)
    desk.hear(20, 2.0)
    assert desk.record["state"] == "judging"
    desk.examiner.press(desk.session, desk.now, "skip")
    gate.set()
    desk.settle()
    assert judged == []
    assert desk.examiner._waiting == 0


def test_when_too_many_answers_wait_one_more_is_left_unclear() -> None:
    desk = Desk(Judge(Judgement(0.9, None, None, None)), mode="operator", queue=1)
    desk.examiner._waiting = 1
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.examiner.press(desk.session, desk.now, "answering")
    desk.hear(2000, 4.0)
    desk.hear(20, 2.0)
    told = [tag.examination["state"] for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert told == ["asked", "answering", "judging", "unclear", "proposed"]


def test_an_outcome_that_cannot_be_kept_does_not_keep_the_call_open() -> None:
    def full(outcome: Mapping[str, Any]) -> None:
        raise TypeError("no JSON")

    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    desk.examiner._outcome = full
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.examiner.forget(desk.session, desk.now)
    assert desk.examiner.watched == 0


def test_a_call_that_ended_by_a_fault_is_asked_nothing_more() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.session.call.close("error", desk.now)
    desk.examiner.tick(desk.now + 0.3)
    assert desk.examiner.watched == 0
    assert not player.playing


def test_ten_thousand_calls_leave_nothing_behind() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    desk.examiner.forget(desk.session, desk.now)
    kept: list[weakref.ref[Session]] = []
    for number in range(10_000):
        session = desk.another()
        if number % 100 == 0:
            desk.examiner.press(session, desk.now, "ask")
            kept.append(weakref.ref(session))
        desk.examiner.forget(session, desk.now)
        desk.tags.clear()
        del session
    gc.collect()
    assert desk.examiner._watches == {}
    assert [ref for ref in kept if ref() is not None] == []
    assert len(desk.outcomes) == 100


def test_a_pool_of_what_nobody_knows_is_named_before_any_call() -> None:
    with pytest.raises(ValueError, match=r"examination\.pool: challenge 'juggle' is none of"):
        examination_config(ExaminationSettings(pool=("sing", "juggle")), -2.0)


@pytest.mark.parametrize(("action", "verdict", "otherwise"), [
    ("accept", "", True), ("override", "deepfake-likely", False), ("override", "uncertain", True),
])  # fmt: skip
def test_whether_the_operator_saw_it_otherwise_is_kept_to_learn_from(action: str, verdict: str, otherwise: bool) -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator")
    for _ in range(8):
        desk.session.on_score(-9.0, Chunk(np.zeros(1280, np.int16), 0, CHUNK_S, 0.0, desk.now), desk.now)
    assert desk.session.call.state == "deepfake-likely"
    desk.examiner.press(desk.session, desk.now, action, who="ana", verdict=verdict)
    desk.examiner.forget(desk.session, desk.now)
    assert [outcome["overridden"] for outcome in desk.outcomes] == [otherwise]
