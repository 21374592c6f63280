"""A stand-in for the service behind the console: the page's files, a list of calls, and a stream the test writes to."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

CONSOLE = Path(__file__).parents[2] / "connectors" / "console"
POLICY = {"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff"}
TEXT = {"no-speech": "No speech"}


_written = itertools.count(1)


def make_tag(call_id: str, tag: str, seq: int = 0, **fields: Any) -> dict[str, Any]:
    """A published tag with every field of the record, later than all before; `fields` replaces any of them."""
    base = {
        "schema": 1, "event_id": f"{int(time.time() * 1000)}-{next(_written)}",
        "kind": "tag", "seq": seq, "call_id": call_id, "leg": "caller", "tag": tag,
        "text": TEXT.get(tag, tag.capitalize()), "llr": None, "probability": None, "net_speech_s": 0.0,
        "audio_s": float(seq), "media_time_s": float(seq), "wall_time": time.time(), "loss": 0.0, "lossy": False,
        "reasons": [], "model": "conformer-1", "source": "rtp", "metadata": {}, "pii": {},
    }  # fmt: skip
    return base | fields


@dataclass
class ConsoleService:
    """Everything the page asked for, and what it is told."""

    url: str = ""
    token: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    thresholds: dict[str, float] | None = None
    sent: list[bytes] = field(default_factory=list)  # the whole stream, for resuming
    resumed: list[str | None] = field(default_factory=list)  # Last-Event-ID of each connection
    uploads: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unavailable: int = 0  # so many connections to the stream are answered 503
    sockets: bool = True  # False: a proxy that lets none through
    over: list[str] = field(default_factory=list)  # how each connection came: "socket" or "events"
    refuse_upload: tuple[int, str] | None = None
    exams: dict[str, dict[str, Any]] = field(default_factory=dict)  # call id -> what a look finds; none: they are off
    looked: list[str] = field(default_factory=list)  # ids of the calls whose examination was asked for
    pressed: list[dict[str, Any]] = field(default_factory=list)  # {call_id, leg, action, ...}
    unanswered: set[str] = field(default_factory=set)  # ids of the calls whose decisions are heard and never answered
    refuse_press: str = ""  # why no decision can be taken now
    answer: Any = None  # coroutine function: offer SDP -> answer SDP
    _clients: set[asyncio.Queue[bytes | None]] = field(default_factory=set)

    def send(self, event: str, data: dict[str, Any]) -> None:
        """One event to every page."""
        block = f"id: {len(self.sent) + 1}\nevent: {event}\ndata: {json.dumps(data)}\n\n".encode()
        self.sent.append(block)
        for client in self._clients:
            client.put_nowait(block)

    def tag(self, *args: Any, **fields: Any) -> None:
        tag = make_tag(*args, **fields)
        self.send(tag["kind"], tag)

    def drop_clients(self) -> None:
        """End every event stream, as a restart would."""
        for client in self._clients:
            client.put_nowait(None)

    @property
    def listeners(self) -> int:
        return len(self._clients)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=2**24)
        app.router.add_get("/", lambda _: web.FileResponse(CONSOLE / "index.html", headers=POLICY))
        app.router.add_static("/console", CONSOLE)
        app.router.add_get("/v1/calls", self._calls)
        app.router.add_get("/v1/events", self._events)
        app.router.add_get("/v1/ws", self._socket)
        app.router.add_post("/v1/session", self._session)
        app.router.add_post("/v1/recordings", self._recording)
        app.router.add_get("/v1/calls/{id}/examination", self._look)
        app.router.add_post("/v1/calls/{id}/examination", self._press)
        app.router.add_post("/v1/whip", self._whip)
        app.router.add_delete("/v1/whip/{id}", self._hang_up)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        open_path = not request.path.startswith("/v1/") or request.path == "/v1/session"
        given = (
            request.headers.get("Authorization") == f"Bearer {self.token}"
            or request.cookies.get("session") == self.token
        )
        if open_path or not self.token or given:
            return await handler(request)  # type: ignore[no-any-return]
        return _error(401, "unauthorized", "A token is needed.")

    async def _session(self, request: web.Request) -> web.Response:
        if (await request.json()).get("token") != self.token:
            return _error(401, "unauthorized", "This is not the service's token.")
        response = web.Response(status=204)
        response.set_cookie("session", self.token, httponly=True, samesite="Strict")
        return response

    async def _calls(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": self.calls, "thresholds": self.thresholds})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.unavailable:
            self.unavailable -= 1
            return _error(503, "unavailable", "The service is starting.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b"retry: 50\n\n")
        await self._tell(request, "events", response.write)
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self.sockets or self.unavailable:
            self.unavailable = max(0, self.unavailable - 1)
            return _error(503, "unavailable", "The service is starting.")
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def write(block: bytes) -> None:
            parts = dict(line.split(": ", 1) for line in block.decode().strip().split("\n"))
            await socket.send_json({"id": parts["id"], "event": parts["event"], "data": json.loads(parts["data"])})

        await self._tell(request, "socket", write)
        await socket.close()
        return socket

    async def _tell(self, request: web.Request, over: str, write: Any) -> None:
        last = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
        self.resumed.append(last)
        self.over.append(over)
        client: asyncio.Queue[bytes | None] = asyncio.Queue()
        for block in self.sent[int(last) if last else len(self.sent) :]:
            client.put_nowait(block)
        self._clients.add(client)
        with suppress(ConnectionResetError):  # the page was closed
            while (block := await client.get()) is not None:
                await write(block)
        self._clients.discard(client)

    async def _recording(self, request: web.Request) -> web.Response:
        self.uploads.append((dict(request.query), await request.read()))
        if self.refuse_upload:
            return _error(self.refuse_upload[0], "unreadable-file", self.refuse_upload[1])
        return web.json_response({"call_ids": ["recording-1"]}, status=202)

    async def _look(self, request: web.Request) -> web.Response:
        self.looked.append(request.match_info["id"])
        return await self._exam(request)

    async def _exam(self, request: web.Request) -> web.Response:
        record = self.exams.get(request.match_info["id"])
        if record is None or request.query.get("leg") != "caller":
            return _error(404, "not-found", "nobody can be examined on this side of the call, or examinations are off")
        return web.json_response(record)

    async def _press(self, request: web.Request) -> web.Response:
        told = {"call_id": request.match_info["id"], "leg": request.query["leg"]}
        self.pressed.append(told | await request.json())
        if request.match_info["id"] in self.unanswered:
            await asyncio.Event().wait()
        if self.refuse_press:
            return _error(409, "not-now", self.refuse_press)
        return await self._exam(request)

    async def _whip(self, request: web.Request) -> web.Response:
        self.offers.append(await request.text())
        if self.answer is None:
            return _error(503, "overloaded", "All places are taken; try again in a moment.")
        sdp = await self.answer(self.offers[-1])
        headers = {"Location": "/v1/whip/browser-1", "Content-Type": "application/sdp"}
        return web.Response(status=201, text=sdp, headers=headers)

    async def _hang_up(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["id"])
        return web.Response()


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


@asynccontextmanager
async def console_service(**fields: Any) -> AsyncIterator[ConsoleService]:
    service = ConsoleService(**fields)
    runner = web.AppRunner(service.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        service.drop_clients()
        await runner.cleanup()
