"""Prompts to an aiortc peer, which decodes and hears them by its own means."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from connectors.playout import Player
from engine.audio import Samples
from tests.connectors.held_up import HeldUp
from tests.connectors.test_webrtc import ICE as ICE_LINES
from tests.connectors.test_webrtc import KEYS, OPUS, Setup, Tone


def chirp(seconds: float, rate: int) -> Samples:
    at = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * (300 + 400 * at) * at)).astype(np.int16)


class Browser:
    """A peer that speaks, and keeps what it hears."""

    def __init__(self, peer: RTCPeerConnection) -> None:
        self.peer = peer
        self.heard: list[Samples] = []
        self.rate = 0
        peer.on("track", self._listen)
        self._task: asyncio.Task[None] | None = None

    def _listen(self, track: Any) -> None:
        self._task = asyncio.ensure_future(self._take(track))

    async def _take(self, track: Any) -> None:
        while True:
            frame = await track.recv()
            self.rate = frame.sample_rate
            self.heard.append(frame.to_ndarray()[0][:: len(frame.layout.channels)])

    async def received(self) -> int:
        """Packets of ours that came."""
        stats = await self.peer.getTransceivers()[0].receiver.getStats()
        return sum(s.packetsReceived for s in stats.values() if s.type == "inbound-rtp")

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def until_quiet(player: Player) -> None:
    async with asyncio.timeout(60):
        while player.playing:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


class Line(Setup):
    def __init__(self) -> None:
        super().__init__()
        self.browsers: list[Browser] = []

    async def connected(self, codec: str = "opus") -> tuple[Browser, Player, str]:
        """A browser's call up and heard, with its player."""
        peer = RTCPeerConnection()
        self.peers.append(peer)
        peer.addTrack(Tone())
        known = RTCRtpSender.getCapabilities("audio").codecs
        peer.getTransceivers()[0].setCodecPreferences([c for c in known if c.mimeType.lower() == f"audio/{codec}"])
        browser = Browser(peer)
        self.browsers.append(browser)
        await peer.setLocalDescription(await peer.createOffer())
        session, _, answer = await self.whip.open(peer.localDescription.sdp, {})
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        player = self.whip.player("w1")
        assert player is not None
        async with asyncio.timeout(10):
            while not self.calls[-1].frames:
                await asyncio.sleep(0.02)
        return browser, player, session


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = Line()
    yield made
    for browser in made.browsers:
        browser.close()
    await made.whip.aclose()
    for peer in made.peers:
        await peer.close()


@pytest.mark.parametrize(("codec", "rate"), [("opus", 16000), ("opus", 8000), ("pcmu", 8000), ("g722", 16000)])
async def test_the_browser_hears_the_prompt(line: Line, codec: str, rate: int) -> None:
    browser, player, _ = await line.connected(codec)
    async with HeldUp() as held:
        now = time.monotonic()
        assert player.play(chirp(1.0, rate), rate, now) - now == pytest.approx(1.0, abs=0.021)
        await until_quiet(player)
    assert 1.02 < time.monotonic() - now < 1.5 + 2 * held.seconds  # no burst; a machine that is held up is late
    assert await browser.received() == (50 if codec == "pcmu" else 51)
    heard = np.concatenate(browser.heard).astype(float)
    assert len(heard) >= 0.85 * browser.rate  # aiortc keeps the last packets until others come
    wanted = chirp(1.0, browser.rate).astype(float)
    product = np.fft.rfft(heard, 4 * len(wanted)) * np.conj(np.fft.rfft(wanted, 4 * len(wanted)))
    lag = np.fft.irfft(product).argmax()
    assert lag < 0.01 * browser.rate
    same = heard[lag : len(wanted)]
    assert np.corrcoef(same, wanted[: len(same)])[0, 1] > 0.98


async def test_between_prompts_nothing_is_sent_and_the_next_one_tells_how_long(line: Line) -> None:
    browser, player, _ = await line.connected("pcmu")
    assert await browser.received() == 0
    async with HeldUp() as held:
        player.play(chirp(0.1, 8000), 8000, time.monotonic())
        await until_quiet(player)
        assert await browser.received() == 5
        await asyncio.sleep(0.2)
        assert await browser.received() == 5
        sender = line.whip._sessions[next(iter(line.whip._sessions))].peer.getTransceivers()[0].sender
        assert sender.track is None
        player.play(chirp(0.1, 8000), 8000, time.monotonic())
        await until_quiet(player)
    assert await browser.received() == 10
    history = sorted(sender._RTCRtpSender__rtp_history.values(), key=lambda p: p.sequence_number)
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(history)]
    pause = steps.pop(4)
    assert min(steps) == 160
    assert sum(steps) - 8 * 160 <= 2 * held.seconds * 8000
    assert 0.3 * 8000 < pause < (0.6 + 2 * held.seconds) * 8000


async def test_stop_cuts_a_prompt_off_and_another_may_begin_at_once(line: Line) -> None:
    browser, player, _ = await line.connected("pcmu")
    player.play(chirp(2.0, 8000), 8000, time.monotonic())
    with pytest.raises(ValueError, match="being played already"):
        player.play(chirp(0.1, 8000), 8000, time.monotonic())
    await asyncio.sleep(0.1)
    player.stop()
    player.stop()
    assert not player.playing
    await asyncio.sleep(0.1)
    before = await browser.received()
    assert 1 <= before <= 8
    for _ in range(2):
        player.play(chirp(0.1, 8000), 8000, time.monotonic())
        player.stop()
    player.play(chirp(0.06, 8000), 8000, time.monotonic())
    await until_quiet(player)
    assert await browser.received() == before + 3


async def test_before_and_after_the_connection_there_is_nobody_to_play_to(line: Line) -> None:
    await line.whip.open(OPUS + KEYS + ICE_LINES, {})
    early = line.whip.player("w1")
    assert early is not None
    with pytest.raises(ValueError, match="the browser is not connected yet"):
        early.play(chirp(0.1, 8000), 8000, time.monotonic())
    await line.whip.aclose()
    assert line.whip.player("w1") is None
    _, player, session = await line.connected()
    player.play(chirp(2.0, 8000), 8000, time.monotonic())
    await asyncio.sleep(0.05)
    await line.whip.close(session)
    assert not player.playing
    with pytest.raises(ValueError, match="the session is over"):
        player.play(chirp(0.1, 8000), 8000, time.monotonic())


async def test_a_browser_that_offers_only_to_be_heard_has_no_player(line: Line) -> None:
    *_, answer = await line.whip.open(OPUS + "a=sendonly\r\n" + KEYS + ICE_LINES, {})
    assert "a=recvonly" in answer
    assert line.whip.player("w1") is None
    assert line.whip.player("another") is None


async def test_what_is_played_is_not_heard_as_the_caller(line: Line) -> None:
    _, player, _ = await line.connected("pcmu")
    frames = line.calls[-1].frames
    before = len(frames)
    player.play(np.full(1600, 20000, np.int16), 8000, time.monotonic())
    await until_quiet(player)
    heard = np.concatenate([frame.samples for frame in frames[before:]]).astype(int)
    assert np.abs(heard).max() < 9000  # the tone only, of 8192
    assert len(heard) < 8000 * 0.6
