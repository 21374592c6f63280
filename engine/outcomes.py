"""Labelled outcomes of examinations, to learn from later: one Redis stream apart from the tags, which soon expire.

Bounded and never waited for: when Redis is away, the oldest outcome is dropped and counted. A tag is what an operator
needs now; an outcome is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.tasks import end

log = structlog.get_logger(__name__)

STREAM = "vivavoce:outcomes"
KEPT = 100_000  # entries of the stream, about
WAITING = 1000  # outcomes held while Redis is away; the oldest goes when another comes
RETRY_S = 2.0


class Outcomes:
    """Writes outcomes in the order they came; twice, where Redis wrote one and its answer was lost.

    `add` is a plain call and never blocks.
    """

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._write_forever(), name="outcomes")

    def add(self, outcome: Mapping[str, Any]) -> None:
        self.dropped += len(self._waiting) == WAITING
        self._waiting.append(msgspec.json.encode(outcome))
        self._some.set()

    async def aclose(self) -> None:
        """Write what waits, if Redis answers, and stop."""
        await end(self._task)
        try:
            while self._waiting:
                await self._write(self._waiting[0])
                self._waiting.popleft()
        except (RedisError, OSError):
            self.dropped += len(self._waiting)
        await self._redis.aclose()

    async def _write_forever(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                first = self._waiting[0]
                try:
                    await self._write(first)
                except (RedisError, OSError) as error:
                    log.warning("outcome not written yet", error=str(error)[:200])
                    await asyncio.sleep(RETRY_S)
                    continue
                if self._waiting and self._waiting[0] is first:  # it may have been dropped meanwhile
                    self._waiting.popleft()

    async def _write(self, outcome: bytes) -> None:
        await self._redis.xadd(STREAM, {"data": outcome}, maxlen=KEPT, approximate=True)
