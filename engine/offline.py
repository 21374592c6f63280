"""Recordings as fast as the machine goes: the same Call and the same model step as live, on media time.

Many recordings advance side by side, one chunk each per round, so that the model always sees full batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.audio import AudioFrame, Chunk
from engine.call import Call
from engine.events import ChunkReady, Tag
from engine.scorer import Model, Store, score_batch


@dataclass(frozen=True, slots=True)
class Job:
    """A leg to screen: its call, and its frames with the time each would have arrived."""

    call: Call
    frames: Iterator[tuple[AudioFrame, float]]
    on_tag: Callable[[Tag], None]
    key: Any = None
    marks: tuple[float, ...] = ()  # note the LLR once it rests on that many seconds of speech
    stop_at_last_mark: bool = False
    marked: dict[float, float] = field(default_factory=dict)


class _Lane:
    __slots__ = ("begun", "chunks", "job", "now", "slot")

    def __init__(self, job: Job, slot: int) -> None:
        self.job, self.slot, self.now, self.begun = job, slot, 0.0, False
        self.chunks: list[Chunk] = []

    def advance(self) -> Chunk | None:
        """Feed frames until a chunk is ready; None when the recording is over."""
        call = self.job.call
        while not self.chunks:
            item = next(self.job.frames, None)
            if item is None:
                return None
            frame, now = item
            if self.begun and now > self.now:  # as the service's ticker would have seen the pause, before its end
                call.handle_timer(now)
            self.now, self.begun = now, True
            call.receive_frame(frame, now)
            self.drain()
        return self.chunks.pop(0)

    def drain(self) -> None:
        for event in self.job.call.events():
            if isinstance(event, ChunkReady):
                self.chunks.append(event.chunk)
            else:
                self.job.on_tag(event.tag)

    def mark(self) -> bool:
        """Note the score at the marks that were reached; True when nothing more is wanted."""
        job, call = self.job, self.job.call
        for seconds in job.marks:
            if seconds not in job.marked and call.evidence_s >= seconds and call.llr is not None:
                job.marked[seconds] = call.llr
        return job.stop_at_last_mark and len(job.marked) == len(job.marks)


def screen(jobs: Iterable[Job], model: Model, store: Store, lanes: int) -> Iterator[Job]:
    """Screen every job, up to `lanes` at a time (the store's capacity); yields each when it is over."""
    waiting = iter(jobs)
    running: list[_Lane] = []
    free = list(range(lanes))
    while True:
        while free and (job := next(waiting, None)) is not None:
            slot = free.pop()
            store.reset(slot)
            running.append(_Lane(job, slot))
        if not running:
            return
        for lane in _round(running, model, store):
            running.remove(lane)
            free.append(lane.slot)
            lane.job.call.close("end-of-file", lane.now)
            lane.drain()
            yield lane.job


def _round(running: list[_Lane], model: Model, store: Store) -> list[_Lane]:
    """One chunk of every lane; returns the lanes that are over."""
    ready = [(lane, chunk) for lane in running if (chunk := lane.advance()) is not None]
    over = [lane for lane in running if all(lane is not other for other, _ in ready)]
    if ready:
        judged = score_batch(model, store, [lane.slot for lane, _ in ready], [chunk for _, chunk in ready])
        for (lane, chunk), (score, why) in zip(ready, judged, strict=True):
            if math.isfinite(score):
                lane.job.call.receive_score(score, chunk, lane.now, why)
            else:
                lane.job.call.receive_failure("model-error", lane.now)
            lane.drain()
            if lane.mark():
                over.append(lane)
    return over
