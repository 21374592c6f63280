"""The body of a request as it comes in: how much of it there may be, and for how long nothing may come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiohttp import StreamReader

from connectors.requests import BadRequestError

STALLED_S = 30.0  # between two pieces: it may be as long in coming as it likes, but it must come


class Arriving:
    """Stands for aiohttp's StreamReader, also under its reader of forms, whose own framing is counted like the rest.

    Reading raises BadRequestError: 413 when more than `most` bytes came, 408 when none came for STALLED_S.
    """

    def __init__(self, content: StreamReader, most: int) -> None:
        self._content, self._most = content, most
        self._size = 0

    async def read(self, size: int = -1) -> bytes:
        return await self._come(self._content.read(size))

    async def readline(self, **limits: Any) -> bytes:
        return await self._come(self._content.readline(**limits))

    def at_eof(self) -> bool:
        return self._content.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._size -= len(data)
        self._content.unread_data(data)

    async def _come(self, more: Awaitable[bytes]) -> bytes:
        try:
            async with asyncio.timeout(STALLED_S):
                block = await more
        except TimeoutError:
            raise BadRequestError(f"nothing more of the file came for {STALLED_S:g} s", "body", 408) from None
        self._size += len(block)
        if self._size > self._most:
            raise BadRequestError(f"the file is larger than the limit of {self._most} bytes", "body", 413)
        return block
