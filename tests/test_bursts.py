"""Much audio at once: what a pause, a hole or a network that stood still brings costs a call nothing while scores are quick."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from connectors.codecs import make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from engine.call import Call, CallConfig, CallInfo
from engine.scorer import Scorer
from engine.session import Session

TALK = 150  # packets


class QuickModel:
    rate, chunk_samples = 8000, 1280

    def judge(self, audio: Any, state: Any) -> tuple[Any, None, Any]:
        return np.zeros(len(audio), np.float32), None, state


class NoStore:
    def gather(self, slots: Any) -> None:
        return None

    def scatter(self, slots: Any, state: Any) -> None:
        pass

    def reset(self, slot: int) -> None:
        pass


def packet(number: int, tick: int) -> bytes:
    return RtpPacket(0, number, tick * 160, 7, b"\x55" * 160).serialize()


async def screened(bursts: list[list[bytes]], then: list[list[bytes]] | None = None, after_s: float = 0.0) -> tuple[int, int]:
    """Chunks (dropped, scored) when every burst comes at one moment, 200 ms between them; those of `then` `after_s` later."""
    scorer = Scorer(QuickModel(), NoStore(), capacity=1)
    session = Session(Call(CallInfo("x"), CallConfig(), lambda pcm, rate: True, 0.0), scorer, lambda tag, at: None)
    receiver = RtpReceiver(make_decoder(parse_codec("PCMU")), 0, gather=1280)
    now = 0.0
    for burst in [*bursts, [], *(then or [])]:
        now += 0.0 if burst else after_s
        for datagram in burst:
            for frame in receiver.receive_datagram(datagram, now):
                session.on_frame(frame, now)
        now += 0.2
        for frame in receiver.poll(now):
            session.on_frame(frame, now)
        async with asyncio.timeout(5):
            while session.behind:
                await asyncio.sleep(0.002)
    await asyncio.sleep(0.05)
    await scorer.aclose()
    return session.overload_dropped, scorer.scored


def talk(first: int, tick: int) -> list[list[bytes]]:
    """Packets as they come on a good day, a chunk at a time."""
    return [[packet(first + k, tick + k) for k in range(start, start + 8)] for start in range(0, TALK // 8 * 8, 8)]


@pytest.mark.parametrize("pause", [30, 50, 500])
async def test_a_pause_of_the_sender_drops_nothing(pause: int) -> None:
    """Silence suppression (RFC 3389): the timestamp jumps, no number is missing."""
    dropped, scored = await screened(talk(0, 0), talk(144, 144 + pause), pause * 0.02)
    assert dropped == 0
    assert scored == (288 + min(pause, 50)) // 8


async def test_a_second_of_lost_packets_drops_nothing_more() -> None:
    dropped, _ = await screened([*talk(0, 0), *talk(194, 194)])
    assert dropped == 0


@pytest.mark.parametrize("held", [40, 72, 112])
async def test_packets_that_the_network_held_back_are_all_scored(held: int) -> None:
    late = [packet(144 + k, 144 + k) for k in range(held)]
    dropped, scored = await screened([*talk(0, 0), late])
    assert (dropped, scored) == (0, (144 + held) // 8)
