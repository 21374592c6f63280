"""The desk: opens and ends calls for whoever asks (HTTP, WHIP, the demo), and keeps the list of them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import webrtcvad

from challenges.catalogue import Line, by_name
from connectors.capture import CaptureLeg, leg_frames, read_legs
from connectors.codecs import CodecSpec, checked_type, make_decoder, parse_codec, static_decoders
from connectors.files import open_recording, replay, sniff
from connectors.latch import Source
from connectors.media import RtpReceiver
from connectors.playout import Player
from connectors.probe import probe
from connectors.requests import CallRequest, ExaminationRequest, naming
from connectors.udp import PortRange, RtpEndpoint, open_endpoint, outward
from engine.audio import AudioFrame
from engine.call import Call, CallConfig, CallInfo
from engine.config import Settings
from engine.errors import OverloadError
from engine.events import Tag
from engine.load import LoadMeter
from engine.scorer import Scorer
from engine.session import Publish, Session
from engine.shedding import Shedding
from vivavoce.examiner import Examiner
from vivavoce.service_model import worker_count

log = structlog.get_logger(__name__)

Json = dict[str, Any]
TICK_S = 0.02  # how often held packets are looked at; a loop over all calls, not a timer each
PAUSE_S = 0.2  # without a packet, what was gathered of a chunk is handed on
NARROW = 8000  # Hz of the audio of a narrowband codec
SLOW_TICK_S = 0.24  # between looks at timers and time-outs


@dataclass(slots=True)
class Leg:
    """One leg of a call, with where its audio comes from."""

    session: Session
    endpoint: RtpEndpoint | None = None
    receiver: RtpReceiver | None = None  # the endpoint's or a connector's own: what counts the packets

    @property
    def there(self) -> float:
        """When its sender was last heard, or said that it is there."""
        packet = self.session.last_frame if self.endpoint is None else self.endpoint.last_packet
        return packet if self.receiver is None else max(packet, self.receiver.last_report)


@dataclass(slots=True)
class LiveCall:
    """A call that has not ended."""

    call_id: str
    source: str
    started: float  # Unix seconds
    metadata: Mapping[str, str]
    pii: Mapping[str, str]
    legs: dict[str, Leg] = field(default_factory=dict)
    player: asyncio.Task[None] | None = None
    hang_up: Callable[[], None] | None = None


class Desk:
    """All live calls of a service."""

    def __init__(
        self, settings: Settings, config: CallConfig, scorer: Scorer, publish: Publish,
        clock: Callable[[], float] = time.monotonic, examiner: Examiner | None = None,
    ) -> None:  # fmt: skip
        self._examiner = examiner
        self.browser_player: Callable[[str], Player | None] = lambda _: None
        self._settings, self._config, self._clock = settings, config, clock
        self._scorer, self._publish = scorer, publish
        self._calls: dict[str, LiveCall] = {}
        self._ports = PortRange(settings.rtp.host, settings.rtp.port_min, settings.rtp.port_max)
        self._waiting: set[RtpEndpoint] = set()  # hold packets behind a hole
        workers = worker_count(settings)
        self.load = LoadMeter(
            cores=len(os.sched_getaffinity(0)), workers=workers, max_load=settings.calls.max_load,
            chunk_s=config.chunk_samples / config.rate,
        )  # fmt: skip
        self.shedding = Shedding(lambda session: examiner is not None and examiner.examining(session))
        self._late_s = 0.0  # how late the loop came to a tick, the most since the last slow one
        self._polls: dict[str, Callable[[float], None]] = {}  # of calls whose connector holds packets itself
        self._ticker: asyncio.Task[None] | None = None
        self.draining = False
        self.opened = self.refused = 0

    def start(self) -> None:
        self._ticker = asyncio.create_task(self._tick_forever(), name="ticker")

    @property
    def live(self) -> int:
        return len(self._calls)

    # --- opening ----------------------------------------------------------------------------------------------------

    async def open_call(self, request: CallRequest) -> Json:
        """Reserve RTP ports. OverloadError when full or draining, ValueError for a codec or source that cannot be."""
        codec, events = _payloads(request)
        with naming("source"):
            declared = self._declared(request.source)
            if declared is not None and declared.port is not None and len(set(request.legs)) > 1:
                raise ValueError(f'source "{request.source}" names a port, from which two legs cannot come: give the ip alone')
        call = self._new_call(request.call_id, "rtp", request.public(), request.personal())
        with self._opening(call):
            for name in dict.fromkeys(request.legs):
                leg = self._add_leg(call, name)
                wait_s = self._settings.rtp.jitter_ms / 1000
                decoder = make_decoder(codec)
                receiver = RtpReceiver(
                    decoder, codec.payload_type, wait_s=wait_s, event_types=frozenset({events}),
                    gather=self._config.chunk_samples, others=static_decoders(codec.payload_type),
                )  # fmt: skip
                leg.receiver, receiver.on_source = receiver, leg.session.on_source
                leg.endpoint = await open_endpoint(
                    self._ports, receiver, leg.session.on_frame, declared=declared, waiting=self._waiting,
                    codec=None if request.listen_only else codec,
                )
                leg.session.on_heard, leg.endpoint.on_foreign = leg.endpoint.listen, leg.session.on_foreign
            if self._calls.get(call.call_id) is not call:
                raise ValueError(f'the call "{call.call_id}" was closed while it was opened')
        self._begin(call)
        host = self._settings.rtp.advertise or outward(self._settings.rtp.host)
        legs = {
            name: {"host": host, "port": leg.endpoint.port, "codec": str(codec), "payload_type": codec.payload_type}
            for name, leg in call.legs.items()
            if leg.endpoint is not None
        }
        return {"call_id": call.call_id, "legs": legs, "links": {"call": f"/v1/calls/{call.call_id}"}}

    async def open_recording(self, path: Path, name: str, *, realtime: bool, split: bool = False) -> Json:
        """Play a recording or a capture as calls. AudioError when it cannot be read, OverloadError where not all find room."""
        if sniff(path) == "recording":
            await probe(path)
        sources = await asyncio.to_thread(_calls_of, path, split=split)
        opened: list[tuple[LiveCall, dict[str, Iterator[AudioFrame]]]] = []
        with ExitStack() as undone:
            for found in sources:
                call = self._new_call(None, found.source, {"file": name, **found.metadata}, found.pii)
                undone.callback(self._abandon, call)
                for leg_name in found.legs:
                    self._add_leg(call, leg_name)
                opened.append((call, found.legs))
            undone.pop_all()
        for call, legs in opened:
            self._begin(call)
            call.player = asyncio.create_task(self._play(call, legs, realtime))
        calls = [call.call_id for call, _ in opened]
        return {"call_id": calls[0], "calls": calls}

    def open_media(
        self, source: str, metadata: Mapping[str, str], hang_up: Callable[[], None], poll: Callable[[float], None],
        receiver: RtpReceiver | None = None, call_id: str | None = None,
    ) -> MediaCall:  # fmt: skip
        """A call whose audio is pushed by a connector: a browser, a microphone. `receiver` counts its packets, if any come.
        ValueError when `call_id` is a running call's."""
        personal = {k: v for k, v in metadata.items() if k == "caller"}
        call = self._new_call(call_id, source, {k: v for k, v in metadata.items() if k != "caller"}, personal)
        with self._opening(call):
            leg = self._add_leg(call, "caller")
            if receiver is not None:
                leg.receiver, receiver.on_source = receiver, leg.session.on_source
                leg.session.on_heard = receiver.listen
        self._polls[call.call_id], call.hang_up = poll, hang_up
        self._begin(call)
        return MediaCall(self, call, leg.session)

    def _new_call(
        self, call_id: str | None, source: str, metadata: Mapping[str, str], pii: Mapping[str, str]
    ) -> LiveCall:
        if self.draining:
            self.refused += 1
            raise OverloadError("the service is shutting down")
        if (refusal := self.load.refusal(self._scorer.open_calls + 1)) is not None:
            self.refused += 1
            raise OverloadError(refusal)
        if self.shedding.unheard:
            self.refused += 1
            raise OverloadError(f"{self.shedding.unheard} of {self._scorer.open_calls} legs cannot be heard for want of time")
        call = LiveCall(call_id or uuid.uuid4().hex[:16], source, time.time(), metadata, pii)
        if call.call_id in self._calls:
            raise ValueError(f'a call "{call.call_id}" is running')
        self._calls[call.call_id] = call
        return call

    def _add_leg(self, call: LiveCall, name: str) -> Leg:
        info = CallInfo(call.call_id, name, call.source, call.metadata, call.pii)
        vad = webrtcvad.Vad(self._settings.calls.vad_mode)
        machine = Call(info, self._config, vad.is_speech, self._clock())
        try:
            leg = Leg(Session(machine, self._scorer, self._publish))
        except OverloadError:
            self.refused += 1
            raise
        leg.session.last_frame = self._clock()  # a tick may come before the leg has its port
        call.legs[name] = leg
        return leg

    def _begin(self, call: LiveCall) -> None:
        now = self._clock()
        for name, leg in call.legs.items():
            leg.session.begin(now)
            if self._examiner is not None and name == "caller":
                language = call.metadata.get("language", "")
                self._examiner.watch(leg.session, self._player_of(call, leg), partial(_line_of, call, leg), language)
        self.opened += 1
        log.info("call opened", call_id=call.call_id, source=call.source, pii=dict(call.pii))

    @contextmanager
    def _opening(self, call: LiveCall) -> Iterator[None]:
        """A call that cannot be opened in full, or whose asker goes away meanwhile, keeps no port and no lane."""
        try:
            yield
        except BaseException:  # a cancelled request too
            self._abandon(call)
            raise

    def _abandon(self, call: LiveCall) -> None:
        """A call that could not be opened in full leaves no record."""
        for leg in call.legs.values():
            leg.session.abandon()
            if leg.endpoint is not None:
                leg.endpoint.close()
        if self._calls.get(call.call_id) is call:
            del self._calls[call.call_id]

    def _declared(self, source: str | None) -> Source | None:
        """The one address that may send. ValueError when it is none, or when there has to be one."""
        if source is None:
            if self._settings.rtp.latch == "declared":
                raise ValueError("a source is needed: rtp.latch is declared")
            return None
        host, _, port = source.rpartition(":") if source.count(":") == 1 or "]:" in source else (source, "", "")
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f'source "{source}" is not ip or ip:port')
        try:
            address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ValueError(f'source "{source}" is not ip or ip:port') from None
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return Source(str(mapped or address), int(port) if port else None)

    # --- ending -----------------------------------------------------------------------------------------------------

    async def close_call(self, call_id: str) -> Json | None:
        """End a call; its last state, or None if there is none."""
        call = self._calls.get(call_id)
        if call is None:
            return None
        self.end(call, "closed")
        return self._describe(call)

    def end(self, call: LiveCall, reason: str) -> None:
        """Close every leg and free what they hold; safe to repeat."""
        if self._calls.get(call.call_id) is not call:
            return
        del self._calls[call.call_id]
        self._polls.pop(call.call_id, None)
        now = self._clock()
        for leg in call.legs.values():
            if leg.endpoint is not None:
                leg.endpoint.flush()
            if self._examiner is not None:
                self._examiner.forget(leg.session, now)
            leg.session.close(reason, now)
            if leg.endpoint is not None:
                leg.endpoint.close()
        if call.player is not None and call.player is not asyncio.current_task():
            call.player.cancel()
        if call.hang_up is not None:
            call.hang_up()
        log.info("call ended", call_id=call.call_id, reason=reason)

    async def drain(self, seconds: float, hurried: asyncio.Event | None = None) -> None:
        """Take no new calls, give the running ones `seconds` or until somebody is in a hurry, then end them."""
        self.draining = True
        deadline = self._clock() + seconds
        while self._calls and self._clock() < deadline and not (hurried is not None and hurried.is_set()):
            await asyncio.sleep(0.1)
        for call in list(self._calls.values()):
            self.end(call, "drained")
        if self._ticker is not None:
            self._ticker.cancel()

    # --- looking ----------------------------------------------------------------------------------------------------

    def calls(self) -> list[Json]:
        return [self._describe(call) for call in self._calls.values()]

    def call(self, call_id: str) -> Json | None:
        found = self._calls.get(call_id)
        return None if found is None else self._describe(found)

    # --- examining --------------------------------------------------------------------------------------------------

    def examination(self, call_id: str, leg: str) -> Json | None:
        """Where the examination of a leg stands; None when there is no such leg, or nobody is examined on it."""
        session = self._session_of(call_id, leg)
        if session is None or self._examiner is None:
            return None
        return self._examiner.record(session, self._clock())

    def examine(self, call_id: str, leg: str, request: ExaminationRequest) -> Json | None:
        """An operator's key. None as above; ValueError when it cannot be done now, BadRequestError when never."""
        session = self._session_of(call_id, leg)
        if session is None or self._examiner is None:
            return None
        if request.challenge:
            with naming("challenge"):
                by_name(request.challenge)
        self.shedding.hear(session, self._clock())
        wishes = {name: getattr(request, name) or "" for name in ("challenge", "language", "who", "verdict", "why")}
        return self._examiner.press(session, self._clock(), request.action, decisions=request.decisions, **wishes)

    def _session_of(self, call_id: str, leg: str) -> Session | None:
        call = self._calls.get(call_id)
        return None if call is None or leg not in call.legs else call.legs[leg].session

    def _player_of(self, call: LiveCall, leg: Leg) -> Callable[[], Player | None] | None:
        """How a prompt reaches the caller; None for recordings and taps that can only be listened to."""
        if leg.endpoint is not None:
            return leg.endpoint.player
        return partial(self._browser_player, call.call_id) if call.source == "webrtc" else None

    def _browser_player(self, call_id: str) -> Player | None:
        return self.browser_player(call_id)

    def thresholds(self) -> Json:
        policy = self._config.policy
        return {"deepfake_llr": policy.deepfake_llr, "human_llr": policy.human_llr, "margin": policy.margin}

    def _describe(self, call: LiveCall) -> Json:
        tags: dict[str, Tag] = {name: leg.session.latest for name, leg in call.legs.items()}
        media = {name: _media(leg) for name, leg in call.legs.items()}
        return {
            "call_id": call.call_id, "source": call.source, "started": round(call.started, 3),
            "metadata": call.metadata, "pii": call.pii, "legs": tags, "media": media,
        }  # fmt: skip

    # --- time -------------------------------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        slow = self._clock()
        while True:
            due = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            now = self._clock()
            self._late_s = max(self._late_s, now - due)
            for endpoint in tuple(self._waiting):
                _fenced(endpoint.poll, now)
            for poll in tuple(self._polls.values()):
                _fenced(poll, now)
            if now >= slow:  # by the clock: where the loop is late, ticks are few, and that is when it matters
                slow = now + SLOW_TICK_S
                self._slow_tick(now)

    def _slow_tick(self, now: float) -> None:
        self.load.update(now, time.thread_time(), self._scorer.busy_s, self._scorer.scored)
        calls = [call for call in self._calls.values() if call.player is None]
        live = [leg.session for call in calls for leg in call.legs.values() if leg.session.begun]
        late_s, self._late_s = max(self._late_s, self._scorer.delay_s), 0.0
        _fenced(lambda at: self.shedding.update(at, late_s, live), now)
        if self._examiner is not None:
            _fenced(self._examiner.tick, now)
        for call in list(self._calls.values()):
            _fenced(partial(self._tick_call, call), now)

    def _tick_call(self, call: LiveCall, now: float) -> None:
        if call.player is None and now - max(leg.there for leg in call.legs.values()) > self._settings.rtp.timeout_s:
            self.end(call, "rtp-timeout")
            return
        for leg in call.legs.values():
            if leg.endpoint is not None and now - leg.endpoint.last_packet > PAUSE_S:
                leg.endpoint.flush()
            leg.session.on_tick(now)

    async def _play(self, call: LiveCall, legs: Mapping[str, Iterator[AudioFrame]], realtime: bool) -> None:
        """Feed a recording into its call, then end it."""
        players = [self._fed(frames, call.legs[name].session, realtime) for name, frames in legs.items()]
        try:
            await asyncio.gather(*players)
            await asyncio.sleep(0.5)  # the last chunk's score is still on its way
            self.end(call, "end-of-file")
        except asyncio.CancelledError:
            raise
        except Exception:  # a recording that breaks in the middle ends its own call only
            log.exception("replay failed", call_id=call.call_id)
            self.end(call, "error")

    def _fed(self, frames: Iterator[AudioFrame], session: Session, realtime: bool) -> Coroutine[Any, Any, None]:
        return replay(frames, session.on_frame, realtime=realtime, behind=lambda: session.behind, clock=self._clock)


