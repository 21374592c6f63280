"""Examinations in which somebody else takes over: another operator, another voice on the line, or nobody any more."""

from __future__ import annotations

import pytest

from challenges.examination import ExaminationConfig
from challenges.stages import Conclude, Press
from tests.challenges.exam import SIZE, Caller

OPERATOR = ExaminationConfig(mode="operator")


def test_what_another_operator_has_decided_is_read_before_it_is_reversed() -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.OVERRIDE, caller.now, who="ben", why="the bank called", verdict="deepfake-likely", decisions=0)
    with pytest.raises(ValueError, match='ben has meanwhile decided deepfake-likely: "the bank called"'):
        caller.exam.press(Press.OVERRIDE, caller.now, who="ana", verdict="human-likely", decisions=0)
    assert caller.exam.record()["decisions"] == 1
    caller.exam.press(Press.OVERRIDE, caller.now, who="ana", verdict="human-likely", decisions=1)
    caller.exam.press(Press.OVERRIDE, caller.now, who="a script", verdict="uncertain")
    assert caller.exam.record()["decisions"] == 3, "who does not tell what was seen is taken at their word"


def test_whoever_hangs_up_at_a_question_has_not_passed_it() -> None:
    caller = Caller()
    caller.suspect()
    caller.prompt(1.0)
    caller.exam.close(caller.now)
    caller.drain()
    assert [step for step in caller.steps if isinstance(step, Conclude)] == [Conclude(0.0, ("audio-stopped",), passed=False)]


def test_with_another_stream_s_voice_no_answer_is_compared() -> None:
    caller = Caller()
    caller.hear("speech", 3.0)
    assert len(caller.exam.before())
    caller.exam.new_source()
    assert len(caller.exam.before()) == 0
    caller.hear("speech", 2.0)
    assert len(caller.exam.before()) == pytest.approx(2.0 * 8000, abs=SIZE)
    caller.suspect()
    caller.exam.new_source()
    assert len(caller.exam.before()) == 0
