"""Micro-batches: order, isolation, overload, failures. The model is a fake with exact arithmetic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from engine.audio import Chunk
from engine.errors import OverloadError
from engine.scorer import Scorer


class FakeStore:
    """State per slot: a running sum."""

    def __init__(self, capacity: int) -> None:
        self.sums = np.zeros(capacity)

    def gather(self, slots: Sequence[int]) -> Any:
        return self.sums[list(slots)]

    def scatter(self, slots: Sequence[int], state: Any) -> None:
        self.sums[list(slots)] = state

    def reset(self, slot: int) -> None:
        self.sums[slot] = 0


class FakeModel:
    """Score = sum of all chunks' first samples so far. 999 raises, 998 gives NaN."""

    rate, chunk_samples = 8000, 1280

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.batches: list[int] = []

    def judge(self, audio: Any, state: Any) -> tuple[Any, Any, Any]:
        self.go.wait(5)
        self.batches.append(len(audio))
        first = audio[:, 0].astype(np.float64)
        if (first == 999).any():
            raise RuntimeError("boom")
        after = state + first
        explanations = np.stack([first, -first, first > 0], axis=1)
        return np.where(first == 998, np.nan, after).astype(np.float32), explanations, after


class Caller:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.explanations: list[Any] = []
        self.indexes: list[int] = []
        self.failures: list[str] = []

    def on_score(self, score: float, chunk: Chunk, now: float, explanation: Any) -> None:
        self.scores.append(score)
        self.explanations.append(explanation)
        self.indexes.append(chunk.index)

    def on_failure(self, reason: str, now: float) -> None:
        self.failures.append(reason)


def chunk(value: int, index: int = 0) -> Chunk:
    samples = np.zeros(1280, np.int16)
    samples[0] = value
    return Chunk(samples, index, 0.16, 0.0, 0.0)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest_asyncio.fixture
async def scorer(model: FakeModel) -> AsyncIterator[Scorer]:
    scorer = Scorer(model, FakeStore(8), capacity=8, workers=2, batch=4, clock=lambda: 0.0)
    yield scorer
    model.go.set()
    await scorer.aclose()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_every_call_gets_its_own_scores_in_order(scorer: Scorer) -> None:
    callers = [Caller() for _ in range(6)]
    lanes = [scorer.open(caller) for caller in callers]
    for index in range(20):
        for number, lane in enumerate(lanes):
            while len(lane.pending) >= scorer.pending_chunks - 1:
                await asyncio.sleep(0.001)
            assert scorer.submit(lane, chunk(number + 1, index))
    await until(lambda: all(len(c.scores) == 20 for c in callers))
    for number, caller in enumerate(callers):
        assert caller.indexes == list(range(20))
        assert caller.scores == [(number + 1) * (k + 1) for k in range(20)]
        assert caller.explanations == [[number + 1, -number - 1, 1]] * 20


async def test_a_batch_never_holds_two_chunks_of_one_call(scorer: Scorer, model: FakeModel) -> None:
    caller = Caller()
    lane = scorer.open(caller)
    model.go.clear()
    for index in range(4):
        scorer.submit(lane, chunk(1, index))
    model.go.set()
    await until(lambda: len(caller.scores) >= 4)
    assert set(model.batches) == {1}


async def test_batches_are_bounded(scorer: Scorer, model: FakeModel) -> None:
    callers = [Caller() for _ in range(8)]
    for caller in callers:
        scorer.submit(scorer.open(caller), chunk(1))
    await until(lambda: all(c.scores for c in callers))
    assert max(model.batches) <= 4


async def test_a_full_queue_costs_the_same_call_its_oldest_chunk(scorer: Scorer, model: FakeModel) -> None:
    caller, other = Caller(), Caller()
    lane, neighbour = scorer.open(caller), scorer.open(other)
    model.go.clear()
    scorer.submit(lane, chunk(1, 0))
    await asyncio.sleep(0.05)  # a worker holds the first
    most = scorer.pending_chunks
    kept = [scorer.submit(lane, chunk(10, index)) for index in range(1, most + 2)]
    assert kept == [True] * most + [False]
    scorer.submit(neighbour, chunk(5))
    model.go.set()
    await until(lambda: len(caller.scores) == 1 + most and other.scores)
    assert caller.indexes == [0, *range(2, most + 2)]
    assert caller.scores[1:] == [10 * (k + 1) for k in range(most)]  # the state began anew where the audio was broken
    assert other.scores == [5]
    assert scorer.dropped == 1


