"""Ending a background task for certain."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.1


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel `task` until it is over; its result or error is nobody's.

    Once is not enough: redis-py takes a cancellation that comes while it connects for a time-out, and asyncio.wait_for
    before Python 3.12 forgets one that comes together with what it waits for.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)
