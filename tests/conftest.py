"""Fixtures that several folders share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.peers.redis import RealRedis


@pytest_asyncio.fixture
async def real_redis(tmp_path: Path) -> AsyncIterator[RealRedis]:
    server = RealRedis(tmp_path)
    await server.start()
    yield server
    await server.kill()
