"""A Redis of the benchmark's (and the tests') own, which they may kill."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from engine.redis_server import find_server

DOWN_S = 1.5  # how long it stays away after a crash


class BenchRedis:
    """redis-server on a random loopback port, append-only file synced every second, as the service starts it."""

    def __init__(self, folder: Path) -> None:
        found = find_server()
        if found is None:
            raise ValueError("redis-server >= 7 is not installed (apt-get install redis-server)")
        self._binary, self._folder = found[0], folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *options: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--appendfsync", "everysec", "--dir", str(self._folder), "--loglevel", "warning",
            *options, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise ValueError("redis-server did not open its port within 4 s")

    async def crash_at(self, after_s: float) -> None:
        """kill -9 after `after_s` seconds, back after DOWN_S."""
        await asyncio.sleep(after_s)
        await self.kill()
        await asyncio.sleep(DOWN_S)
        await self.start()

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
