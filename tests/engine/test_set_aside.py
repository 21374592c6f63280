"""What is set aside: scored and shown as ever, and no part of the call's running evidence."""

from __future__ import annotations

import pytest

from engine.events import Verdict
from engine.policy import counts
from tests.engine.test_call import Player


def test_what_is_set_aside_is_scored_and_shown_and_moves_nothing() -> None:
    player = Player()
    player.frames(200, score=4.0)
    before, shown = player.call.tag(), len(player.tags)
    player.call.set_aside(True)
    player.frames(400, score=-9.0)
    after = player.call.tag()
    assert (after.llr, after.tag) == (before.llr, before.tag) == (4.0, Verdict.HUMAN_LIKELY)
    assert player.call.evidence_s == pytest.approx(4.0)
    assert after.net_speech_s == pytest.approx(12.0), "speech it was"
    assert [tag.kind for tag in player.tags[shown:]] == ["score"] * 7, "seven chunks apart, for the screen goes on"
    player.call.set_aside(False)
    player.frames(400, score=-9.0)
    assert player.call.state is Verdict.DEEPFAKE_LIKELY


def test_a_chunk_is_what_it_was_when_it_was_heard_however_late_its_score() -> None:
    player = Player()
    player.frames(80)
    player.call.set_aside(True)
    player.frames(80)
    player.call.set_aside(False)
    player.frames(80)
    assert [chunk.aside for chunk in player.chunks] == [False] * 10 + [True] * 10 + [False] * 10
    assert [counts(chunk, 0.16) for chunk in player.chunks] == [True] * 10 + [False] * 10 + [True] * 10
    for chunk in player.chunks:
        player.call.receive_score(-9.0 if chunk.aside else 4.0, chunk, player.now)
    assert player.call.mean_score == pytest.approx(4.0)


def test_a_failure_during_what_is_set_aside_still_ends() -> None:
    player = Player()
    player.frames(200, score=4.0)
    player.call.set_aside(True)
    player.call.receive_failure("overload", player.now)
    assert player.call.state is Verdict.UNKNOWN
    player.frames(150, score=-9.0)
    assert player.call.state is Verdict.HUMAN_LIKELY
