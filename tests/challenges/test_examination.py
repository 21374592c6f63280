"""The examination as a state machine: every road has a named end, and no single answer decides."""

from __future__ import annotations

import numpy as np
import pytest

from challenges.examination import ExaminationConfig
from challenges.fusion import Judgement
from challenges.stages import TRANSITIONS, Conclude, Judge, Play, Press, Record, Stage, table
from tests.challenges.exam import Caller

OPERATOR = ExaminationConfig(mode="operator")


def conclusions(caller: Caller) -> list[Conclude]:
    return [step for step in caller.steps if isinstance(step, Conclude)]


def answered(caller: Caller, **judged: float | None) -> None:
    """The standing question is heard, answered and judged."""
    caller.prompt(1.0)
    caller.hear("quiet", 1.6)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 1.6)
    caller.judged(**judged)


def test_a_person_who_does_the_task_passes() -> None:
    caller = Caller()
    caller.hear("speech", 4.0)
    caller.suspect()
    assert any(isinstance(step, Play) for step in caller.steps)
    caller.prompt()
    caller.hear("quiet", 3.5)
    assert caller.exam.stage is Stage.ANSWERING
    caller.hear("whisper", 3.0)
    caller.hear("quiet", 1.6)
    (judge,) = [step for step in caller.steps if isinstance(step, Judge)]
    assert judge.answer.seconds == pytest.approx(4.6, abs=0.8)
    assert len(judge.answer.before) / 8000 == pytest.approx(4.0, abs=0.2)
    caller.judged(compliance=0.95, realism=1.0)
    assert caller.states[:4] == ["asked", "answering", "judging", "passed"]
    assert conclusions(caller)[0].llr > 0
    assert conclusions(caller)[0].passed


def test_after_a_whisper_the_caller_is_asked_something_that_tells_the_voice_and_then_no_more() -> None:
    caller = Caller(keys=("whisper", "sing", "foreign-words", "emotions"))
    caller.hear("speech", 4.0)
    caller.suspect()
    answered(caller, compliance=0.95)
    assert caller.exam.question is not None
    assert caller.exam.question.challenge.key == "foreign-words", "by song nobody is recognised"
    answered(caller, compliance=0.9, identity=1.0)
    assert caller.states[-1] == "passed"
    assert len(conclusions(caller)) == 2


def test_who_passes_in_the_voice_from_before_is_asked_once() -> None:
    caller = Caller(keys=("foreign-words", "whisper"))
    caller.hear("speech", 4.0)
    caller.suspect()
    answered(caller, compliance=0.9, identity=1.0)
    assert caller.states[-1] == "passed"


def test_a_failed_task_leads_to_others_of_another_family_and_three_failures_end_it() -> None:
    caller = Caller()
    caller.hear("speech", 4.0)
    caller.suspect()
    for _ in range(3):
        answered(caller, compliance=0.02)
    assert caller.states[-2:] == ["failed", "over"]
    assert caller.wished == [(None, None), (None, "vocal"), (None, "language")]
    found = conclusions(caller)
    assert all(one.llr > -2.0 for one in found), "a single failed task stays below what accuses"
    assert [one.reasons for one in found] == [("non-compliance",)] * 3
    assert not any(one.passed for one in found)


def test_an_answer_whose_sound_was_judged_was_a_voice() -> None:
    caller = Caller()
    caller.hear("speech", 4.0)
    caller.suspect()
    answered(caller, compliance=0.02, realism=-2.0)
    answered(caller, compliance=0.02)
    assert [one.sounded for one in conclusions(caller)] == [True, False]


def test_nobody_answering_is_late_and_no_evidence_but_does_not_clear() -> None:
    caller = Caller(ExaminationConfig(mode="automatic", questions=1))
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 30.0)
    assert caller.states == ["asked", "answering", "no-answer", "over"]
    assert [step.table["reasons"] for step in caller.steps if isinstance(step, Record)][-2] == ["late"]
    assert conclusions(caller) == [Conclude(0.0, ("late",), passed=False)]


def test_the_judge_is_told_which_question_nobody_answered() -> None:
    caller = Caller()
    caller.hear("speech", 4.0)
    caller.suspect()
    unanswered = caller.exam.question
    caller.prompt(1.0)
    caller.hear("quiet", 12.0)
    answered(caller, compliance=None)
    (judge,) = [step for step in caller.steps if isinstance(step, Judge)]
    assert judge.unanswered == (unanswered,)
    assert judge.question != unanswered


