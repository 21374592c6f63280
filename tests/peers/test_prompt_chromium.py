"""A prompt played to a real browser: what it received, decoded and would have put out."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.playout import Player
from engine.audio import Samples
from tests.connectors.test_webrtc import Setup
from tests.peers.chromium import Page, chromium

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90)]
TONES = (400, 700, 1100, 1700)  # Hz, a quarter of a second each
OFFER = """(async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  const mouth = context.createMediaStreamDestination(), tone = context.createOscillator();
  tone.connect(mouth);
  tone.start();
  window.heard = [];
  window.peer = new RTCPeerConnection();
  peer.ontrack = ({ track }) => {
    const stream = new MediaStream([track]), tap = context.createScriptProcessor(1024, 1, 1);
    window.ear = Object.assign(new Audio(), { srcObject: stream, muted: true });
    ear.play();
    tap.onaudioprocess = ({ inputBuffer }) => heard.push(...inputBuffer.getChannelData(0));
    context.createMediaStreamSource(stream).connect(tap).connect(context.destination);
  };
  peer.addTransceiver(mouth.stream.getAudioTracks()[0], { direction: "sendrecv" });
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
  return peer.localDescription.sdp;
})()"""
RECEIVED = """(async () => {
  for (const report of (await peer.getStats()).values()) if (report.type === "inbound-rtp") return report;
  return null;
})()"""


async def blank(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>caller</title>", content_type="text/html")


@asynccontextmanager
async def browser_on_the_line() -> AsyncIterator[tuple[Page, Player]]:
    """A page in a call with a WHIP session, and the session's player."""
    app, setup = web.Application(), Setup()
    app.add_routes([web.get("/", blank)])
    async with TestServer(app) as server, chromium() as browser:
        page = await browser.open(str(server.make_url("/")))
        *_, answer = await setup.whip.open(await page.eval(OFFER), {})
        await page.eval(f"peer.setRemoteDescription({json.dumps({'type': 'answer', 'sdp': answer})})")
        async with asyncio.timeout(20):
            while not setup.calls[0].frames:
                await asyncio.sleep(0.02)
        player = setup.whip.player("w1")
        assert player is not None
        yield page, player
        await setup.whip.aclose()


def prompt(rate: int = 16000) -> Samples:
    at = np.arange(rate // 4) / rate
    return np.concatenate([(8000 * np.sin(2 * np.pi * tone * at)).astype(np.int16) for tone in TONES])


def tones_in(samples: np.ndarray, rate: int = 48000) -> list[int]:
    """The tone of every 20 ms that is one of TONES and loud, in order."""
    size, found = rate // 50, []
    for start in range(0, len(samples) - size, size):
        window = samples[start : start + size]
        if np.sqrt((window**2).mean()) < 0.08:
            continue
        peak = np.abs(np.fft.rfft(window * np.hanning(size), 4 * size)).argmax() * rate / (4 * size)
        found += [tone for tone in TONES if abs(tone - peak) < 30]
    return found


def stretched(report: dict[str, float], rate: int = 48000) -> tuple[int, int]:
    """How many windows of 20 ms the browser's jitter buffer says it put in and left out, each rounded up.

    A busy machine lets packets come unevenly, and the browser then plays a tone slower or faster: its own
    doing, which it counts, and nothing of the prompt.
    """
    filled = report["concealedSamples"] - report["silentConcealedSamples"]
    longer = report["insertedSamplesForDeceleration"] + filled
    window = rate // 50
    return math.ceil(longer / window), math.ceil(report["removedSamplesForAcceleration"] / window)


async def test_a_browser_hears_the_prompt_in_order_and_whole_and_nothing_else() -> None:
    async with browser_on_the_line() as (page, player):
        assert (await page.eval(RECEIVED) or {}).get("packetsReceived", 0) == 0
        player.play(prompt(), 16000, time.monotonic())
        async with asyncio.timeout(60):
            while player.playing:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.6)
        report = await page.eval(RECEIVED)
        heard = np.array(await page.eval("heard.map((value) => Math.round(value * 32768))")) / 32768
    assert (report["packetsReceived"], report["packetsLost"]) == (51, 0)
    found, (longer, shorter) = tones_in(heard), stretched(report)
    assert list(dict.fromkeys(found)) == list(TONES)
    assert found == sorted(found)
    for tone in TONES:
        assert 9 - shorter <= found.count(tone) <= 16 + longer  # of 12.5
