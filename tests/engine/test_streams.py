"""The way to Redis, with a real redis-server that is killed, restarted, locked and trimmed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio as aioredis

from engine.errors import ConfigError
from engine.streams import Publisher, stream_name
from engine.tasks import end
from tests.engine.tags import make_tag
from tests.peers.redis import RealRedis

pytestmark = pytest.mark.peer


async def entries(server: RealRedis) -> list[tuple[str, dict[str, Any]]]:
    client = aioredis.from_url(server.url)
    raw = await client.xrange(stream_name(0))
    await client.aclose()
    return [(key.decode(), json.loads(fields[b"data"])) for key, fields in raw]


async def settled(publisher: Publisher, seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while len(publisher.spool) or publisher.stats.acked < publisher.stats.published:
            await asyncio.sleep(0.02)


async def until(true: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def test_a_record_carries_its_id_and_the_wall_clock(real_redis: RealRedis) -> None:
    publisher = Publisher(real_redis.url, wall_clock=lambda: 1_800_000_000.5)
    await publisher.start()
    publisher.publish(make_tag(), 0.0)
    await publisher.aclose()
    ((key, data),) = await entries(real_redis)
    assert key == data["event_id"] == "1800000000500-0"
    assert data["wall_time"] == 1_800_000_000.5
    assert data["schema"] == 1


async def test_who_publishes_is_given_the_record_as_readers_get_it(real_redis: RealRedis) -> None:
    publisher = Publisher(real_redis.url)
    await publisher.start()
    told = publisher.publish(make_tag(), 0.0)
    await publisher.aclose()
    ((key, data),) = await entries(real_redis)
    assert (told.event_id, told.wall_time) == (key, data["wall_time"])


@pytest.mark.parametrize("secret", ["", ":hunter2@", "nobody:hunter2@"])
async def test_a_redis_that_refuses_us_at_the_start_is_a_wrong_setting(real_redis: RealRedis, secret: str) -> None:
    await real_redis.kill()
    await real_redis.start("--requirepass", "another")
    publisher = Publisher(real_redis.url.replace("redis://", f"redis://{secret}"))
    with pytest.raises(ConfigError, match=r"redis\.url: Redis asks for another user or password") as refused:
        await publisher.start()
    assert "hunter2" not in str(refused.value)


async def test_a_redis_that_refuses_us_later_is_named_and_spooled_for(
    real_redis: RealRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = Publisher(real_redis.url)
    await publisher.start()
    await real_redis.kill()
    await real_redis.start("--requirepass", "another")
    publisher.publish(make_tag(), 0.0)
    await until(lambda: publisher.stats.errors > 1 and len(publisher.spool))
    assert not publisher.stats.connected
    assert "redis is away" in capsys.readouterr().out
    await real_redis.kill()
    await real_redis.start()
    await settled(publisher)
    await publisher.aclose()


async def test_ids_rise_though_the_clock_steps_back(real_redis: RealRedis) -> None:
    clock = iter([1000.0, 999.0, 998.0, 1000.0, 1001.0])
    publisher = Publisher(real_redis.url, wall_clock=lambda: next(clock))
    await publisher.start()
    for seq in range(5):
        publisher.publish(make_tag(seq), 0.0)
    await publisher.aclose()
    keys = [key for key, _ in await entries(real_redis)]
    assert keys == ["1000000-0", "1000000-1", "1000000-2", "1000000-3", "1001000-0"]


async def test_a_restarted_service_goes_on_above_the_old_ids(real_redis: RealRedis) -> None:
    for wall in (2000.0, 1000.0):  # the second life's clock is behind
        publisher = Publisher(real_redis.url, wall_clock=lambda wall=wall: wall)  # type: ignore[misc]
        await publisher.start()
        publisher.publish(make_tag(), 0.0)
        await publisher.aclose()
    assert [key for key, _ in await entries(real_redis)] == ["2000000-0", "2000000-1"]


async def test_what_was_published_before_redis_was_met_is_told_though_its_stream_is_ahead(real_redis: RealRedis) -> None:
    client = aioredis.from_url(real_redis.url)
    await client.xadd(stream_name(0), {"data": "{}"}, id="5000000-7")  # of a run whose clock was ahead
    await client.aclose()
    await real_redis.kill()
    publisher = Publisher(real_redis.url, wall_clock=lambda: 2000.0)
    await publisher.start()
    for seq in range(3):
        publisher.publish(make_tag(seq), 0.0)
    await real_redis.start()
    await settled(publisher)
    publisher.publish(make_tag(3), 0.0)
    await publisher.aclose()
    told = (await entries(real_redis))[1:]
    assert [(key, data["seq"]) for key, data in told] == [(f"5000000-{8 + seq}", seq) for seq in range(4)]
    assert all(key == data["event_id"] and data["wall_time"] == 2000.0 for key, data in told)
    assert (publisher.stats.acked, publisher.stats.refused_duplicates) == (4, 0)


async def test_killed_and_restarted_redis_loses_and_repeats_nothing(real_redis: RealRedis) -> None:
    publisher = Publisher(real_redis.url)
    await publisher.start()
    calls = 20
    for round_ in range(150):
        for call in range(calls):
            publisher.publish(make_tag(round_, "tag" if round_ % 7 == 0 else "score", f"c{call}"), 0.0)
        if round_ == 40:
            await real_redis.kill()
        if round_ == 90:
            await real_redis.start()
        await asyncio.sleep(0.005)
    await settled(publisher)
    await publisher.aclose()
    found = [data for _, data in await entries(real_redis)]
    assert len(found) == 150 * calls
    for call in range(calls):
        assert [d["seq"] for d in found if d["call_id"] == f"c{call}"] == list(range(150))


async def test_what_redis_acknowledged_and_lost_is_offered_again_however_long_it_was_away(real_redis: RealRedis) -> None:
    now = [100.0]
    publisher = Publisher(real_redis.url, clock=lambda: now[0])
    await publisher.start()
    for seq in range(10):
        publisher.publish(make_tag(seq), 0.0)
    await settled(publisher)
    await real_redis.kill()
    real_redis.lose_last(2_000)
    now[0] += 600.0  # ten minutes without Redis
    await real_redis.start()
    publisher.publish(make_tag(10), 0.0)
    await settled(publisher)
    await publisher.aclose()
    assert publisher.stats.refused_duplicates < 10, "nothing was lost: the test tests nothing"
    assert [data["seq"] for _, data in await entries(real_redis)] == list(range(11))


async def loaded(server: RealRedis) -> None:
    """Wait until it has read its file: before, it refuses what is written, and that would be noticed."""
    client = aioredis.from_url(server.url)
    async with asyncio.timeout(8):
        while int((await client.info("persistence"))["loading"]):
            await asyncio.sleep(0.02)
    await client.aclose()


@pytest.mark.parametrize("options", ["", "?protocol=2"], ids=["default", "RESP2, reconnected without an error"])
async def test_what_an_idle_redis_lost_in_a_restart_is_offered_before_what_comes_next(
    real_redis: RealRedis, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.setattr("engine.streams.PROBE_S", 60.0)  # nothing but the next write meets the new server
    publisher = Publisher(real_redis.url + options)
    await publisher.start()
    for seq in range(10):
        publisher.publish(make_tag(seq), 0.0)
    await settled(publisher)
    await real_redis.kill()
    real_redis.lose_last(2_000)
    await real_redis.start()
    await loaded(real_redis)
    publisher.publish(make_tag(10), 0.0)
    await settled(publisher)
    await publisher.aclose()
    assert publisher.stats.refused_duplicates < 10, "nothing was lost: the test tests nothing"
    assert [data["seq"] for _, data in await entries(real_redis)] == list(range(11))


async def test_what_a_restart_lost_is_offered_again_though_nothing_more_is_published(
    real_redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.streams.PROBE_S", 0.05)
    told: list[str] = []
    publisher = Publisher(real_redis.url, on_ack=lambda record, now: told.append(record.call_id))
    await publisher.start()
    for seq in range(10):
        publisher.publish(make_tag(seq, call_id=f"c{seq}"), 0.0)
    await settled(publisher)
    await real_redis.kill()
    real_redis.lose_last(2_000)
    await real_redis.start()
    await until(lambda: publisher.stats.replayed and not len(publisher.spool))
    await publisher.aclose()
    assert [data["seq"] for _, data in await entries(real_redis)] == list(range(10))
    assert publisher.stats.acked == 10, "what is offered again is not counted again"
    assert told == [f"c{seq}" for seq in range(10)], "nor is the outage measured as the time it took"


async def test_a_quiet_service_notices_that_redis_goes_and_comes(
    real_redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.streams.PROBE_S", 0.05)
    await real_redis.kill()
    publisher = Publisher(real_redis.url)
    await publisher.start()
    assert not publisher.stats.connected
    await real_redis.start()
    await until(lambda: publisher.stats.connected)
    await real_redis.kill()
    await until(lambda: not publisher.stats.connected)
    await publisher.aclose()


async def test_publish_never_waits_for_a_missing_redis() -> None:
    publisher = Publisher("redis://127.0.0.1:1/0", spool_max=500)
    await publisher.start()
    loop = asyncio.get_running_loop()
    before = loop.time()
    for seq in range(1000):
        publisher.publish(make_tag(seq, "score" if seq % 10 else "tag"), 0.0)
    assert loop.time() - before < 0.5
    assert len(publisher.spool) == 500
    assert publisher.spool.dropped_scores == 500
    assert publisher.spool.dropped_tags == 0
    assert not publisher.stats.connected
    await publisher.aclose(timeout_s=0.1)


async def test_a_spool_outlasted_by_the_outage_keeps_every_change_of_tag(real_redis: RealRedis) -> None:
    await real_redis.kill()
    publisher = Publisher(real_redis.url, spool_max=200)
    await publisher.start()
    for seq in range(1000):
        publisher.publish(make_tag(seq, "tag" if seq % 10 == 0 else "score"), 0.0)
    await real_redis.start()
    await settled_spool(publisher)
    await publisher.aclose()
    found = [data for _, data in await entries(real_redis)]
    assert [d["seq"] for d in found if d["kind"] == "tag"] == list(range(0, 1000, 10))
    assert len(found) == 200
    assert publisher.spool.dropped_scores == 800


async def settled_spool(publisher: Publisher) -> None:
    async with asyncio.timeout(8):
        while len(publisher.spool):
            await asyncio.sleep(0.02)


async def test_old_records_are_trimmed(real_redis: RealRedis) -> None:
    wall = itertools.count(1000.0, 1.0)
    times = itertools.count(0.0, 11.0)  # every batch comes after the next trimming is due
    publisher = Publisher(real_redis.url, retention_s=60, wall_clock=lambda: next(wall), clock=lambda: next(times))
    await publisher.start()
    for seq in range(2000):
        publisher.publish(make_tag(seq), 0.0)
        if seq % 100 == 0:
            await asyncio.sleep(0.01)
    await publisher.aclose()
    keys = [key for key, _ in await entries(real_redis)]
    assert len(keys) < 600  # 60 s of records, loosely: Redis trims by whole nodes of 100
    assert keys[-1] == "2999000-0"


@pytest.mark.parametrize("leap", [0.0, 86400.0, -86400.0])
async def test_old_records_are_trimmed_though_the_wall_clock_was_wrong_for_a_while(real_redis: RealRedis, leap: float) -> None:
    now, wall = 0.0, 1_000_000.0
    publisher = Publisher(real_redis.url, retention_s=60, wall_clock=lambda: wall, clock=lambda: now)
    await publisher.start()
    for seq in range(3000):  # fifteen minutes of them, one of which the clock is wrong in
        now += 0.3
        wall = 1_000_000.0 + now + (leap if 1000 < seq < 1200 else 0.0)
        publisher.publish(make_tag(seq), now)
        if seq % 50 == 0:
            await asyncio.sleep(0.01)
    await publisher.aclose()
    seqs = [data["seq"] for _, data in await entries(real_redis)]
    assert seqs == list(range(seqs[0], 3000))
    assert 200 <= len(seqs) < 500  # a minute is 200 of them; Redis trims by whole nodes of 100


async def test_a_redis_without_memory_now_and_then_loses_no_record(real_redis: RealRedis) -> None:
    """Were one record of a batch refused and the next one taken, the first could never follow."""
    publisher, admin = Publisher(real_redis.url), aioredis.from_url(real_redis.url)
    await publisher.start()

    async def full_now_and_then() -> None:
        while True:
            await admin.config_set("maxmemory", "1")
            await asyncio.sleep(0.001)
            await admin.config_set("maxmemory", "0")
            await asyncio.sleep(0.003)

    toggling = asyncio.create_task(full_now_and_then())
    for seq in range(4000):
        publisher.publish(make_tag(seq), 0.0)
        if seq % 200 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    await end(toggling)
    await admin.config_set("maxmemory", "0")
    await settled(publisher, 30.0)
    assert publisher.stats.errors, "it was refused at times"
    assert [data["seq"] for _, data in await entries(real_redis)] == list(range(4000))
    await publisher.aclose()
    await admin.aclose()


async def test_what_is_under_way_when_the_service_ends_is_counted_as_not_delivered(real_redis: RealRedis) -> None:
    publisher = Publisher(real_redis.url)
    await publisher.start()
    assert publisher.stats.connected
    hung = asyncio.Event()

    async def hang(_: object) -> None:
        hung.set()
        await asyncio.Event().wait()

    publisher._write = hang  # type: ignore[method-assign,assignment]
    publisher.publish(make_tag(), 0.0)
    await hung.wait()
    await publisher.aclose(0.05)
    assert len(publisher.spool) == 1
