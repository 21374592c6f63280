"""For how long a machine kept a test from running: what a test of timing may be late by, and nothing else."""

from __future__ import annotations

import asyncio
import time

STEP_S = 0.002


class HeldUp:
    """Looks at two clocks every few milliseconds: time that passed beside the loop's own work was somebody else's.

    What the tested code does itself, however slowly, runs on the processor's clock and is no excuse.
    """

    def __init__(self) -> None:
        self.seconds = 0.0  # in all
        self.longest = 0.0  # at once
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> HeldUp:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            wall, own = time.monotonic(), time.thread_time()
            await asyncio.sleep(STEP_S)
            late = time.monotonic() - wall - STEP_S - (time.thread_time() - own)
            if late > STEP_S:  # less is the resolution of the loop's timers
                self.seconds += late
                self.longest = max(self.longest, late)
