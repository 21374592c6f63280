"""A session: frames in, records out, and a fault that costs one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.audio import AudioFrame, Chunk
from engine.call import Call, CallConfig, CallInfo
from engine.events import Tag, Verdict
from engine.policy import Calibration, PolicyConfig
from engine.session import Session

CONFIG = CallConfig(policy=PolicyConfig(Calibration(1.0, 0.0, 0.0, 1.0), -2.0, 2.0, min_speech_s=0.5))
FRAME = AudioFrame(np.full(160, 500, np.int16), 8000, 0)
CHUNK = Chunk(np.full(1280, 500, np.int16), 99, 0.16, 0.0, 13.0)


class FakeScorer:
    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.closed = self.restarted = 0
        self.room = True

    def open(self, listener: Any) -> Any:
        return listener

    def submit(self, lane: Any, chunk: Chunk) -> bool:
        self.chunks.append(chunk)
        return self.room

    def close(self, lane: Any) -> None:
        self.closed += 1

    def restart(self, lane: Any) -> None:
        self.restarted += 1


@pytest.fixture
def scorer() -> FakeScorer:
    return FakeScorer()


def make(scorer: FakeScorer, vad: Any = lambda pcm, rate: True) -> tuple[Session, list[tuple[Tag, float]]]:
    out: list[tuple[Tag, float]] = []
    session = Session(Call(CallInfo("c"), CONFIG, vad, 0.0), scorer, lambda tag, at: out.append((tag, at)))  # type: ignore[arg-type]
    session.begin(0.0)
    return session, out


def test_chunks_go_to_the_scorer_and_tags_to_the_publisher(scorer: FakeScorer) -> None:
    session, out = make(scorer)
    for index in range(80):
        session.on_frame(FRAME, index * 0.02)
        while scorer.chunks:
            session.on_score(-5.0, scorer.chunks.pop(0), index * 0.02 + 0.01)
    verdicts = [tag.tag for tag, _ in out if tag.kind == "tag"]
    assert verdicts == [Verdict.LISTENING, Verdict.UNCERTAIN, Verdict.DEEPFAKE_LIKELY]
    assert session.latest.tag is Verdict.DEEPFAKE_LIKELY


def test_latency_is_counted_from_the_chunk_s_last_packet(scorer: FakeScorer) -> None:
    session, out = make(scorer)
    for index in range(8):
        session.on_frame(FRAME, 7.0 + index * 0.02)
    session.on_score(1.0, scorer.chunks[0], 99.0)
    assert out[-1][0].kind == "score"
    assert out[-1][1] == pytest.approx(7.14)


def test_what_is_shown_of_a_call_is_the_record_as_it_was_published(scorer: FakeScorer) -> None:
    ids = (f"{number}-0" for number in range(1, 99))
    publish = lambda tag, at: replace(tag, event_id=next(ids), wall_time=5.0)  # noqa: E731
    session = Session(Call(CallInfo("c"), CONFIG, lambda p, r: True, 0.0), scorer, publish)  # type: ignore[arg-type]
    session.begin(0.0)
    assert (session.latest.event_id, session.latest.wall_time) == ("1-0", 5.0)
    session.close("closed", 1.0)
    assert (session.latest.event_id, session.latest.kind) == ("2-0", "end")


def test_a_dropped_chunk_makes_the_call_unknown(scorer: FakeScorer) -> None:
    session, out = make(scorer)
    scorer.room = False
    for index in range(8):
        session.on_frame(FRAME, index * 0.02)
    assert out[-1][0].tag is Verdict.UNKNOWN
    assert out[-1][0].reasons == ("overload",)
    assert session.overload_dropped == 1


def test_a_fault_in_one_call_ends_it_with_a_record(scorer: FakeScorer) -> None:
    def broken(pcm: bytes, rate: int) -> bool:
        raise RuntimeError("boom")

    session, out = make(scorer, broken)
    session.on_frame(FRAME, 1.0)
    assert out[-1][0].kind == "end"
    assert out[-1][0].reasons[0] == "error"
    assert scorer.closed == 1
    session.on_frame(FRAME, 2.0)  # nothing more is heard of it
    assert out[-1][0].kind == "end"


def test_ticks_notice_missing_audio(scorer: FakeScorer) -> None:
    session, out = make(scorer)
    session.on_tick(4.9)
    assert len(out) == 1
    session.on_tick(5.1)
    assert out[-1][0].reasons == ("no-audio",)


def test_closing_twice_says_it_once(scorer: FakeScorer) -> None:
    session, out = make(scorer)
    session.close("closed", 1.0)
    session.close("closed", 2.0)
    assert [tag.kind for tag, _ in out] == ["tag", "end"]


def test_a_call_that_could_not_be_opened_leaves_no_record(scorer: FakeScorer) -> None:
    out: list[Tag] = []
    session = Session(Call(CallInfo("c"), CONFIG, lambda p, r: True, 0.0), scorer, lambda tag, at: out.append(tag))  # type: ignore[arg-type]
    session.abandon()
    session.close("closed", 1.0)
    assert out == []


@pytest.mark.parametrize("room", [True, False])
def test_what_an_observer_says_of_a_chunk_comes_behind_what_the_chunk_itself_did(scorer: FakeScorer, room: bool) -> None:
    session, out = make(scorer, lambda pcm, rate: False)
    scorer.room = room
    session.observer = lambda chunk, now: session.on_examination({"state": "answering"}, now)
    for index in range(50 * 9):  # after eight seconds of silence the chunk itself changes the tag
        session.on_frame(FRAME, index * 0.02)
    assert {tag.kind for tag, _ in out} == {"tag", "exam"}
    assert [tag.seq for tag, _ in out] == list(range(len(out))), "a hole and a repeat to whoever reads the stream"


def test_a_leg_that_is_left_is_unknown_and_costs_nothing_until_it_is_heard_again(scorer: FakeScorer) -> None:
    asked: list[int] = []
    session, _ = make(scorer, lambda pcm, rate: bool(asked.append(len(pcm)) or True))
    told: list[bool] = []
    session.on_heard = told.append
    for index in range(44):  # five chunks and a half
        session.on_frame(FRAME._replace(timestamp=index * 160), index * 0.02)
        while scorer.chunks:
            session.on_score(-5.0, scorer.chunks.pop(0), index * 0.02)
    assert session.latest.tag is Verdict.DEEPFAKE_LIKELY
    heard = len(asked)
    session.leave(1.0)
    for index in range(44, 544):
        session.on_frame(FRAME._replace(timestamp=index * 160), index * 0.02)
        session.on_tick(index * 0.02)
    assert (session.latest.tag, session.latest.reasons) == (Verdict.UNKNOWN, ("overload",))
    assert (len(asked), scorer.chunks, scorer.restarted) == (heard, [], 1)
    session.hear(10.9)
    session.on_tick(11.0)
    assert session.latest.reasons == ("overload",)  # nobody says that no audio came: nobody listened
    for index in range(544, 552):
        session.on_frame(FRAME._replace(timestamp=index * 160), index * 0.02)
    assert len(scorer.chunks) == 1  # a whole one: what was begun before is not joined to it
    assert session.call.audio_s == pytest.approx(552 * 0.02)
    session.on_score(-5.0, scorer.chunks.pop(), 11.2)
    assert session.latest.tag is Verdict.UNKNOWN  # for RECOVER_S
    session.on_score(-5.0, CHUNK, 13.0)
    assert session.latest.tag is Verdict.DEEPFAKE_LIKELY
    assert told == [False, True]


def talk(session: Session, scorer: FakeScorer, start: float, seconds: float, score: float) -> None:
    for index in range(round(start / 0.02), round((start + seconds) / 0.02)):
        session.on_frame(FRAME._replace(timestamp=index * 160), index * 0.02)
        while scorer.chunks:
            session.on_score(score, scorer.chunks.pop(0), index * 0.02)


def test_a_score_that_comes_after_a_leg_was_left_brings_no_verdict_back(scorer: FakeScorer) -> None:
    session, told = make(scorer)
    talk(session, scorer, 0.0, 3.0, 5.0)
    assert session.latest.tag is Verdict.HUMAN_LIKELY
    session.leave(3.0)
    before = len(told)
    session.on_score(5.0, CHUNK, 6.0)  # a worker that was starved had it
    session.on_failure("model-error", 6.1)
    assert (session.latest.tag, session.latest.reasons) == (Verdict.UNKNOWN, ("overload",))
    assert len(told) == before


def test_whoever_was_long_unheard_is_judged_again_when_somebody_speaks(scorer: FakeScorer) -> None:
    speaks = [True]
    session, _ = make(scorer, lambda pcm, rate: speaks[0])
    talk(session, scorer, 0.0, 3.0, 5.0)
    session.leave(3.0)
    session.hear(600.0)
    speaks[0] = False
    talk(session, scorer, 600.0, 5.0, 5.0)
    assert (session.latest.tag, session.latest.reasons) == (Verdict.UNKNOWN, ("overload",))
    speaks[0] = True
    talk(session, scorer, 605.0, 0.5, 5.0)
    assert session.latest.tag is Verdict.HUMAN_LIKELY


def test_what_was_not_listened_to_was_not_lost(scorer: FakeScorer) -> None:
    session, _ = make(scorer)
    talk(session, scorer, 0.0, 3.0, 5.0)
    session.on_frame(FRAME._replace(timestamp=150 * 160, lost=True), 3.0)
    session.leave(3.02)
    session.hear(63.0)
    talk(session, scorer, 63.0, 1.0, 5.0)
    assert session.latest.loss < 0.01
