"""The examination of one caller as a pure object: chunks, key presses and judgements in; what is to be done out.

It goes suspected -> asked -> answering -> judged, once or, with challenges of other families, up to three times; no
single answer decides. Its shell plays the prompts, judges the answers in a thread, re-arms one timer, and publishes
every record.
`python -m challenges.examination` prints how the stages follow each other.

Whatever breaks (a prompt that cannot be played, a judge that fails, audio that stops) leads to a named stage with a
reason, never to a caller left hanging, and never counts against the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenges import keys
from challenges.answer import Listener, ListenerConfig
from challenges.content import Question
from challenges.fusion import Judgement, Weighed, weigh
from challenges.stages import RUNNING, TRANSITIONS, Conclude, Judge, Play, Press, Record, Stage, Step, table
from engine.audio import Chunk

Samples = NDArray[np.int16]
HEARD_SHARE = 0.5  # of the time to begin an answer: with less of it heard, nobody can say that the caller was silent


@dataclass(frozen=True, slots=True)
class ExaminationConfig:
    """What is the same for all calls."""

    mode: str = "operator"  # "operator": proposes; "automatic": asks by itself; "off"
    suspicious_llr: float = -1.0  # proposed at or below this log-likelihood ratio
    questions: int = 3  # at most, per call
    listener: ListenerConfig = field(default_factory=ListenerConfig)
    speak_s: float = 30.0  # an operator who speaks the question has so long
    judge_s: float = 5.0  # a judge that takes longer has failed


Ask = Callable[[str | None, str | None, bool, float], Question | None]
"""(wished challenge or None, family to avoid or None, whether the answer should tell whose voice it is, now) -> a question
never asked of this caller, or None."""


class Examination:
    """One caller's examination. Times are monotonic seconds."""

    def __init__(self, config: ExaminationConfig, ask: Ask, chunk_s: float, *, can_play: bool) -> None:
        self.stage = Stage.IDLE
        self.question: Question | None = None
        self.attempt = 0  # questions asked so far
        self.weighed: list[Weighed] = []
        self._config, self._draw, self._can_play = config, ask, can_play
        self._listener = Listener(config.listener, chunk_s)
        self._steps: list[Step] = []
        self._deadline: float | None = None
        self._to_begin = False  # the deadline is that for beginning an answer
        self._anew = False  # the standing question is stale: it is drawn once more before it is asked
        self._by, self._who, self._why = "policy", "", ""
        self._decisions, self._verdict = 0, ""  # of operators, and the last of them
        self._judgement: Judgement | None = None
        self._unanswered: tuple[Question, ...] = ()  # to which nothing was said that could be judged
        self._nothing_left = False  # that suits this line was found, when a question was looked for
        self._recognised = False  # an answer was judged whose voice can be compared with the voice before
        self._early = False  # the answer in judgement was begun over the prompt
        self._reasons: tuple[str, ...] = ()
        self._now = 0.0

    # --- in -------------------------------------------------------------------------------------------------------

    def receive_chunk(self, chunk: Chunk, now: float) -> None:
        """The caller's sound; costs next to nothing unless an answer is awaited or the first speech is being kept."""
        if self._config.mode == "off":
            return
        self._now = now
        self._listener.receive_chunk(chunk)
        # To an operator who speaks the question the caller talks back: there the key alone says that it is the answer.
        if self.stage is Stage.ASKED and self._can_play and self._listener.barged_in:
            self._to_answer(now)
        if self.stage is Stage.ANSWERING and self._answered():
            self._judge(now)

    def receive_llr(self, llr: float | None, now: float) -> None:
        """The call's own evidence. Low enough, a question is proposed, or asked in automatic mode where it can be played."""
        self._now = now
        suspicious = llr is not None and llr <= self._config.suspicious_llr
        if suspicious and self.stage is Stage.IDLE and not self._nothing_left:
            self._next("policy", "", "suspicious", now)

    def press(
        self, press: Press, now: float, *, who: str = "", why: str = "", challenge: str | None = None, verdict: str = "",
        anew: bool = False, decisions: int | None = None,
    ) -> None:  # fmt: skip
        """An operator's decision. ValueError says what cannot be done now, in words for the operator.

        `challenge` is what to ask; with other keys, the question they are meant for: a second operator's may be another.
        `anew`: a question that stands already is drawn once more, in another language. `decisions`: of the record that
        the operator saw; where another operator has decided since, this one is told so first.
        """
        self._now = now
        if self._config.mode == "off":
            raise ValueError("examinations are switched off (examination.mode)")
        self._anew = anew
        keys.apply(self, press, keys.Decision(now, who, why, challenge, verdict, decisions))

    def new_source(self) -> None:
        """The sound is another stream's: whose voice was heard before, no answer can tell any more."""
        self._listener.forget()

    @property
    def can_play(self) -> bool:
        return self._can_play

    def may_play(self, can_play: bool) -> None:
        """Whether a prompt can be played, as far as the connector and the pack go: one that failed is tried again."""
        self._can_play = can_play

    def prompt_started(self, until: float, heard: Samples, now: float) -> None:
        """The prompt is being played and will have been heard at `until`; `heard` at 8 kHz is known again as echo."""
        if self.stage is Stage.ASKED:
            self._listener.expect_echo(heard)
            self._deadline = until + self._config.listener.echo_tail_s

    def prompt_failed(self, now: float) -> None:
        """It cannot be played: the operator who wanted it asked is to speak it. For nobody's wish nobody is waited for."""
        if self.stage is not Stage.ASKED:
            return
        self._now, self._can_play = now, False  # so that what comes next is proposed
        if self._by == "policy":
            self.attempt -= 1  # the caller has heard nothing
            if not self.attempt:
                self._listener.unbegin()
            self._finish(Stage.SKIPPED, ("prompt-failed",), now)
        else:
            self._deadline = now + self._config.speak_s
            self._note("prompt-failed")

    def receive_judgement(self, judgement: Judgement | None, nonce: str, now: float) -> None:
        """What the judge found; None when it failed. An answer to an older question is ignored."""
        self._now = now
        if not self.awaits(nonce):
            return
        if judgement is None:
            self._finish(Stage.UNCLEAR, ("judge-failed",), now)
            return
        assert self.question is not None  # a judgement is awaited
        self._judgement = judgement
        heard = judgement.realism is not None and self.question.challenge.keeps_voice  # where nothing tells voices, by ear
        self._recognised |= judgement.identity is not None or heard
        undone = sum("non-compliance" in one.reasons for one in self.weighed)
        weighed = weigh(judgement, early=self._early, undone=undone)
        self.weighed.append(weighed)
        stage = Stage.FAILED if weighed.failed else Stage.PASSED if weighed.passed else Stage.UNCLEAR
        self._finish(stage, weighed.reasons, now)

    def give_up(self, now: float) -> None:
        """A fault of ours: no more questions, and what happened counts for neither side. The operator may still decide."""
        self._now, self._deadline = now, None
        if self.stage is not Stage.OVER:
            self._steps.clear()
            self._move(Stage.OVER, ("judge-failed",))

    def close(self, now: float) -> None:
        """The call is over: whatever was running ends here, with its name."""
        self._deadline = None
        if self.stage is Stage.OVER or self.stage is Stage.IDLE:
            self.stage = Stage.OVER
            return
        if self.stage in RUNNING:  # whoever hangs up at a question has not passed it
            self._move(Stage.SKIPPED, ("audio-stopped",))
            self._steps.append(Conclude(0.0, ("audio-stopped",), passed=False))
        self._move(Stage.OVER)

    # --- out ------------------------------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """What is to be done since the last time."""
        drained, self._steps = self._steps, []
        return drained

    def next_timer(self) -> float | None:
        return self._deadline

    def before(self) -> Samples:
        """What the caller said before the first question, as answers will be compared with it."""
        return self._listener.before()

    def awaits(self, nonce: str) -> bool:
        """Whether the judgement of that question's answer is still waited for."""
        return self.stage is Stage.JUDGING and self.question is not None and nonce == self.question.nonce

    def handle_timer(self, now: float) -> None:
        """A limit has passed: the prompt is over, nobody answered, or the judge took too long."""
        self._now = now
        if self._deadline is None or now < self._deadline:
            return
        if self.stage is Stage.ASKED and self._can_play:
            self._to_answer(now)
        elif self.stage is Stage.ASKED:  # nobody spoke the question; what kept it from being played stays the reason
            self._finish(Stage.SKIPPED, self._reasons or ("refused",), now)
        elif self.stage is Stage.ANSWERING:
            self._answer_due(now)
        elif self.stage is Stage.JUDGING:
            self._finish(Stage.UNCLEAR, ("judge-failed",), now)
        else:
            self._deadline = None

    def record(self, now: float | None = None) -> dict[str, Any]:
        """The examination as operators and softphones see it, at `now` or when it was last fed."""
        question, judged = self.question, self._judgement or Judgement(None, None, None, None)
        at = self._now if now is None else now
        left = None if self._deadline is None else round(max(0.0, self._deadline - at), 1)
        return {
            "state": str(self.stage), "attempt": self.attempt,
            "challenge": question.challenge.key if question else "", "id": question.challenge.id if question else "",
            "name": question.challenge.name if question else "", "language": question.language if question else "",
            "sentence": question.sentence if question else "", "spoken_by": "engine" if self._can_play else "operator",
            "deadline_s": left, "by": self._by, "who": self._who, "why": self._why,
            "decisions": self._decisions, "reasons": list(self._reasons),
            "compliance": _rounded(judged.compliance), "realism": _rounded(judged.realism),
            "baseline": _rounded(judged.baseline), "identity": _rounded(judged.identity),
            "llr": _rounded(self.weighed[-1].llr if self.weighed and self._judgement else None),
        }  # fmt: skip

    # --- inside ---------------------------------------------------------------------------------------------------

    def _limits(self) -> tuple[float, float]:
        assert self.question is not None
        return self.question.challenge.min_s, self.question.challenge.max_s

    def _answered(self) -> bool:
        assert self.question is not None
        return self._listener.answered(self._limits(), patient=self.question.challenge.has_pauses)

    def _next(self, by: str, who: str, why: str, now: float, challenge: str | None = None) -> None:
        """Draw a question, of another family than the last; ask or propose it.

        After the first, one whose answer tells whose voice it is: a converter may be switched off for the task. Where nothing
        is left an examination that has begun and runs by itself is over; else all stays as it is, since whatever an operator
        names can still be asked.
        """
        family = self.question.challenge.family if self.question and challenge is None else None
        question = self._draw(challenge, family, self.attempt > 0 and not self._recognised, now)
        if question is None:
            self._nothing_left = True
            if by != "policy":
                raise ValueError("nothing else suits this line: say which challenge to ask")
            if self._by == "policy" and self.stage is not Stage.IDLE:
                self._over()
            return
        self._by, self._who, self._why = by, who, why
        self.question, self._judgement, self._reasons, self._anew = question, None, (), False
        if by == "policy" and (self._config.mode == "operator" or not self._can_play):
            self._deadline = None
            self._move(Stage.PROPOSED)
        else:
            self._ask(now)

    def _ask(self, now: float) -> None:
        assert self.question is not None
        if self._anew or now > self.question.expires:  # or it was proposed long ago
            fresh = self._draw(self.question.challenge.key, None, False, now)
            self.question, self._anew = fresh or self.question, False
        self.attempt += 1
        self._reasons = ()
        self._listener.begin_prompt()
        self._deadline = now + self._config.speak_s
        self._move(Stage.ASKED)
        if self._can_play:
            self._steps.append(Play(self.question))

    def _to_answer(self, now: float) -> None:
        soft = self.question is None or self.question.challenge.may_be_soft
        self._listener.begin_answer(soft, key=not self._can_play)
        self._deadline, self._to_begin = now + self._config.listener.begin_s, True
        self._move(Stage.ANSWERING)

    def _answer_due(self, now: float) -> None:
        """Time to begin is over, or, for who has begun, time to end: their audio has stopped."""
        if not self._listener.begun and self._listener.heard_s < HEARD_SHARE * self._config.listener.begin_s:
            self._finish(Stage.SKIPPED, ("audio-stopped",), now)  # the line's fault, not the caller's
        elif not self._listener.begun:
            self._finish(Stage.NO_ANSWER, ("late",), now)
        elif self._to_begin:
            self._deadline, self._to_begin = now + self._limits()[1], False
        else:
            self._judge(now)

    def _judge(self, now: float) -> None:
        assert self.question is not None
        self._deadline = now + self._config.judge_s
        self._move(Stage.JUDGING)
        answer = self._listener.answer()
        self._early = answer.early
        self._steps.append(Judge(self.question, answer, self._unanswered))

    def _finish(self, stage: Stage, reasons: tuple[str, ...], now: float) -> None:
        """One question is done: conclude, or go on with another."""
        self._deadline = None
        self._move(stage, reasons)
        if stage in (Stage.PASSED, Stage.FAILED, Stage.UNCLEAR) and self.weighed and self._judgement is not None:
            sounded = self._judgement.realism is not None
            self._steps.append(Conclude(self.weighed[-1].llr, reasons, stage is Stage.PASSED, sounded=sounded))
        elif stage is Stage.NO_ANSWER or reasons == ("audio-stopped",):  # no evidence, and nothing that clears either
            self._steps.append(Conclude(0.0, reasons, passed=False))
        if self.question is not None and (stage is Stage.NO_ANSWER or (self._judgement is not None and self._judgement.empty)):
            self._unanswered += (self.question,)
        if self.attempt >= self._config.questions:
            self._over()
        elif stage is not Stage.PASSED or not self._recognised:
            self._next("policy", "", f"after {stage}", now)

    def _over(self) -> None:
        self._deadline = None
        self._move(Stage.OVER, self._reasons)

    def _note(self, reason: str) -> None:
        self._reasons = (*self._reasons, reason)
        self._steps.append(Record(self.record()))

    def _move(self, target: Stage, reasons: tuple[str, ...] | None = None) -> None:
        if target not in TRANSITIONS[self.stage]:
            raise AssertionError(f"an examination does not go from {self.stage} to {target}")
        self.stage = target
        if target not in RUNNING:
            self._listener.rest()
        if reasons is not None:
            self._reasons = reasons
        self._steps.append(Record(self.record()))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # `| head`
        print(table(), flush=True)
