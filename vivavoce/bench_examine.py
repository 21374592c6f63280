"""Examinations during the live bench: a share of the calls is under a question at any moment.

The load's callers talk on, so every answer runs to its challenge's limit and is then judged in earnest.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence

import aiohttp

ASKED = ("high-pitch", "low-pitch", "sing", "whisper")  # by turns; the operator is said to speak them
SETTLE_S = 5.0  # of plain speech before the first question
LOOK_S = 0.5
LONGEST_S = 25.0  # from key to result
ENDS = frozenset({"passed", "failed", "unclear", "no-answer", "skipped", "over"})


async def keep_examining(http: aiohttp.ClientSession, call_ids: Sequence[str], share: float, seconds: float) -> Counter[str]:
    """Examine `share` of the calls at once, one after another, for `seconds`; how many ended in which state."""
    ends: Counter[str] = Counter()
    waiting = itertools.cycle(call_ids)
    await asyncio.sleep(SETTLE_S)
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds - SETTLE_S

    async def one_after_another() -> None:
        for number, call_id in enumerate(waiting):
            if loop.time() >= until:
                return
            ends[await examine(http, call_id, ASKED[number % len(ASKED)], until)] += 1

    lanes = max(1, round(share * len(call_ids)))
    await asyncio.gather(*(one_after_another() for _ in range(lanes)))
    return ends


async def examine(http: aiohttp.ClientSession, call_id: str, challenge: str, until: float) -> str:
    """Put one question and wait for what comes of it. "running" when the bench ends first."""
    path = f"/v1/calls/{call_id}/examination"
    for action in ({"action": "ask", "challenge": challenge}, {"action": "answering"}):
        async with http.post(path, json=action) as answer:
            if answer.status != 200:
                await asyncio.sleep(LOOK_S)
                return f"refused with {answer.status}"
    loop = asyncio.get_running_loop()
    deadline = min(until, loop.time() + LONGEST_S)
    while loop.time() < deadline:
        await asyncio.sleep(LOOK_S)
        async with http.get(path) as answer:
            record = await answer.json()
        if record["compliance"] is not None or record["state"] in ENDS or record["attempt"] > 1:
            return "judged" if record["realism"] is not None or record["compliance"] is not None else str(record["state"])
    return "running"
