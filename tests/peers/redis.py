"""A real redis-server for the tests, which they may kill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vivavoce.bench_redis import BenchRedis


class RealRedis(BenchRedis):
    """The benchmark's, for tests: without a redis-server a test fails in CI and is skipped elsewhere."""

    def __init__(self, folder: Path) -> None:
        try:
            super().__init__(folder)
        except ValueError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))

    def lose_last(self, size: int) -> None:
        """Cut `size` bytes off the append-only file: what a machine that dies had not yet put on its disk."""
        (file,) = (self._folder / "appendonlydir").glob("*.incr.aof")
        kept = max(0, file.stat().st_size - size)
        with file.open("r+b") as opened:
            opened.truncate(kept)
