"""Fan-out: resume, slow readers, an absent Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio as aioredis
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.hub import QUEUE, REPLAYS, Hub, HubEvent, _Client
from engine.streams import Publisher, stream_name
from tests.engine.tags import make_tag
from tests.peers.redis import RealRedis


@pytest_asyncio.fixture
async def publisher(real_redis: RealRedis) -> AsyncIterator[Publisher]:
    publisher = Publisher(real_redis.url)
    await publisher.start()
    yield publisher
    await publisher.aclose(timeout_s=1)


@pytest_asyncio.fixture
async def hub(real_redis: RealRedis, publisher: Publisher) -> AsyncIterator[Hub]:
    hub = Hub(real_redis.url, [stream_name(0)])
    await hub.start()
    await asyncio.sleep(0.1)
    yield hub
    await hub.aclose()


async def collect(source: AsyncIterator[HubEvent], count: int) -> list[HubEvent]:
    found = []
    async with asyncio.timeout(5):
        async for event in source:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_live_records_reach_every_subscriber(hub: Hub, publisher: Publisher) -> None:
    readers = [asyncio.create_task(collect(hub.subscribe(), 3)) for _ in range(5)]
    await asyncio.sleep(0.05)
    for seq in range(3):
        publisher.publish(make_tag(seq), 0.0)
    for reader in readers:
        assert [json.loads(e.data)["seq"] for e in await reader] == [0, 1, 2]


async def test_resume_gives_what_was_missed_and_goes_on_without_repeats(hub: Hub, publisher: Publisher) -> None:
    for seq in range(10):
        publisher.publish(make_tag(seq), 0.0)
    first = await collect(hub.subscribe("0-0"), 4)
    reader = asyncio.create_task(collect(hub.subscribe(first[-1].id), 9))
    await asyncio.sleep(0.1)
    for seq in range(10, 13):
        publisher.publish(make_tag(seq), 0.0)
    assert [json.loads(e.data)["seq"] for e in await reader] == list(range(4, 13))


async def test_one_call_can_be_followed(hub: Hub, publisher: Publisher) -> None:
    reader = asyncio.create_task(collect(hub.subscribe(call_id="b"), 2))
    await asyncio.sleep(0.05)
    for seq in range(2):
        for call in "abc":
            publisher.publish(make_tag(seq, call_id=call), 0.0)
    assert {json.loads(e.data)["call_id"] for e in await reader} == {"b"}


async def test_an_id_that_was_trimmed_away_is_told_as_a_gap(hub: Hub, publisher: Publisher) -> None:
    publisher.publish(make_tag(), 0.0)
    events = await collect(hub.subscribe("5-0"), 2)
    assert [e.event for e in events] == ["gap", "tag"]


async def test_a_malformed_id_is_a_sentence(hub: Hub) -> None:
    with pytest.raises(ValueError, match='"yesterday" is not an event id'):
        await collect(hub.subscribe("yesterday"), 1)


async def test_losing_redis_is_told_and_survived(hub: Hub, publisher: Publisher, real_redis: RealRedis) -> None:
    reader = asyncio.create_task(collect(hub.subscribe(), 3))
    await asyncio.sleep(0.05)
    await real_redis.kill()
    await asyncio.sleep(0.4)
    await real_redis.start()
    publisher.publish(make_tag(7), 0.0)
    assert sorted(e.event for e in await reader) == ["degraded", "restored", "tag"]


@pytest.mark.parametrize(("degraded", "told"), [(True, "degraded"), (False, "restored")])
async def test_whoever_wants_it_is_told_the_present_state_first(degraded: bool, told: str) -> None:
    hub = Hub("redis://127.0.0.1:1/0", ["vivavoce:tags:0"])
    hub._mark(degraded=degraded)
    assert await collect(hub.subscribe(greet=True), 1) == [HubEvent("", told, b"{}")]
    await hub.aclose()


async def acknowledged(publisher: Publisher, count: int) -> None:
    async with asyncio.timeout(5):
        while publisher.stats.acked < count:
            await asyncio.sleep(0.01)


async def test_what_is_written_before_the_first_contact_is_read_too(real_redis: RealRedis, publisher: Publisher) -> None:
    """Redis was away at the start and comes back; the publisher finds it first and writes out what it has kept."""
    publisher.publish(make_tag(1), 0.0)
    await acknowledged(publisher, 1)
    await asyncio.sleep(0.05)
    hub = Hub(real_redis.url, [stream_name(0)])
    tails = hub._tails

    async def away_at_first() -> dict[str, str]:
        hub._tails = tails  # type: ignore[method-assign]
        publisher.publish(make_tag(2), 0.0)
        await acknowledged(publisher, 2)
        raise RedisConnectionError("away")

    hub._tails = away_at_first  # type: ignore[method-assign]
    reader = asyncio.create_task(collect(hub.subscribe(), 3))
    await asyncio.sleep(0)
    await hub.start()
    try:
        told = await reader
    finally:
        await hub.aclose()
    assert [e.event for e in told] == ["degraded", "restored", "tag"]
    assert json.loads(told[2].data)["seq"] == 2, "one from before the start is not live"


def event(seq: int, kind: str = "tag") -> HubEvent:
    return HubEvent(f"{seq}-0", kind, b"{}")


async def test_a_slow_client_keeps_the_newest_score_and_every_tag() -> None:
    client = _Client(None)
    for seq in range(1000):
        client.offer(event(seq, "score"), "c1", "caller")
    client.offer(event(1000), "c1", "caller")
    assert await client.take() == event(999, "score")
    assert await client.take() == event(1000)


async def test_scores_make_room_for_tags_before_a_client_is_cut_off() -> None:
    client = _Client(None)
    for call in range(QUEUE):
        client.offer(event(call, "score"), f"c{call}", "caller")
    for seq in range(QUEUE):
        client.offer(event(1000 + seq), "c", "caller")
    assert not client.overrun
    client.offer(event(5000), "c", "caller")
    assert client.overrun
    taken = [await client.take() for _ in range(QUEUE)]
    assert [e.event for e in taken if e] == ["tag"] * QUEUE
    assert await client.take() is None


async def test_after_a_loss_nothing_follows_so_that_a_client_can_go_on_from_before_it() -> None:
    client = _Client(None)
    for seq in range(QUEUE + 1):
        client.offer(event(seq), "c", "caller")
    assert await client.take() == event(0)
    client.offer(event(999), "c", "caller")
    taken = [await client.take() for _ in range(QUEUE)]
    assert taken == [*(event(seq) for seq in range(1, QUEUE)), None]


async def test_after_a_blip_all_readers_come_back_at_once_and_each_has_what_was_missed(hub: Hub, publisher: Publisher) -> None:
    for seq in range(100):
        publisher.publish(make_tag(seq), 0.0)
    await acknowledged(publisher, 100)
    first = await collect(hub.subscribe("0-0"), 10)
    readers = [asyncio.create_task(collect(hub.subscribe(first[-1].id), 90)) for _ in range(300)]
    for reader in readers:
        assert [json.loads(e.data)["seq"] for e in await reader] == list(range(10, 100))


async def test_a_reader_who_resumes_and_takes_nothing_holds_little_and_nobody_up(hub: Hub, publisher: Publisher) -> None:
    for seq in range(200):
        publisher.publish(make_tag(seq), 0.0)
    await acknowledged(publisher, 200)
    idle = [hub.subscribe("0-0") for _ in range(2 * REPLAYS)]
    for source in idle:
        assert json.loads((await anext(source)).data)["seq"] == 0
    assert len(await collect(hub.subscribe("0-0"), 200)) == 200
    for source in idle:
        await source.aclose()


async def test_what_others_write_into_the_stream_is_passed_over(hub: Hub, publisher: Publisher, real_redis: RealRedis) -> None:
    reader = asyncio.create_task(collect(hub.subscribe(), 2))
    await asyncio.sleep(0.05)
    publisher.publish(make_tag(1), 0.0)
    client = aioredis.from_url(real_redis.url)
    async with asyncio.timeout(8):
        while await client.xlen(stream_name(0)) < 1:
            await asyncio.sleep(0.01)
    (first,) = await client.xrange(stream_name(0))
    await client.xadd(stream_name(0), {"foo": "bar"})
    await client.xadd(stream_name(0), {"kind": "tag", "call": "c", "data": "no JSON"})
    publisher._last_id = (int(time.time() * 1000) + 1000, 0)
    publisher.publish(make_tag(2), 0.0)
    assert [json.loads(e.data)["seq"] for e in await reader] == [1, 2]
    again = await collect(hub.subscribe(first[0].decode()), 1)
    assert [json.loads(e.data)["seq"] for e in again] == [2]
    await client.aclose()


async def test_it_ends_even_when_its_cancellation_is_taken_for_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub("redis://127.0.0.1:1/0", ["vivavoce:tags:0"])
    reading = asyncio.Event()

    async def deaf(*_: object, **__: object) -> None:
        reading.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise TimeoutError from None

    monkeypatch.setattr(hub._redis, "xrevrange", deaf)
    await hub.start()
    await reading.wait()
    await asyncio.wait_for(hub.aclose(), 2)
