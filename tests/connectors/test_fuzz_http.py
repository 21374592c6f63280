"""Malformed HTTP, JSON and SDP over a real socket: an answer where one is due, never a 500, and the service goes on."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import tracemalloc
from collections import Counter, deque

import pytest

from engine.logs import QUIET
from tests.connectors import gateway
from tests.connectors.gateway import AUTH, TOKEN, Setup

PATHS = ("/v1/calls", "/v1/session", "/v1/recordings", "/v1/whip", "/v1/calls/x", "/v1/whip/x", "/v1/events", "/v1/ws", "/")
SDP = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\na=mid:0\r\na=sendrecv\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\na=rtcp-mux\r\n"
)
JSON = json.dumps({"codec": "PCMU", "legs": ["caller"], "call_id": "a", "metadata": {"k": "v"}, "payload_type": 0})


def mutated(text: bytes, rng: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(rng.randint(1, 8)):
        kind, at = rng.randrange(3), rng.randrange(len(changed) + 1)
        if kind == 0 and changed:
            changed[at % len(changed)] = rng.randrange(256)
        elif kind == 1:
            changed[at:at] = rng.randbytes(rng.randrange(20))
        else:
            del changed[at : at + rng.randrange(30)]
    return bytes(changed)


def request(rng: random.Random, *, broken_head: bool) -> bytes:
    path, method = rng.choice(PATHS), rng.choice(["POST", "POST", "GET", "DELETE", "PATCH", "PUT", "OPTIONS"])
    body = mutated(rng.choice([JSON.encode(), SDP.encode(), b""]), rng)
    kind = rng.choice(["application/json", "application/sdp", "multipart/form-data; boundary=x", "text/plain", ""])
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    return mutated(head, rng) + body if broken_head else head + body


async def send(port: int | None, data: bytes, wait_s: float) -> bytes:
    """What comes back before the other side closes, or in `wait_s`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(4096), wait_s)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


async def storm(gate: Setup, count: int, rng: random.Random, *, broken_head: bool) -> Counter[int]:
    """`count` requests, twenty at a time; status -> how often. Status 0: no answer."""
    statuses: Counter[int] = Counter()
    for _ in range(count // 20):
        batch = [request(rng, broken_head=broken_head) for _ in range(20)]
        for answer in await asyncio.gather(*(send(gate.client.port, data, 0.25) for data in batch)):
            head, _, body = answer.partition(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
            statuses[status] += 1
            assert status != 500, answer
            if status >= 400 and b"application/json" in head and body:
                assert json.loads(body)["error"]["message"]
    return statuses


async def settled() -> int:
    """Bytes in use once closed connections are gone."""
    await asyncio.sleep(0.3)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.timeout(120)
async def test_malformed_requests_are_answered_and_harm_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:  # as in the service
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    gate = await gateway.start()
    gate.feed.ending = True
    rng = random.Random(11)
    monkeypatch.setattr(gate.desk, "uploads", deque(maxlen=1))
    bodies = await storm(gate, 700, rng, broken_head=False)
    heads = await storm(gate, 300, rng, broken_head=True)
    tracemalloc.start()
    early = await settled()
    bodies += await storm(gate, 700, rng, broken_head=False)
    heads += await storm(gate, 300, rng, broken_head=True)
    late = await settled()
    tracemalloc.stop()
    assert bodies[0] == 0, "a well-formed request had no answer"
    assert bodies[400] > 100
    assert heads[400] > 100
    assert late - early < 1_000_000, f"{late - early} bytes grown"
    async with gate.client.get("/healthz") as response:
        assert response.status == 200
    async with gate.client.post("/v1/calls", json={}, headers=AUTH) as response:
        assert response.status == 201
    await gate.client.close()
