"""What the live bench checks from outside: the records in Redis by their sequence numbers, the latency histogram."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import redis.asyncio as aioredis

LATENCY = "vivavoce_publish_latency_seconds_bucket"
_BUCKET = re.compile(LATENCY + r'\{[^}]*le="([^"]+)"[^}]*\}\s+([0-9.e+]+)')
STREAM = "vivavoce:tags:*"
Entry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True)
class Audit:
    records: int
    lost: int  # numbers missing between 0 and the last of each leg, and legs without an end record
    duplicated: int
    ended: int


@dataclass(frozen=True)
class Latency:
    p50_ms: float | None
    p99_ms: float | None


def check(records: Iterable[dict[str, object]]) -> Audit:
    """Every leg numbers its records 0, 1, 2 ...; a hole is a lost record, a repeat a duplicate."""
    legs: dict[tuple[object, object], list[int]] = defaultdict(list)
    ended: set[tuple[object, object]] = set()
    count = 0
    for record in records:
        count += 1
        leg = (record["call_id"], record["leg"])
        legs[leg].append(int(str(record["seq"])))
        if record["kind"] == "end":
            ended.add(leg)
    lost = sum(max(seen) + 1 - len(set(seen)) for seen in legs.values())
    duplicated = sum(len(seen) - len(set(seen)) for seen in legs.values())
    return Audit(count, lost + len(legs.keys() - ended), duplicated, len(ended))


async def audit(url: str) -> Audit:
    client = aioredis.from_url(url)
    records: list[dict[str, object]] = []
    try:
        async for name in client.scan_iter(STREAM):
            start = "-"
            while batch := cast(list[Entry], await client.xrange(name, start, "+", count=5000)):
                records += [json.loads(fields[b"data"]) for _, fields in batch]
                start = "(" + batch[-1][0].decode()
    finally:
        await client.aclose()
    return check(records)


def latency(metrics: str) -> Latency:
    """p50 and p99 in ms by linear interpolation inside the histogram's buckets (7 % wide)."""
    buckets = [(float(le), float(count)) for le, count in _BUCKET.findall(metrics)]
    if not buckets or not buckets[-1][1]:
        return Latency(None, None)
    return Latency(_quantile(buckets, 0.5), _quantile(buckets, 0.99))


def _quantile(buckets: list[tuple[float, float]], share: float) -> float:
    rank, below, lower = share * buckets[-1][1], 0.0, 0.0
    for upper, count in buckets:
        if count >= rank:
            inside = (rank - below) / (count - below) if count > below else 1.0
            return round(1000 * (lower + inside * (min(upper, 60.0) - lower)), 1)
        below, lower = count, upper
    return round(1000 * lower, 1)
