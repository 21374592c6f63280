"""Connections that come to nothing: how long they are kept, and how many."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from connectors import arriving, connections
from connectors import gateway as connectors_gateway
from tests.connectors import gateway
from tests.connectors.gateway import AUTH, TOKEN, Setup

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
POST = b"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def connected(gate: Setup, data: bytes = b"", host: str = "127.0.0.1") -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.client.port, local_addr=(host, 0))
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body, of a connection that is closed behind them."""
    head, _, body = (await asyncio.wait_for(reader.read(), 3)).partition(b"\r\n\r\n")
    return head, body


async def header(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_request_that_is_never_finished_is_given_up(
    gate: Setup, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.1)
    async with connected(gate, begun) as (reader, _):
        assert await asyncio.wait_for(reader.read(), 3) == b""


async def test_a_later_request_of_a_connection_must_be_finished_too(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.2)
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(gate, request) as (reader, writer):
        await header(reader)
        await asyncio.sleep(0.3)  # between requests there is more time
        writer.write(request)
        assert b" 200 OK" in await header(reader)
        await reader.readexactly(len(b'{"ok": true}'))
        writer.write(request[:9])
        assert await asyncio.wait_for(reader.read(), 3) == b""


async def test_an_event_stream_and_a_socket_are_no_unfinished_requests(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.05)
    async with gate.client.ws_connect("/v1/ws", headers=AUTH) as socket, gate.client.get("/v1/events", headers=AUTH) as stream:
        await socket.send_str("hello")
        await asyncio.sleep(0.2)
        await socket.send_str("hello")
        assert not stream.content.at_eof()
        assert not socket.closed


@pytest.mark.parametrize("body", [b"", b"{"])
async def test_a_body_that_does_not_come_is_not_waited_for(gate: Setup, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors_gateway, "BODY_S", 0.1)
    async with connected(gate, POST + b"Connection: close\r\nContent-Length: 30\r\n\r\n" + body) as (reader, _):
        head = await header(reader)
        found = json.loads(await asyncio.wait_for(reader.readuntil(b"}}"), 3))
    assert head.startswith(b"HTTP/1.1 408 ")
    assert found["error"] == {"code": "bad-request", "message": "the body did not arrive within 0.1 s", "field": "body"}


FORM = (
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.wav"\r\n\r\nRIFF'
)


@pytest.mark.parametrize("rest", [b"Content-Length: 30\r\n\r\nRIFF", FORM])
async def test_a_file_that_stops_coming_is_not_waited_for(gate: Setup, rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "STALLED_S", 0.1)
    post = b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
    async with connected(gate, post + rest) as (reader, _):
        head = await header(reader)
        found = json.loads(await asyncio.wait_for(reader.readuntil(b"}}"), 3))
    assert head.startswith(b"HTTP/1.1 408 ")
    assert found["error"]["message"] == "nothing more of the file came for 0.1 s"


async def test_a_file_may_be_as_long_in_coming_as_it_likes(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "STALLED_S", 0.3)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"RIFF"
            await asyncio.sleep(0.1)

    async with gate.client.post("/v1/recordings", data=slowly(), headers=AUTH) as response:
        assert response.status == 202


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "the service's own loop"])
def test_one_address_gets_half_of_the_connections_and_all_of_them_no_more_than_the_limit(run: Any) -> None:
    run(_fill_up())


async def _fill_up() -> None:
    setup = await gateway.start(max_connections=4)
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(setup, whole) as (first, _), connected(setup, whole) as (second, _):
        for reader in (first, second):
            assert b" 200 OK" in await header(reader)
        async with connected(setup) as (reader, _):
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5" in head
            assert b"nosniff" in head
            assert json.loads(body)["error"]["message"] == "too many connections"
        async with connected(setup, whole, "127.0.0.2") as (third, _), connected(setup, whole, "127.0.0.3") as (fourth, _):
            for reader in (third, fourth):
                assert b" 200 OK" in await header(reader), "others are served all the same"
            async with connected(setup, whole, "127.0.0.4") as (reader, _):
                assert (await answer(reader))[0].startswith(b"HTTP/1.1 503 ")
    async with asyncio.timeout(3):
        while (await setup.client.get("/healthz")).status != 200:
            await asyncio.sleep(0.02)
    await setup.client.close()


@pytest.mark.parametrize("path", [b"/v1/session", b"/nowhere"])
async def test_an_expectation_nobody_meets_is_refused_in_the_same_shape(gate: Setup, path: bytes) -> None:
    request = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: nonsense\r\nContent-Length: 0\r\n\r\n"
    async with connected(gate, request) as (reader, _):
        head, body = await answer(reader)
    assert head.startswith(b"HTTP/1.1 417 ")
    assert b"nosniff" in head
    assert json.loads(body)["error"]["code"] == "expectation-failed"


async def test_a_packed_body_is_no_fault_of_ours_in_the_log(
    gate: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    request = f"Authorization: Bearer {TOKEN}\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc".encode()
    async with connected(gate, POST + request) as (reader, _):
        assert (await header(reader)).startswith(b"HTTP/1.1 415 ")
    assert not caplog.records


@asynccontextmanager
async def deaf(gate: Setup, data: bytes) -> AsyncIterator[socket.socket]:
    """A client that asks and never takes an answer."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", gate.client.port))
        with suppress(TimeoutError):  # at some point nothing more is taken from it either
            await asyncio.wait_for(loop.sock_sendall(one, data), 0.5)
        yield one


async def dropped(one: socket.socket) -> bool:
    """Whether the other side has thrown the connection away, whatever still stands in its buffers."""
    for _ in range(40):
        try:
            one.send(b"G")
        except BlockingIOError:
            pass
        except OSError:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
async def test_who_takes_no_answer_is_dropped(gate: Setup, monkeypatch: pytest.MonkeyPatch, last: bytes) -> None:
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    request = b"GET /console/console.css HTTP/1.1\r\nHost: x\r\n\r\n"
    async with deaf(gate, request * 2000 + request[:-2] + last + b"\r\n") as one:
        assert await dropped(one)


async def test_who_takes_an_answer_slowly_is_not(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKE_S", 0.3)
    request = b"GET /console/console.css HTTP/1.1\r\nHost: x\r\n\r\n"
    async with deaf(gate, request * 200) as one:
        loop, taken = asyncio.get_running_loop(), 0
        for _ in range(40):
            taken += len(await asyncio.wait_for(loop.sock_recv(one, 1 << 16), 3))
            await asyncio.sleep(0.03)
        assert taken > 1 << 17
        assert await asyncio.wait_for(loop.sock_recv(one, 1), 3) != b""


@pytest.mark.parametrize("rest", [b"Content-Length: 99\r\n\r\nRIFF", FORM[:60], FORM[:100], FORM])
async def test_who_leaves_in_the_middle_of_a_file_is_no_fault_of_ours_in_the_log(
    gate: Setup, rest: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    post = b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
    async with connected(gate, post + rest):
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.2)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "request failed" not in capsys.readouterr().out
