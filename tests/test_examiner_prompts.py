"""Prompts on their way to the caller: played, spoken by the operator instead, cut off, late, or never heard."""

from __future__ import annotations

import numpy as np
import pytest

from challenges.catalogue import PHONE
from challenges.fusion import Judgement
from tests.examined import CHUNK_S, Desk, Judge, Player


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


def test_keys_that_say_go_on_hush_the_prompt() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player)
    desk.examiner.press(desk.session, desk.now, "ask")
    assert player.playing
    desk.examiner.press(desk.session, desk.now, "skip")
    assert not player.playing or len(player.played) == 2, "the next question may already be playing"


@pytest.mark.parametrize(("wideband", "rate"), [(False, 8000), (True, 16000)])
def test_a_wide_line_is_played_wide_prompts_and_their_echo_is_known_all_the_same(wideband: bool, rate: int) -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, line=PHONE._replace(wideband=wideband))
    desk.examiner.press(desk.session, desk.now, "ask")
    (played,) = player.played
    assert len(played) == rate, "a second"
    assert desk.record["deadline_s"] == pytest.approx(1.3)


def test_a_language_that_the_pack_does_not_speak_is_proposed_to_the_operator_at_once() -> None:
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, language="de")
    desk.suspect()
    assert (desk.record["state"], desk.record["language"], desk.record["spoken_by"]) == ("proposed", "de", "operator")
    assert player.played == []


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


class Shy(Player):
    """Plays once somebody listens."""

    heard = False

    def play(self, samples: np.ndarray, rate: int, now: float) -> float:
        if not self.heard:
            raise ValueError("no source yet")
        return super().play(samples, rate, now)


def test_a_first_question_that_nobody_heard_freezes_nothing_of_how_the_caller_sounded_before() -> None:
    player = Shy()
    judge = Judge(Judgement(None, None, None, None))
    desk = Desk(judge, player=player)
    desk.hear(2000, 1.0)
    desk.suspect()
    assert desk.record["state"] == "proposed", "the question could not be played"
    desk.hear(2000, 8.0)
    player.heard = True
    desk.examiner.press(desk.session, desk.now, "ask", challenge="sing")
    desk.examiner._thread.submit(lambda: None).result()
    assert [len(samples) / 8000 for samples in judge.measured][-1] == pytest.approx(8.0, abs=0.2)
    desk.examiner.forget(desk.session, desk.now)
    assert desk.outcomes[0]["asked"] == ["sing"]


def test_a_question_that_nobody_heard_may_be_drawn_again() -> None:
    player = Shy()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, pool=("sing", "whisper"))
    desk.suspect()
    player.heard = True
    desk.examiner.press(desk.session, desk.now, "ask")
    first = desk.record["challenge"]
    desk.examiner.press(desk.session, desk.now, "skip")
    assert {first, desk.record["challenge"]} == {"sing", "whisper"}
    assert desk.record["state"] == "asked"


def test_a_prompt_that_failed_once_is_not_said_to_fail_when_it_is_played() -> None:
    player = Shy()
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="operator", player=player)
    assert desk.examiner.press(desk.session, desk.now, "ask")["reasons"] == ["prompt-failed"]
    player.heard = True
    again = desk.examiner.press(desk.session, desk.now, "repeat")
    assert (again["spoken_by"], again["reasons"]) == ("engine", [])


@pytest.mark.parametrize("mode", ["operator", "automatic"])
def test_where_no_task_of_the_pool_suits_the_line_an_operator_may_still_ask_any(mode: str) -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode=mode, player=Player(), pool=("cough-whistle", "clap"))
    desk.suspect()
    desk.suspect()
    assert (desk.record["state"], desk.record["by"]) == ("idle", "policy")
    with pytest.raises(ValueError, match="say which challenge to ask"):
        desk.examiner.press(desk.session, desk.now, "ask")
    assert desk.record["state"] == "idle"
    assert desk.examiner.press(desk.session, desk.now, "ask", challenge="foreign-words")["state"] == "asked"


def test_after_the_last_of_the_pool_an_operator_may_still_ask() -> None:
    desk = Desk(Judge(Judgement(None, None, None, None)), mode="automatic", player=Player(), pool=("whisper",))
    desk.suspect()
    assert desk.record["challenge"] == "whisper"
    desk.examiner.press(desk.session, desk.now, "skip")
    assert desk.record["state"] == "skipped"
    assert desk.examiner.press(desk.session, desk.now, "ask", challenge="sing")["state"] == "asked"
