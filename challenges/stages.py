"""The stages of an examination, how they follow each other, and what its shell is told to do.

What is worth knowing of an examination by those who only look at it is here; the machine is `challenges.examination`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from challenges.answer import Answer
from challenges.content import Question


class Stage(StrEnum):
    """Where an examination stands. From PASSED on they are ends of one question, `over` of the whole."""

    IDLE = "idle"
    PROPOSED = "proposed"  # suspicious; the operator may ask
    ASKED = "asked"  # the prompt is being played or spoken
    ANSWERING = "answering"  # the caller's turn
    JUDGING = "judging"
    PASSED = "passed"
    FAILED = "failed"
    UNCLEAR = "unclear"  # judged, and it says nothing either way
    NO_ANSWER = "no-answer"
    SKIPPED = "skipped"  # by the operator, or given up because something broke
    OVER = "over"  # nothing more will be asked on this call


class Press(StrEnum):
    """What an operator may do until the examination is over; OVERRIDE after that too."""

    ASK = "ask"
    ANSWERING = "answering"  # "the caller is answering now", where the operator speaks the question
    SKIP = "skip"
    REPEAT = "repeat"
    ACCEPT = "accept"  # enough: the caller is taken for a person
    OVERRIDE = "override"
    STOP = "stop"  # no more questions on this call


DONE = frozenset({Stage.PASSED, Stage.FAILED, Stage.UNCLEAR, Stage.NO_ANSWER, Stage.SKIPPED})
RUNNING = frozenset({Stage.ASKED, Stage.ANSWERING, Stage.JUDGING})
TRANSITIONS: Mapping[Stage, frozenset[Stage]] = {
    Stage.IDLE: frozenset({Stage.PROPOSED, Stage.ASKED, Stage.OVER}),
    Stage.PROPOSED: frozenset({Stage.ASKED, Stage.SKIPPED, Stage.OVER}),
    Stage.ASKED: frozenset({Stage.ANSWERING, Stage.SKIPPED, Stage.OVER, Stage.ASKED}),
    Stage.ANSWERING: frozenset({Stage.JUDGING, Stage.NO_ANSWER, Stage.SKIPPED, Stage.OVER, Stage.ASKED}),
    Stage.JUDGING: frozenset({Stage.PASSED, Stage.FAILED, Stage.UNCLEAR, Stage.SKIPPED, Stage.OVER, Stage.ASKED}),
    **{done: frozenset({Stage.PROPOSED, Stage.ASKED, Stage.OVER}) for done in DONE},
    Stage.OVER: frozenset(),
}


def sets_aside(record: Mapping[str, Any]) -> bool:
    """Whether what the caller's line carries is an answer, which is judged by itself, or may be the prompt's echo.

    It must not count in the call's running evidence too. A caller who talks with an operator just talks.
    """
    stage = Stage(record["state"])
    return stage is Stage.ANSWERING or (stage is Stage.ASKED and record["spoken_by"] == "engine")


def table() -> str:
    """The transitions as text, one line each."""
    return "\n".join(f"{stage:10} -> {' | '.join(sorted(after)) or '(end)'}" for stage, after in TRANSITIONS.items())


# --- what the shell is to do -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Play:
    """Play this question, then call `prompt_started` or `prompt_failed`."""

    question: Question


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge this answer off the event loop, then call `receive_judgement`."""

    question: Question
    answer: Answer
    unanswered: tuple[Question, ...] = ()  # questions before to which nothing was said: one may be what is answered


@dataclass(frozen=True, slots=True)
class Record:
    """Publish this: the stage changed or somebody decided something."""

    table: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conclude:
    """Add this evidence to the call's: log-likelihood ratio, natural log, high is human; or a verdict set by hand."""

    llr: float
    reasons: tuple[str, ...]
    passed: bool = True  # False: what was asked was not done, and until it is the caller is not cleared by sound alone
    sounded: bool = False  # the answer was a voice whose sound was judged
    verdict: str = ""  # of an operator's override
    who: str = ""


Step = Play | Judge | Record | Conclude
