"""Logs: a static message and fields. Caller data only under `pii`, and that only when asked for."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog

Event = MutableMapping[str, Any]

# The HTTP library logs a malformed request with the bytes it was made of: whatever a stranger sent, or half a token.
# Faults of our own are logged by the gateway, with a number.
QUIET = ("aiohttp.server",)

_SECRET = re.compile(r"token|secret|password|authorization|cookie", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w+://)[^/@\s]*@")


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Fields named like a secret are blanked, passwords inside URLs too."""
    for key, value in event.items():
        if _SECRET.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = _URL_PASSWORD.sub(r"\1***@", value)
    return event


def without_pii(_logger: Any, _method: str, event: Event) -> Event:
    event.pop("pii", None)
    return event


class QuietLogger(structlog.PrintLogger):
    """Prints, or loses, a line: a full disk or a pipe that nobody reads any more must not end whoever has something to say."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the file was closed
            super().msg(message)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg


def configure_logs(level: str, style: str, *, pii: bool) -> None:
    """Set structlog up once, at the root."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        without_secrets,
    ]
    if not pii:
        processors.append(without_pii)
    processors.append(
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: QuietLogger(),
        cache_logger_on_first_use=False,
    )
