"""HTTP and sockets for operators, softphones and PBXs. A shell: it parses, asks the desk, and answers."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import structlog
from aiohttp import BodyPartReader, MultipartReader, StreamReader, web

from connectors.arriving import Arriving
from connectors.connections import limit_connections
from connectors.feeds import Feed, serve_events, serve_socket
from connectors.guard import (
    HEADERS,
    LOGIN,
    Guard,
    GuardOptions,
    error_response,
    is_secure,
    same_token,
    session_cookie,
)
from connectors.requests import (
    CALL_LINK,
    CHANNELS,
    PACES,
    BadRequestError,
    CallRequest,
    ExaminationRequest,
    SessionRequest,
    WhipRequest,
    decode,
    decode_query,
    known_query,
)
from engine.errors import AudioError

log = structlog.get_logger(__name__)

JSON_LIMIT = 64 << 10  # bytes of a JSON or SDP body
BODY_S = 10.0  # for such a body to arrive
CONSOLE = Path(__file__).parent / "console"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
Json = dict[str, Any]


class CallDesk(Protocol):
    """Where calls are opened and ended; the root's."""

    async def open_call(self, request: CallRequest) -> Json: ...

    async def open_recording(self, path: Path, name: str, *, realtime: bool, split: bool = False) -> Json: ...

    async def close_call(self, call_id: str) -> Json | None: ...

    def calls(self) -> list[Json]: ...

    def call(self, call_id: str) -> Json | None: ...

    def examination(self, call_id: str, leg: str) -> Json | None:
        """Where the examination of a leg stands; None where there is none to see."""
        ...

    def examine(self, call_id: str, leg: str, request: ExaminationRequest) -> Json | None:
        """The record after an operator's decision. ValueError says in words for the operator what cannot be now."""
        ...

    def thresholds(self) -> Json: ...

    def metrics(self) -> bytes: ...

    def ready(self) -> Json: ...


class WhipServer(Protocol):
    """Browser calls (RFC 9725); `connectors.webrtc` has it."""

    async def open(self, offer: str, metadata: Mapping[str, str], call_id: str | None = None) -> tuple[str, str, str]:
        """SDP offer -> (session id, call id, SDP answer). ValueError for an offer that cannot be answered, or a call id that
        is a running call's."""
        ...

    async def close(self, session_id: str) -> bool: ...


@dataclass(frozen=True)
class GatewayOptions:
    token: str
    loopback_open: bool = False
    max_body_bytes: int = 64 << 20
    rate_limit_per_s: float = 50.0
    max_connections: int = 4000
    cors_origins: tuple[str, ...] = ()
    documents: Mapping[str, bytes] | None = None  # path -> JSON, such as the OpenAPI document


def build_app(desk: CallDesk, feed: Feed, whip: WhipServer, options: GatewayOptions) -> web.Application:
    """The whole HTTP side as an aiohttp application."""
    guard = Guard(
        GuardOptions(options.token, options.loopback_open, options.rate_limit_per_s, tuple(options.cors_origins))
    )
    limit_connections(options.max_connections)
    app = web.Application(middlewares=guard.middlewares(), client_max_size=options.max_body_bytes)
    gateway = Gateway(desk, feed, whip, options, guard)
    app.add_routes(gateway.routes())
    return app


