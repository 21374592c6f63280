"""Who may ask, how often and how much; and every failure as one JSON shape.

The token comes as `Authorization: Bearer`, from a softphone's WebSocket as the sub-protocol `bearer.TOKEN`, or from
the console as a cookie bought with the token. Browsers send cookies along with requests that other sites make, so a
cookie counts only for same-origin requests; and to every port of a host, so its name tells whose it is. A loopback
exemption, if set, looks at the socket's peer and also at the Host header: a page of some other site that has its own
name resolved to 127.0.0.1 is not let in. Nor is whoever comes through a proxy on this machine, as far as the proxy says
that it is one.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from connectors.requests import BadRequestError
from engine.errors import AudioError, OverloadError, VivavoceError

log = structlog.get_logger(__name__)

LOGIN = "/v1/session"
PROTOCOL = "bearer."
MAX_CLIENTS = 4096  # addresses remembered by the rate limit, oldest forgotten
BURST_S = 2.0  # seconds' worth of requests that may come at once
FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})  # a proxy's, beside x-forwarded-*
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class GuardOptions:
    token: str
    loopback_open: bool = False
    rate_limit_per_s: float = 50.0
    cors_origins: tuple[str, ...] = ()
    open_paths: frozenset[str] = frozenset({"/healthz", LOGIN})
    open_prefixes: tuple[str, ...] = ("/console/",)


def error_response(status: int, code: str, message: str, field: str = "", **headers: str) -> web.Response:
    """The one shape of every failure."""
    body = {"error": {"code": code, "message": message, "field": field}}
    return web.json_response(body, status=status, headers=headers)


def same_token(given: str, token: str) -> bool:
    """Constant-time comparison of two tokens. Headers bring bytes that are no UTF-8 as surrogates: they differ too."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def session_cookie(token: str) -> tuple[str, str]:
    """Name and value of the console's cookie, which proves the token without containing it. Another service on another
    port of the same host has another name."""
    proof = hmac.new(token.encode(), b"vivavoce console session", hashlib.sha256).hexdigest()
    return f"vivavoce_{hashlib.sha256(proof.encode()).hexdigest()[:12]}", proof


class RateLimit:
    """A token bucket per client address."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float, cost: float = 1.0) -> bool:
        """Whether one more request of `client` fits."""
        level, then = self._buckets.pop(client, (self._rate * BURST_S, now))
        level = min(self._rate * BURST_S, level + (now - then) * self._rate)
        allowed = level >= cost
        self._buckets[client] = (level - cost if allowed else level, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed

    def give_back(self, client: str, cost: float = 1.0) -> None:
        """What a request took that turned out to cost nothing."""
        level, then = self._buckets.get(client, (0.0, 0.0))
        if client in self._buckets:
            self._buckets[client] = (min(self._rate * BURST_S, level + cost), then)


class Guard:
    """The middlewares, sharing options and the rate limits."""

    def __init__(self, options: GuardOptions) -> None:
        self._options = options
        # Apart, for behind a proxy all have one address: strangers must not use up what the operators may.
        # Nor may strangers use up what logins may.
        self._known, self._strangers, self._logins = (RateLimit(options.rate_limit_per_s) for _ in range(3))

    def middlewares(self) -> list[Callable[..., Awaitable[web.StreamResponse]]]:
        return [web.middleware(partial(step)) for step in (self.headers, self.errors, self.access)]

    async def headers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            for name, value in {**HEADERS, **self.cors_headers(request)}.items():
                response.headers.setdefault(name, value)
        return response

    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequestError as error:
            return error_response(error.status, "bad-request", str(error), error.field)
        except OverloadError as error:
            return error_response(503, "overload", str(error), **{"Retry-After": "5"})
        except AudioError as error:
            return error_response(422, "unusable-audio", str(error))
        except (VivavoceError, ValueError) as error:
            return error_response(400, "bad-request", str(error))
        except (HttpProcessingError, web.RequestPayloadError) as error:
            return error_response(400, "bad-request", f"the body cannot be read: {_first_line(str(error))}", "body")
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return error_response(error.status, error.reason.lower().replace(" ", "-"), _sentence(request, error), **allow)
        except ConnectionError:
            raise
        except Exception:  # the outermost edge: one bad request must not take the rest along
            number = uuid.uuid4().hex[:12]
            log.exception("request failed", error_id=number, method=request.method, path=request.path)
            return error_response(500, "internal", f"an internal fault, number {number}; see the log")

    async def access(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        peer = request.remote or ""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            message = "bodies are taken as they are, without a Content-Encoding"
            return error_response(415, "unsupported-media-type", message, "Content-Encoding", **{"Accept-Encoding": "identity"})
        if request.method == "OPTIONS" and "Origin" in request.headers:
            return self._preflight(request)
        if request.path == LOGIN and request.method == "POST":
            return await self._log_in(request, handler, peer)
        if request.method == "OPTIONS" or self._is_open(request.path):
            if request.method not in SAFE and not self._strangers.take(peer, time.monotonic()):
                return self._too_many()
            return await handler(request)
        if not self.allows(request):
            if not self._strangers.take(peer, time.monotonic()):  # guessing tokens costs like changing things
                return self._too_many()
            return error_response(401, "unauthorized", "a bearer token is needed", **{"WWW-Authenticate": "Bearer"})
        if request.method not in SAFE and not self._known.take(peer, time.monotonic()):
            return self._too_many()
        return await handler(request)

    async def _log_in(self, request: web.Request, handler: Handler, peer: str) -> web.StreamResponse:
        """Guesses are limited, and by them alone: who has the token gets in however many strangers share the address."""
        if not self._logins.take(peer, time.monotonic()):
            return self._too_many()
        response = await handler(request)
        if response.status < 400:
            self._logins.give_back(peer)
        return response

    def allows(self, request: web.Request) -> bool:
        """Whether the request proves that it may."""
        if self._options.loopback_open and is_local(request):
            return True
        token = self._options.token
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same_token(given.strip(), token):
            return True
        if same_token(socket_token(request), token):
            return True
        name, proof = session_cookie(token)
        return same_token(request.cookies.get(name, ""), proof) and same_origin(request)

    def cors_headers(self, request: web.Request) -> Mapping[str, str]:
        origin = request.headers.get("Origin", "")
        if origin not in self._options.cors_origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, If-Match",
            "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
            "Access-Control-Expose-Headers": "Location, Link, ETag",
            "Vary": "Origin",
        }

    def _preflight(self, request: web.Request) -> web.Response:
        """A browser asks whether a page of another site may call."""
        if not self.cors_headers(request):
            return error_response(403, "forbidden", "this origin may not call the API")
        return web.Response(status=204)

    def _is_open(self, path: str) -> bool:
        return path == "/" or path in self._options.open_paths or path.startswith(self._options.open_prefixes)

    @staticmethod
    def _too_many() -> web.Response:
        return error_response(429, "too-many-requests", "too many requests; wait a moment", **{"Retry-After": "1"})


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"there is nothing at {request.path[:80]!r}"
    if error.status == 405:
        return f"{request.path[:80]!r} does not take {request.method[:20]}, only {error.headers['Allow']}"
    return error.text or error.reason


def _first_line(text: str) -> str:
    """The cause in aiohttp's words, without the bytes it quotes below."""
    lines = [line.strip(" :") for line in text.splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:80] if lines else "broken"


