"""A telephone: sends what its caller says at the pace of RTP, and keeps what it is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import numpy as np

from connectors.g711 import decode_mu_law, encode_mu_law
from connectors.rtp import parse

Samples = np.ndarray
RATE, PACKET = 8000, 160


class RtpCaller(asyncio.DatagramProtocol):
    """One caller, G.711 mu-law. Says the line's noise when there is nothing to say."""

    def __init__(self, address: dict[str, Any], seed: int = 0) -> None:
        self._address = address
        self._says: deque[Samples] = deque()
        self._noise = np.random.default_rng(seed)
        self._task: asyncio.Task[None] | None = None
        self.packets: list[tuple[int, int, bool, bytes]] = []  # sequence, timestamp, marker, payload

    async def __aenter__(self) -> RtpCaller:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, remote_addr=(self._address["host"], self._address["port"])
        )
        self._task = asyncio.create_task(self._speak())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._transport.close()

    def say(self, samples: Samples, after_s: float = 0.0) -> None:
        """Next, after so much quiet: int16 at 8 kHz."""
        self._says += [np.zeros(round(after_s * RATE), np.int16), samples]

    @property
    def speaking(self) -> bool:
        return any(len(piece) for piece in self._says)

    def datagram_received(self, data: bytes, addr: object) -> None:
        packet = parse(data)
        self.packets.append((packet.sequence, packet.timestamp, packet.marker, bytes(packet.payload)))

    @property
    def heard(self) -> Samples:
        """All that was played to the caller, int16 at 8 kHz, packet after packet: what a busy machine held up is closed up."""
        return np.concatenate([np.zeros(0, np.int16), *(decode_mu_law(payload) for *_, payload in self.packets)])

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(1 << 20):
            head = b"\x80\x00" + (number & 0xFFFF).to_bytes(2, "big") + (number * PACKET).to_bytes(4, "big")
            self._transport.sendto(head + b"\x00\x00\x00\x07" + encode_mu_law(self._next()))
            await asyncio.sleep(max(0.0, start + (number + 1) * 0.02 - loop.time()))

    def _next(self) -> Samples:
        said, fill = (self._noise.standard_normal(PACKET) * 8).astype(np.int16), 0
        while self._says and fill < PACKET:
            piece = self._says.popleft()
            part = min(PACKET - fill, len(piece))
            said[fill : fill + part] = said[fill : fill + part] // 4 + piece[:part]
            fill += part
            if part < len(piece):
                self._says.appendleft(piece[part:])
        return said
