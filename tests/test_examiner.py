"""The shell around examinations: prompts into a player, answers into a thread, decisions into the call."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from challenges.catalogue import PHONE, Line
from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from engine.audio import Chunk
from engine.call import Call, CallInfo
from engine.config import Examination as ExaminationSettings
from engine.events import Tag
from engine.session import Session
from tests.engine.test_session import CONFIG, FakeScorer
from vivavoce.examiner import AHEAD, Examiner, examination_config
from vivavoce.judging import Before

CHUNK_S = 0.16


class Player:
    def __init__(self) -> None:
        self.playing = self.stopped = False
        self.until = self.left_s = 0.0
        self.played: list[np.ndarray] = []

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        self.played.append(samples)
        self.playing, self.until, self.left_s = True, now + len(samples) / rate, len(samples) / rate
        return self.until

    def stop(self) -> None:
        self.playing, self.stopped = False, True

    def look(self, now: float) -> None:
        self.left_s = max(0.0, self.until - now)
        self.playing = self.playing and now < self.until


class Pack:
    def speaks(self, language: str) -> bool:
        return language == "en"

    def render(self, question: Any, rate: int) -> np.ndarray:
        return np.ones(rate, np.int16)


class Judge:
    def __init__(self, judgement: Judgement | Exception) -> None:
        self.judgement = judgement
        self.measured: list[np.ndarray] = []  # speech before the first question of each call

    measuring = False

    def before(self, samples: np.ndarray) -> Before:
        return Before(samples, self.measured.append)

    def judge(self, *_: Any) -> Judgement:
        if isinstance(self.judgement, Exception):
            raise self.judgement
        return self.judgement


class Desk:
    """One leg, an examiner, and a queue of what would run on the event loop."""

    def __init__(
        self, judge: Judge, *, mode: str = "automatic", player: Player | None = None,
        pool: tuple[str, ...] = ("sing", "whisper"), language: str = "", queue: int = 64, line: Line = PHONE,
    ) -> None:  # fmt: skip
        self.soon: list[Callable[[], None]] = []
        self.outcomes: list[Mapping[str, Any]] = []
        self.tags: list[Tag] = []
        self.now, self.index = 10.0, 0
        self.player = player
        self._rng = np.random.default_rng(3)
        self.examiner = Examiner(
            ExaminationSettings(mode=mode, pool=pool, queue=queue), ExaminationConfig(mode=mode), judge, Pack(),  # type: ignore[arg-type]
            soon=self.soon.append, chunk_s=CHUNK_S, outcome=self.outcomes.append, rng=random.Random(4),
        )  # fmt: skip
        self.judge, self.language, self.line = judge, language, line
        self.session = self.another()

    def another(self) -> Session:
        call = Call(CallInfo("c"), CONFIG, lambda pcm, rate: True, self.now)
        session = Session(call, FakeScorer(), lambda tag, at: self.tags.append(tag))  # type: ignore[arg-type]
        session.begin(self.now)
        player = (lambda: self.player) if self.player is not None else None
        self.examiner.watch(session, player, self.line, self.language)
        return session

    def suspect(self) -> None:
        """The call's own sound makes it suspicious."""
        for _ in range(5):
            self.session.on_score(-1.5, Chunk(np.zeros(1280, np.int16), 0, CHUNK_S, 0.0, self.now), self.now)
        self.hear(2000, CHUNK_S)

    def hear(self, level: float, seconds: float) -> None:
        for _ in range(round(seconds / CHUNK_S)):
            samples = (self._rng.standard_normal(1280) * level).astype(np.int16)
            assert self.session.observer is not None
            self.now += CHUNK_S
            self.session.observer(Chunk(samples, self.index, CHUNK_S if level > 1000 else 0.0, 0.0, self.now), self.now)
            self.index += 1
            if self.player is not None:
                self.player.look(self.now)
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


@pytest.mark.parametrize("key", ["repeat", "ask"])
def test_a_prompt_that_could_not_be_played_is_tried_again_when_an_operator_asks(key: str) -> None:
    class Shy(Player):
        def play(self, samples: np.ndarray, rate: int, now: float) -> float:
            if not heard:
                raise ValueError("no source yet")
            return super().play(samples, rate, now)

    heard: list[bool] = []
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator", player=Shy())
    assert desk.examiner.press(desk.session, desk.now, "ask")["spoken_by"] == "operator"
    heard.append(True)
    if key == "ask":
        desk.examiner.press(desk.session, desk.now, "skip")
    record = desk.examiner.press(desk.session, desk.now, key)
    assert (record["state"], record["spoken_by"]) == ("asked", "engine")
    assert desk.player is not None
    assert len(desk.player.played) == 1


