"""The desk: opening and ending calls, and the clock that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from challenges.catalogue import Line
from connectors.codecs import make_decoder, parse_codec
from connectors.g711 import encode_a_law, encode_mu_law
from connectors.media import RtpReceiver
from connectors.requests import BadRequestError, CallRequest, ExaminationRequest
from connectors.rtp import RtpPacket
from engine.audio import AudioFrame
from engine.call import CallConfig
from engine.config import Rtp, Settings
from engine.errors import OverloadError
from tests.connectors.captures import ethernet, ipv4, pcap, rtp_frames, udp
from tests.connectors.packets import packet
from tests.connectors.test_files import write_wav
from vivavoce.desk import Desk, FileCall, _line_of


class Scorer:
    """Takes calls, scores nothing."""

    open_calls, busy_s, scored, overloaded, delay_s = 2, 0.0, 0, False, 0.0

    def open(self, lane: Any) -> Any:
        return lane

    def close(self, lane: Any) -> None: ...

    def restart(self, lane: Any) -> None: ...

    def submit(self, lane: Any, chunk: Any) -> bool:
        return True


def desk_of(settings: Settings) -> Desk:
    return Desk(settings, CallConfig(), Scorer(), lambda tag, at: None)  # type: ignore[arg-type]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = desk_of(Settings())
    made.start()
    yield made
    await made.drain(0.0)


async def test_a_call_that_is_closed_while_it_is_opened_keeps_no_port(desk: Desk) -> None:
    async def close() -> bool:
        for _ in range(8):
            if await desk.close_call("x") is not None:
                return True
            await asyncio.sleep(0)
        return False

    free = len(desk._ports._free)
    opened, closed = await asyncio.gather(
        desk.open_call(CallRequest(call_id="x", legs=("caller", "agent"))), close(), return_exceptions=True
    )
    assert closed is True
    assert isinstance(opened, ValueError)
    assert "closed while it was opened" in str(opened)
    assert (desk.live, len(desk._ports._free)) == (0, free)


async def test_what_goes_wrong_at_a_tick_stops_no_other_call_s_clock(desk: Desk) -> None:
    polled = asyncio.Event()

    def bad(now: float) -> None:
        raise RuntimeError("one connector")

    desk.open_media("webrtc", {}, lambda: None, bad)
    desk.open_media("webrtc", {}, lambda: None, lambda now: polled.set())
    async with asyncio.timeout(20):
        await polled.wait()
        polled.clear()
        await polled.wait()


@pytest.mark.parametrize(
    ("source", "host", "port"),
    [
        ("10.0.0.1", "10.0.0.1", None), ("10.0.0.1:4000", "10.0.0.1", 4000), ("2001:DB8:0::1", "2001:db8::1", None),
        ("[2001:db8::1]:4000", "2001:db8::1", 4000), ("::ffff:10.0.0.1", "10.0.0.1", None),
    ],
)  # fmt: skip
def test_a_declared_source_is_an_address_as_packets_name_it(source: str, host: str, port: int | None) -> None:
    found = desk_of(Settings())._declared(source)
    assert found is not None
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize("source", ["sip.example.com", "10.0.0.300", " 10.0.0.1", "10.0.0.1:0", "10.0.0.1:x", "", ":4000"])
def test_a_declared_source_that_no_packet_could_come_from_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="is not ip or ip:port"):
        desk_of(Settings())._declared(source)


async def test_where_sources_are_to_be_declared_a_call_without_one_is_refused() -> None:
    desk = desk_of(Settings(rtp=Rtp(latch="declared")))
    with pytest.raises(ValueError, match=r"a source is needed: rtp\.latch is declared"):
        await desk.open_call(CallRequest(call_id="x"))
    assert desk.live == 0


async def test_a_capture_of_more_calls_than_there_is_room_for_opens_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Full(Scorer):
        room = 2

        def open(self, lane: Any) -> Any:
            self.room -= 1
            if self.room < 0:
                raise OverloadError("all 2 calls are in use")
            return lane

    monkeypatch.setattr("vivavoce.desk._calls_of", lambda path, **_: [FileCall("capture", {"caller": iter(())}, {}, {})] * 3)
    desk._scorer = Full()  # type: ignore[assignment]
    (tmp_path / "x.pcap").write_bytes(b"\xd4\xc3\xb2\xa1")
    with pytest.raises(OverloadError):
        await desk.open_recording(tmp_path / "x.pcap", "x.pcap", realtime=False)
    assert (desk.live, desk.opened) == (0, 0)


async def test_where_there_is_no_time_the_youngest_are_left_and_nobody_new_is_taken() -> None:
    class Slow(Scorer):
        delay_s = 0.0

        def restart(self, lane: Any) -> None: ...

    now, scorer = [100.0], Slow()
    desk = Desk(Settings(), CallConfig(), scorer, lambda tag, at: None, clock=lambda: now[0])  # type: ignore[arg-type]

    def look(late_s: float, seconds: float) -> None:
        scorer.delay_s = late_s
        for _ in range(round(seconds / 0.25)):
            now[0] += 0.25
            desk._slow_tick(now[0])

    try:
        for name in ("old", "young"):
            await desk.open_call(CallRequest(call_id=name))
        look(0.1, 1)
        assert desk.shedding.unheard == 0
        look(2.0, 2)
        old, young = (desk.call(name) for name in ("old", "young"))
        assert old is not None
        assert young is not None
        assert (old["legs"]["caller"].tag, young["legs"]["caller"].tag) == ("listening", "unknown")
        assert young["legs"]["caller"].reasons[0] == "overload"
        with pytest.raises(OverloadError, match="1 of 2 legs cannot be heard for want of time"):
            await desk.open_call(CallRequest(call_id="new"))
        look(0.0, 10)
        assert desk.shedding.unheard == 0
        await desk.open_call(CallRequest(call_id="new"))
    finally:
        for call in list(desk._calls.values()):
            desk.end(call, "test")


async def test_a_browser_that_sends_nothing_is_a_call_no_longer() -> None:
    now, ended = [100.0], []
    desk = Desk(Settings(), CallConfig(), Scorer(), lambda tag, at: None, clock=lambda: now[0])  # type: ignore[arg-type]
    call = desk.open_media("webrtc", {}, lambda: ended.append(now[0]), lambda at: None)
    timeout = Settings().rtp.timeout_s
    now[0] += timeout
    call.on_frame(AudioFrame(np.zeros(160, np.int16), 8000, 0), now[0])
    now[0] += timeout
    desk._slow_tick(now[0])
    assert desk.live == 1
    now[0] += 1
    desk._slow_tick(now[0])
    assert (desk.live, ended) == (0, [now[0]])


async def test_of_a_browser_s_call_packets_are_counted_and_another_source_is_told(desk: Desk) -> None:
    receiver = RtpReceiver(make_decoder(parse_codec("PCMU")), 0)
    call = desk.open_media("webrtc", {}, lambda: None, lambda at: None, receiver)
    for number, source in enumerate((7, 8, 8, 8)):
        receiver.receive_packet(RtpPacket(0, number, 160 * number, source, bytes(160)), 0.02 * number)
    shown = desk.call(call.call_id)
    assert shown is not None
    assert shown["media"]["caller"] == {
        "received": 2, "lost": 0, "late": 0, "duplicate": 0, "reordered": 0, "malformed": 0, "foreign": 2, "rtcp": 0,
        "unheard": 0, "digits": 0, "overload_dropped": 0,
    }  # fmt: skip
    assert "source-changed" in shown["legs"]["caller"].reasons
    leg = desk._calls[call.call_id].legs["caller"]
    assert not _line_of(desk._calls[call.call_id], leg).dtx
    receiver.receive_packet(RtpPacket(13, 4, 640, 8, b"\x40"), 0.1)
    assert _line_of(desk._calls[call.call_id], leg).dtx


async def test_the_end_of_a_connection_ends_no_later_call_of_its_id(desk: Desk) -> None:
    browser = desk.open_media("webrtc", {}, lambda: None, lambda at: None, call_id="a")
    assert browser.call_id == "a"
    with pytest.raises(ValueError, match='a call "a" is running'):
        desk.open_media("webrtc", {}, lambda: None, lambda at: None, call_id="a")
    await desk.close_call("a")
    await desk.open_call(CallRequest(call_id="a"))
    browser.close("closed")
    assert desk.live == 1


async def test_a_browser_on_hold_lives_as_long_as_it_reports() -> None:
    now = [100.0]
    desk = Desk(Settings(), CallConfig(), Scorer(), lambda tag, at: None, clock=lambda: now[0])  # type: ignore[arg-type]
    receiver = RtpReceiver(make_decoder(parse_codec("PCMU")), 0)
    desk.open_media("webrtc", {}, lambda: None, lambda at: None, receiver)
    receiver.receive_datagram(_packet(0), now[0])
    for _ in range(10):
        now[0] += 0.5 * Settings().rtp.timeout_s
        receiver.receive_report(bytes.fromhex("80c9000100000007"), now[0])
        desk._slow_tick(now[0])
    assert desk.live == 1
    now[0] += Settings().rtp.timeout_s + 1
    desk._slow_tick(now[0])
    assert desk.live == 0


async def test_a_browser_that_is_left_unheard_is_not_decoded_either(desk: Desk) -> None:
    receiver = RtpReceiver(make_decoder(parse_codec("PCMU")), 0)
    call = desk.open_media("webrtc", {}, lambda: None, lambda at: None, receiver)
    session = desk._calls[call.call_id].legs["caller"].session
    session.leave(1.0)
    assert not receiver.listening
    receiver.pass_by(1.0)
    session.hear(2.0)
    assert receiver.listening
    found = desk.call(call.call_id)
    assert found is not None
    assert found["media"]["caller"]["unheard"] == 1


@pytest.mark.parametrize(("codec", "wideband"), [("PCMU", False), ("opus/48000/2", True)])
async def test_a_browser_s_line_is_as_wide_as_its_codec(desk: Desk, codec: str, wideband: bool) -> None:
    spec = parse_codec(codec)
    call = desk.open_media("webrtc", {}, lambda: None, lambda at: None, RtpReceiver(make_decoder(spec), spec.payload_type))
    live = desk._calls[call.call_id]
    assert _line_of(live, live.legs["caller"]) == Line(wideband=wideband, noise_suppressed=True, dtx=False)


async def test_a_line_is_as_wide_as_the_codec_that_its_sender_changed_to(desk: Desk) -> None:
    await desk.open_call(CallRequest(call_id="x"))
    leg = desk._calls["x"].legs["caller"]
    assert leg.endpoint is not None
    assert not _line_of(desk._calls["x"], leg).wideband
    for number in range(3):
        leg.endpoint.datagram_received(RtpPacket(9, number, 160 * number, 7, bytes(160)).serialize(), ("127.0.0.1", 4000))
    assert _line_of(desk._calls["x"], leg).wideband


async def test_what_a_line_carries_shows_as_it_is_heard() -> None:
    class Watcher:
        def watch(self, session: Any, player: Any, line: Any, language: str) -> None:
            self.line = line

        def forget(self, session: Any, now: float) -> None: ...

    watcher = Watcher()
    desk = Desk(Settings(), CallConfig(), Scorer(), lambda tag, at: None, examiner=watcher)  # type: ignore[arg-type]
    await desk.open_call(CallRequest(call_id="x"))
    endpoint = desk._calls["x"].legs["caller"].endpoint
    assert endpoint is not None
    assert watcher.line() == Line(wideband=False, noise_suppressed=False, dtx=False)
    endpoint.receiver.receive_packet(RtpPacket(0, 0, 0, 7, bytes(160)), 0.0)
    endpoint.receiver.receive_packet(RtpPacket(13, 1, 160, 7, b"\x40"), 0.02)
    assert watcher.line() == Line(wideband=False, noise_suppressed=False, dtx=True)
    desk.end(desk._calls["x"], "test")


async def test_a_tick_while_a_call_is_opened_does_not_find_it_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its leg has no port yet, and no sound."""
    from vivavoce import desk as module

    real = module.open_endpoint

    async def slow(*given: Any, **named: Any) -> Any:
        desk._slow_tick(desk._clock())
        return await real(*given, **named)

    monkeypatch.setattr(module, "open_endpoint", slow)
    await desk.open_call(CallRequest(call_id="x", legs=("caller", "agent")))
    assert desk.live == 1