class Gateway:
    """The handlers."""

    def __init__(self, desk: CallDesk, feed: Feed, whip: WhipServer, options: GatewayOptions, guard: Guard) -> None:
        self._desk, self._feed, self._whip, self._options, self._guard = desk, feed, whip, options, guard

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.console_page),
            web.get("/console/{name}", self.console_file),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.post(LOGIN, self.open_session),
            web.get("/v1/calls", self.list_calls),
            web.post("/v1/calls", self.open_call),
            web.get("/v1/calls/{call_id}", self.show_call),
            web.delete("/v1/calls/{call_id}", self.close_call),
            web.get("/v1/calls/{call_id}/examination", self.show_examination),
            web.post("/v1/calls/{call_id}/examination", self.examine),
            web.post("/v1/recordings", self.open_recording),
            web.get("/v1/events", self.events, allow_head=False),
            web.get("/v1/ws", self.socket, allow_head=False),
            web.post("/v1/whip", self.open_whip),
            web.options("/v1/whip", self.whip_options),
            web.delete("/v1/whip/{session_id}", self.close_whip),
            web.patch("/v1/whip/{session_id}", self.patch_whip),
            *(web.get(path, self.document) for path in self._options.documents or {}),
        ]

    # --- operator ---------------------------------------------------------------------------------------------------

    async def console_page(self, _: web.Request) -> web.StreamResponse:
        return _console_file(CONSOLE / "index.html")

    async def console_file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = CONSOLE / name
        ours = len(name) <= 100 and path.parent == CONSOLE and path.suffix in KINDS
        if not ours or not path.is_file():
            return error_response(404, "not-found", f"the console has no file {name[:60]!r}")
        return _console_file(path)

    async def open_session(self, request: web.Request) -> web.StreamResponse:
        wanted = decode(await self._small_body(request), SessionRequest)
        if not same_token(wanted.token, self._options.token):
            return error_response(401, "unauthorized", "this token is not the one the service expects")
        response = web.json_response({"ok": True})
        name, proof = session_cookie(self._options.token)
        response.set_cookie(name, proof, httponly=True, samesite="Strict", secure=is_secure(request), path="/")
        return response

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def readyz(self, _: web.Request) -> web.StreamResponse:
        state = self._desk.ready()
        return web.json_response(state, status=200 if state["ready"] else 503)

    async def metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self._desk.metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def document(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=(self._options.documents or {})[request.path], content_type="application/json")

    # --- calls ------------------------------------------------------------------------------------------------------

    async def list_calls(self, _: web.Request) -> web.StreamResponse:
        return _json({"calls": self._desk.calls(), "thresholds": self._desk.thresholds()})

    async def open_call(self, request: web.Request) -> web.StreamResponse:
        wanted = decode(await self._small_body(request), CallRequest)
        if self._is_running(wanted.call_id):
            return _taken(wanted.call_id)
        ticket = await self._desk.open_call(wanted)
        return _json(ticket, status=201, Location=f"/v1/calls/{ticket['call_id']}")

    def _is_running(self, call_id: str | None) -> bool:
        return call_id is not None and self._desk.call(call_id) is not None

    async def show_call(self, request: web.Request) -> web.StreamResponse:
        found = self._desk.call(request.match_info["call_id"])
        return self._no_call(request) if found is None else _json(found)

    async def close_call(self, request: web.Request) -> web.StreamResponse:
        ended = await self._desk.close_call(request.match_info["call_id"])
        return self._no_call(request) if ended is None else _json(ended)

    async def show_examination(self, request: web.Request) -> web.StreamResponse:
        call_id, leg = request.match_info["call_id"], request.query.get("leg", "caller")
        return self._examined(request, lambda: self._desk.examination(call_id, leg))

    async def examine(self, request: web.Request) -> web.StreamResponse:
        wanted = decode(await self._small_body(request), ExaminationRequest)
        if wanted.action == "override" and wanted.verdict is None:
            raise BadRequestError("override needs a verdict: human-likely, deepfake-likely or uncertain", "verdict")
        call_id, leg = request.match_info["call_id"], request.query.get("leg", "caller")
        return self._examined(request, lambda: self._desk.examine(call_id, leg, wanted))

    def _examined(self, request: web.Request, ask: Callable[[], Json | None]) -> web.Response:
        """The desk's record; what cannot be done now is a conflict with where the examination stands, not a bad request."""
        try:
            record = ask()
        except BadRequestError:
            raise
        except ValueError as error:
            return error_response(409, "not-now", str(error))
        if record is not None:
            return _json(record)
        if self._desk.call(request.match_info["call_id"]) is None:
            return self._no_call(request)
        return error_response(404, "not-found", "nobody can be examined on this side of the call, or examinations are off")

    @staticmethod
    def _no_call(request: web.Request) -> web.Response:
        return error_response(404, "not-found", f"there is no call {request.match_info['call_id'][:64]!r}")

    async def open_recording(self, request: web.Request) -> web.StreamResponse:
        known_query(request.query, ("name", "pace", "channels"))
        channels = request.query.get("channels", CHANNELS[0])
        if channels not in CHANNELS:
            raise BadRequestError(f'channels "{channels[:20]}" is unknown: {" or ".join(CHANNELS)}', "channels")
        pace = request.query.get("pace", PACES[0])
        if pace not in PACES:
            raise BadRequestError(f'pace "{pace[:20]}" is unknown: {" or ".join(PACES)}', "pace")
        try:
            folder = Path(tempfile.mkdtemp(prefix="vivavoce-upload-"))
        except OSError as error:
            raise _no_room(error) from None
        path = folder / "upload"
        try:
            posted = await self._store(request, path)
            name = _file_name(request.query.get("name") or posted or "recording")
            ticket = await self._desk.open_recording(path, name, realtime=pace == "realtime", split=channels == "split")
        except AudioError as error:  # by the name that the client knows
            raise AudioError(str(error).replace(str(path), name)) from None
        finally:
            path.unlink(missing_ok=True)  # a file that is still being played stays readable until it is closed
            folder.rmdir()
        return _json(ticket, status=202)

    async def _store(self, request: web.Request, path: Path) -> str:
        """The body, raw or the one part of a form, into a file of bounded size; returns the name that the part has."""
        body = Arriving(request.content, self._options.max_body_bytes)
        if not request.content_type.startswith("multipart/"):
            await _write(partial(body.read, 1 << 16), path)
            return ""
        form = MultipartReader(request.headers, cast(StreamReader, body))
        part = await form.next()
        if not isinstance(part, BodyPartReader):
            raise BadRequestError("the form holds no file")
        await _write(part.read_chunk, path)
        if await form.next() is not None:
            raise BadRequestError("the form holds more than one part: post one file at a time")
        return part.filename or ""

    async def _small_body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > JSON_LIMIT:
            raise BadRequestError(f"the body is larger than the limit of {JSON_LIMIT} bytes", "body", 413)
        body = b""
        try:
            async with asyncio.timeout(BODY_S):
                while len(body) <= JSON_LIMIT and (more := await request.content.read(JSON_LIMIT + 1 - len(body))):
                    body += more
        except TimeoutError:
            raise BadRequestError(f"the body did not arrive within {BODY_S:g} s", "body", 408) from None
        if len(body) > JSON_LIMIT:
            raise BadRequestError(f"the body is larger than the limit of {JSON_LIMIT} bytes", "body", 413)
        return body

    # --- feeds ------------------------------------------------------------------------------------------------------

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await serve_events(request, self._feed, {**HEADERS, **self._guard.cors_headers(request)})

    async def socket(self, request: web.Request) -> web.StreamResponse:
        return await serve_socket(request, self._feed)

    # --- WHIP (RFC 9725) --------------------------------------------------------------------------------------------

    async def open_whip(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/sdp":
            return error_response(415, "unsupported-media-type", "WHIP takes application/sdp", Accept="application/sdp")
        wanted = decode_query(request.query, WhipRequest)
        offer = (await self._small_body(request)).decode("utf-8", "replace")
        if self._is_running(wanted.call_id):
            return _taken(wanted.call_id)
        try:
            session_id, call_id, answer = await self._whip.open(offer, wanted.metadata(), wanted.call_id)
        except ValueError:
            if self._is_running(wanted.call_id):  # since; one offer takes longer to answer than another
                return _taken(wanted.call_id)
            raise
        # RFC 9725 section 4.9: what a server adds it links, and whoever does not know the relation passes it by.
        link = f'</v1/calls/{call_id}>; rel="{CALL_LINK}"'
        headers = {"Location": f"/v1/whip/{session_id}", "ETag": f'"{session_id}"', "Link": link}
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=headers)

    async def close_whip(self, request: web.Request) -> web.StreamResponse:
        if await self._whip.close(request.match_info["session_id"]):
            return web.Response()
        return error_response(404, "not-found", "there is no such WHIP session")

    async def patch_whip(self, _: web.Request) -> web.StreamResponse:
        """Neither trickle ICE nor ICE restart: the offer must be complete (RFC 9725 section 4.3)."""
        message = "trickle ICE and ICE restart are not supported; send a complete offer"
        return error_response(405, "method-not-allowed", message, Allow="DELETE, OPTIONS")

    async def whip_options(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={"Accept-Post": "application/sdp", **self._guard.cors_headers(request)})


