"""Calls from a browser: WHIP sessions (RFC 9725) on aiortc.

aiortc does ICE, DTLS and SRTP; its audio path ends where its jitter buffer would begin. That buffer turns one lost
packet into a lasting 280 ms of delay and splices the audio around holes, which a detector must not be fed, and it
needs a thread per call. A tap hands the decrypted packets to the same RtpReceiver that plain RTP goes through, so that
both count the same; aiortc makes no more of them than its receiver reports.

Where the browser offers to hear us, the answer is `sendrecv`, an extension of WHIP: prompts are played by
`replaceTrack`, and between them nothing is sent.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import aioice.ice
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc import sdp as aiortc_sdp
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from OpenSSL import SSL

from connectors.codecs import CodecSpec, make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.playout import Player
from connectors.webrtc_playout import BrowserPlayer
from engine.audio import AudioFrame
from engine.errors import OverloadError

log = structlog.get_logger(__name__)

CONNECT_S = 15.0  # from the answer to the first connection; then the session is given up
CLOSE_S = 5.0  # for aiortc to end a connection: it waits for tasks of its own, which may have died
MAX_OFFER = 64 << 10  # bytes
# What aiortc makes of an offer whose parts are missing or do not fit: it states few of its demands, and asserts many.
OFFER_FAULTS = (
    ValueError, LookupError, AttributeError, TypeError, AssertionError,
    InternalError, InvalidAccessError, InvalidStateError, OperationError,
)  # fmt: skip
MOST_SOURCES = 31  # of one call, SSRCs: as many as a receiver report has room for (RFC 3550 section 6.4.2)
CODECS = ("OPUS", "G722", "PCMU", "PCMA")  # of aiortc's, those that `connectors.codecs` decodes
_DIRECTION = re.compile(r"^a=(?:sendrecv|sendonly|recvonly|inactive)\b", re.MULTILINE)


class BrowserCall(Protocol):
    """The call behind a session; the root opens it."""

    call_id: str

    def on_frame(self, frame: AudioFrame, now: float) -> None: ...

    def close(self, reason: str) -> None: ...


class OpenCall(Protocol):
    """How the root opens a call: what its asker says of it, how to hang up and to poll, what counts its packets, and its id if
    that is not ours to choose. ValueError when a call of that id is running."""

    def __call__(
        self, metadata: Mapping[str, str], hang_up: Callable[[], None], poll: Callable[[float], None],
        receiver: RtpReceiver, call_id: str | None,
    ) -> BrowserCall: ...  # fmt: skip


class Tap:
    """Before aiortc's receiver: decrypted packets go to `receiver`. And in place of its jitter buffer: nothing comes out."""

    capacity = 0

    def __init__(
        self, codecs: Mapping[int, CodecSpec], wait_s: float, on_frame: Callable[[AudioFrame, float], None],
        on_flood: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`codecs`, at least one, by payload type; `on_flood` is told of more sources than a call has."""
        # Every codec of our answer may be sent at any time, without a word (RFC 3264 section 6.1).
        makers = {number: partial(make_decoder, each) for number, each in codecs.items()}
        first = next(iter(makers))
        self.receiver = RtpReceiver(makers[first](), first, wait_s=wait_s, event_types=frozenset(), others=makers)
        self._on_frame, self._on_flood = on_frame, on_flood
        self._sources: set[int] = set()

    def attach(self, transport: Any) -> None:
        """Hear what an aiortc DTLS transport has decrypted, and let it go on."""
        rtp, rtcp = transport._handle_rtp_data, transport._handle_rtcp_data

        async def hear(data: bytes, arrival_time_ms: int) -> None:
            if self._admits(data[8:12]):
                self.receive(data, time.monotonic())
                await rtp(data, arrival_time_ms=arrival_time_ms)

        async def count(data: bytes) -> None:
            if self._admits(data[4:8]):
                self.receiver.stats.rtcp += 1
                self.receiver.receive_report(data, time.monotonic())
                await rtcp(data)

        transport._handle_rtp_data, transport._handle_rtcp_data = hear, count

    def receive(self, datagram: bytes, now: float) -> None:
        if not self.receiver.listening:
            self.receiver.pass_by(now)
            return
        for frame in self.receiver.receive_datagram(datagram, now):
            self._on_frame(frame, now)

    def add(self, packet: Any) -> tuple[bool, None]:
        """The jitter buffer's contract: (send a PLI, a frame to decode)."""
        return False, None

    def poll(self, now: float) -> None:
        for frame in self.receiver.poll(now):
            self._on_frame(frame, now)

    def _admits(self, ssrc: bytes) -> bool:
        """aiortc and libsrtp keep something of every source, for ever, and receiver reports break down under many."""
        if len(self._sources) <= MOST_SOURCES:
            self._sources.add(int.from_bytes(ssrc))
            if len(self._sources) > MOST_SOURCES:
                self._on_flood()
        return len(self._sources) <= MOST_SOURCES


class _Session:
    def __init__(self, peer: RTCPeerConnection) -> None:
        self.peer = peer
        self.given_up: asyncio.TimerHandle | None = None  # while nobody has connected
        self.call: BrowserCall | None = None
        self.player: BrowserPlayer | None = None
        self.connected = False
        self.over = False

    def obstacle(self) -> str | None:
        """Why nothing can be played just now."""
        if self.over:
            return "the session is over"
        return None if self.connected else "the browser is not connected yet"

    def on_frame(self, frame: AudioFrame, now: float) -> None:
        if self.call is not None:
            self.call.on_frame(frame, now)


class WebRtcWhip:
    """All WHIP sessions of a service. `host_addresses` are offered as ICE candidates instead of the machine's own."""

    def __init__(
        self, open_call: OpenCall, *, limit: int, wait_s: float = 0.06, host_addresses: Sequence[str] | None = None
    ) -> None:
        self._open_call = open_call
        self._limit = limit
        self._wait_s = wait_s
        self._sessions: dict[str, _Session] = {}
        self._tasks: set[asyncio.Task[bool]] = set()
        if host_addresses is not None:
            # aioice never offers loopback, but a service that listens there only can be reached nowhere else.
            addresses = list(host_addresses)
            aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: addresses

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def player(self, call_id: str) -> Player | None:
        """The player of a browser's call; None when there is no such call, or its browser offered only to be heard."""
        owned = (s for s in self._sessions.values() if s.call is not None and s.call.call_id == call_id)
        session = next(owned, None)
        return None if session is None else session.player

    async def open(self, offer: str, metadata: Mapping[str, str], call_id: str | None = None) -> tuple[str, str, str]:
        """SDP offer -> (session id, call id, SDP answer). ValueError when it cannot be answered, or a call of that id is
        running; OverloadError when full."""
        offer = with_directions(offer)
        check_offer(offer)
        if len(self._sessions) >= self._limit:
            raise OverloadError(f"all {self._limit} browser calls are in use")
        session_id = secrets.token_urlsafe(16)
        session = _Session(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        self._sessions[session_id] = session
        try:
            answer, tap = await self._answer(session, session_id, offer)
            hang_up = partial(self._hang_up, session_id)
            session.call = call = self._open_call(metadata, hang_up, tap.poll, tap.receiver, call_id)
        except BaseException:  # an offer that cannot be answered, no room, a fault of ours, or the browser has gone meanwhile
            await self._drop(session_id)
            raise
        self._watch(session_id, session)
        return session_id, call.call_id, answer

    async def close(self, session_id: str) -> bool:
        """End a session on its owner's wish; False when there is none."""
        return await self._drop(session_id)

    async def aclose(self) -> None:
        await asyncio.gather(*(self._drop(session_id) for session_id in list(self._sessions)))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, session: _Session, session_id: str, offer: str) -> tuple[str, Tap]:
        """The SDP answer, and the tap behind it. ValueError says why there is none."""
        try:
            transceiver = await _negotiated(session.peer, offer)
            return str(session.peer.localDescription.sdp), self._connect_media(session, session_id, transceiver)
        except OFFER_FAULTS as error:
            log.info("offer refused", error=repr(error)[:200])
            reason = str(error)[:120] if isinstance(error, ValueError) else ""
            raise ValueError(f"the SDP offer cannot be answered: {reason or 'its parts do not fit together'}") from None

    def _connect_media(self, session: _Session, session_id: str, transceiver: RTCRtpTransceiver) -> Tap:
        """Put the tap in its place, and a player where something may be sent."""
        codecs: dict[int, CodecSpec] = {}
        for codec in transceiver._codecs:
            name = codec.mimeType.partition("/")[2]
            channels = f"/{codec.channels}" if (codec.channels or 1) > 1 else ""
            try:
                codecs[codec.payloadType or 0] = parse_codec(f"{name}/{codec.clockRate}{channels}", codec.payloadType)
            except ValueError:
                continue  # telephone-event, comfort noise, retransmissions
        tap = Tap(codecs, self._wait_s, session.on_frame, partial(self._flooded, session_id))
        sent_in = codecs.get(transceiver._codecs[0].payloadType or 0)  # aiortc sends in the first that both know
        if transceiver.currentDirection == "sendrecv" and sent_in is not None:
            session.player = BrowserPlayer(transceiver.sender, sent_in, session.obstacle)
            tap.receiver.own_ssrc = transceiver.sender._ssrc
        tap.attach(transceiver.receiver.transport)
        transceiver.receiver._RTCRtpReceiver__jitter_buffer = tap  # type: ignore[attr-defined]
        return tap

    def _flooded(self, session_id: str) -> None:
        log.warning("a browser's call has more sources than a call can have", most=MOST_SOURCES)
        self._hang_up(session_id)

    def _watch(self, session_id: str, session: _Session) -> None:
        @session.peer.on("connectionstatechange")
        def changed() -> None:
            if session.peer.connectionState == "connected":
                session.connected = True
            elif session.peer.connectionState in ("failed", "closed", "disconnected"):
                self._hang_up(session_id, "closed" if _said_goodbye(session.peer) else "rtp-timeout")

        # A timer that ends with the session: a task that slept on would keep all of a session that is over.
        session.given_up = asyncio.get_running_loop().call_later(CONNECT_S, self._give_up, session_id, session)

    def _give_up(self, session_id: str, session: _Session) -> None:
        if not session.connected:
            self._hang_up(session_id, "rtp-timeout")

    def _hang_up(self, session_id: str, reason: str = "closed") -> None:
        if session_id in self._sessions:
            self._spawn(self._drop(session_id, reason))

    def _spawn(self, work: Coroutine[Any, Any, bool]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drop(self, session_id: str, reason: str = "closed") -> bool:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return False
        session.over = True
        if session.given_up is not None:
            session.given_up.cancel()
        if session.player is not None:
            session.player.stop()
        if session.call is not None:
            session.call.close(reason)
        try:
            await asyncio.wait_for(session.peer.close(), CLOSE_S)
        except TimeoutError:
            log.error("a browser's connection does not end", after_s=CLOSE_S)
            for transceiver in session.peer.getTransceivers():  # its sockets all the same
                await transceiver.receiver.transport.stop()
                await transceiver.receiver.transport.transport.stop()
        return True


async def _negotiated(peer: RTCPeerConnection, offer: str) -> RTCRtpTransceiver:
    """Offer and answer set: the one audio that is heard. One of OFFER_FAULTS where they cannot be."""
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    audio = [t for t in peer.getTransceivers() if t.kind == "audio"]
    if not audio:
        raise ValueError("it has no audio")
    for transceiver in peer.getTransceivers():
        transceiver.direction = "sendrecv" if transceiver is audio[0] else "inactive"
    await peer.setLocalDescription(await peer.createAnswer())
    return audio[0]


def _said_goodbye(peer: RTCPeerConnection) -> bool:
    """Whether the far end closed the connection (DTLS close_notify) or is only heard no more: aiortc calls both closed."""
    ends = [transceiver.receiver.transport._ssl for transceiver in peer.getTransceivers()]
    return any(ssl is not None and ssl.get_shutdown() & SSL.RECEIVED_SHUTDOWN for ssl in ends)


def check_offer(offer: str) -> None:
    """Refuse early what is no SDP, or larger than one could be. ValueError says why."""
    if len(offer) > MAX_OFFER:
        raise ValueError(f"the SDP offer of {len(offer)} bytes is larger than {MAX_OFFER}")
    if not offer.startswith("v=0"):
        raise ValueError('the body is no SDP: it does not begin with "v=0"')
    try:
        parsed = aiortc_sdp.SessionDescription.parse(offer)
    except OFFER_FAULTS as error:
        raise ValueError(f"the SDP offer cannot be read: {type(error).__name__} {str(error)[:80]}") from None
    audio = next((media for media in parsed.media if media.kind == "audio"), None)
    if audio is None:
        raise ValueError("the SDP offer has no audio")
    if (obstacle := _obstacle(audio)) is not None:
        raise ValueError(f"the SDP offer's audio {obstacle}")


def _obstacle(audio: Any) -> str | None:
    """What keeps this media section from being answered, where aiortc would say it in riddles or not at all."""
    if "TLS" not in audio.profile:
        return f"is {audio.profile[:40]}; a browser's is UDP/TLS/RTP/SAVPF"
    if audio.port == 0 or audio.direction in ("recvonly", "inactive"):
        return f"sends nothing ({'port 0' if audio.port == 0 else audio.direction})"
    if audio.dtls is None or not audio.dtls.fingerprints:
        return "has no DTLS fingerprint with its setup"
    names = [codec.name for codec in audio.rtp.codecs]
    if not {name.upper() for name in names} & set(CODECS):
        return f"has none of the codecs {', '.join(CODECS)}, only {', '.join(names)[:80] or 'unnamed ones'}"
    return None


def with_directions(offer: str) -> str:
    """Every media section with its direction; one that names none, nor does the session, is sendrecv (RFC 8866 6.7)."""
    session, *sections = re.split(r"^(?=m=)", offer, flags=re.MULTILINE)
    usual = found[0] if (found := _DIRECTION.search(session)) else "a=sendrecv"
    sections = [part if _DIRECTION.search(part) else f"{part.rstrip()}\r\n{usual}\r\n" for part in sections]
    return session + "".join(sections)
