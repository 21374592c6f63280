"""A real redis-server for the tests, which they may kill."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from engine.redis_server import find_server


class RealRedis:
    """redis-server >= 7 on a random loopback port with an append-only file, as the service starts it."""

    def __init__(self, folder: Path) -> None:
        found = find_server()
        if found is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server >= 7 is not installed")
        self._binary, self._folder = found[0], folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--appendfsync", "everysec", "--dir", str(self._folder), *options, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        pytest.fail("redis-server did not start")

    def lose_last(self, size: int) -> None:
        """Cut `size` bytes off the append-only file: what a machine that dies had not yet put on its disk."""
        (file,) = (self._folder / "appendonlydir").glob("*.incr.aof")
        kept = max(0, file.stat().st_size - size)
        with file.open("r+b") as opened:
            opened.truncate(kept)

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
