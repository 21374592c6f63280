"""The bounded waiting room between calls and Redis. Pure.

Records leave in the order they came. When it is full the oldest *score* updates go first, since a newer one makes them
worthless; a change of tag or the end of a call goes only when nothing else is left. What goes is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Record:
    """One stream entry on its way."""

    id: tuple[int, int]  # Redis stream id: milliseconds, sequence
    call_id: str
    kind: str  # "tag", "score", "exam" or "end"
    data: bytes  # JSON
    arrived: float  # monotonic: when the audio behind it was complete
    acked: float = 0.0  # monotonic: when Redis took it last; 0: not yet
    dropped: bool = False


class Spool:
    """FIFO of records with at most `limit` of them kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: deque[Record] = deque()
        self._scores: deque[Record] = deque()  # the score records among them, same order
        self._size = 0  # records not dropped
        self.dropped_scores = 0
        self.dropped_tags = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Record]:
        return (record for record in self._records if not record.dropped)

    def append(self, record: Record) -> None:
        self._records.append(record)
        if record.kind == "score":
            self._scores.append(record)
        self._size += 1
        if self._size > self._limit:
            self._drop_one()

    def take(self, most: int) -> list[Record]:
        """Remove and return up to `most` of the oldest records."""
        taken: list[Record] = []
        while self._records and len(taken) < most:
            record = self._records.popleft()
            if record.kind == "score" and self._scores and self._scores[0] is record:
                self._scores.popleft()
            if not record.dropped:
                taken.append(record)
        self._size -= len(taken)
        return taken

    def put_back(self, records: list[Record]) -> None:
        """Records that were taken and did not arrive go to the front again, in their order."""
        self._records.extendleft(reversed(records))
        self._scores.extendleft(r for r in reversed(records) if r.kind == "score")
        self._size += len(records)
        while self._size > self._limit:
            self._drop_one()

    def oldest(self) -> Record | None:
        return next(iter(self), None)

    def _drop_one(self) -> None:
        if self._scores:
            # Left in the big queue as a tombstone: taking each out of the middle would cost a walk.
            gone = self._scores.popleft()
            gone.dropped, gone.data = True, b""
            self.dropped_scores += 1
        else:
            while self._records.popleft().dropped:
                pass
            self.dropped_tags += 1
        self._size -= 1
        if len(self._records) > 2 * self._limit:
            self._records = deque(record for record in self._records if not record.dropped)
