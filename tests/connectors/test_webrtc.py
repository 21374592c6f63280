"""WHIP with an aiortc peer in the same process, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from connectors.webrtc import MAX_OFFER, WebRtcWhip
from engine.audio import AudioFrame
from engine.errors import OverloadError


class Call:
    """The call behind a session, as the root would open it."""

    call_id = "w1"

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.closed = ""

    def on_frame(self, frame: AudioFrame, now: float) -> None:
        self.frames.append(frame)

    def close(self, reason: str) -> None:
        self.closed = reason


class Tone(MediaStreamTrack):
    """440 Hz at the pace of a microphone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(0.02)
        at = np.arange(self._sent, self._sent + 960)
        self._sent += 960
        tone = (8192 * np.sin(2 * np.pi * 440 * at / 48000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, int(at[0]), Fraction(1, 48000)
        return frame


class Setup:
    def __init__(self, limit: int = 2) -> None:
        self.calls: list[Call] = []
        self.metadata: list[Mapping[str, str]] = []
        self.whip = WebRtcWhip(self.open_call, limit=limit, host_addresses=["127.0.0.1"])
        self.peers: list[RTCPeerConnection] = []

    def open_call(
        self, metadata: Mapping[str, str], hang_up: Callable[[], None], poll: Callable[[float], None]
    ) -> Call:
        self.metadata.append(metadata)
        self.calls.append(Call())
        return self.calls[-1]

    async def offer(self) -> tuple[RTCPeerConnection, str]:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        peer.addTrack(Tone())
        await peer.setLocalDescription(await peer.createOffer())
        return peer, peer.localDescription.sdp


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup()
    yield made
    await made.whip.aclose()
    for peer in made.peers:
        await peer.close()


async def test_a_browser_s_audio_arrives_and_its_end_ends_the_call(setup: Setup) -> None:
    peer, sdp = await setup.offer()
    session, answer = await setup.whip.open(sdp, {"agent": "Ada"})
    assert "a=sendrecv" in answer
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    call = setup.calls[0]
    async with asyncio.timeout(10):
        while len(call.frames) < 40:
            await asyncio.sleep(0.02)
    samples = np.concatenate([f.samples for f in call.frames[20:40]]).astype(float)
    rate = call.frames[-1].rate
    peak = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples)
    assert abs(peak - 440) < 10
    assert [f.timestamp for f in call.frames] == list(np.cumsum([0] + [len(f.samples) for f in call.frames])[:-1])
    assert setup.metadata == [{"agent": "Ada"}]
    assert await setup.whip.close(session)
    assert call.closed == "closed"
    assert not await setup.whip.close(session)
    assert setup.whip.sessions == 0


async def test_a_peer_that_hangs_up_ends_its_call(setup: Setup) -> None:
    peer, sdp = await setup.offer()
    _, answer = await setup.whip.open(sdp, {})
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(10):
        while not setup.calls[0].frames:
            await asyncio.sleep(0.02)
        await peer.close()
        while not setup.calls[0].closed:
            await asyncio.sleep(0.02)
    assert setup.whip.sessions == 0


NO_CODEC = "v=0\r\no=- 1 1 IN IP4 1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 18\r\na=rtpmap:18 G729/8000\r\n"


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        ("", "does not begin with"),
        ("hello", "does not begin with"),
        ("v=0\r\n" + "a" * MAX_OFFER, "larger than"),
        ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", "no audio"),
        ("v=0\r\nm=audio x UDP/TLS/RTP/SAVPF 111\r\n", "cannot be"),
        (NO_CODEC, "cannot be answered"),
    ],
)
async def test_an_offer_that_cannot_be_answered_says_why_and_leaves_nothing(setup: Setup, offer: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        await setup.whip.open(offer, {})
    assert setup.whip.sessions == 0
    assert setup.calls == []


async def test_there_is_room_for_so_many_and_no_more() -> None:
    setup = Setup(limit=1)
    _, sdp = await setup.offer()
    await setup.whip.open(sdp, {})
    with pytest.raises(OverloadError, match="all 1 browser calls"):
        await setup.whip.open(sdp, {})
    await setup.whip.aclose()
    assert setup.calls[0].closed == "closed"
    await setup.peers[0].close()