async def test_a_model_error_is_told_and_the_worker_lives_on(scorer: Scorer) -> None:
    caller = Caller()
    lane = scorer.open(caller)
    scorer.submit(lane, chunk(999))
    await until(lambda: caller.failures)
    assert caller.failures == ["model-error"]
    scorer.submit(lane, chunk(3))
    await until(lambda: caller.scores)
    assert caller.scores == [3]
    assert scorer.failed == 1


async def test_a_score_that_is_no_number_is_a_failure_of_that_call_only(scorer: Scorer) -> None:
    bad, good = Caller(), Caller()
    lanes = scorer.open(bad), scorer.open(good)
    scorer.submit(lanes[0], chunk(998))
    scorer.submit(lanes[1], chunk(2))
    await until(lambda: bad.failures and good.scores)
    assert bad.scores == []
    assert good.scores == [2]


async def test_more_calls_than_slots_are_refused(scorer: Scorer) -> None:
    lanes = [scorer.open(Caller()) for _ in range(8)]
    with pytest.raises(OverloadError, match="all 8 calls are in use"):
        scorer.open(Caller())
    scorer.close(lanes[0])
    scorer.open(Caller())


async def test_a_slot_is_free_only_when_the_worker_is_done_with_it(scorer: Scorer, model: FakeModel) -> None:
    model.go.clear()
    gone, next_ = Caller(), Caller()
    lane = scorer.open(gone)
    scorer.submit(lane, chunk(50))
    await asyncio.sleep(0.05)
    scorer.close(lane)
    assert scorer.open_calls == 1
    model.go.set()
    await until(lambda: scorer.open_calls == 0)
    again = scorer.open(next_)
    scorer.submit(again, chunk(1))
    await until(lambda: next_.scores)
    assert next_.scores == [1]  # not 51: the old call's state is gone
    assert gone.scores == []


async def test_closing_twice_frees_once(scorer: Scorer) -> None:
    lane = scorer.open(Caller())
    scorer.close(lane)
    scorer.close(lane)
    assert scorer.open_calls == 0
    assert scorer.submit(lane, chunk(1))


async def test_new_calls_are_refused_while_scores_are_late(model: FakeModel) -> None:
    now = [0.0]
    scorer = Scorer(model, FakeStore(4), capacity=4, max_delay_s=0.15, clock=lambda: now[0])
    try:
        caller = Caller()
        lane = scorer.open(caller)
        now[0] = 20.0  # every score from here on comes twenty seconds after its audio
        scorer.submit(lane, chunk(1))
        await until(lambda: caller.scores)
        with pytest.raises(OverloadError, match="ms late"):
            scorer.open(Caller())
        assert scorer.submit(lane, chunk(1))  # the running call goes on
        await until(lambda: len(caller.scores) == 2)
        scorer.close(lane)
        now[0] = 20.9
        with pytest.raises(OverloadError, match="ms late"):
            scorer.open(Caller())
        now[0] = 21.1  # nothing is due any more: that scores were late says nothing of a call to come
        assert scorer.delay_s == 0
        scorer.open(Caller())
    finally:
        await scorer.aclose()


async def test_a_lane_that_is_restarted_forgets_what_waits_and_what_was(scorer: Scorer, model: FakeModel) -> None:
    caller, other = Caller(), Caller()
    lane, neighbour = scorer.open(caller), scorer.open(other)
    model.go.clear()
    scorer.submit(lane, chunk(100))
    scorer.submit(neighbour, chunk(100))
    await asyncio.sleep(0.05)  # both are with workers
    for index in (1, 2):
        scorer.submit(lane, chunk(10, index))
    scorer.restart(lane)
    model.go.set()
    await until(lambda: caller.scores and other.scores)
    await asyncio.sleep(0.05)
    scorer.submit(lane, chunk(3, 9))
    scorer.submit(neighbour, chunk(5, 1))
    await until(lambda: len(caller.scores) == 2 and len(other.scores) == 2)
    assert (caller.indexes, caller.scores) == ([0, 9], [100, 3])
    assert other.scores == [100, 105]


async def test_a_lane_that_was_restarted_while_it_waited_is_served_again(scorer: Scorer, model: FakeModel) -> None:
    busy, caller = [Caller() for _ in range(7)], Caller()
    model.go.clear()
    for one in busy:
        scorer.submit(scorer.open(one), chunk(1))
    lane = scorer.open(caller)
    await asyncio.sleep(0.05)
    scorer.submit(lane, chunk(7))
    scorer.restart(lane)
    model.go.set()
    await until(lambda: not lane.queued)
    scorer.submit(lane, chunk(2))
    await until(lambda: caller.scores)
    assert caller.scores == [2]