def _payloads(request: CallRequest) -> tuple[CodecSpec, int]:
    """Codec, and payload type of the keys. BadRequestError names the field that cannot be."""
    with naming("codec"):
        parse_codec(request.codec, None)
    with naming("payload_type"):
        codec = parse_codec(request.codec, request.payload_type)
    with naming("event_payload_type"):
        events = checked_type(request.event_payload_type)
        if events == codec.payload_type:
            raise ValueError(f"payload type {events} is {codec.name}: name another event_payload_type for the keys")
    return codec, events


def _fenced(step: Callable[[float], None], now: float) -> None:
    """What goes wrong at a tick is one call's: the clocks of all others go on."""
    try:
        step(now)
    except Exception:
        log.exception("tick failed")


def _line_of(call: LiveCall, leg: Leg) -> Line:
    """What the leg's line carries, as far as its codec tells and what has come of it until now."""
    browser = call.source == "webrtc"
    if leg.receiver is None:
        return Line(wideband=browser, noise_suppressed=browser, dtx=False)
    return Line(wideband=leg.receiver.rate > NARROW, noise_suppressed=browser, dtx=leg.receiver.dtx)


class MediaCall:
    """What a pushing connector holds of its call."""

    def __init__(self, desk: Desk, call: LiveCall, session: Session) -> None:
        self.call_id = call.call_id
        self._desk, self._call = desk, call
        self.on_frame = session.on_frame

    def close(self, reason: str) -> None:
        """End this call, and no later one that has its id."""
        self._desk.end(self._call, reason)


