"""The operator's keys: what a second press says, and whose name stands under a question."""

from __future__ import annotations

import pytest

from challenges.examination import ExaminationConfig
from challenges.stages import Press, Stage
from tests.challenges.exam import Caller

OPERATOR = ExaminationConfig(mode="operator")


def asked(who: str = "Ada", why: str = "tinny") -> Caller:
    caller = Caller(OPERATOR, can_play=False)
    caller.exam.press(Press.ASK, caller.now, who=who, why=why)
    return caller


def signed(caller: Caller) -> tuple[str, str, str]:
    record = caller.exam.record()
    return record["by"], record["who"], record["why"]


def test_an_answer_is_listened_to_once() -> None:
    caller = asked()
    caller.exam.press(Press.ANSWERING, caller.now)
    with pytest.raises(ValueError, match="the answer is being listened to already"):
        caller.exam.press(Press.ANSWERING, caller.now)


def test_an_answer_in_judgement_is_not_said_to_be_unasked() -> None:
    caller = asked()
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 2.0)
    assert caller.exam.stage is Stage.JUDGING
    with pytest.raises(ValueError, match="the answer has been heard and is being judged"):
        caller.exam.press(Press.ANSWERING, caller.now)


@pytest.mark.parametrize("press", [Press.REPEAT, Press.ANSWERING])
def test_who_asked_stands_while_the_question_goes_on(press: Press) -> None:
    caller = asked()
    caller.exam.press(press, caller.now)
    assert signed(caller) == ("operator", "Ada", "tinny")
    caller.exam.press(Press.REPEAT, caller.now, who="Bob", why="not heard")
    assert signed(caller) == ("operator", "Bob", "not heard")


def test_a_decision_without_a_name_is_not_signed_with_another_s() -> None:
    caller = asked()
    caller.exam.press(Press.SKIP, caller.now)
    assert caller.exam.record()["who"] == ""


def test_a_decision_taken_again_is_one_reason() -> None:
    caller = asked()
    for press, verdict in ((Press.OVERRIDE, "uncertain"), (Press.OVERRIDE, "deepfake-likely")):
        caller.exam.press(press, caller.now, verdict=verdict)
    assert caller.exam.record()["reasons"] == ["operator-override"]
