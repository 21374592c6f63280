"""What a client may hold of the service before it has asked anything: a connection, for a short while.

aiohttp has no setting for any of this, so its RequestHandler is replaced by one that has. Without a limit, clients that
open connections and say nothing use up the file descriptors, and then no call finds a port.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any, cast

from aiohttp import web, web_server
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from connectors.guard import HEADERS, error_response, refuse_unreadable

HEADER_S = 10.0  # from a request's first byte, or from the connection, to the end of its header
IDLE_S = 75.0  # between two requests
TAKE_S = 15.0  # in which a client that is behind must take something, and one whose connection ends the rest


def limit_connections(most: int) -> None:
    """From now on an HTTP server of this process holds at most `most` connections, half of them from one address."""
    web_server.RequestHandler = partial(Connection, most=most)  # type: ignore[attr-defined, assignment] # there is no setting


class Connection(RequestHandler):
    """One client's connection; closed when there are too many, when no request comes of it, or when no answer is taken.

    Bodies are left as they came: a compressed one would be blown up here, on the thread that hears the calls, before
    anybody has looked whose it is.
    """

    __slots__ = ("_header_timer", "_most", "_take_timer")

    def __init__(self, manager: web.Server, *, most: int, **options: Any) -> None:
        super().__init__(manager, **{"keepalive_timeout": IDLE_S, **options, "auto_decompress": False})
        self._most = most
        self._header_timer: asyncio.TimerHandle | None = None
        self._take_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._refuses(transport):
            refused = cast(asyncio.WriteTransport, transport)  # uvloop's are none by name
            refused.write(_full())
            refused.close()
            return
        super().connection_made(transport)
        self._expect_header()

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._forget_timer()
        elif self._header_timer is None and self._waiter is not None:
            self._expect_header()  # a request has begun

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_timer()
        self._forget_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        self._forget_taking()
        super().resume_writing()

    async def start(self) -> None:
        """Answer requests until the connection ends. A polite end waits for the client to take what it was sent: TAKE_S."""
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport is not None and transport.get_write_buffer_size():
                self._expect_taking(transport)

    def handle_error(self, request: web.BaseRequest, *args: Any, **named: Any) -> web.StreamResponse:
        return refuse_unreadable(self, request, *args, **named)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException) and resp.status >= 400:  # raised before the middlewares: an odd `Expect`
            resp = error_response(resp.status, resp.reason.lower().replace(" ", "-"), resp.text or resp.reason, **HEADERS)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **named: Any) -> None:
        if isinstance(named.get("exc_info"), HttpProcessingError | web.RequestPayloadError):
            return  # what is left of a broken body, met again while it is thrown away; the client was told
        super().log_exception(*args, **named)

    def _refuses(self, transport: asyncio.BaseTransport) -> bool:
        others = self._manager.connections if self._manager is not None else []
        if len(others) >= self._most:
            return True
        if len(others) < self._most // 2:  # nobody can have more than half
            return False
        return Counter(map(_address, others))[_host(transport.get_extra_info("peername"))] >= max(1, self._most // 2)

    def _expect_header(self) -> None:
        self._header_timer = self._loop.call_later(HEADER_S, self._give_up)

    def _forget_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _expect_taking(self, transport: asyncio.Transport | None = None) -> None:
        self._forget_taking()
        if (transport := transport or self.transport) is not None:
            self._take_timer = self._loop.call_later(TAKE_S, transport.abort)

    def _forget_taking(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if self._waiter is not None:
            self.force_close()


def _address(connection: RequestHandler) -> str:
    return _host(connection.peername)


def _host(peer: Any) -> str:
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _full() -> bytes:
    """The answer to one too many, written by hand: nothing has been asked, so there is no request to answer."""
    response = error_response(503, "overload", "too many connections", **HEADERS, **{"Retry-After": "5", "Connection": "close"})
    response.headers["Content-Length"] = str(len(response.body or b""))  # type: ignore[arg-type]
    head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n".encode() + bytes(response.body or b"")  # type: ignore[arg-type]
