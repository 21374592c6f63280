"""The clock of an examination: a limit is what it was told to be, and every asking has a judgement of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from challenges.stages import Conclude, Judge, Press, Record, Stage
from tests.challenges.exam import Caller
from tests.examined import Desk, Player
from tests.examined import Judge as Judge_

ONE = ExaminationConfig(mode="operator", questions=1)


def answering() -> Caller:
    caller = Caller(ONE)
    caller.exam.press(Press.ASK, caller.now)
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.drain()
    return caller


def answered(caller: Caller) -> str:
    """Their answer is in judgement; its question's nonce."""
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 1.6)
    assert caller.exam.stage is Stage.JUDGING
    return next(step.question.nonce for step in reversed(caller.steps) if isinstance(step, Judge))


def test_the_screen_counts_down_to_the_moment_at_which_nobody_has_answered() -> None:
    caller = answering()
    began = caller.now
    assert caller.exam.record()["deadline_s"] == 8.0
    assert caller.exam.record(began + 7.9)["deadline_s"] == pytest.approx(0.1)
    caller.hear("quiet", 7.84)
    caller.exam.handle_timer(began + 7.99)
    assert caller.exam.stage is Stage.ANSWERING
    caller.exam.handle_timer(began + 8.0)
    assert caller.exam.stage is Stage.OVER
    assert [step.table["state"] for step in caller.drain() if isinstance(step, Record)] == ["no-answer", "over"]


def test_nobody_is_late_on_a_line_that_is_dead() -> None:
    caller = answering()
    began = caller.now
    caller.hear("quiet", 1.6)
    caller.exam.handle_timer(began + 8.0)
    told = [(step.table["state"], step.table["reasons"]) for step in caller.drain() if isinstance(step, Record)]
    assert told == [("skipped", ["audio-stopped"]), ("over", ["audio-stopped"])]
    assert [step for step in caller.steps if isinstance(step, Conclude)] == [Conclude(0.0, ("audio-stopped",), passed=False)], (
        "evidence for neither side; but a caller whose packets stop at every question is not cleared unasked"
    )


def test_to_an_operator_who_speaks_the_key_says_what_the_answer_is() -> None:
    caller = Caller(ONE, can_play=False)
    caller.exam.press(Press.ASK, caller.now)
    caller.hear("quiet", 3.0)
    caller.hear("speech", 1.0)  # they begin before the key is pressed
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 1.6)
    caller.judged(compliance=0.0, realism=-3.0, identity=-4.0)
    (concluded,) = (step for step in caller.steps if isinstance(step, Conclude))
    assert concluded.llr == -2.0


def test_who_has_begun_in_the_last_moment_has_the_task_s_own_time_to_end() -> None:
    caller = answering()
    began = caller.now
    caller.hear("quiet", 7.2)
    caller.hear("speech", 0.64)
    caller.exam.handle_timer(began + 8.0)
    assert caller.exam.stage is Stage.ANSWERING
    assert caller.exam.question is not None
    longest = caller.exam.question.challenge.max_s
    assert caller.exam.next_timer() == pytest.approx(began + 8.0 + longest)
    caller.exam.handle_timer(began + 8.0 + longest)  # their audio has stopped
    assert caller.exam.stage is Stage.JUDGING


def test_a_repeated_question_begins_its_limits_anew() -> None:
    caller = answering()
    caller.hear("quiet", 7.0)
    caller.exam.press(Press.REPEAT, caller.now)
    caller.exam.press(Press.ANSWERING, caller.now)
    assert caller.exam.next_timer() == pytest.approx(caller.now + 8.0)
    caller.hear("quiet", 7.0)
    assert caller.exam.stage is Stage.ANSWERING


@pytest.mark.parametrize("nonce", ["0" * 16, "00000000000000ff", "f" * 16])
def test_a_repeated_question_is_the_same_by_another_number(nonce: str) -> None:
    caller = answering()
    assert caller.exam.question is not None
    asked = caller.exam.question = replace(caller.exam.question, nonce=nonce)
    caller.exam.press(Press.REPEAT, caller.now)
    again = caller.exam.question
    assert again.nonce != nonce
    assert (len(again.nonce), int(again.nonce, 16) >= 0) == (16, True)
    assert replace(again, nonce=nonce, expires=asked.expires) == asked


def test_after_a_repeat_only_the_new_answer_is_waited_for() -> None:
    caller = Caller(ONE)
    caller.exam.press(Press.ASK, caller.now)
    first = answered(caller)
    caller.exam.press(Press.REPEAT, caller.now)
    assert not caller.exam.awaits(first)
    caller.exam.receive_judgement(None, first, caller.now)
    assert caller.exam.stage is Stage.ASKED, "that the old answer's judge failed is nobody's business any more"
    second = answered(caller)
    assert caller.exam.awaits(second)
    assert not caller.exam.awaits(first)


class Counting(Judge_):
    """Finds the first answer it is given perfect and every other a failure."""

    def __init__(self) -> None:
        super().__init__(Judgement(0.99, 2.0, None, None))
        self.asked: list[str] = []

    def judge(self, *parts: object) -> Judgement:
        self.asked.append(parts[0].nonce)  # type: ignore[attr-defined]
        return self.judgement if len(self.asked) == 1 else Judgement(0.0, None, None, None)  # type: ignore[return-value]


def test_a_judgement_that_arrives_after_the_repeat_is_left_where_it_is() -> None:
    judge = Counting()
    desk = Desk(judge, player=Player())
    desk.examiner.press(desk.session, desk.now, "ask")
    for _ in range(2):
        desk.examiner.press(desk.session, desk.now, "answering")
        desk.hear(2000, 3.0)
        desk.hear(20, 1.6)
        assert desk.record["state"] == "judging"
        desk.examiner._thread.submit(lambda: None).result()
        if len(judge.asked) == 1:
            desk.examiner.press(desk.session, desk.now, "repeat")
    desk.settle()
    assert len(set(judge.asked)) == 2
    told = [tag.examination["state"] for tag in desk.tags if tag.kind == "exam" and tag.examination]
    assert "failed" in told
    assert "passed" not in told
