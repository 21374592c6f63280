"""WHIP with an aiortc peer in the same process, over loopback."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from fractions import Fraction
from typing import Any

import aioice.ice
import av
import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from connectors import webrtc
from connectors.codecs import parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from connectors.webrtc import MAX_OFFER, MOST_SOURCES, Tap, WebRtcWhip, with_directions
from engine.audio import AudioFrame
from engine.errors import OverloadError
from tests.connectors import gateway


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
        self.receivers: list[RtpReceiver] = []
        self.whip = WebRtcWhip(self.open_call, limit=limit, host_addresses=["127.0.0.1"])
        self.peers: list[RTCPeerConnection] = []

    def open_call(
        self, metadata: Mapping[str, str], hang_up: Callable[[], None], poll: Callable[[float], None],
        receiver: RtpReceiver, call_id: str | None,
    ) -> Call:  # fmt: skip
        if call_id == "taken":
            raise ValueError('a call "taken" is running')
        self.receivers.append(receiver)
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
    session, call_id, answer = await setup.whip.open(sdp, {"agent": "Ada"})
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
    assert (call_id, setup.metadata) == ("w1", [{"agent": "Ada"}])
    assert await setup.whip.close(session)
    assert call.closed == "closed"
    assert not await setup.whip.close(session)
    assert setup.whip.sessions == 0


async def test_a_peer_that_hangs_up_ends_its_call(setup: Setup) -> None:
    peer, sdp = await setup.offer()
    *_, answer = await setup.whip.open(sdp, {})
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(10):
        while not setup.calls[0].frames:
            await asyncio.sleep(0.02)
        await peer.close()
        while not setup.calls[0].closed:
            await asyncio.sleep(0.02)
    assert setup.whip.sessions == 0
    assert setup.calls[0].closed == "closed"


async def test_a_peer_that_is_heard_no_more_has_not_hung_up(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    peer, sdp = await setup.offer()
    *_, answer = await setup.whip.open(sdp, {})
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(20):
        while not setup.calls[0].frames:
            await asyncio.sleep(0.02)
        for protocol in peer.getTransceivers()[0].sender.transport.transport._connection._protocols:
            protocol.transport.abort()  # its network is gone
        while not setup.calls[0].closed:
            await asyncio.sleep(0.02)
    assert setup.calls[0].closed == "rtp-timeout"
    assert setup.whip.sessions == 0


async def test_a_connection_that_does_not_end_holds_up_nobody(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "CLOSE_S", 0.05)
    session, *_ = await setup.whip.open(OPUS + KEYS + ICE, {})
    peer = setup.whip._sessions[session].peer
    transport = peer.getTransceivers()[0].receiver.transport.transport
    monkeypatch.setattr(peer, "close", asyncio.Event().wait)
    async with asyncio.timeout(10):
        assert await setup.whip.close(session)
    assert setup.calls[0].closed == "closed"
    assert transport.state == "closed"


SESSION = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
KEYS = f"a=setup:actpass\r\na=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"
ICE = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\na=rtcp-mux\r\n"
OPUS = SESSION + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=mid:0\r\n"


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        ("", "does not begin with"),
        ("hello", "does not begin with"),
        ("v=0\r\n" + "a" * MAX_OFFER, "larger than 65536"),
        (SESSION, "has no audio"),
        (SESSION + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n" + KEYS + ICE, "has no audio"),
        ("v=0\r\nm=audio x UDP/TLS/RTP/SAVPF 111\r\n", "cannot be read"),
        (SESSION + "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", "audio is RTP/AVP; a browser's is UDP/TLS/RTP/SAVPF"),
        (SESSION + "m=audio 9 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", "audio is RTP/SAVP"),
        (OPUS + ICE, "has no DTLS fingerprint"),
        (OPUS + KEYS, "ICE username fragment or password is missing"),
        (OPUS + KEYS + ICE.replace("a=rtcp-mux\r\n", ""), "RTCP mux is not enabled"),
        (OPUS + KEYS + ICE + "a=recvonly\r\n", r"sends nothing \(recvonly\)"),
        (SESSION + "a=inactive\r\n" + OPUS[len(SESSION) :] + KEYS + ICE, r"sends nothing \(inactive\)"),
        (OPUS.replace("audio 9", "audio 0") + KEYS + ICE, r"sends nothing \(port 0\)"),
        (OPUS.replace("opus/48000/2", "G729/8000") + KEYS + ICE, "codecs OPUS, G722, PCMU, PCMA, only G729"),
        (OPUS + KEYS + ICE + OPUS[len(SESSION) :] + KEYS + ICE, "its parts do not fit together"),
    ],
)  # fmt: skip
async def test_an_offer_that_cannot_be_answered_says_why_and_leaves_nothing(setup: Setup, offer: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        await setup.whip.open(offer, {})
    assert setup.whip.sessions == 0
    assert setup.calls == []


@pytest.mark.parametrize("offer", [OPUS + KEYS + ICE, OPUS + "a=sendonly\r\n" + KEYS + ICE])
async def test_audio_that_names_no_direction_is_sent_both_ways(setup: Setup, offer: str) -> None:
    *_, answer = await setup.whip.open(offer, {})
    assert ("a=recvonly" in answer) == ("a=sendonly" in offer)
    assert "opus/48000/2" in answer


def test_a_direction_is_added_only_where_there_is_none() -> None:
    given = "v=0\r\na=sendonly\r\nm=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 96\r\na=recvonly\r\n"
    wanted = "v=0\r\na=sendonly\r\nm=audio 9 X 0\r\na=mid:0\r\na=sendonly\r\nm=video 9 X 96\r\na=recvonly\r\n"
    assert with_directions(given) == wanted
    assert with_directions(wanted) == wanted


async def test_a_call_that_cannot_be_opened_leaves_nothing_and_is_not_the_offer_s_fault(setup: Setup) -> None:
    with pytest.raises(ValueError, match=r'^a call "taken" is running$'):
        await setup.whip.open(OPUS + KEYS + ICE, {}, "taken")
    assert setup.whip.sessions == 0


async def test_one_that_never_connects_is_given_up(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "CONNECT_S", 0.05)
    await setup.whip.open(OPUS + KEYS + ICE, {})
    async with asyncio.timeout(5):
        while setup.whip.sessions:
            await asyncio.sleep(0.01)
    assert setup.calls[0].closed == "rtp-timeout"


async def test_the_end_leaves_no_task_behind(setup: Setup) -> None:
    before = asyncio.all_tasks()
    await setup.whip.open(OPUS + KEYS + ICE, {})
    await setup.whip.aclose()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


async def test_a_session_that_is_over_is_kept_by_nobody(setup: Setup) -> None:
    before = asyncio.all_tasks()
    session, *_ = await setup.whip.open(OPUS + KEYS + ICE, {})
    kept = weakref.ref(setup.whip._sessions[session])
    await setup.whip.close(session)
    await asyncio.sleep(0.05)
    gc.collect()
    assert asyncio.all_tasks() <= before
    assert kept() is None


class Transport:
    """aiortc's, as far as a tap goes: remembers what reached it."""

    def __init__(self) -> None:
        self.passed: list[bytes] = []

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self.passed.append(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self.passed.append(data)


PCMU, PCMA = parse_codec("PCMU"), parse_codec("PCMA")


def packet(number: int, ssrc: int = 7, payload_type: int = 0) -> bytes:
    return RtpPacket(payload_type, number, number * 160, ssrc, bytes([0xD5]) * 160).serialize()


async def test_what_comes_is_counted_and_goes_on_to_aiortc() -> None:
    frames: list[AudioFrame] = []
    transport, tap = Transport(), Tap({0: PCMU, 8: PCMA}, 0.06, lambda frame, now: frames.append(frame))
    tap.attach(transport)
    given = (packet(0), packet(1, payload_type=8), packet(1), packet(3), packet(4, payload_type=96), b"\xbf" + bytes(11))
    for datagram in given:
        await transport._handle_rtp_data(datagram, 0)
    await transport._handle_rtcp_data(b"\x80\xc8\0\x06" + bytes(24))
    tap.poll(time.monotonic() + 1)
    stats, jitter = tap.receiver.stats, tap.receiver.jitter.stats
    assert (stats.received, stats.malformed, stats.foreign, stats.rtcp) == (4, 1, 1, 1)
    assert (jitter.lost, jitter.duplicate) == (1, 1)
    assert [frame.lost for frame in frames] == [False, False, True, False]
    assert len(transport.passed) == 7
    assert tap.add(None) == (False, None)
    assert tap.receiver.last_report < 0, "another source's"
    await transport._handle_rtcp_data(b"\x80\xc9\0\x01\0\0\0\x07")
    assert tap.receiver.last_report == pytest.approx(time.monotonic(), abs=5)


async def test_what_nobody_has_time_for_is_counted_and_not_decoded() -> None:
    frames: list[AudioFrame] = []
    transport, tap = Transport(), Tap({0: PCMU}, 0.06, lambda frame, now: frames.append(frame))
    tap.attach(transport)
    await transport._handle_rtp_data(packet(0), 0)
    tap.receiver.listen(False)
    for number in range(1, 11):
        await transport._handle_rtp_data(packet(number), 0)
    assert (len(frames), tap.receiver.unheard, tap.receiver.stats.received) == (1, 10, 1)
    assert tap.receiver.last_report == pytest.approx(time.monotonic(), abs=5), "the sender is there"
    tap.receiver.listen(True)
    tap.receiver.listen(True)
    await transport._handle_rtp_data(packet(11), 0)
    assert [(frame.timestamp, frame.lost) for frame in frames] == [(0, False), (11 * 160, False)]
    assert len(transport.passed) == 12, "aiortc goes on counting for its reports"


async def test_of_more_sources_than_a_call_has_nothing_is_kept() -> None:
    floods: list[int] = []
    transport = Transport()
    Tap({0: PCMU}, 0.06, lambda frame, now: None, lambda: floods.append(1)).attach(transport)
    for source in range(MOST_SOURCES):
        await transport._handle_rtp_data(packet(0, source, 96), 0)
    assert (len(transport.passed), floods) == (MOST_SOURCES, [])
    for source in (0, MOST_SOURCES, MOST_SOURCES + 1, 0):
        await transport._handle_rtp_data(packet(1, source), 0)
    await transport._handle_rtcp_data(b"\x80\xc8\0\x06" + bytes(24))
    assert (len(transport.passed), floods) == (MOST_SOURCES + 1, [1])


async def connected(setup: Setup) -> tuple[RTCPeerConnection, Any]:
    """A peer that is heard, and its transport, that sends what it is given."""
    peer, sdp = await setup.offer()
    *_, answer = await setup.whip.open(sdp, {})
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(10):
        while not setup.calls[0].frames:
            await asyncio.sleep(0.02)
    return peer, peer.getTransceivers()[0].sender.transport


async def test_a_peer_with_too_many_sources_is_a_call_no_longer(setup: Setup) -> None:
    _, transport = await connected(setup)
    for source in range(MOST_SOURCES + 1):
        await transport._send_rtp(packet(0, source))
    async with asyncio.timeout(5):
        while setup.whip.sessions:
            await asyncio.sleep(0.02)
    assert setup.calls[0].closed == "closed"


async def test_another_source_and_another_codec_are_heard_and_told(setup: Setup) -> None:
    peer, transport = await connected(setup)
    told: list[float] = []
    setup.receivers[0].on_source = told.append
    peer.getSenders()[0].replaceTrack(None)
    frames = setup.calls[0].frames
    assert frames[-1].rate == 48000
    async with asyncio.timeout(10):
        number = 0
        while frames[-1].rate != 8000:
            await transport._send_rtp(packet(number, 99))
            number += 1
            await asyncio.sleep(0.02)
    assert len(told) == 1
    assert setup.receivers[0].ssrc == 99


async def test_what_is_played_to_a_browser_is_not_heard_from_it(setup: Setup) -> None:
    session, *_ = await setup.whip.open(OPUS + KEYS + ICE, {})
    sender = setup.whip._sessions[session].peer.getSenders()[0]
    assert setup.receivers[0].own_ssrc == sender._ssrc


async def test_there_is_room_for_so_many_and_no_more() -> None:
    setup = Setup(limit=1)
    _, sdp = await setup.offer()
    await setup.whip.open(sdp, {})
    with pytest.raises(OverloadError, match="all 1 browser calls"):
        await setup.whip.open(sdp, {})
    await setup.whip.aclose()
    assert setup.calls[0].closed == "closed"
    await setup.peers[0].close()


async def test_whip_over_http_from_offer_to_delete(setup: Setup) -> None:
    sdp = {"Content-Type": "application/sdp"}
    options = gateway.GatewayOptions(gateway.TOKEN)
    app = gateway.build_app(gateway.Desk(), gateway.Feed(), setup.whip, options)  # type: ignore[arg-type]
    async with TestClient(TestServer(app), headers=gateway.AUTH) as client:
        async with client.post("/v1/whip", data=SESSION, headers=sdp) as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"] == "the SDP offer has no audio"
        peer, offer = await setup.offer()
        async with client.post("/v1/whip?caller=%2B34600&queue=cards", data=offer, headers=sdp) as response:
            assert response.status == 201
            place = response.headers["Location"]
            await peer.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        async with asyncio.timeout(10):
            while len(setup.calls[0].frames) < 3:
                await asyncio.sleep(0.02)
        assert setup.metadata == [{"queue": "cards", "caller": "+34600"}]
        for status in (200, 404):
            async with client.delete(place) as response:
                assert response.status == status
        assert setup.calls[0].closed == "closed"