def refuse_unreadable(
    connection: Any, request: web.BaseRequest, status: int = 500,
    exc: BaseException | None = None, message: str | None = None,
) -> web.StreamResponse:  # fmt: skip
    """In place of aiohttp's `handle_error`: what is no HTTP never reaches the middlewares, yet is refused as they do.

    Nothing of the request is quoted or logged: it may be half a token. ConnectionError when an answer has begun.
    """
    if request.writer.output_size > 0:
        raise ConnectionError("an answer has begun, there is no room for another")
    if status >= 500:
        log.error("connection failed", exc_info=exc)
    code, text = ("bad-request", "the request is not valid HTTP") if status < 500 else ("internal", "an internal fault")
    response = error_response(status, code, text, **HEADERS)
    response.force_close()
    return response


def socket_token(request: web.Request) -> str:
    """The token of a WebSocket's sub-protocol, or nothing."""
    offered = (part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(","))
    return next((part.removeprefix(PROTOCOL) for part in offered if part.startswith(PROTOCOL)), "")


def same_origin(request: web.Request) -> bool:
    """Whether the page that asks is ours. Browsers say so themselves, which no proxy in between changes; older ones name the
    origin on every request that changes something."""
    if (site := request.headers.get("Sec-Fetch-Site")) is not None:
        return site == "same-origin" or (site == "none" and request.method in SAFE)  # none: typed into the address bar
    origin = request.headers.get("Origin")
    if origin is None:
        return request.method in SAFE
    return urlsplit(origin).netloc == request.host


def is_secure(request: web.Request) -> bool:
    """Whether the browser came by TLS, which may end at a proxy."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def is_local(request: web.Request) -> bool:
    """A peer on this machine that speaks for itself, also calls us by a local name, and from no foreign page."""
    if any(name.lower() in FORWARDED or name.lower().startswith("x-forwarded-") for name in request.headers):
        return False
    name = urlsplit(f"//{request.host}").hostname or ""
    local = _is_loopback(request.remote or "") and (name == "localhost" or _is_loopback(name))
    origin = request.headers.get("Origin")
    return local and (origin is None or urlsplit(origin).netloc == request.host)


def _is_loopback(address: str) -> bool:
    """An address, and no name that begins like one: 127.example.org is whatever its owner says."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
