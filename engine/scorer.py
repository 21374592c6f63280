"""Micro-batches over calls: the one queue between the media path and the model.

Threads take up to `batch` calls' chunks at once, never two of the same call, and run the model on them; results go
back to the event loop in one hop per batch. The model's state of every call lives here and nowhere else.

Bounds. A call may have PENDING_S of audio waiting: what a network that stood still, or the silence of a pause, brings at
once. When more comes the oldest chunk of the same call is dropped, that call's state starts anew and the call is told
(`overload`), so a slow moment costs each call its own audio and nobody else's.
New calls are refused when the slots are used up, or when chunks have lately waited longer than `max_delay_s`: the
running calls come first.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.audio import Chunk
from engine.errors import OverloadError
from engine.explanation import Explanation

PENDING_S = 2.4  # of audio, per call: in one go the two seconds that a socket keeps while the network or the loop stands still
FILL_S = 0.010  # how long an idle worker lets a batch fill
DELAY_WEIGHT = 0.02  # of one batch in the running mean of the waiting time
IDLE_S = 1.0  # without a batch waiting, running or coming back
RETRY_AFTER_S = 5.0  # what a refused caller is told


class Model(Protocol):
    """What the scorer needs of a model; `models.runtime` has it."""

    rate: int
    chunk_samples: int

    def judge(
        self, audio: NDArray[np.int16], state: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, Any]: ...


class Store(Protocol):
    """State of many calls, by slot."""

    def gather(self, slots: Sequence[int]) -> Any: ...

    def scatter(self, slots: Sequence[int], state: Any) -> None: ...

    def reset(self, slot: int) -> None: ...


class Listener(Protocol):
    """Who wants a lane's results; called in the event loop's thread."""

    def on_score(self, score: float, chunk: Chunk, now: float, explanation: Explanation | None) -> None: ...

    def on_failure(self, reason: str, now: float) -> None: ...


class Lane:
    """One call's place in the scorer."""

    __slots__ = ("closed", "listener", "pending", "queued", "slot", "stale")

    def __init__(self, slot: int, listener: Listener) -> None:
        self.slot = slot
        self.listener = listener
        self.pending: deque[Chunk] = deque()  # bounded by Scorer.submit
        self.queued = False  # waiting for a worker, or with one
        self.stale = False  # a chunk was dropped: start from a fresh state
        self.closed = False


Judged = tuple[float, Explanation | None]  # raw score, and what explains it where the model says


def score_batch(model: Model, store: Store, slots: Sequence[int], chunks: Sequence[Chunk]) -> list[Judged]:
    """One step of every slot; live calls and recordings both go through here."""
    audio = np.stack([chunk.samples for chunk in chunks])
    scores, explanations, state = model.judge(audio, store.gather(slots))
    store.scatter(slots, state)
    why = [None] * len(slots) if explanations is None else explanations.tolist()
    return list(zip(scores.tolist(), why, strict=True))


