"""Two hundred examinations with whatever can break breaking at random: each ends in a named stage, with a reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from challenges.stages import Conclude, Judge, Play, Press, Record, Stage
from engine.audio import Chunk
from tests.challenges.exam import Caller
from tests.examined import Desk, Player
from tests.examined import Judge as Judge_

CALLS = 200
LONGEST_S = 130.0  # two questions with every limit run out, the operator's 30 s to speak included
ENDS = {Stage.PASSED, Stage.OVER}
RUNNING = {"asked", "answering", "judging"}
VERDICTS = ("human-likely", "deepfake-likely", "uncertain", "nonsense")


class Luckless(Caller):
    """A caller on whose call something is bound to go wrong."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)
        mode = self.luck.choice(("automatic", "operator"))
        super().__init__(ExaminationConfig(mode=mode), can_play=self.luck.random() < 0.8)
        self.faults: list[str] = []
        self.late_judgements: list[Callable[[], None]] = []
        self.refusals: list[tuple[object, object]] = []  # how it stood before and after a press that could not be done
        self.drawing_fails = self.luck.random() < 0.05
        self.hang_up_at = self.luck.uniform(0, 60) if self.luck.random() < 0.3 else float("inf")
        self.audio_stops_at = self.luck.uniform(0, 40) if self.luck.random() < 0.3 else float("inf")
        self.operator_errs = self.luck.random() < 0.5
        self.says = self.luck.choice((("quiet", "quiet", "speech", "whisper"), ("quiet",)))

    def _ask(self, wished: str | None, family: str | None, keeps_voice: bool, now: float):  # type: ignore[no-untyped-def]
        if self.drawing_fails:
            self.faults.append("nothing-to-ask")
            return None
        return super()._ask(wished, family, keeps_voice, now)

    def live(self) -> None:
        """The call, until its examination is over or the caller hangs up."""
        self.hear(self.luck.choice(("speech", "quiet")), self.luck.uniform(0.0, 4.0))
        self.suspect()
        begin = self.now
        while self.exam.stage not in ENDS and self.now - begin < min(self.hang_up_at, LONGEST_S):
            if self.exam.stage is Stage.PROPOSED or (self.operator_errs and self.luck.random() < 0.1):
                self.press()
            if self.now - begin < self.audio_stops_at:
                self.hear(self.luck.choice(self.says), 0.48)
            else:
                self.wait(0.5)
            if self.late_judgements and self.luck.random() < 0.2:
                self.late_judgements.pop(0)()
        if self.now - begin >= self.hang_up_at:
            self.faults.append("hung-up")
        self.last_stage = self.exam.stage
        self.exam.close(self.now)
        self.drain()

    def wait(self, seconds: float) -> None:
        """Time without audio."""
        self.now += seconds
        due = self.exam.next_timer()
        if due is not None and self.now >= due:
            self.exam.handle_timer(self.now)
        self.drain()

    def press(self) -> None:
        """Any key at any moment, once or twice; what cannot be done is a sentence and changes nothing."""
        key = self.luck.choice((*Press, Press.ASK, Press.ASK))
        for _ in range(self.luck.choice((1, 1, 2))):
            before = (self.exam.stage, self.exam.attempt, self.exam.next_timer())
            wish = self.luck.choice((None, "clap"))
            try:
                self.exam.press(key, self.now, who="ana", challenge=wish, verdict=self.luck.choice(VERDICTS))
            except ValueError:
                self.faults.append("refused-press")
                self.refusals.append((before, (self.exam.stage, self.exam.attempt, self.exam.next_timer())))
            self.drain()

    def drain(self):  # type: ignore[no-untyped-def]
        fresh = super().drain()
        for step in fresh:
            if isinstance(step, Play):
                self.play()
            elif isinstance(step, Judge):
                self.judge(step)
        return fresh

    def play(self) -> None:
        fault = self.luck.choice(("", "", "broken-prompt", "player-hangs"))
        if fault:
            self.faults.append(fault)
        if fault == "broken-prompt":
            self.exam.prompt_failed(self.now)
            self.drain()
        elif not fault:
            self.exam.prompt_started(self.now + 2.0, np.zeros(16000, np.int16), self.now)

    def judge(self, step: Judge) -> None:
        fault = self.luck.choice(("", "", "judge-raises", "judge-hangs", "judge-late"))
        found = Judgement(self.luck.random(), self.luck.uniform(-3, 3), None, None) if fault != "judge-raises" else None
        nonce = step.question.nonce

        def answer() -> None:
            self.exam.receive_judgement(found, nonce, self.now)
            self.drain()

        if fault:
            self.faults.append(fault)
        if fault == "judge-late":
            self.late_judgements.append(answer)
        elif fault != "judge-hangs":
            answer()

    @property
    def tables(self) -> list[dict]:  # type: ignore[type-arg]
        return [step.table for step in self.steps if isinstance(step, Record)]


@pytest.fixture(scope="module")
def calls() -> list[Luckless]:
    found = [Luckless(seed) for seed in range(CALLS)]
    for call in found:
        call.live()
    return found


def test_the_faults_did_happen(calls: list[Luckless]) -> None:
    seen = Counter(fault for call in calls for fault in call.faults)
    kinds = {"broken-prompt", "player-hangs", "judge-raises", "judge-hangs", "judge-late", "refused-press", "hung-up"}
    assert all(seen[kind] >= 5 for kind in kinds), seen
    assert seen["nothing-to-ask"] >= 1


