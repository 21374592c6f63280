"""The audit from outside: made-up streams with holes, repeats and missing ends, in memory and in a real Redis."""

from __future__ import annotations

import json
import random

import pytest
import redis.asyncio as aioredis

from tests.peers.redis import RealRedis
from vivavoce.bench_audit import Audit, audit, check, latency

Record = dict[str, object]


def leg(count: int, call: str = "a", name: str = "caller", *, end: bool = True) -> list[Record]:
    """Records 0 .. count - 1 of a leg; the last one is its end."""
    kinds = ["tag", *["score"] * (count - 1)]
    if end:
        kinds[-1] = "end"
    return [{"call_id": call, "leg": name, "seq": seq, "kind": kind} for seq, kind in enumerate(kinds)]


def test_nothing_is_nothing() -> None:
    assert check([]) == Audit(records=0, lost=0, duplicated=0, ended=0)


def test_legs_and_calls_are_counted_apart() -> None:
    records = leg(5, "a", "caller") + leg(3, "a", "agent") + leg(4, "b", "caller")
    assert check(records) == Audit(records=12, lost=0, duplicated=0, ended=3)


def test_the_order_in_which_records_are_read_does_not_matter() -> None:
    records = leg(50, "a") + leg(50, "b")
    random.Random(1).shuffle(records)
    assert check(records) == Audit(100, 0, 0, 2)


@pytest.mark.parametrize("gone", [[0], [1], [7], [3, 4, 5], [0, 8]])
def test_every_hole_is_a_lost_record(gone: list[int]) -> None:
    kept = [record for record in leg(10) if record["seq"] not in gone]
    assert check(kept) == Audit(10 - len(gone), len(gone), 0, 1)


def test_a_tail_that_was_cut_off_shows_as_a_missing_end() -> None:
    assert check(leg(10)[:6]) == Audit(6, 1, 0, 0)  # how many were to come nobody can know: at least the end
    assert check(leg(10)[:6] + leg(3, "b")) == Audit(9, 1, 0, 1)


def test_repeats_are_counted_each_and_hide_no_hole() -> None:
    records = leg(10)
    assert check(records + records[2:5] + [records[2]]) == Audit(14, 0, 4, 1)
    assert check([*records[:3], *records[4:], records[5], records[9]]) == Audit(11, 1, 2, 1)


def test_made_up_damage_is_found_to_the_record() -> None:
    rng = random.Random(20)
    for _ in range(50):
        records = [record for number in range(rng.randint(1, 6)) for record in leg(rng.randint(3, 40), f"c{number}")]
        inner = [r for r in records if r["kind"] != "end"]
        lost = rng.sample(inner, rng.randint(0, len(inner) // 3))
        kept = [r for r in records if r not in lost]
        again = rng.choices(kept, k=rng.randint(0, 9))
        found = check(rng.sample(kept + again, len(kept) + len(again)))
        assert (found.lost, found.duplicated, found.records) == (len(lost), len(again), len(kept) + len(again))


@pytest.mark.peer
async def test_all_streams_of_a_redis_are_read_to_their_end(real_redis: RealRedis) -> None:
    client = aioredis.from_url(real_redis.url)
    try:
        async with client.pipeline(transaction=False) as pipe:
            for record in [*leg(6001, "long"), *leg(4, "short")[:3], leg(6001, "long")[77]]:  # more than one XRANGE
                pipe.xadd(f"vivavoce:tags:{record['call_id']}", {"data": json.dumps(record)})
            pipe.xadd("somebody:else", {"data": "no record"})
            await pipe.execute()
    finally:
        await client.aclose()
    assert await audit(real_redis.url) == Audit(records=6005, lost=1, duplicated=1, ended=1)


def histogram(counts: dict[str, int]) -> str:
    name = "vivavoce_publish_latency_seconds"
    lines = [f"# TYPE {name} histogram", *(f'{name}_bucket{{le="{edge}"}} {n}.0' for edge, n in counts.items())]
    return "\n".join([*lines, f"{name}_count {max(counts.values(), default=0)}.0", "vivavoce_calls 3.0"])


@pytest.mark.parametrize(
    ("counts", "p50", "p99"),
    [
        ({"0.1": 100, "+Inf": 100}, 50.0, 99.0),
        ({"0.1": 0, "0.2": 100, "+Inf": 100}, 150.0, 199.0),
        ({"0.1": 50, "0.2": 50, "0.4": 100, "+Inf": 100}, 100.0, 396.0),
        ({"0.001": 1, "+Inf": 1}, 0.5, 1.0),
    ],
)
def test_quantiles_lie_between_the_edges(counts: dict[str, int], p50: float, p99: float) -> None:
    found = latency(histogram(counts))
    assert (found.p50_ms, found.p99_ms) == (p50, p99)


def test_what_is_beyond_the_last_edge_is_never_made_small() -> None:
    found = latency(histogram({"0.1": 0, "1.0": 0, "+Inf": 10}))
    assert found.p50_ms is not None
    assert found.p50_ms >= 1000


@pytest.mark.parametrize("text", ["", "vivavoce_calls 3.0\n", histogram({"0.1": 0, "+Inf": 0})])
def test_without_a_measurement_there_is_no_number(text: str) -> None:
    found = latency(text)
    assert (found.p50_ms, found.p99_ms) == (None, None)