class Scorer:
    """Runs `model` for up to `capacity` calls in `workers` threads."""

    def __init__(
        self,
        model: Model,
        store: Store,
        *,
        capacity: int,
        workers: int = 1,
        batch: int = 64,
        max_delay_s: float = 0.15,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._store, self._clock = model, store, clock
        self._batch, self._max_delay_s = batch, max_delay_s
        self.pending_chunks = math.ceil(PENDING_S * model.rate / model.chunk_samples)  # that a lane may have waiting
        self._free = list(range(capacity - 1, -1, -1))
        self._ready: deque[Lane] = deque()  # at most one entry per lane, so bounded by `capacity`
        self._wake = threading.Condition()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self.capacity = capacity
        self._delay_s = 0.0  # running mean: chunk complete -> score back
        self._delivered = clock()  # when a batch last came back
        self._running = 0  # batches with a worker
        self.busy_s = 0.0  # processor time of all workers
        self.scored = self.batches = self.dropped = self.failed = 0
        self._threads = [threading.Thread(target=self._work, name=f"scorer-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def open_calls(self) -> int:
        return self.capacity - len(self._free)

    @property
    def delay_s(self) -> float:
        """How late scores are; 0 where none is due: what was late once says nothing when the calls have gone."""
        idle = not self._ready and not self._running and self._clock() - self._delivered > IDLE_S
        return 0.0 if idle else self._delay_s

    @property
    def overloaded(self) -> bool:
        return self.delay_s > self._max_delay_s

    def open(self, listener: Listener) -> Lane:
        """A lane for a new call. OverloadError when there is no room or the running calls are already waiting."""
        if self.overloaded:
            raise OverloadError(f"scores are {self.delay_s * 1000:.0f} ms late; no new calls until that is better")
        with self._wake:
            if not self._free:
                raise OverloadError(f"all {self.capacity} calls are in use")
            slot = self._free.pop()
        self._store.reset(slot)
        return Lane(slot, listener)

    def close(self, lane: Lane) -> None:
        """The call is over; what still waits is dropped. A chunk with a worker is finished first."""
        with self._wake:
            if lane.closed:
                return
            lane.closed = True
            lane.pending.clear()
            if not lane.queued:
                self._free.append(lane.slot)

    def restart(self, lane: Lane) -> None:
        """Drop what waits of it; what comes next begins from a fresh state."""
        with self._wake:
            lane.pending.clear()
            lane.stale = True

    def submit(self, lane: Lane, chunk: Chunk) -> bool:
        """Queue a chunk; False when an older one of the same call had to make room for it."""
        kept = True
        with self._wake:
            if lane.closed:
                return True
            if len(lane.pending) >= self.pending_chunks:
                lane.pending.popleft()
                lane.stale = True
                self.dropped += 1
                kept = False
            lane.pending.append(chunk)
            if not lane.queued:
                lane.queued = True
                self._ready.append(lane)
                if len(self._ready) in (1, self._batch):
                    self._wake.notify()
        return kept

    async def aclose(self) -> None:
        """Stop the workers; chunks still waiting are not scored."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        spent = time.thread_time()
        while (lanes := self._take()) is not None:
            if lanes:
                self._score([lane for lane, _ in lanes], [chunk for _, chunk in lanes])
            before, spent = spent, time.thread_time()
            with self._wake:
                self.busy_s += spent - before

    def _take(self) -> list[tuple[Lane, Chunk]] | None:
        """The next micro-batch; empty when all its calls have gone; None when the scorer stops."""
        with self._wake:
            while not self._ready and not self._stopping:
                self._wake.wait()
            if len(self._ready) < self._batch and not self._stopping:
                self._wake.wait(FILL_S)
            if self._stopping:
                return None
            taken = []
            for _ in range(min(self._batch, len(self._ready))):
                lane = self._ready.popleft()
                if lane.closed:
                    self._free.append(lane.slot)
                    continue
                if not lane.pending:  # it was restarted
                    lane.queued = False
                    continue
                if lane.stale:
                    self._store.reset(lane.slot)
                    lane.stale = False
                taken.append((lane, lane.pending.popleft()))
            self._running += bool(taken)
            return taken

    def _score(self, lanes: list[Lane], chunks: list[Chunk]) -> None:
        try:
            judged = score_batch(self._model, self._store, [lane.slot for lane in lanes], chunks)
        except Exception:  # noqa: BLE001 - the worker's outermost loop: the calls are told, the thread lives on
            judged = [(math.nan, None)] * len(lanes)
        self._release(lanes)
        try:
            self._loop.call_soon_threadsafe(self._deliver, lanes, chunks, judged)
        except RuntimeError:  # the loop has closed; nobody is left to tell
            self._stopping = True

    def _release(self, lanes: list[Lane]) -> None:
        with self._wake:
            self._running -= 1
            for lane in lanes:
                if lane.closed:
                    self._free.append(lane.slot)
                elif lane.pending:
                    self._ready.append(lane)
                else:
                    lane.queued = False

    def _deliver(self, lanes: list[Lane], chunks: list[Chunk], judged: list[Judged]) -> None:
        self._delivered = now = self._clock()
        self.batches += 1
        waited = now - sum(chunk.arrived for chunk in chunks) / len(chunks)
        self._delay_s += (waited - self._delay_s) * DELAY_WEIGHT
        for lane, chunk, (score, why) in zip(lanes, chunks, judged, strict=True):
            if lane.closed:
                continue
            if math.isfinite(score):
                self.scored += 1
                lane.listener.on_score(score, chunk, now, why)
            else:
                self.failed += 1
                lane.stale = True
                lane.listener.on_failure("model-error", now)
