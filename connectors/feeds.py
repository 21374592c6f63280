"""The event feeds: server-sent events with resume, and a WebSocket with the same records."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import msgspec
from aiohttp import WSMsgType, web

from connectors.guard import PROTOCOL
from connectors.requests import BadRequestError

KEEP_ALIVE_S = 15.0
RETRY_MS = 1000  # what a browser waits before it comes again
NO_NEWS = '{"id":"","event":"ping","data":{}}'  # the protocol's own pings no page sees
PING = b"event: ping\ndata: {}\n\n"  # an event and no comment: a page must notice when it no longer comes
SEND_TIMEOUT_S = 5.0  # a client that takes no byte for that long is cut off
_EVENT_ID = re.compile(r"([A-Za-z0-9_.-]+=)?[0-9]{1,19}(-[0-9]{1,19})?")  # of a Redis stream, behind a shard's name


class FeedEvent(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def data(self) -> bytes: ...


class Feed(Protocol):
    """What the hub offers; the root plugs it in."""

    def subscribe(
        self, last_id: str | None = None, *, call_id: str | None = None, greet: bool = False
    ) -> AsyncGenerator[FeedEvent, None]: ...


async def with_keep_alive(
    source: AsyncGenerator[FeedEvent, None], every_s: float
) -> AsyncGenerator[FeedEvent | None, None]:
    """The source's events, with None in between when it is quiet; closes the source at its end."""
    pending: asyncio.Future[FeedEvent] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait({pending}, timeout=every_s)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await source.aclose()


def last_event_id(request: web.Request) -> str | None:
    """Where to resume: the header browsers send, or a query for those that cannot."""
    found = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    if found is not None and (len(found) > 64 or not _EVENT_ID.fullmatch(found)):
        raise BadRequestError(f'"{found[:40]}" is not an event id of the form 1700000000000-0', "last_event_id")
    return found


async def serve_events(request: web.Request, feed: Feed, headers: dict[str, str]) -> web.StreamResponse:
    """GET /v1/events."""
    source = feed.subscribe(last_event_id(request), call_id=request.query.get("call_id"), greet=True)
    ours = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx gathers
    response = web.StreamResponse(headers={**headers, **ours})
    await response.prepare(request)
    await response.write(f"retry: {RETRY_MS}\n\n".encode())
    async with aclosing(with_keep_alive(source, KEEP_ALIVE_S)) as events:
        async for event in events:
            block = PING if event is None else frame(event)
            try:
                await asyncio.wait_for(response.write(block), SEND_TIMEOUT_S)
            except (TimeoutError, ConnectionError):
                cut(request)
                break
    return response


def cut(request: web.Request) -> None:
    """End a connection at once. A polite close would wait for a client that takes nothing to take the rest."""
    if request.transport is not None:
        request.transport.abort()


def frame(event: FeedEvent) -> bytes:
    """One event of a text/event-stream; JSON holds no line breaks."""
    head = f"id: {event.id}\n" if event.id else ""
    return f"{head}event: {event.event}\ndata: ".encode() + event.data + b"\n\n"


def message(event: FeedEvent) -> str:
    """One event of the WebSocket."""
    head = msgspec.json.encode({"id": event.id, "event": event.event})[:-1].decode()
    return f'{head},"data":{event.data.decode()}}}'


async def serve_socket(request: web.Request, feed: Feed) -> web.StreamResponse:
    """GET /v1/ws: the same records as {"id", "event", "data"}; an optional first message {"last_event_id"} resumes."""
    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    socket = web.WebSocketResponse(
        heartbeat=KEEP_ALIVE_S, max_msg_size=4096, protocols=[p for p in offered if p.startswith(PROTOCOL)]
    )
    call_id = request.query.get("call_id")
    source = feed.subscribe(last_event_id(request), call_id=call_id, greet=True)
    await socket.prepare(request)
    sender = asyncio.create_task(_send(request, socket, source))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT and (wanted := _resume(message.data)) is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                source = feed.subscribe(wanted, call_id=call_id, greet=True)
                sender = asyncio.create_task(_send(request, socket, source))
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
    return socket


class _Resume(msgspec.Struct):
    last_event_id: str = ""


def _resume(text: str) -> str | None:
    try:
        return msgspec.json.decode(text, type=_Resume).last_event_id or None
    except msgspec.MsgspecError:
        return None  # softphones may say what they like; only a resume means something


async def _send(request: web.Request, socket: web.WebSocketResponse, source: AsyncGenerator[FeedEvent, None]) -> None:
    try:
        async with aclosing(with_keep_alive(source, KEEP_ALIVE_S)) as events:
            async for event in events:
                text = NO_NEWS if event is None else message(event)
                await asyncio.wait_for(socket.send_str(text), SEND_TIMEOUT_S)
        await socket.close(code=1013, message=b"too slow")
    except ValueError as error:
        await socket.close(code=1008, message=str(error).encode()[:120])
    except (TimeoutError, ConnectionError):
        cut(request)
