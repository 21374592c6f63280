"""A service with a Redis of its own: the line it prints follows the tags, and no log holds the password."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.peers.redis import RealRedis
from tests.peers.service import ROOT, Service, running, spawn

pytestmark = pytest.mark.peer


async def greeting(service: Service) -> list[str]:
    """What it has printed until it told how to stop it."""
    assert service.process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(10):
        while not (lines and lines[-1].startswith("  stop")):
            lines.append((await service.process.stdout.readline()).decode())
    return lines


async def test_the_line_that_is_printed_follows_the_tags(tmp_path: Path) -> None:
    RealRedis(tmp_path)  # never started: it says when there is no redis-server here
    async with running(tmp_path) as service:
        said = await greeting(service)
        (found,) = re.findall(r"(REDIS_URL=redis://default:(\w+)@\S+ .*tags)\n", "".join(said))
        await service.ask("POST", "/v1/calls", 201, json={"call_id": "followed"})
        shown = await service.ask("GET", "/v1/calls/followed")
        ended = await service.ask("DELETE", "/v1/calls/followed")
        command = f"{found[0]} --from 0-0 --json --count 2"
        follower = await asyncio.create_subprocess_shell(command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(follower.communicate(), 30)
        told = [json.loads(line) for line in out.splitlines()]
        assert told == [shown["legs"]["caller"], ended["legs"]["caller"]], "a snapshot is the record, by which one may resume"
        assert told[0]["call_id"] == "followed"
        _, rest = await service.stop()
    assert not [line for line in [*said, *rest.splitlines()] if found[1] in line and not line.startswith("  ")]


async def test_a_redis_that_refuses_the_password_is_no_service(tmp_path: Path) -> None:
    server = RealRedis(tmp_path)
    await server.start("--requirepass", "another")
    process = await spawn("server.port=0", f"redis.url={server.url.replace('redis://', 'redis://:hunter2@')}")
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
        await server.kill()
    assert process.returncode == 2
    assert out.decode().splitlines()[-1].startswith("vivavoce serve: redis.url: Redis asks for another user or password")
    assert b"hunter2" not in out
