"""Logs: a static message and fields. Caller data only under `pii`, and that only when asked for."""

from __future__ import annotations

import logging
import os
import queue
import re
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType
from typing import Any, TextIO

import structlog

Event = MutableMapping[str, Any]

# The HTTP library logs a malformed request with the bytes it was made of: whatever a stranger sent, or half a token.
# Faults of our own are logged by the gateway, with a number.
QUIET = ("aiohttp.server",)

MOST_LINES = 10_000  # that wait to be written
LAST_S = 2.0  # in which those that wait at the end must be taken

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


class LineThread:
    """Writes lines to a file in a thread of its own: a terminal held with Ctrl-S, or a pipe whose reader has stopped, holds
    up the log and nobody else. MOST_LINES wait for such a reader; more are lost, and when it reads again it is told how many.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._lost, self._counting = 0, Lock()
        self._thread = Thread(target=self._write_all, name="log", daemon=True)  # one that is held up must not hold up the end

    def __enter__(self) -> LineThread:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(queue.Full):
            self._lines.put(None, timeout=LAST_S)
            self._thread.join(LAST_S)

    def write(self, line: str) -> None:
        """Never waits and never fails."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            with self._counting:
                self._lost += 1

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            self._put(line)
            if self._lost and self._lines.qsize() < MOST_LINES // 2:  # somebody reads again
                with self._counting:
                    lost, self._lost = self._lost, 0
                structlog.get_logger(__name__).warning("log lines lost", lines=lost)
        while not self._lines.empty():  # that line, if it was the last
            self._put(self._lines.get() or "")

    def _put(self, line: str) -> None:
        """Past the file's buffer, whose lock a write that is held up would keep from whoever ends the process."""
        with suppress(OSError, ValueError):  # a full disk, a reader who has gone, a closed file
            octets = f"{line}\n".encode(self._file.encoding or "utf-8", "replace")
            while octets:
                octets = octets[os.write(self._file.fileno(), octets) :]


class _Written:
    """What structlog gives a finished line to."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def msg(self, message: str) -> None:
        self._write(message)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg


class _OfLibraries(logging.Handler):
    """What libraries log where nobody has said where it goes to: into our log, not to stderr, where a reader may be missed."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, "a package says", package=record.name, text=self.format(record))


def configure_logs(level: str, style: str, *, pii: bool, write: Callable[[str], None] | None = None) -> None:
    """Set structlog up once, at the root. `write` takes finished lines, also those of libraries; without, they are printed."""
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
        logger_factory=lambda *_: QuietLogger() if write is None else _Written(write),
        cache_logger_on_first_use=False,
    )
    if write is not None:
        logging.lastResort = _OfLibraries(logging.WARNING)
