"""Ends that come for certain: a task that takes a cancellation for something else is told again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.outcomes import Outcomes
from engine.streams import Publisher
from engine.tasks import end
from tests.engine.tags import make_tag


async def deaf(times: int) -> str:
    """Forgets the first `times` cancellations."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(60)
    return "never"


class AnsweredJustNow:
    """A Redis whose answer comes together with the cancellation of whoever waits for it."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def xadd(self, stream: str, fields: Any, **_: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.written.append(fields["data"])

    async def aclose(self) -> None: ...


class TimedOutJustNow:
    """A Redis that cannot be connected to, and takes a cancellation for the time-out it waits for."""

    def __init__(self) -> None:
        self.tried = 0

    async def info(self, *_: Any) -> Any:
        self.tried += 1
        if self.tried == 1:
            raise RedisConnectionError("Connection refused")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RedisTimeoutError("Timeout connecting to server") from None

    async def aclose(self) -> None: ...


async def test_a_task_ends_though_it_forgets_that_it_was_cancelled() -> None:
    task = asyncio.create_task(deaf(2))
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await end(task)
    assert task.cancelled()
    await end(task)
    await end(None)


async def test_an_outcome_that_is_just_being_written_does_not_hold_up_the_end() -> None:
    writer, redis = Outcomes("redis://127.0.0.1:1/0"), AnsweredJustNow()
    writer._redis = redis  # type: ignore[assignment]
    writer.start()
    writer.add({"n": 1})
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        await writer.aclose()
    assert redis.written == [b'{"n":1}']


async def test_a_redis_that_cannot_be_reached_does_not_hold_up_the_end() -> None:
    publisher = Publisher("redis://127.0.0.1:1/0")
    publisher._redis = TimedOutJustNow()  # type: ignore[assignment]
    await publisher.start()
    publisher.publish(make_tag(), 0.0)
    async with asyncio.timeout(2):
        await publisher.aclose(timeout_s=0.05)
    assert len(publisher.spool) == 1
