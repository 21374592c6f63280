"""Prompts into the call: what a connector that can be heard offers, and how RTP does it.

Nothing runs while nothing is played: a leg that never plays has no player, and a player at rest has no task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from connectors.packetizer import RtpPacketizer
from engine.audio import Samples

log = structlog.get_logger(__name__)

LEAST_WAIT_S = 0.001  # the resolution of the loop's timers


class Player(Protocol):
    """Plays one prompt at a time to the far end of a call. A connector that can only listen has None in its place."""

    @property
    def playing(self) -> bool:
        """Whether a prompt is under way; until its last sample has sounded."""

    @property
    def left_s(self) -> float:
        """Seconds of the prompt that are not on their way yet, 0 at rest. While it falls, the prompt is late at most."""

    def play(self, samples: Samples, rate: int, now: float) -> float:
        """Begin a prompt, mono int16 at `rate` Hz -> the monotonic time at which it will have been heard.

        The far end's own delay comes on top, and what the loop is held up for: `playing` says when it is over.
        ValueError when it cannot be played: nobody to play to yet, one is under way, or it is no prompt.
        """

    def stop(self) -> None:
        """Cut the prompt off; safe to repeat."""


class Outlet(Protocol):
    """Where packets go."""

    def obstacle(self) -> str | None:
        """Why nothing can be sent just now; None if it can."""

    def send(self, datagram: bytes) -> None: ...


class RtpPlayer:
    """A Player of plain RTP: paced packets, driven by a task for as long as a prompt lasts."""

    def __init__(
        self, outlet: Outlet, packetizer: RtpPacketizer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._outlet, self._packetizer, self._clock = outlet, packetizer, clock
        self._task: asyncio.Task[None] | None = None

    @property
    def playing(self) -> bool:
        return self._task is not None

    @property
    def left_s(self) -> float:
        """As Player.left_s."""
        return self._packetizer.left_s

    def play(self, samples: Samples, rate: int, now: float) -> float:
        """As Player.play."""
        if self._task is not None:
            raise ValueError("a prompt is being played already")
        if (obstacle := self._outlet.obstacle()) is not None:
            raise ValueError(obstacle)
        loop = asyncio.get_running_loop()
        self._packetizer.stop()  # what one that broke off has left
        ends = self._packetizer.start(samples, rate, now)
        self._task = loop.create_task(self._send_all(), name="prompt")
        return ends

    def stop(self) -> None:
        """As Player.stop."""
        self._packetizer.stop()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _send_all(self) -> None:
        """Send until the prompt is over. Sleeps last until the next packet's time, so that no delay adds up."""
        packetizer, clock = self._packetizer, self._clock
        try:
            while (due := packetizer.due) is not None:
                if (wait := due - clock()) > 0:
                    await asyncio.sleep(max(wait, LEAST_WAIT_S))
                for packet in packetizer.next_packets(clock()):
                    self._outlet.send(packet.serialize())
            await asyncio.sleep(packetizer.ends - clock())
            self._task = None
        except Exception:  # a prompt that breaks ends itself only, not the call
            log.exception("prompt broken off")
            self._task = None  # what is left of it, `left_s`, says that it was not heard to its end
