"""A service with a Redis of its own: the line it prints follows the tags, and no log holds the password."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.peers.redis import RealRedis
from tests.peers.service import ROOT, Service, running

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
        (found,) = re.findall(r"(REDIS_URL=redis://default:(\w+)@\S+) vivavoce tags\n", "".join(said))
        await service.ask("POST", "/v1/calls", 201, json={"call_id": "followed"})
        await service.ask("DELETE", "/v1/calls/followed")
        command = f"{found[0]} {sys.executable} -m vivavoce tags --from 0-0 --json --count 1"
        follower = await asyncio.create_subprocess_shell(command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(follower.communicate(), 30)
        assert json.loads(out)["call_id"] == "followed"
        _, rest = await service.stop()
    assert not [line for line in [*said, *rest.splitlines()] if found[1] in line and not line.startswith("  ")]
