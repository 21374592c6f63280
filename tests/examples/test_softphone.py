"""The two softphone examples against an event stream that breaks, and against a service that refuses them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.console_service import ConsoleService, console_service

HERE = Path(__file__).parent
EXAMPLES = ["softphone.py", "softphone.mjs"]


def command(example: str) -> list[str]:
    if example.endswith(".py"):
        return [sys.executable, str(HERE / example)]
    if (node := shutil.which("node")) is None:
        reason = "Node is not installed: the JavaScript example was not run (Debian package: nodejs)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return [node, str(HERE / example)]


@asynccontextmanager
async def running(example: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command(example), *arguments, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def listening(service: ConsoleService, times: int) -> None:
    """Wait until the example has connected for the nth time."""
    async with asyncio.timeout(20):
        while len(service.resumed) < times or not service.listeners:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_prints_changes_and_resumes(example: str) -> None:
    async with (
        console_service(token="secret", unavailable=1) as service,
        running(example, service.url, "secret") as process,
    ):
        await listening(service, 1)
        service.tag("a", "listening", 0)
        service.tag("a", "listening", 1, kind="score")
        service.tag("a", "deepfake-likely", 2, text="Deepfake-likely", probability=0.93)
        assert await line_of(process) in ("a caller tag Listening None", "a caller tag Listening null")
        assert await line_of(process) == "a caller tag Deepfake-likely 0.93"
        service.drop_clients()
        service.tag("a", "deepfake-likely", 3, kind="end", text="Deepfake-likely", probability=0.95)
        service.tag("ü", "uncertain", 0, probability=0.5)
        assert await line_of(process) == "a caller end Deepfake-likely 0.95"
        assert await line_of(process) == "ü caller tag Uncertain 0.5"
        assert service.resumed == [None, "3"]


@pytest.mark.parametrize("example", EXAMPLES)
async def test_a_wrong_token_ends_it_with_a_sentence(example: str) -> None:
    async with console_service(token="secret") as service, running(example, service.url, "wrong") as process:
        _, said = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 1
        assert said.decode().strip() == "the service does not accept this token"


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_short(example: str) -> None:
    assert len((HERE / example).read_text().splitlines()) <= 40
