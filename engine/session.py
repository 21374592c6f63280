"""Drives one leg of a live call: frames in, chunks to the scorer, records to the publisher.

There is no task and no timer per call: frames arrive by plain calls, scores by plain calls, and one ticker of the
service visits all sessions a few times a second. A thousand calls cost the event loop one wake-up, not a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from engine.audio import AudioFrame, Chunk
from engine.call import Call
from engine.events import CallEnded, ChunkReady, Event, Tag, Verdict
from engine.explanation import Explanation
from engine.scorer import Lane, Scorer

log = structlog.get_logger(__name__)

Observer = Callable[[Chunk, float], None]
# (record, monotonic time at which its audio was complete) -> the record as readers get it, with its id; None: as it is
Publish = Callable[[Tag, float], Tag | None]


class Session:
    """One leg between its connector, the scorer and the stream of tags."""

    def __init__(self, call: Call, scorer: Scorer, publish: Publish) -> None:
        self.call = call
        self.latest: Tag = call.tag()
        self._scorer = scorer
        self._publish = publish
        self._lane: Lane = scorer.open(self)
        self.overload_dropped = 0  # chunks
        self.last_frame = 0.0  # when sound last came, listened to or not
        self.begun = False  # whether anybody has been told of it
        self.heard = True  # False: the service has no time for this leg just now
        self.on_heard: Callable[[bool], None] = lambda heard: None  # is told when that changes: the leg's connector
        self.observer: Observer | None = None  # is shown every chunk: the examination of this leg
        self._draining = False

    @property
    def behind(self) -> int:
        """Chunks that wait for the scorer."""
        return len(self._lane.pending)

    def leave(self, now: float) -> None:
        """Listen to this leg no more until `hear`: its time goes on, nothing of it is scored, and it is told so."""
        self.heard = False
        self.on_heard(False)
        self._scorer.restart(self._lane)
        self.call.receive_failure("overload", now)
        self._drain(now)

    def hear(self, now: float) -> None:
        """Listen again. The model begins anew; the evidence from before stands."""
        self.heard = True
        self.on_heard(True)
        self.call.rejoin(now)

    def begin(self, now: float) -> None:
        """Publish the first record. Apart from the constructor, so that a refused call leaves no trace."""
        self.last_frame, self.begun = now, True
        self._drain(now)

    def abandon(self) -> None:
        """The call could not be opened after all: free its place, publish nothing."""
        self.call.ended = True
        self.call.events()
        self._scorer.close(self._lane)

    def on_source(self, now: float) -> None:
        """The sound is another stream's from now on. The model, too, begins anew."""
        if self.heard:
            self._scorer.restart(self._lane)
        self.call.change_source(now)
        self._drain(now)

    def on_foreign(self, now: float) -> None:
        """Sound comes, but from somebody whose it is not to send."""
        self.call.receive_foreign(now)
        self._drain(now)

    def on_frame(self, frame: AudioFrame, now: float) -> None:
        self.last_frame = now
        if not self.heard:
            return
        try:
            self.call.receive_frame(frame, now)
            if self.call.has_events:
                self._drain(now)
        except Exception:  # noqa: BLE001 - one bad call ends itself, not the process
            self._fail(now)

    def on_score(self, score: float, chunk: Chunk, now: float, explanation: Explanation | None = None) -> None:
        if not self.heard:  # a worker had it when the leg was left: late as it comes, it would look like a recovery
            return
        try:
            self.call.receive_score(score, chunk, now, explanation)
            if self.call.has_events:
                self._drain(chunk.arrived)
        except Exception:  # noqa: BLE001
            self._fail(now)

    def on_failure(self, reason: str, now: float) -> None:
        if not self.heard:  # as with scores; that nobody listens has been said
            return
        self.call.receive_failure(reason, now)
        self._drain(now)

    def on_examined(
        self, llr: float, reasons: tuple[str, ...], now: float, *, passed: bool = True, sounded: bool = False,
        verdict: Verdict | None = None,
    ) -> None:  # fmt: skip
        """An answer was judged, or an operator decided."""
        self.call.receive_examination(llr, reasons, passed=passed, sounded=sounded, verdict=verdict)
        self._drain(now)

    def on_examination(self, record: Mapping[str, Any], now: float) -> None:
        """The examination went a step further."""
        self.call.receive_examination_record(record)
        self._drain(now)

    def on_tick(self, now: float) -> None:
        due = self.call.next_timer()
        if self.heard and due is not None and now >= due:
            self.call.handle_timer(now)
            self._drain(now)

    def close(self, reason: str, now: float) -> None:
        """End the call; safe to repeat."""
        self.call.close(reason, now)
        self._drain(now)
        self._scorer.close(self._lane)

    def _drain(self, arrived: float) -> None:
        """Act on every event in its order. What an observer or a dropped chunk adds meanwhile comes behind the rest."""
        if self._draining:
            return
        self._draining = True
        try:
            while self.call.has_events:
                for event in self.call.events():
                    self._act(event, arrived)
        finally:
            self._draining = False

    def _act(self, event: Event, arrived: float) -> None:
        if isinstance(event, ChunkReady):
            if not self._scorer.submit(self._lane, event.chunk):
                self.overload_dropped += 1
                self.call.receive_failure("overload", arrived)
            if self.observer is not None:
                self.observer(event.chunk, arrived)
            return
        self._tell(event.tag, arrived)
        if isinstance(event, CallEnded):
            self._scorer.close(self._lane)

    def _fail(self, now: float) -> None:
        log.exception("call failed", call_id=self.call.info.call_id, leg=self.call.info.leg)
        self.call.events()
        self.call.close("error", now)
        for event in self.call.events():
            if isinstance(event, CallEnded):
                self._tell(event.tag, now)
        self._scorer.close(self._lane)

    def _tell(self, tag: Tag, arrived: float) -> None:
        """Publish it. What is shown of the call carries the record's id: a reader may go on from there."""
        self.latest = self._publish(tag, arrived) or tag
