"""The whole service as its own process, as `vivavoce serve` starts it; ended by its process id."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio as redis

from vivavoce.samples import mu_law

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-the-service-tests"
READY_S = 30.0
STREAM = "vivavoce:tags:0"


class Service:
    """A running service, its API, and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, client: aiohttp.ClientSession) -> None:
        self.process, self.url, self.client = process, url, client

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        async with self.client.request(method, self.url + path, **body) as response:
            text = await response.text()
            assert response.status == status, text
            return json.loads(text)

    async def stop(self) -> tuple[int, str]:
        """SIGTERM; (exit status, everything it printed)."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode, output.decode()


async def spawn(*settings: str, ready: Path | None = None, output: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """`vivavoce serve` with `settings` and nothing from the environment; `ready` is where it writes its URL, and `output`
    a descriptor that takes what it prints, closed here."""
    arguments = ["--ready-file", str(ready)] if ready else []
    arguments += [part for setting in settings for part in ("--set", setting)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VIVAVOCE_") and k != "REDIS_URL"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vivavoce", "serve", *arguments, cwd=ROOT, env=clean,
        stdout=output, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    if output >= 0:
        os.close(output)
    return process


@asynccontextmanager
async def running(folder: Path, *settings: str, output: int = asyncio.subprocess.PIPE) -> AsyncIterator[Service]:
    """A service on free loopback ports with `settings`; afterwards it must end by itself, with status 0."""
    ready = folder / "url"
    process = await spawn("server.port=0", f"server.token={TOKEN}", *settings, ready=ready, output=output)
    try:
        await _until_ready(process, ready)
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            service = Service(process, ready.read_text(), client)
            yield service
        if process.returncode is None:
            status, output = await service.stop()
            assert status == 0, output
            assert "Traceback" not in output, output
    finally:  # only after a failure is there still something to end
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, ready: Path) -> None:
    async with asyncio.timeout(READY_S):
        while not (ready.is_file() and ready.read_text()):
            assert process.returncode is None, (await process.communicate())[0].decode()
            await asyncio.sleep(0.05)


async def send_call(address: dict[str, Any], speech: bytes, *, drop_every: int = 0, ssrc: int = 7) -> None:
    """Mu-law `speech` as RTP at the pace of a telephone; every `drop_every`-th packet is not sent."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(address["host"], address["port"])
    )
    start = loop.time()
    for number in range(len(speech) // 160):
        if not drop_every or number % drop_every != drop_every - 1:
            head = b"\x80\x00" + (number & 0xFFFF).to_bytes(2, "big") + (number * 160).to_bytes(4, "big")
            transport.sendto(head + ssrc.to_bytes(4, "big") + speech[number * 160 : number * 160 + 160])
        await asyncio.sleep(max(0.0, start + (number + 1) * 0.02 - loop.time()))
    transport.close()


def speech_of(path: Path, seconds: float) -> bytes:
    return mu_law(path)[: int(seconds * 50) * 160]


async def records(url: str) -> list[dict[str, Any]]:
    """Everything in the stream, with the stream's own id as `_id`."""
    client = redis.from_url(url)
    entries = await client.xrange(STREAM)
    await client.aclose()
    return [json.loads(fields[b"data"]) | {"_id": key.decode()} for key, fields in entries]


def of_call(found: list[dict[str, Any]], call_id: str, leg: str = "caller") -> list[dict[str, Any]]:
    return [r for r in found if r["call_id"] == call_id and r["leg"] == leg]
