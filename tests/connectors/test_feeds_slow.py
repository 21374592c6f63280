"""Clients that come back, that read slowly, that leave: behind a real hub, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connectors import feeds
from connectors.gateway import GatewayOptions, build_app
from engine.hub import Hub
from engine.streams import encode_tag
from tests.connectors.gateway import AUTH, TOKEN, Desk, Whip
from tests.engine.tags import make_tag

STREAM = "vivavoce:tags:0"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
UPGRADE = f"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"


@dataclass
class Live:
    """A gateway on a hub whose Redis never answers: the test says what the streams hold."""

    client: TestClient[web.Request, web.Application]
    hub: Hub
    said: int = 0

    def say(self, kind: str, seq: int, call_id: str = "c1", padding: int = 0) -> None:
        """One record, as the hub's reader would spread it; `padding` characters make it larger."""
        self.said += 1
        data = encode_tag(replace(make_tag(seq, kind, call_id), model="m" * padding))
        entry = (f"{self.said}-0".encode(), {b"call": call_id.encode(), b"kind": kind.encode(), b"data": data})
        self.hub._spread(STREAM, [entry])

    def connections(self) -> int:
        """How many the HTTP server holds."""
        runner = self.client.server.runner
        assert runner is not None
        assert runner.server is not None
        return len(runner.server.connections)

    async def clients(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.hub.clients != count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    hub = Hub("redis://127.0.0.1:1/0", [STREAM])
    client = TestClient(TestServer(build_app(Desk(), hub, Whip(), GatewayOptions(TOKEN))))  # type: ignore[arg-type]
    await client.start_server()
    yield Live(client, hub)
    await hub.aclose()
    await client.close()


async def stuck_client(live: Live, path: str) -> socket.socket:
    """A connection that asks and then never reads; its window is as small as the kernel lets it be."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", live.client.port))
    extra = UPGRADE if path.startswith("/v1/ws") else ""
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{extra}\r\n"
    await loop.sock_sendall(sock, head.encode())
    return sock


async def read_ids(live: Live, found: list[str], count: int) -> None:
    """A well-behaved reader of `count` records; what it has so far is in `found`."""
    async with live.client.get("/v1/events", headers=AUTH, read_bufsize=1 << 20) as response:
        while len(found) < count:
            line = await asyncio.wait_for(response.content.readline(), 5)
            assert line, "the stream ended"
            if line.startswith(b"id: "):
                found.append(line.decode().strip().removeprefix("id: "))


@pytest.mark.parametrize("path", ["/v1/events", "/v1/ws"])
async def test_a_client_that_takes_nothing_is_cut_and_the_others_miss_nothing(
    live: Live, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "SEND_TIMEOUT_S", 0.1)
    sock = await stuck_client(live, path)
    await live.clients(1)
    count = 400  # of 20 kB each: more than both kernels' buffers hold
    found: list[str] = []
    reader = asyncio.create_task(read_ids(live, found, count))
    await live.clients(2)
    for seq in range(count):
        live.say("tag", seq, padding=20_000)
        async with asyncio.timeout(5):
            while len(found) < seq - 20 and not reader.done():
                await asyncio.sleep(0)
    await reader
    assert found == [f"{n}-0" for n in range(1, count + 1)]
    live.say("tag", count)  # the reader left too; that shows when there is something to write
    await live.clients(0)
    async with asyncio.timeout(5):  # a polite close would keep the connection until its client has taken everything
        while live.connections():
            await asyncio.sleep(0.01)
    sock.close()


async def test_a_late_reader_gets_the_newest_score_and_every_change_of_tag(live: Live) -> None:
    """Nothing is read between the records: what the queue holds then is what counts."""
    async with live.client.ws_connect("/v1/ws", headers=AUTH) as ws:
        await live.clients(1)
        for seq in range(1000):
            live.say("tag" if seq % 100 == 0 else "score", seq)
        got = [await ws.receive_json(timeout=2) for _ in range(12)]
    assert [m["data"]["seq"] for m in got if m["event"] == "tag"] == list(range(0, 1000, 100))
    assert [m["data"]["seq"] for m in got if m["event"] == "score"] == [999]


async def test_a_queue_full_of_tags_is_told_as_a_gap_and_ends(live: Live) -> None:
    async with live.client.ws_connect("/v1/ws", headers=AUTH) as ws:
        await live.clients(1)
        for seq in range(300):
            live.say("tag", seq)
        got = [await ws.receive_json(timeout=2) for _ in range(258)]
        assert (got[-1]["event"], got[-1]["data"]) == ("gap", {"reason": "too slow"})
        assert [m["data"]["seq"] for m in got[1:-1]] == list(range(256))
        await ws.receive(timeout=2)
        assert ws.close_code == 1013


@pytest.mark.parametrize("path", ["/v1/events", "/v1/ws"])
async def test_a_client_that_leaves_is_forgotten(live: Live, path: str) -> None:
    sock = await stuck_client(live, path)
    await live.clients(1)
    sock.close()
    live.say("tag", 0)
    await live.clients(0)


@pytest.mark.parametrize("given", ["abc", "yesterday", "-", "=", "1-", "1-2-3", "٣-٤", "9" * 20])
async def test_an_id_no_stream_ever_said_is_refused_before_the_stream_begins(live: Live, given: str) -> None:
    for path in ("/v1/events", "/v1/ws"):
        async with live.client.get(path, params={"last_event_id": given}, headers=AUTH) as response:
            assert response.status == 400
            error = (await response.json())["error"]
        assert error["field"] == "last_event_id"
        assert "1700000000000-0" in error["message"]


async def test_a_bad_resume_message_closes_the_socket_with_a_reason(live: Live) -> None:
    async with live.client.ws_connect("/v1/ws", headers=AUTH) as ws:
        await ws.receive_json(timeout=2)
        await ws.send_json({"last_event_id": "yesterday"})
        message = await ws.receive(timeout=2)
    assert (message.data, message.extra) == (1008, '"yesterday" is not an event id of the form 1700000000000-0')


async def test_the_socket_goes_on_with_its_own_call_after_a_resume(live: Live) -> None:
    async with live.client.ws_connect("/v1/ws?call_id=b", headers=AUTH) as ws:
        assert (await ws.receive_json(timeout=2))["event"] == "restored"
        await ws.send_json({"last_event_id": "1-0"})
        assert (await ws.receive_json(timeout=2))["event"] == "gap"  # this Redis is away: the resume has begun
        assert (await ws.receive_json(timeout=2))["event"] == "restored"
        for call in "abc":
            live.say("tag", 7, call)
        assert (await ws.receive_json(timeout=2))["data"]["call_id"] == "b"


async def test_a_quiet_stream_carries_events_that_a_page_can_miss(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEEP_ALIVE_S", 0.02)
    begin = b"retry: 1000\n\nevent: restored\ndata: {}\n\n"
    async with live.client.get("/v1/events", headers=AUTH) as response:
        text = await asyncio.wait_for(response.content.readexactly(len(begin + 2 * feeds.PING)), 2)
        live.say("tag", 0)
        assert text == begin + 2 * feeds.PING
        assert feeds.PING == b"event: ping\ndata: {}\n\n"
        while (line := await asyncio.wait_for(response.content.readline(), 2)) in feeds.PING.splitlines(keepends=True):
            pass
        assert line == b"id: 1-0\n"
        assert await response.content.readline() == b"event: tag\n"
        assert json.loads((await response.content.readline()).removeprefix(b"data: "))["seq"] == 0


@pytest.mark.parametrize("degraded", [True, False])
async def test_every_stream_begins_with_whether_redis_is_there(live: Live, degraded: bool) -> None:
    """A reader that was told "degraded" and comes again would otherwise believe it for ever."""
    live.hub._mark(degraded=degraded)
    expected = "degraded" if degraded else "restored"
    async with live.client.ws_connect("/v1/ws", headers=AUTH) as ws:
        assert await ws.receive_json(timeout=2) == {"id": "", "event": expected, "data": {}}
    async with live.client.get("/v1/events", headers=AUTH) as response:
        assert await response.content.readuntil(b"{}\n\n") == f"retry: 1000\n\nevent: {expected}\ndata: {{}}\n\n".encode()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/ws"])
async def test_a_stream_has_no_head(live: Live, path: str) -> None:
    async with live.client.head(path, headers=AUTH) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