def test_who_has_not_begun_by_the_limit_has_not_answered_who_has_may_go_on() -> None:
    config = ExaminationConfig(mode="automatic", questions=1)
    silent, slow = Caller(config), Caller(config)
    for caller, quiet in ((silent, 8.6), (slow, 7.0)):
        caller.suspect()
        caller.prompt(1.0)
        caller.hear("quiet", 1.6)
        caller.hear("quiet", quiet)
    assert silent.states == ["asked", "answering", "no-answer", "over"], "eight seconds, not eight and the longest answer"
    slow.hear("speech", 4.0)
    assert slow.exam.stage is Stage.ANSWERING
    slow.hear("quiet", 1.6)
    assert slow.exam.stage is Stage.JUDGING


def test_an_answer_that_breaks_off_is_judged_when_its_time_is_over() -> None:
    caller = Caller(ExaminationConfig(mode="automatic", questions=1))
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 1.6)
    caller.hear("speech", 1.0)
    for _ in range(40):  # no audio comes any more
        caller.now += 1.0
        due = caller.exam.next_timer()
        if due is not None and caller.now >= due:
            caller.exam.handle_timer(caller.now)
    caller.drain()
    assert caller.states == ["asked", "answering", "judging", "unclear", "over"]


def test_the_judgement_of_an_answer_from_before_a_repeat_is_not_taken_for_the_new_one() -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now)
    nonces = []
    for _ in range(2):
        caller.exam.press(Press.ANSWERING, caller.now)
        caller.hear("speech", 3.0)
        caller.hear("quiet", 1.6)
        assert caller.exam.stage is Stage.JUDGING
        assert caller.exam.question is not None
        nonces.append(caller.exam.question.nonce)
        if len(nonces) == 1:
            caller.exam.press(Press.REPEAT, caller.now)
    caller.exam.receive_judgement(Judgement(0.99, 2.0, None, None), nonces[0], caller.now)
    assert caller.exam.stage is Stage.JUDGING
    caller.exam.receive_judgement(Judgement(0.01, -2.0, None, None), nonces[1], caller.now)
    assert caller.exam.weighed[0].llr < 0