def test_a_language_that_the_pack_does_speak_is_played_though_the_call_began_in_another() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator", player=Player(), language="de")
    assert desk.record["spoken_by"] == "operator"
    assert desk.examiner.press(desk.session, desk.now, "ask", language="en")["spoken_by"] == "engine"


def test_a_player_that_cannot_be_stopped_ends_the_examination_and_leaves_the_call_its_evidence() -> None:
    class Stuck(Player):
        def play(self, samples: np.ndarray, rate: int, now: float) -> float:
            return super().play(np.tile(samples, 9), rate, now)

        def stop(self) -> None:
            raise RuntimeError("gone")

    desk = Desk(Judge(Judgement(None, None, None, None)), player=Stuck())
    desk.hear(2000, 2.0)
    desk.suspect()
    assert desk.record["state"] == "asked"
    desk.hear(20, 1.0)
    while desk.session.observer is not None and desk.now < 60.0:
        desk.hear(2000, CHUNK_S)  # over the prompt, which is to be cut off
    assert desk.record["state"] == "over"
    assert not desk.session.call._aside


def test_many_callers_asked_at_once_leave_the_judges_time_for_answers() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Player())
    for _ in range(20):
        session = desk.another()
        desk.examiner.press(session, desk.now, "ask")
    assert desk.examiner._measuring <= AHEAD
    desk.settle()
    assert desk.examiner._measuring == 0
    assert len(desk.judge.measured) <= AHEAD


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


@pytest.mark.parametrize(("wideband", "rate"), [(False, 8000), (True, 16000)])
def test_a_wide_line_is_played_wide_prompts_and_their_echo_is_known_all_the_same(wideband: bool, rate: int) -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, line=PHONE._replace(wideband=wideband))
    desk.examiner.press(desk.session, desk.now, "ask")
    (played,) = player.played
    assert len(played) == rate, "a second"
    assert desk.record["deadline_s"] == pytest.approx(1.3)


def test_a_pool_of_what_nobody_knows_is_named_before_any_call() -> None:
    with pytest.raises(ValueError, match=r"examination\.pool: challenge 'juggle' is none of"):
        examination_config(ExaminationSettings(pool=("sing", "juggle")), -2.0)


def test_a_language_that_the_pack_does_not_speak_is_proposed_to_the_operator_at_once() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, language="de")
    desk.suspect()
    assert (desk.record["state"], desk.record["language"], desk.record["spoken_by"]) == ("proposed", "de", "operator")
    assert player.played == []


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


class Slow(Player):
    """What a second should take takes eight more; or nothing is sent once it should have been heard."""

    def __init__(self, stands_still: bool) -> None:
        super().__init__()
        self.stands_still = stands_still

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        until = super().play(samples, rate, now)
        self.until += 8.0
        return until

    def look(self, now: float) -> None:
        super().look(self.until - 7.5 if self.stands_still and self.playing else now)


def asked_by(player: Player) -> Desk:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    return desk


def test_a_prompt_that_a_busy_loop_delays_is_heard_to_its_end() -> None:
    desk = asked_by(player := Slow(stands_still=False))
    desk.hear(20, 8.8)
    assert (desk.record["state"], player.playing) == ("asked", True)
    desk.hear(20, 0.48)
    assert (desk.record["state"], player.playing, player.stopped) == ("answering", False, False)


def test_a_prompt_that_does_not_move_any_more_was_not_heard_and_is_left_to_the_operator() -> None:
    desk = asked_by(player := Slow(stands_still=True))
    desk.hear(20, 3.0)
    assert (desk.record["state"], player.playing) == ("asked", True)
    desk.hear(20, 1.0)
    assert (desk.record["state"], desk.record["spoken_by"], desk.record["reasons"]) == ("asked", "operator", ["prompt-failed"])
    assert (player.playing, player.stopped) == (False, True)


def test_of_a_prompt_that_policy_began_and_that_does_not_move_no_answer_is_judged() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), player=Slow(stands_still=True))
    desk.hear(2000, 3.0)
    desk.suspect()
    assert desk.record["state"] == "asked"
    desk.hear(20, 4.0)
    assert (desk.record["state"], desk.record["spoken_by"], desk.record["attempt"]) == ("proposed", "operator", 0)


def test_a_prompt_that_breaks_off_was_not_heard_either() -> None:
    class Breaks(Player):
        def look(self, now: float) -> None:
            if self.playing and now > self.until - 0.5:
                self.playing = False  # with half a second left

    desk = asked_by(player := Breaks())
    desk.hear(20, 2.0)
    assert (desk.record["state"], desk.record["reasons"]) == ("asked", ["prompt-failed"])
    assert player.left_s > 0
