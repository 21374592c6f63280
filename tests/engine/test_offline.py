"""Recordings side by side: each as if it were alone, in full batches, with marks, pauses and faults as in a live call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine.audio import AudioFrame
from engine.call import Call, CallConfig, CallInfo
from engine.events import Tag, Verdict
from engine.offline import Job, screen
from engine.policy import Calibration, PolicyConfig
from tests.engine.test_scorer import FakeModel, FakeStore

# Raw scores are the LLR; a verdict needs one second of speech.
CONFIG = CallConfig(policy=PolicyConfig(Calibration(1.0, 0.0, 0.0, 1.0), -2.0, 2.0, min_speech_s=1.0))
Frames = Iterator[tuple[AudioFrame, float]]


def frames(chunks: int, value: int = 1, start: float = 0.0, position: int = 0) -> Frames:
    """`chunks` times 160 ms, every sample `value`, with the time each frame ends at."""
    for number in range(chunks * 8):
        at = position + number * 160
        yield AudioFrame(np.full(160, value, np.int16), 8000, at), start + (number + 1) * 0.02


def job(given: Frames, tags: list[Tag] | None = None, **more: Any) -> Job:
    def on_tag(tag: Tag) -> None:
        if tags is not None:
            tags.append(tag)

    vad: Callable[[bytes, int], bool] = lambda pcm, rate: any(pcm)  # noqa: E731
    return Job(Call(CallInfo("c"), CONFIG, vad, 0.0), given, on_tag, **more)


def screened(jobs: list[Job], lanes: int = 4) -> tuple[list[Job], FakeModel]:
    model = FakeModel()
    return list(screen(jobs, model, FakeStore(lanes), lanes)), model


def test_a_recording_is_told_from_its_first_tag_to_its_end() -> None:
    tags: list[Tag] = []
    screened([job(frames(20, value=5), tags)])
    assert [tag.seq for tag in tags] == list(range(len(tags)))
    assert (tags[0].kind, tags[-1].kind) == ("tag", "end")
    assert tags[-1].reasons == ("end-of-file",)
    assert [tag.tag for tag in tags if tag.kind == "tag"][-1] is Verdict.HUMAN_LIKELY
    assert tags[-1].net_speech_s == pytest.approx(3.2)


def test_side_by_side_each_is_as_if_it_were_alone() -> None:
    lengths = [3, 12, 1, 7, 9, 2, 30, 4, 5, 11]
    together, alone = [[list[Tag]() for _ in lengths] for _ in range(2)]
    done, _ = screened([job(frames(n, n), tags, key=n) for n, tags in zip(lengths, together, strict=True)], lanes=3)
    for n, tags in zip(lengths, alone, strict=True):
        screened([job(frames(n, n), tags)], lanes=1)
    assert together == alone, "a neighbour, or who had the slot before, changed a score"
    assert sorted(j.key for j in done) == sorted(lengths)
    assert [j.key for j in done][:2] == [1, 3], "each is handed back as soon as it is over"


def test_batches_are_as_full_as_there_are_recordings() -> None:
    _, model = screened([job(frames(6)) for _ in range(8)], lanes=4)
    assert model.batches == [4] * 12


def test_jobs_are_taken_when_a_lane_is_free_and_not_before() -> None:
    opened: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(9):
            opened.append(number)  # a file of the list is opened here
            yield job(frames(2))

    results = screen(jobs(), FakeModel(), FakeStore(3), 3)
    next(results)
    assert len(opened) <= 4, "open files are bounded by the lanes"
    assert len(list(results)) == 8


def test_marks_note_the_score_that_stood_when_enough_speech_was_heard() -> None:
    (done,), _ = screened([job(frames(20, value=1), marks=(0.5, 1.5, 99.0))])
    expected = {0.5: 4, 1.5: 10}  # chunks of 160 ms that hold so much
    assert done.marked.keys() == expected.keys(), "what was never reached has no mark"
    alone = {}
    for seconds, chunks in expected.items():  # the score of a recording that ends there
        (prefix,), _ = screened([job(frames(chunks, value=1))])
        alone[seconds] = prefix.call.llr
    assert done.marked == alone


def test_after_the_last_mark_nothing_more_is_read_if_so_wished() -> None:
    for stop, heard in ((True, 0.64), (False, 3.2)):
        tags: list[Tag] = []
        (done,), _ = screened([job(frames(20), tags, marks=(0.3, 0.6), stop_at_last_mark=stop)])
        assert done.call.audio_s == pytest.approx(heard)
        assert done.marked.keys() == {0.3, 0.6}
        assert tags[-1].kind == "end"


def test_silence_reaches_no_mark_and_no_verdict() -> None:
    tags: list[Tag] = []
    (done,), model = screened([job(frames(60, value=0), tags, marks=(0.1,), stop_at_last_mark=True)])
    assert (done.marked, done.call.llr, len(model.batches)) == ({}, None, 60)
    assert tags[-1].tag is Verdict.NO_SPEECH


@pytest.mark.parametrize("count", [0, 3])
def test_less_than_a_chunk_is_a_call_that_only_listened(count: int) -> None:
    tags: list[Tag] = []
    given = (pair for number, pair in enumerate(frames(1)) if number < count)
    (done,), model = screened([job(given, tags)])
    assert ([tag.kind for tag in tags], model.batches) == (["tag", "end"], [])
    assert done.call.llr is None


def test_a_score_that_is_no_number_makes_that_call_unknown_and_no_other() -> None:
    bad, good = list[Tag](), list[Tag]()
    screened([job(frames(1, value=998), bad), job(frames(8, value=5), good)])
    assert (bad[-1].tag, bad[-1].reasons) == (Verdict.UNKNOWN, ("end-of-file", "model-error"))
    assert good[-1].tag is Verdict.HUMAN_LIKELY


def test_a_pause_in_a_capture_is_missing_audio_as_it_was_live() -> None:
    tags: list[Tag] = []
    day = 1_700_000_000.0  # captures carry the time of day: the first packet is no pause

    def paused() -> Frames:
        yield from frames(10, value=5, start=day)
        yield from frames(10, value=5, start=day + 60, position=12800)

    screened([job(paused(), tags)])
    shown = [tag.tag for tag in tags if tag.kind == "tag"]
    assert shown == [
        Verdict.LISTENING, Verdict.UNCERTAIN, Verdict.HUMAN_LIKELY, Verdict.UNKNOWN, Verdict.HUMAN_LIKELY,
    ]  # fmt: skip
    missing = next(tag for tag in tags if tag.tag is Verdict.UNKNOWN)
    assert missing.reasons == ("no-audio",)
    assert missing.media_time_s == pytest.approx(1.6)


def test_frames_that_were_lost_together_are_one_pause() -> None:
    tags: list[Tag] = []

    def holed() -> Frames:
        yield from frames(9, value=5)
        for number in range(50):  # the packet after a hole brings all lost ones at its own time
            yield AudioFrame(np.zeros(160, np.int16), 8000, 11520 + number * 160, True), 30.0
        yield from frames(10, value=5, start=30.0, position=19520)

    screened([job(holed(), tags)])
    assert sum(tag.kind == "tag" and "no-audio" in tag.reasons for tag in tags) == 1