def test_an_answer_over_the_prompt_is_taken_but_the_prompt_s_echo_is_not() -> None:
    eager = Caller()
    eager.suspect()
    eager.prompt(5.0)
    eager.hear("quiet", 1.0)
    eager.hear("speech", 1.0)
    assert eager.exam.stage is Stage.ANSWERING

    rng = np.random.default_rng(5)
    swell = np.repeat(rng.uniform(0.02, 1.0, 40), 1280)  # as loud and soft as speech
    prompt = (rng.standard_normal(40 * 1280) * 3000 * swell).astype(np.int16)
    echoed = Caller()
    echoed.hear("quiet", 2.0)
    echoed.suspect()
    echoed.exam.prompt_started(echoed.now + 6.4, prompt, echoed.now)
    echo = np.concatenate([np.zeros(1280, np.int16), prompt // 4])[: 36 * 1280]
    echoed.hear("speech", 36 * 0.16, echo)
    assert echoed.exam.stage is Stage.ASKED


def test_in_operator_mode_the_engine_only_proposes() -> None:
    caller = Caller(OPERATOR)
    caller.suspect()
    assert caller.states == ["proposed"]
    caller.exam.press(Press.ASK, caller.now, who="ana")
    caller.drain()
    assert caller.states == ["proposed", "asked"]
    assert caller.exam.record()["by"] == "operator"
    assert caller.exam.record()["who"] == "ana"


def test_where_nothing_can_be_played_the_operator_speaks_and_says_when_the_caller_answers() -> None:
    caller = Caller(OPERATOR, can_play=False)
    caller.exam.press(Press.ASK, caller.now)
    caller.drain()
    record = caller.exam.record()
    assert record["spoken_by"] == "operator"
    assert record["sentence"]
    assert not any(isinstance(step, Play) for step in caller.steps)
    caller.exam.press(Press.ANSWERING, caller.now)
    assert caller.exam.stage is Stage.ANSWERING


@pytest.mark.parametrize("mode", ["operator", "automatic"])
def test_a_prompt_that_cannot_be_played_falls_to_the_operator_who_asked_with_its_reason(mode: str) -> None:
    caller = Caller(ExaminationConfig(mode=mode))
    caller.exam.press(Press.ASK, caller.now)
    caller.exam.prompt_failed(caller.now)
    caller.drain()
    assert caller.steps[-1].table["reasons"] == ["prompt-failed"]
    assert caller.exam.record()["spoken_by"] == "operator"
    caller.hear("quiet", 31.0)
    skipped = next(step.table for step in caller.steps if isinstance(step, Record) and step.table["state"] == "skipped")
    assert skipped["reasons"] == ["prompt-failed"], "nobody refused anything"


def test_nobody_is_waited_for_to_speak_a_question_that_was_asked_automatically() -> None:
    caller = Caller(ExaminationConfig(mode="automatic", questions=1))
    caller.suspect()
    unheard = caller.exam.question
    caller.exam.prompt_failed(caller.now)
    caller.drain()
    skipped, proposed = (step.table for step in caller.steps[-2:] if isinstance(step, Record))
    assert (skipped["state"], skipped["reasons"], skipped["deadline_s"]) == ("skipped", ["prompt-failed"], None)
    assert (proposed["state"], proposed["spoken_by"]) == ("proposed", "operator")
    assert caller.exam.question is not None
    assert unheard is not None
    assert caller.exam.question.challenge.family != unheard.challenge.family
    caller.hear("quiet", 60.0)
    assert caller.states == ["asked", "skipped", "proposed"], "nothing more is asked of itself"
    assert not conclusions(caller)
    caller.exam.press(Press.ASK, caller.now)
    assert (caller.exam.stage, caller.exam.attempt) == (Stage.ASKED, 1), "what nobody heard is no question of the call"


def test_a_prompt_that_fails_after_the_caller_began_to_answer_changes_nothing() -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now)
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.drain()
    caller.exam.prompt_failed(caller.now)
    assert (caller.exam.stage, caller.drain()) == (Stage.ANSWERING, [])


def test_a_judge_that_never_answers_leaves_it_unclear() -> None:
    caller = Caller(ExaminationConfig(mode="automatic", questions=1))
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 1.6)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 8.0)
    assert caller.states[-2:] == ["unclear", "over"]
    assert not conclusions(caller)
    nonce = caller.exam.question.nonce if caller.exam.question else ""
    caller.exam.receive_judgement(None, nonce, caller.now)
    assert caller.exam.stage is Stage.OVER, "a result that comes too late changes nothing"


@pytest.mark.parametrize("press", [Press.ACCEPT, Press.OVERRIDE])
def test_an_operator_may_decide_at_any_stage(press: Press) -> None:
    for stage in range(3):
        caller = Caller(OPERATOR)
        if stage:
            caller.exam.press(Press.ASK, caller.now)
        if stage > 1:
            caller.exam.press(Press.ANSWERING, caller.now)
        caller.exam.press(press, caller.now, who="ana", verdict="uncertain")
        caller.drain()
        (conclusion,) = conclusions(caller)
        assert conclusion.verdict == ("human-likely" if press is Press.ACCEPT else "uncertain")
        assert caller.exam.stage is Stage.OVER


def test_what_cannot_be_done_now_is_said_in_words() -> None:
    caller = Caller(OPERATOR)
    for press, words in (
        (Press.ANSWERING, "nothing has been asked"), (Press.SKIP, "nothing to skip"), (Press.REPEAT, "nothing to repeat"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            caller.exam.press(press, caller.now)
    caller.exam.press(Press.ASK, caller.now)
    with pytest.raises(ValueError, match="asked already"):
        caller.exam.press(Press.ASK, caller.now)
    with pytest.raises(ValueError, match='"guilty" is none of'):
        caller.exam.press(Press.OVERRIDE, caller.now, verdict="guilty")
    with pytest.raises(ValueError, match="switched off"):
        Caller(ExaminationConfig(mode="off")).exam.press(Press.ASK, 0.0)


def test_repeat_plays_the_same_question_and_counts_once() -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now)
    caller.prompt(2.0)
    asked = caller.exam.question
    caller.exam.press(Press.REPEAT, caller.now)
    caller.drain()
    plays = [step for step in caller.steps if isinstance(step, Play)]
    assert len(plays) == 2
    assert asked is not None
    assert plays[1].question.sentence == asked.sentence
    assert caller.exam.attempt == 1


def test_a_proposal_that_waited_too_long_is_drawn_anew() -> None:
    caller = Caller(OPERATOR)
    caller.suspect()
    stale = caller.exam.question
    caller.exam.press(Press.ASK, caller.now + 3600)
    assert stale is not None
    assert caller.exam.question is not None
    assert caller.exam.question.nonce != stale.nonce


def test_a_call_that_ends_in_mid_answer_names_its_end() -> None:
    caller = Caller()
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 1.6)
    caller.exam.close(caller.now)
    caller.drain()
    assert caller.states[-2:] == ["skipped", "over"]
    assert [s.table["reasons"] for s in caller.steps if isinstance(s, Record)][-2] == ["audio-stopped"]