async def test_a_call_that_is_not_open_yet_is_not_left_unheard(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would publish before it began, and say no end if it never does."""
    from vivavoce import desk as module

    real, offered = module.open_endpoint, []

    async def slow(*given: Any, **named: Any) -> Any:
        desk._slow_tick(desk._clock())
        return await real(*given, **named)

    monkeypatch.setattr(module, "open_endpoint", slow)
    monkeypatch.setattr(desk.shedding, "update", lambda now, late_s, live: offered.append(len(live)))
    await desk.open_call(CallRequest(call_id="x", legs=("caller", "agent")))
    desk._slow_tick(desk._clock())
    assert offered == [0, 0, 2]


async def test_rtcp_on_a_leg_s_port_is_counted_where_everybody_sees_it(desk: Desk) -> None:
    await desk.open_call(CallRequest(call_id="x"))
    endpoint = desk._calls["x"].legs["caller"].endpoint
    assert endpoint is not None
    endpoint.receiver.receive_datagram(b"\x80\xc8" + bytes(26), 0.0)
    shown = desk.call("x")
    assert shown is not None
    assert (shown["media"]["caller"]["rtcp"], shown["media"]["caller"]["received"]) == (1, 0)


@pytest.mark.parametrize("field", ["payload_type", "event_payload_type"])
@pytest.mark.parametrize("number", [64, 72, 95])
async def test_a_payload_type_that_would_be_taken_for_rtcp_is_refused(desk: Desk, field: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"payload type {number} is taken for RTCP"):
        await desk.open_call(CallRequest(call_id="x", **{field: number}))
    assert desk.live == 0


async def test_a_payload_type_is_not_of_audio_and_of_keys(desk: Desk) -> None:
    with pytest.raises(ValueError, match="payload type 101 is OPUS: name another event_payload_type"):
        await desk.open_call(CallRequest(call_id="x", codec="opus", payload_type=101))
    await desk.open_call(CallRequest(call_id="x", codec="opus", payload_type=101, event_payload_type=100))
    assert desk.live == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"codec": "GSM"}, "codec"), ({"codec": "PCMU", "payload_type": 70}, "payload_type"),
        ({"event_payload_type": 70}, "event_payload_type"), ({"event_payload_type": 0}, "event_payload_type"),
        ({"source": "nowhere"}, "source"), ({"codec": "PCMU", "payload_type": 8}, "payload_type"),
        ({"source": "127.0.0.1:4000", "legs": ("caller", "agent")}, "source"),
    ],
)  # fmt: skip
async def test_what_cannot_be_opened_names_its_field(desk: Desk, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        await desk.open_call(CallRequest(call_id="x", **wrong))
    assert refused.value.field == field
    assert desk.live == 0


async def test_a_sender_may_go_over_to_another_of_the_telephone_s_codecs(desk: Desk) -> None:
    ticket = await desk.open_call(CallRequest(call_id="x", codec="PCMU"))
    leg = desk._calls["x"].legs["caller"]
    assert leg.endpoint is not None
    loud = np.full(160, 8000, np.int16)
    for number in range(32):
        law = 0 if number < 16 else 8
        payload = encode_mu_law(loud) if law == 0 else encode_a_law(loud)
        leg.endpoint.datagram_received(RtpPacket(law, number, 160 * number, 7, payload).serialize(), ("127.0.0.1", 4000))
    stats = leg.endpoint.receiver.stats
    assert ticket["legs"]["caller"]["payload_type"] == 0
    assert (stats.received, stats.foreign) == (32, 0)
    assert desk._calls["x"].legs["caller"].session.call.tag("score").audio_s == pytest.approx(0.64, abs=0.17)


@pytest.mark.parametrize("split", [False, True])
async def test_the_channels_of_a_recording_are_two_legs_if_wished(desk: Desk, tmp_path: Path, split: bool) -> None:
    path = write_wav(tmp_path / "x.wav", [np.zeros(8000, np.int16), np.full(8000, 500, np.int16)], 8000)
    opened = await desk.open_recording(path, "x.wav", realtime=True, split=split)
    assert list(desk._calls[opened["call_id"]].legs) == (["caller", "agent"] if split else ["caller"])


async def test_the_calls_of_a_capture_say_which_stream_they_are(desk: Desk, tmp_path: Path) -> None:
    there = rtp_frames(12, ssrc=0x5EED, payload_type=8)
    back = [ethernet(ipv4(udp(packet(n, ssrc=7).serialize(), source=5000, destination=4000))) for n in range(11)]
    (tmp_path / "x.pcap").write_bytes(pcap([*there, *back]))
    opened = await desk.open_recording(tmp_path / "x.pcap", "x.pcap", realtime=True)
    tags = [desk._calls[name].legs["caller"].session.latest for name in opened["calls"]]
    assert [(dict(tag.metadata), dict(tag.pii)) for tag in tags] == [
        (
            {"file": "x.pcap", "ssrc": "0x00005eed", "codec": "PCMA/8000"},
            {"caller": "10.0.0.1:4000", "callee": "10.0.0.2:5000"},
        ),
        (
            {"file": "x.pcap", "ssrc": "0x00000007", "codec": "PCMU/8000"},
            {"caller": "10.0.0.1:5000", "callee": "10.0.0.2:4000"},
        ),
    ]


async def test_a_challenge_that_there_is_not_is_no_question_of_time_and_gets_nobody_heard(desk: Desk) -> None:
    pressed: list[str] = []
    examiner = SimpleNamespace(
        examining=lambda session: False, watch=lambda *_: None, forget=lambda *_: None, tick=lambda now: None,
        press=lambda session, now, action, **wishes: pressed.append(wishes["challenge"]),
    )  # fmt: skip
    examined = Desk(Settings(), CallConfig(), desk._scorer, lambda tag, at: None, examiner=examiner)  # type: ignore[arg-type]
    await examined.open_call(CallRequest(call_id="x"))
    session = examined._calls["x"].legs["caller"].session
    examined.shedding._unheard.append(session)
    session.heard = False
    with pytest.raises(BadRequestError, match="challenge 'juggle' is none of 01 static-mouth") as refused:
        examined.examine("x", "caller", ExaminationRequest("ask", challenge="juggle"))
    assert (refused.value.field, session.heard, pressed) == ("challenge", False, [])
    examined.examine("x", "caller", ExaminationRequest("ask", challenge="whisper"))
    assert (session.heard, pressed) == (True, ["whisper"])
    examined.end(examined._calls["x"], "test")


@pytest.mark.parametrize("listen_only", [False, True])
async def test_who_only_sends_us_a_copy_is_played_nothing(desk: Desk, listen_only: bool) -> None:
    await desk.open_call(CallRequest(call_id="x", listen_only=listen_only))
    call = desk._calls["x"]
    player = desk._player_of(call, call.legs["caller"])
    assert player is not None
    assert (player() is None) is listen_only
    await desk.close_call("x")


async def test_a_stream_that_takes_another_s_place_is_told_to_its_call(desk: Desk) -> None:
    await desk.open_call(CallRequest(call_id="x"))
    leg = desk._calls["x"].legs["caller"]
    assert leg.endpoint is not None
    for number in range(60):
        ssrc = 7 if number < 30 else 8
        packet = RtpPacket(0, number, 160 * number, ssrc, bytes(160)).serialize()
        leg.endpoint.datagram_received(packet, ("127.0.0.1", 4000))
    assert leg.session.call.sources == 2
    assert "source-changed" in leg.session.latest.reasons


def _packet(number: int, ssrc: int = 7) -> bytes:
    return RtpPacket(0, number, 160 * number, ssrc, bytes(160)).serialize()


async def test_a_line_on_hold_lives_as_long_as_its_sender_reports() -> None:
    now = [100.0]
    desk = Desk(Settings(), CallConfig(), Scorer(), lambda tag, at: None, clock=lambda: now[0])  # type: ignore[arg-type]
    await desk.open_call(CallRequest(call_id="x"))
    leg = desk._calls["x"].legs["caller"]
    assert leg.endpoint is not None
    leg.endpoint._clock = lambda: now[0]
    leg.endpoint.datagram_received(_packet(0), ("127.0.0.1", 4000))
    for _ in range(10):
        now[0] += 0.5 * Settings().rtp.timeout_s
        leg.endpoint.receive_rtcp(bytes.fromhex("80c9000100000007"), ("127.0.0.1", 4001))
        desk._slow_tick(now[0])
    assert (desk.live, leg.session.latest.tag, leg.session.latest.reasons) == (1, "unknown", ("no-audio",))
    now[0] += Settings().rtp.timeout_s + 1
    desk._slow_tick(now[0])
    assert desk.live == 0


async def test_that_only_somebody_else_sends_stands_beside_no_audio_until_the_caller_is_back() -> None:
    now = [100.0]
    desk = Desk(Settings(), CallConfig(), Scorer(), lambda tag, at: None, clock=lambda: now[0])  # type: ignore[arg-type]
    await desk.open_call(CallRequest(call_id="x"))
    leg = desk._calls["x"].legs["caller"]
    assert leg.endpoint is not None
    leg.endpoint._clock = lambda: now[0]
    for number in range(30):
        leg.endpoint.datagram_received(_packet(number), ("127.0.0.1", 4000))
    for number in range(400):
        now[0] += 0.02
        leg.endpoint.datagram_received(_packet(number, 8), ("127.0.0.1", 5000))
        desk._slow_tick(now[0])
    assert (leg.session.latest.tag, leg.session.latest.reasons) == ("unknown", ("no-audio", "foreign-audio"))
    for number in range(30, 40):
        leg.endpoint.datagram_received(_packet(number), ("127.0.0.1", 4000))
    assert "foreign-audio" not in leg.session.latest.reasons
    now[0] += 10
    desk._slow_tick(now[0])
    assert leg.session.latest.reasons == ("no-audio",), "who sent before is not who sends now"
    desk.end(desk._calls["x"], "test")