def _media(leg: Leg) -> Json:
    """Packet counts of a leg, as far as it has packets."""
    counts: Json = {"overload_dropped": leg.session.overload_dropped}
    if leg.receiver is not None:
        stats, jitter = leg.receiver.stats, leg.receiver.jitter.stats
        counts |= {
            "received": stats.received, "lost": jitter.lost, "late": jitter.late, "duplicate": jitter.duplicate,
            "reordered": jitter.reordered, "malformed": stats.malformed, "foreign": stats.foreign,
            "rtcp": stats.rtcp, "unheard": leg.receiver.unheard, "digits": len(stats.digits),
        }  # fmt: skip
    if leg.endpoint is not None:
        counts["foreign"] += leg.endpoint.foreign
        counts |= {"unheard": leg.endpoint.unheard, "source": leg.endpoint.source}
    return counts


class FileCall(NamedTuple):
    """A call that a file holds, and what the file says of it."""

    source: str
    legs: dict[str, Iterator[AudioFrame]]
    metadata: Mapping[str, str]
    pii: Mapping[str, str]


def _calls_of(path: Path, *, split: bool) -> list[FileCall]:
    """The calls in a file. A capture may hold many: each of its streams is one, heard as its caller."""
    if sniff(path) == "recording":
        recording = open_recording(path, "split" if split else "mix")
        return [FileCall("recording", {name: recording.frames(name) for name in recording.legs}, {}, {})]
    return [_call_of(leg) for leg in read_legs(path)]


def _call_of(leg: CaptureLeg) -> FileCall:
    frames = (frame for frame, _ in leg_frames(leg))
    metadata = {"ssrc": f"{leg.ssrc:#010x}", "codec": str(leg.codec)}
    return FileCall("capture", {"caller": frames}, metadata, {"caller": leg.source, "callee": leg.destination})