def test_when_nothing_is_left_to_ask_nothing_is_asked_and_nothing_is_over() -> None:
    caller = Caller(keys=())
    caller.suspect()
    caller.suspect()
    assert caller.states == []
    with pytest.raises(ValueError, match="say which challenge to ask"):
        caller.exam.press(Press.ASK, caller.now)
    assert caller.exam.stage is Stage.IDLE


@pytest.mark.parametrize(("operated", "end"), [(False, "over"), (True, "no-answer")])
def test_one_that_runs_by_itself_is_over_when_nothing_is_left_and_an_operator_may_go_on(operated: bool, end: str) -> None:
    caller = Caller(keys=("whisper",))
    if operated:
        caller.exam.press(Press.ASK, caller.now)
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 20.0)
    assert caller.states[-1] == end
    if operated:
        with pytest.raises(ValueError, match="say which challenge to ask"):
            caller.exam.press(Press.ASK, caller.now)


def test_the_table_is_printed_whole_and_every_stage_can_end() -> None:
    assert len(table().splitlines()) == len(TRANSITIONS) == len(Stage)
    for stage, after in TRANSITIONS.items():
        assert Stage.OVER in after or stage is Stage.OVER


def test_a_line_that_cannot_be_played_to_is_left_to_the_operator_in_automatic_mode_too() -> None:
    caller = Caller(can_play=False)
    caller.suspect()
    caller.hear("quiet", 40.0)
    assert caller.states == ["proposed"], "nobody is waited for in vain"
    caller.exam.press(Press.ASK, caller.now)
    caller.hear("quiet", 31.0)
    assert caller.states[1:] == ["asked", "skipped", "proposed"]


def test_talk_with_an_operator_who_speaks_the_question_is_no_answer_before_the_key() -> None:
    caller = Caller(OPERATOR, can_play=False)
    caller.exam.press(Press.ASK, caller.now)
    caller.hear("quiet", 1.0)
    caller.hear("speech", 2.0)
    caller.hear("quiet", 3.0)
    assert caller.exam.stage is Stage.ASKED, '"What shall I do?" does no task'
    caller.exam.press(Press.ANSWERING, caller.now)
    assert caller.exam.stage is Stage.ANSWERING


def test_what_is_said_to_the_operator_until_the_key_is_not_judged() -> None:
    caller = Caller(OPERATOR, can_play=False)
    caller.hear("speech", 3.0)
    caller.exam.press(Press.ASK, caller.now)
    caller.hear("quiet", 1.0)
    caller.hear("speech", 3.0)
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("quiet", 2.0)
    assert caller.exam.stage is Stage.ANSWERING, '"What, whisper?" was no answer'


def test_an_answer_that_nobody_could_judge_recognises_nobody() -> None:
    """Or a song, by which nobody is recognised either, would be the end of it."""
    caller = Caller(keys=("foreign-words", "sing", "emotions"))
    caller.hear("speech", 4.0)
    caller.suspect()
    answered(caller, compliance=None)
    assert caller.exam.question is not None
    assert caller.exam.question.challenge.key == "emotions", "a song would tell the voice no better"


def test_a_decision_is_recorded_with_who_and_why_before_it_moves_the_tag_even_when_all_is_over() -> None:
    caller = Caller(OPERATOR)
    for press, verdict in ((Press.ACCEPT, ""), (Press.OVERRIDE, "deepfake-likely")):
        caller.steps.clear()
        caller.exam.press(press, caller.now, who="ana", why=f"{press} it is", verdict=verdict)
        caller.drain()
        record, conclusion = caller.steps
        assert isinstance(record, Record)
        assert isinstance(conclusion, Conclude)
        assert (record.table["state"], record.table["who"], record.table["why"]) == ("over", "ana", f"{press} it is")
        assert record.table["reasons"][-1] == conclusion.reasons[0]