def _console_file(path: Path) -> web.Response:
    """Whole, and not as FileResponse would send it: that waits for a client that takes nothing where no time limit sees it."""
    return web.Response(body=path.read_bytes(), content_type=KINDS[path.suffix], charset="utf-8")


def _json(body: Json, status: int = 200, **headers: str) -> web.Response:
    """JSON of anything msgspec knows, dataclasses of tags included."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers)


def _taken(call_id: str) -> web.Response:
    message = f'a call "{call_id}" is running; end it first or choose another call_id'
    return error_response(409, "conflict", message, "call_id")


def _no_room(error: OSError) -> BadRequestError:
    """Where a file cannot be put down: not the sender's fault, and not for ever."""
    log.error("a file that was sent cannot be kept", error=error.strerror)
    return BadRequestError(f"the service has no room for this file now ({error.strerror})", "body", 507)


async def _write(read: Callable[[], Awaitable[bytes]], path: Path) -> None:
    size = 0
    try:
        with path.open("wb") as file:
            while block := await read():
                size += file.write(block)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise _no_room(error) from None
    if not size:
        raise BadRequestError("the file is empty", "body", 422)


def _file_name(text: str) -> str:
    """A name that is only a name: no folders, no control characters."""
    plain = "".join(c for c in text.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return plain[:120] or "recording"
