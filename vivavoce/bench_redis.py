"""A Redis of the benchmark's own, which it may kill."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

DOWN_S = 1.5  # how long it stays away after a crash


class BenchRedis:
    """redis-server on a random loopback port, append-only file synced every second, as the service starts it."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise ValueError("the live bench needs redis-server >= 7 on the PATH (apt-get install redis-server)")
        self._binary, self._folder = binary, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._binary, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
            "--appendfsync", "everysec", "--dir", str(self._folder), "--loglevel", "warning",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise ValueError("redis-server did not open its port within 10 s")

    async def crash_at(self, after_s: float) -> None:
        """kill -9 after `after_s` seconds, back after DOWN_S."""
        await asyncio.sleep(after_s)
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        await asyncio.sleep(DOWN_S)
        await self.start()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
