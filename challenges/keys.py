"""The operator's keys: what each does to an examination, and what it says when it cannot be done now.

They are the other half of the machine in `challenges.examination`, and move it by the same inner steps as its clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from challenges.stages import RUNNING, Conclude, Press, Record, Stage

if TYPE_CHECKING:
    from challenges.examination import Examination

VERDICTS = ("human-likely", "deepfake-likely", "uncertain")


@dataclass(frozen=True, slots=True)
class Decision:
    """One press of a key. `challenge` is what to ask or, with other keys, the question they are meant for."""

    now: float  # monotonic seconds
    who: str = ""
    why: str = ""
    challenge: str | None = None
    verdict: str = ""
    decisions: int | None = None  # how many the operator has seen; None: not told


def apply(exam: Examination, press: Press, made: Decision) -> None:
    """Do it. ValueError says what cannot be done now, in words for the operator, and nothing has changed."""
    if exam.stage is Stage.OVER and press is not Press.OVERRIDE:
        raise ValueError("this examination is over")
    if made.decisions not in (None, exam._decisions) and press is not Press.ASK:
        raise ValueError(_meanwhile(exam))
    standing = exam.question.challenge.key if exam.question is not None else None
    if press is not Press.ASK and None not in (made.challenge, standing) and made.challenge != standing:
        raise ValueError(f"the question is {standing} by now")
    _KEYS[press](exam, made)


def _meanwhile(exam: Examination) -> str:
    """What an operator decided whom another one has not seen yet."""
    reason = f': "{exam._why}"' if exam._why else ""
    return f"{exam._who or 'another operator'} has meanwhile decided {exam._verdict}{reason}"


def _signed(exam: Examination, made: Decision) -> None:
    exam._by, exam._who, exam._why = "operator", made.who, made.why


def _signed_on(exam: Examination, made: Decision) -> None:
    """The same question goes on: the name under it, and the reason, stand unless somebody gives theirs."""
    if exam._by == "operator" and not made.who:
        made = replace(made, who=exam._who, why=made.why or exam._why)
    _signed(exam, made)


def _ask(exam: Examination, made: Decision) -> None:
    if exam.stage in RUNNING:
        raise ValueError(f"a question is {exam.stage} already")
    if exam.stage is Stage.PROPOSED and made.challenge in (None, exam.question and exam.question.challenge.key):
        _signed(exam, made)
        exam._ask(made.now)
    else:
        exam._next("operator", made.who, made.why, made.now, made.challenge)


def _answering(exam: Examination, made: Decision) -> None:
    if exam.stage is Stage.ANSWERING:
        raise ValueError("the answer is being listened to already")
    if exam.stage is Stage.JUDGING:
        raise ValueError("the answer has been heard and is being judged")
    if exam.stage is not Stage.ASKED:
        raise ValueError(f"nothing has been asked: the examination is {exam.stage}")
    _signed_on(exam, made)
    exam._to_answer(made.now)


def _skip(exam: Examination, made: Decision) -> None:
    if exam.stage is not Stage.PROPOSED and exam.stage not in RUNNING:
        raise ValueError(f"there is nothing to skip: the examination is {exam.stage}")
    _signed(exam, made)
    exam.attempt += exam.stage is Stage.PROPOSED
    exam._finish(Stage.SKIPPED, ("refused",), made.now)


def _repeat(exam: Examination, made: Decision) -> None:
    if exam.stage not in RUNNING or exam.question is None:
        raise ValueError(f"there is nothing to repeat: the examination is {exam.stage}")
    _signed_on(exam, made)
    another = f"{(int(exam.question.nonce, 16) + 1) % (1 << 64):016x}"  # what is still being judged is an old answer
    exam.question = replace(exam.question, expires=made.now + 1.0, nonce=another)
    exam.attempt -= 1
    exam._ask(made.now)


def _accept(exam: Examination, made: Decision) -> None:
    _decide(exam, made, "human-likely", "operator-accepted")


def _override(exam: Examination, made: Decision) -> None:
    if made.verdict not in VERDICTS:
        raise ValueError(f'verdict "{made.verdict}" is none of {", ".join(VERDICTS)}')
    _decide(exam, made, made.verdict, "operator-override")


def _decide(exam: Examination, made: Decision, verdict: str, reason: str) -> None:
    _signed(exam, made)
    exam._decisions, exam._verdict = exam._decisions + 1, verdict
    exam._deadline, exam._reasons = None, (*(one for one in exam._reasons if one != reason), reason)
    if exam.stage is Stage.OVER:
        exam._steps.append(Record(exam.record()))
    else:
        exam._move(Stage.OVER)
    exam._steps.append(Conclude(0.0, (reason,), verdict=verdict, who=made.who))


def _stop(exam: Examination, made: Decision) -> None:
    _signed(exam, made)
    if exam.stage in RUNNING:
        exam._move(Stage.SKIPPED, ("refused",))
    exam._over()


_KEYS: Mapping[Press, Callable[[Examination, Decision], None]] = {
    Press.ASK: _ask,
    Press.ANSWERING: _answering,
    Press.SKIP: _skip,
    Press.REPEAT: _repeat,
    Press.ACCEPT: _accept,
    Press.OVERRIDE: _override,
    Press.STOP: _stop,
}