def test_no_caller_is_left_hanging(calls: list[Luckless]) -> None:
    """Left alone every question runs out; then only an operator is waited for, and only the call's end cuts in."""
    for call in calls:
        ended = call.last_stage in ENDS or "hung-up" in call.faults or "nothing-to-ask" in call.faults
        left = call.exam.record()["by"] == "operator" or str(call.last_stage) == "proposed"
        assert ended or (left and str(call.last_stage) not in RUNNING), call.tables[-3:]
        assert call.exam.stage is Stage.OVER
        assert call.exam.next_timer() is None


def test_a_press_that_cannot_be_done_changes_nothing(calls: list[Luckless]) -> None:
    assert all(before == after for call in calls for before, after in call.refusals)


def test_every_question_ends_in_a_named_stage_with_a_reason(calls: list[Luckless]) -> None:
    for call in calls:
        for before, after in zip(call.tables, call.tables[1:], strict=False):
            if before["state"] in RUNNING and after["state"] not in RUNNING:
                assert after["reasons"] or after["llr"] is not None, (before, after)


def test_what_broke_is_evidence_for_neither_side(calls: list[Luckless]) -> None:
    for call in calls:
        for number, step in enumerate(call.steps):
            if isinstance(step, Conclude) and not step.verdict:
                state = call.steps[number - 1].table["state"]
                assert state in ("passed", "failed", "unclear") or (state in ("no-answer", "skipped") and step.llr == 0.0)
                assert "judge-failed" not in step.reasons


def test_the_records_know_only_the_table_s_stages(calls: list[Luckless]) -> None:
    assert {table["state"] for call in calls for table in call.tables} <= {str(stage) for stage in Stage}
    assert {"passed", "failed", "unclear", "no-answer", "skipped", "over"} <= {
        table["state"] for call in calls for table in call.tables
    }


# --- the shell ------------------------------------------------------------------------------------------------------


class Broken(Player):
    """A player with a fault of its own."""

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        raise RuntimeError("transport is None")


def states(desk: Desk) -> list[tuple[str, list[str]]]:
    found = [tag.examination for tag in desk.tags if tag.kind == "exam" and tag.examination]
    return [(record["state"], list(record["reasons"])) for record in found]


@pytest.mark.parametrize("mode", ["automatic", "operator"])
def test_a_player_with_a_fault_leaves_the_asking_to_the_operator_and_then_to_nobody(mode: str) -> None:
    desk = Desk(Judge_(Judgement(None, None, None, None)), mode=mode, player=Broken())
    record = desk.examiner.press(desk.session, desk.now, "ask")
    assert (record["state"], record["spoken_by"], record["reasons"]) == ("asked", "operator", ["prompt-failed"])
    desk.hear(20, 31.0)
    assert ("skipped", ["prompt-failed"]) in states(desk)


def test_a_player_with_a_fault_in_automatic_mode_leaves_the_next_question_to_an_operator_at_once() -> None:
    desk = Desk(Judge_(Judgement(None, None, None, None)), player=Broken())
    desk.hear(2000, 3.0)
    desk.suspect()
    assert [state for state, _ in states(desk)] == ["asked", "skipped", "proposed"]
    assert states(desk)[1] == ("skipped", ["prompt-failed"])
    assert "prompt-failed" not in desk.session.call.tag().reasons, "evidence for neither side"


def test_an_early_answer_hushes_the_prompt() -> None:
    class Long(Player):
        def play(self, samples: np.ndarray, rate: int, now: float) -> float:
            return super().play(np.zeros(20 * rate, np.int16), rate, now)

    player = Long()
    desk = Desk(Judge_(Judgement(None, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.hear(20, 2.0)
    assert player.playing
    desk.hear(2000, 1.5)
    assert desk.record["state"] == "answering"
    assert not player.playing


def test_a_slow_judge_s_time_is_not_taken_from_the_next_question() -> None:
    player = Player()
    desk = Desk(Judge_(Judgement(0.0, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    desk.hear(20, 2.0)
    desk.hear(2000, 4.0)
    desk.hear(20, 4.0)  # the judge has taken some two seconds of them
    desk.settle()
    assert desk.record["state"] == "asked"
    assert desk.record["deadline_s"] == pytest.approx(1.3, abs=0.05), "a second of prompt and its echo's tail"


def test_what_was_proposed_and_never_asked_may_still_be_asked() -> None:
    """Two challenges in the pool: the operator prefers the one that was not proposed, and the other is left for later."""
    desk = Desk(Judge_(Judgement(0.5, None, None, None)), mode="operator", player=Player())
    desk.hear(2000, 3.0)
    desk.session.call.receive_examination(-9.0, ())
    for _ in range(40):
        desk.session.call.receive_score(-5.0, Chunk(np.zeros(1280, np.int16), 0, 0.16, 0.0, desk.now), desk.now)
    desk.hear(2000, 0.5)
    assert desk.record["state"] == "proposed"
    proposed = desk.record["challenge"]
    (other,) = {"sing", "whisper"} - {proposed}
    desk.examiner.press(desk.session, desk.now, "ask", challenge=other)
    desk.examiner.press(desk.session, desk.now, "skip")
    assert (desk.record["state"], desk.record["challenge"]) == ("proposed", proposed)
