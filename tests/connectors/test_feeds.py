"""The feeds over real sockets: server-sent events with resume, and the WebSocket."""

from __future__ import annotations

import asyncio
import json

import pytest

from connectors import feeds
from connectors.documents import asyncapi
from connectors.feeds import frame, with_keep_alive
from tests.connectors.gateway import AUTH, TOKEN, Event, Feed, Setup

EVENTS = [Event(f"170-{n}", "tag" if n % 2 else "score", json.dumps({"seq": n}).encode()) for n in range(4)]


async def read_events(gate: Setup, count: int, **headers: str) -> list[dict[str, str]]:
    """The first `count` events of the stream, by field."""
    found: list[dict[str, str]] = []
    async with gate.client.get("/v1/events", headers=AUTH | headers) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no", "a proxy would gather what must come at once"
        block: dict[str, str] = {}
        while len(found) < count:
            line = (await asyncio.wait_for(response.content.readline(), 2)).decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                block[name] = value
            else:
                found += [block] if "data" in block else []
                block = {}
    return found


async def test_events_have_id_kind_and_record(gate: Setup) -> None:
    gate.feed.events = EVENTS
    first = (await read_events(gate, 4))[0]
    assert (first["id"], first["event"], json.loads(first["data"])) == ("170-0", "score", {"seq": 0})


async def test_a_reader_that_comes_back_goes_on_where_it_was(gate: Setup) -> None:
    gate.feed.events = EVENTS
    got = await read_events(gate, 2, **{"Last-Event-ID": "170-1"})
    assert [event["id"] for event in got] == ["170-2", "170-3"]


@pytest.mark.parametrize("given", ["x y", "1" * 65, "170-1;DROP"])
async def test_a_wrong_event_id_is_refused(gate: Setup, given: str) -> None:
    async with gate.client.get("/v1/events", params={"last_event_id": given}, headers=AUTH) as response:
        assert response.status == 400
        assert (await response.json())["error"]["field"] == "last_event_id"


async def test_a_quiet_stream_is_kept_alive() -> None:
    feed = Feed()
    feed.events = EVENTS[:1]
    got = []
    async for event in with_keep_alive(feed.subscribe(), 0.01):
        got.append(event)
        if len(got) == 3:
            break
    assert got == [EVENTS[0], None, None]


async def test_a_stream_that_ends_ends(monkeypatch: pytest.MonkeyPatch, gate: Setup) -> None:
    gate.feed.events, gate.feed.ending = EVENTS[:1], True
    async with gate.client.get("/v1/events", headers=AUTH) as response:
        text = (await asyncio.wait_for(response.read(), 2)).decode()
    assert text == f"retry: {feeds.RETRY_MS}\n\n" + frame(EVENTS[0]).decode()


async def test_the_socket_carries_the_same_records(gate: Setup) -> None:
    gate.feed.events = EVENTS
    async with gate.client.ws_connect("/v1/ws", headers=AUTH) as socket:
        first = await socket.receive_json(timeout=2)
    assert first == {"id": "170-0", "event": "score", "data": {"seq": 0}}


async def test_a_quiet_socket_says_so_in_words_that_a_page_hears(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEEP_ALIVE_S", 0.05)
    async with gate.client.ws_connect("/v1/ws", headers=AUTH) as socket:
        assert await socket.receive_json(timeout=2) == {"id": "", "event": "ping", "data": {}}


async def test_a_browser_may_bring_its_token_as_a_sub_protocol(gate: Setup) -> None:
    gate.feed.events = EVENTS
    async with gate.client.ws_connect("/v1/ws", protocols=[f"bearer.{TOKEN}"]) as socket:
        assert (await socket.receive_json(timeout=2))["id"] == "170-0"


async def test_the_socket_resumes_by_query_or_first_message(gate: Setup) -> None:
    gate.feed.events = EVENTS
    async with gate.client.ws_connect("/v1/ws?last_event_id=170-2", headers=AUTH) as socket:
        assert (await socket.receive_json(timeout=2))["id"] == "170-3"
        await socket.send_str("anything")
        await socket.send_json({"last_event_id": "170-1"})
        assert (await socket.receive_json(timeout=2))["id"] == "170-2"


async def test_a_socket_message_has_a_limit(gate: Setup) -> None:
    async with gate.client.ws_connect("/v1/ws", headers=AUTH) as socket:
        await socket.send_str("x" * 5000)
        message = await socket.receive(timeout=2)
    assert message.data == 1009


async def test_what_a_quiet_socket_says_is_in_the_served_document(gate: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEEP_ALIVE_S", 0.05)
    async with gate.client.ws_connect("/v1/ws", headers=AUTH) as socket:
        said = await socket.receive_json(timeout=2)
    assert said["event"] in asyncapi()["components"]["schemas"]["SocketMessage"]["properties"]["event"]["enum"]
