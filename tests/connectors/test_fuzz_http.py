"""Malformed HTTP, JSON and SDP over a real socket: an answer where one is due, never a 500, and the service goes on."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import tracemalloc
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connectors import webrtc
from connectors.gateway import GatewayOptions, build_app
from connectors.webrtc import WebRtcWhip
from engine.logs import QUIET
from tests.connectors.gateway import AUTH, TOKEN, Desk, Feed
from tests.connectors.test_feeds_slow import UPGRADE

PATHS = (
    "/v1/calls", "/v1/session", "/v1/recordings", "/v1/whip", "/v1/calls/x", "/v1/whip/x", "/v1/events", "/v1/ws", "/",
    "/v1/events?last_event_id=%ff", "/v1/recordings?pace=%00", "/console/x", "/v9", "//", "/%",
)  # fmt: skip
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


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF....WAVE\r\n--x--\r\n'
BODIES = (
    ("/v1/calls", "application/json", JSON.encode()),
    ("/v1/session", "application/json", b'{"token": "guess"}'),
    ("/v1/recordings", "multipart/form-data; boundary=x", FORM),
    ("/v1/recordings?pace=fast", "audio/wav", b"RIFF....WAVE"),
)
CODINGS = ("", "", "", "Content-Encoding: gzip\r\n", "Expect: 100-continue\r\n", "Last-Event-ID: \xff\r\n")


def head_of(method: str, path: str, length: int, rest: str) -> bytes:
    text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    return (text + f"Content-Length: {length}\r\n{rest}\r\n").encode("latin-1")


def broken_body(rng: random.Random) -> bytes:
    """HTTP as it should be, to an endpoint that takes a body, around a body that is not what it says."""
    path, kind, text = rng.choice(BODIES)
    body = mutated(text, rng)
    return head_of("POST", path, len(body), f"Content-Type: {kind}\r\n{rng.choice(CODINGS)}") + body


def wrong_place(rng: random.Random) -> bytes:
    """Any method at any path with any body."""
    method = rng.choice(["POST", "GET", "DELETE", "PATCH", "PUT", "OPTIONS", "HEAD", "TRACE"])
    _, kind, text = rng.choice(BODIES)
    return head_of(method, rng.choice(PATHS), len(text), f"Content-Type: {kind}\r\n{rng.choice(CODINGS)}") + text


def broken_offer(rng: random.Random) -> bytes:
    body = mutated(SDP.encode(), rng)
    return head_of("POST", "/v1/whip", len(body), "Content-Type: application/sdp\r\n") + body


def broken_head(rng: random.Random) -> bytes:
    body = mutated(JSON.encode(), rng)
    return mutated(head_of("POST", rng.choice(PATHS), len(body), "Content-Type: application/json\r\n"), rng) + body


def raw_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 300)) + rng.choice([b"", b"\r\n\r\n"])


def broken_frames(rng: random.Random) -> bytes:
    """A WebSocket that is opened as it should be and then talks nonsense."""
    head = f"GET /v1/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{UPGRADE}\r\n".encode()
    text = b'{"last_event_id": "170-0"}'
    frame = bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text  # masked with zeroes (RFC 6455 section 5.3)
    return head + mutated(frame, rng) + rng.randbytes(rng.randrange(40)) + bytes([0x88, 0x80, 0, 0, 0, 0])


async def send(port: int | None, data: bytes, wait_s: float) -> bytes:
    """What comes back before the other side closes, or in `wait_s`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            while block := await reader.read(1 << 16):
                answer += block
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return answer


def status_of(answer: bytes) -> int:
    """The answer's status, 0 when there is none; a failure must be a sentence in JSON."""
    if answer.startswith(b"HTTP/1.1 100 "):
        answer = answer.partition(b"\r\n\r\n")[2]
    if not answer:
        return 0
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert status != 500, answer
    assert b"Traceback" not in answer
    if status >= 400 and body:  # the answer to HEAD has none
        assert b"application/json" in head, answer
        error = json.loads(body)["error"]
        assert set(error) == {"code", "message", "field"}
        assert error["message"], answer
    return status


async def storm(port: int | None, count: int, rng: random.Random, make: Callable[[random.Random], bytes]) -> Counter[int]:
    """`count` requests, twenty at a time; status -> how often."""
    wait_s = 0.25 if make in (broken_head, raw_bytes) else 5.0  # half a request is waited for, and has no answer
    statuses: Counter[int] = Counter()
    for _ in range(count // 20):
        batch = [make(rng) for _ in range(20)]
        statuses.update(map(status_of, await asyncio.gather(*(send(port, data, wait_s) for data in batch))))
    return statuses


class Call:
    """Behind a browser's call that will never send a packet."""

    call_id = "w"

    def on_frame(self, frame: object, now: float) -> None: ...

    def close(self, reason: str) -> None: ...


async def all_storms(port: int | None, rng: random.Random) -> dict[str, Counter[int]]:
    """1,300 malformed requests of every sort; sort -> status -> how often."""
    sorts = (
        (broken_body, 400), (wrong_place, 200), (broken_offer, 200), (broken_head, 240), (raw_bytes, 160),
        (broken_frames, 100),
    )  # fmt: skip
    return {make.__name__: await storm(port, count, rng, make) for make, count in sorts}


async def settled() -> int:
    """Bytes in use once closed connections are gone."""
    await asyncio.sleep(0.3)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestClient]:
    """The gateway with the real WHIP server, as talkative in its logs as the service."""
    for name in (*QUIET, "aiohttp.access"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    monkeypatch.setattr(webrtc, "CONNECT_S", 0.05)
    desk, feed, whip = Desk(), Feed(), WebRtcWhip(lambda *_: Call(), limit=50, host_addresses=["127.0.0.1"])
    monkeypatch.setattr(desk, "uploads", deque([("", b"", True)], maxlen=1))
    feed.ending = True
    app = build_app(desk, feed, whip, GatewayOptions(TOKEN, rate_limit_per_s=1e6))  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as made:
        yield made
    await whip.aclose()


@pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader", "ignore::aiohttp.BadContentDispositionParam")
async def test_malformed_requests_are_answered_and_harm_nothing(client: TestClient) -> None:
    """2,600 of them, after each of which the service must go on as if nothing had been."""
    rng = random.Random(11)
    first = await all_storms(client.port, rng)
    tracemalloc.start()
    early = await settled()
    second = await all_storms(client.port, rng)
    late = await settled()
    tracemalloc.stop()
    total = {name: first[name] + second[name] for name in first}
    assert sum(sum(counts.values()) for counts in total.values()) == 2600
    for name in ("broken_body", "wrong_place", "broken_offer", "broken_frames"):
        assert total[name][0] == 0, f"{name}: a well-formed request had no answer"
    assert total["broken_body"][400] > 100
    assert total["broken_body"][202] > 100  # what a recording is made of is for its decoder to judge
    assert total["wrong_place"][404] > 50
    assert total["wrong_place"][405] > 50
    assert total["broken_offer"][400] > 100
    assert total["broken_offer"][201] > 10  # some mutations do no harm: the answer's path is trodden too
    assert total["broken_head"][400] > 100
    assert total["raw_bytes"][400] > 100
    assert late - early < 1_000_000, f"{late - early} bytes grown"
    async with client.get("/healthz") as response:
        assert response.status == 200
    async with client.post("/v1/calls", json={}, headers=AUTH) as response:
        assert response.status == 201
