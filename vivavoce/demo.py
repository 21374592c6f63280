"""The bundled calls as live RTP, over a real socket, through the same API that a PBX uses."""

from __future__ import annotations

import asyncio
import itertools
import secrets

from connectors.requests import CallRequest
from connectors.rtp import RtpPacket
from vivavoce.desk import Desk
from vivavoce.samples import SAMPLES, Sample, mu_law

PACKET = 160  # bytes: 20 ms of mu-law
APART_S = 1.5  # between the starts of two calls
PAUSE_S = 4.0  # before the round begins anew


async def play_samples(desk: Desk) -> None:
    """Round after round until cancelled."""
    while True:
        calls = [asyncio.create_task(_play(desk, sample, index * APART_S)) for index, sample in enumerate(SAMPLES)]
        try:
            await asyncio.gather(*calls)
        finally:
            for call in calls:
                call.cancel()
        await asyncio.sleep(PAUSE_S)


async def _play(desk: Desk, sample: Sample, after_s: float) -> None:
    await asyncio.sleep(after_s)
    request = CallRequest(caller=sample.caller, agent=sample.agent, queue=sample.queue, metadata={"demo": sample.name})
    ticket = await desk.open_call(request)
    leg = ticket["legs"]["caller"]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(leg["host"], leg["port"])
    )
    try:
        await _send(transport, mu_law(sample.path))
        await asyncio.sleep(1.0)
    finally:
        transport.close()
        await desk.close_call(ticket["call_id"])


async def _send(transport: asyncio.DatagramTransport, speech: bytes) -> None:
    """One packet each 20 ms, by absolute deadlines so that small delays do not add up."""
    loop = asyncio.get_running_loop()
    start, ssrc = loop.time(), secrets.randbits(32)
    for index in itertools.count():
        payload = speech[index * PACKET : (index + 1) * PACKET]
        if len(payload) < PACKET:
            return
        packet = RtpPacket(0, index & 0xFFFF, index * PACKET & 0xFFFFFFFF, ssrc, payload, marker=index == 0)
        transport.sendto(packet.serialize())
        await asyncio.sleep(max(0.0, start + (index + 1) * 0.02 - loop.time()))