@pytest.mark.parametrize("press", [Press.SKIP, Press.REPEAT, Press.ANSWERING])
def test_a_key_meant_for_another_question_than_the_standing_one_is_refused(press: Press) -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now, challenge="whisper")
    caller.drain()
    with pytest.raises(ValueError, match="the question is whisper by now"):
        caller.exam.press(press, caller.now, challenge="sing")
    assert caller.drain() == []
    caller.exam.press(press, caller.now, challenge="whisper")


@pytest.mark.parametrize("press", [Press.ASK, Press.REPEAT])
def test_a_question_wanted_in_another_language_is_drawn_anew(press: Press) -> None:
    caller = Caller(OPERATOR)
    caller.suspect()
    if press is Press.REPEAT:
        caller.exam.press(Press.ASK, caller.now)
    stale = caller.exam.question
    assert stale is not None
    caller.exam.press(press, caller.now, anew=True)
    fresh = caller.exam.question
    assert fresh is not None
    assert (fresh.challenge, caller.exam.attempt) == (stale.challenge, 1)
    assert fresh.nonce != stale.nonce


def test_a_fault_of_ours_ends_the_questions_and_leaves_the_operator_the_last_word() -> None:
    caller = Caller()
    caller.suspect()
    caller.exam.give_up(caller.now)
    caller.drain()
    assert caller.steps[-1].table["reasons"] == ["judge-failed"]
    assert caller.exam.stage is Stage.OVER
    assert caller.exam.next_timer() is None
    caller.exam.press(Press.OVERRIDE, caller.now, verdict="uncertain")
    caller.exam.give_up(caller.now)
    assert conclusions(caller) == []
    assert [type(step) for step in caller.drain()] == [Record, Conclude], "what the operator decided is not taken back"


@pytest.mark.parametrize("press", [Press.SKIP, Press.STOP, Press.OVERRIDE, None])
def test_nothing_more_of_a_call_is_kept_once_no_answer_is_awaited(press: Press | None) -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now)
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("quiet", 9.0 if press is None else 1.0)
    if press is not None:
        caller.exam.press(press, caller.now, verdict="uncertain")
    caller.hear("speech", 30.0)
    assert len(caller.exam._listener._held) == 0


@pytest.mark.parametrize("delay", [0.16, 0.48, 0.64])
def test_the_last_words_of_the_prompt_coming_back_late_are_no_answer_of_a_silent_caller(delay: float) -> None:
    caller = Caller(ExaminationConfig(mode="automatic", questions=1))
    caller.hear("quiet", 2.0)
    caller.suspect()
    rng = np.random.default_rng(6)
    swell = np.repeat(rng.uniform(0.02, 1.0, 100), 320)  # 4 s, as loud and soft as speech
    prompt = (rng.standard_normal(32000) * 3000 * swell).astype(np.int16)
    caller.exam.prompt_started(caller.now + 4.0, prompt, caller.now)
    late = np.zeros(round(delay * 8000), np.int16)
    line = (rng.standard_normal(80_000) * 20).astype(np.int16)
    line[: len(late) + 32000] += np.concatenate([late, prompt // 4])
    caller.hear("speech", (4.0 + delay) // 0.16 * 0.16 + 0.16, line)
    caller.hear("quiet", 9.0)
    assert caller.states == ["asked", "answering", "no-answer", "over"]


def test_an_answer_after_the_key_cut_the_prompt_off_is_not_taken_for_the_rest_of_it() -> None:
    caller = Caller(OPERATOR)
    caller.exam.press(Press.ASK, caller.now)
    caller.prompt(20.0)
    caller.hear("quiet", 1.6)
    caller.exam.press(Press.ANSWERING, caller.now)
    caller.hear("quiet", 1.0)
    caller.hear("speech", 3.0)
    caller.hear("quiet", 1.6)
    (judge,) = [step for step in caller.steps if isinstance(step, Judge)]
    assert judge.answer.sound_s == pytest.approx(3.0, abs=0.1)


def test_a_whisper_well_done_is_passed_though_nothing_else_can_be_judged_of_it() -> None:
    caller = Caller()
    caller.hear("speech", 4.0)
    caller.suspect()
    caller.prompt(1.0)
    caller.hear("quiet", 1.6)
    caller.hear("whisper", 3.0)
    caller.hear("quiet", 1.6)
    caller.judged(compliance=0.97)
    assert "passed" in caller.states
