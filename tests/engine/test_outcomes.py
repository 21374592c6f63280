"""Outcomes of examinations in a real Redis: in order, kept over an outage, and never waited for."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis.asyncio import Redis

from engine import outcomes
from engine.outcomes import STREAM, Outcomes
from tests.peers.redis import RealRedis


async def stored(url: str) -> list[int]:
    redis = Redis.from_url(url)
    try:
        return [json.loads(fields[b"data"])["n"] for _, fields in await redis.xrange(STREAM)]
    finally:
        await redis.aclose()


@pytest.mark.peer
async def test_outcomes_arrive_in_order(real_redis: RealRedis) -> None:
    writer = Outcomes(real_redis.url)
    writer.start()
    for n in range(20):
        writer.add({"n": n})
    await writer.aclose()
    assert await stored(real_redis.url) == list(range(20))
    assert writer.dropped == 0


@pytest.mark.peer
async def test_what_came_while_redis_was_away_is_written_when_it_is_back(
    real_redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "RETRY_S", 0.05)
    writer = Outcomes(real_redis.url)
    writer.start()
    await real_redis.kill()
    writer.add({"n": 1})
    await asyncio.sleep(0.2)
    await real_redis.start()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if await stored(real_redis.url):
            break
    await writer.aclose()
    assert await stored(real_redis.url) == [1]


async def test_without_redis_the_oldest_goes_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Outcomes("redis://127.0.0.1:1/0")
    for n in range(outcomes.WAITING + 3):
        writer.add({"n": n})
    assert writer.dropped == 3
    await writer.aclose()
    assert writer.dropped == outcomes.WAITING + 3
