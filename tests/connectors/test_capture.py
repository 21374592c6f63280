"""Captures from literal headers: every link layer, both formats, many streams, and what is no call."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from connectors import capture, g711
from connectors.capture import Seen, leg_frames, read_datagrams, read_legs
from connectors.codecs import parse_codec
from connectors.rtp import RtpPacket
from engine.errors import AudioError
from tests.connectors.captures import block, ethernet, ipv4, ipv4_pieces, ipv6, ipv6_pieces, pcap, pcapng, rtp_frames, tcp, udp
from tests.connectors.packets import SSRC, packet

DATA = packet(3).serialize()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "call.pcap"


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("make", [pcap, pcapng], ids=["pcap", "pcapng"])
def test_both_formats_byte_orders_and_clocks(file: Path, make, order: str, fine: bool) -> None:  # type: ignore[no-untyped-def]
    key = {"nano": fine} if make is pcap else {"nanoseconds": fine}
    found = list(read_datagrams(written(file, make(rtp_frames(3), order=order, **key))))
    assert [d.payload for d in found] == [packet(n).serialize() for n in range(3)]
    assert [round(d.time - found[0].time, 6) for d in found] == [0.0, 0.02, 0.04]
    assert (found[0].source, found[0].destination) == ("10.0.0.1:4000", "10.0.0.2:5000")


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (1, ethernet(ipv4(udp(DATA)))),
        (1, ethernet(ipv4(udp(DATA)), vlans=1)),
        (1, ethernet(ipv4(udp(DATA)), vlans=2)),
        (1, ethernet(ipv6(udp(DATA)))),
        (101, ipv4(udp(DATA))),
        (101, ipv6(udp(DATA))),
        (0, b"\x02\x00\x00\x00" + ipv4(udp(DATA))),
        (113, bytes(14) + b"\x08\x00" + ipv4(udp(DATA))),
        (276, b"\x08\x00" + bytes(18) + ipv4(udp(DATA))),
        (1, ethernet(ipv4(udp(DATA))) + bytes(6)),  # Ethernet's padding is not payload
    ],
    ids=["ethernet", "vlan", "qinq", "ipv6", "raw", "raw6", "loopback", "cooked", "cooked2", "padded"],
)
def test_every_link_layer(file: Path, link: int, frame: bytes) -> None:
    assert [d.payload for d in read_datagrams(written(file, pcap([frame], link=link)))] == [DATA]


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(ipv4(udp(DATA), fragment=0x2000)),
        ethernet(ipv4(udp(DATA), fragment=0x0010)),
        ethernet(ipv4(udp(DATA), protocol=6)),
        ethernet(ipv4(udp(DATA)))[:30],
        bytes(12) + b"\x08\x06" + bytes(28),
        b"",
    ],
    ids=["first fragment", "last fragment", "tcp", "cut", "arp", "empty"],
)
def test_what_is_no_whole_datagram_is_skipped(file: Path, frame: bytes) -> None:
    assert list(read_datagrams(written(file, pcap([frame, *rtp_frames(1)])))) == list(
        read_datagrams(written(file, pcap([b"", *rtp_frames(1)])))
    )


def test_streams_are_told_apart_and_the_longest_comes_first(file: Path) -> None:
    frames = [frame for pair in zip(rtp_frames(20, ssrc=1), rtp_frames(20, ssrc=2), strict=True) for frame in pair]
    legs = read_legs(written(file, pcap(frames + rtp_frames(12, ssrc=3))))
    assert [(leg.ssrc, len(leg.packets)) for leg in legs] == [(1, 20), (2, 20), (3, 12)]
    assert {str(leg.codec) for leg in legs} == {"PCMU/8000"}


def test_dynamic_payload_types_need_a_name(file: Path) -> None:
    data = pcap(rtp_frames(20, payload_type=97))
    with pytest.raises(AudioError, match=r"no RTP stream that can be decoded \(20 UDP packets seen\)"):
        read_legs(written(file, data))
    assert str(read_legs(file, {97: parse_codec("L16/8000", 97)})[0].codec) == "L16/8000"


SDP = (
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n"
    b"m=audio 5000 RTP/AVP 97 98 100\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:98 opus/48000/2\r\n"
    b"a=rtpmap:100 telephone-event/8000\r\n"
)
SIP = b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: 177\r\n\r\n" + SDP


def sip_frame(message: bytes = SIP) -> bytes:
    return ethernet(ipv4(udp(message, source=5060, destination=5060)))


def test_what_dynamic_payload_types_mean_is_read_from_the_signalling(file: Path) -> None:
    (leg,) = read_legs(written(file, pcap([sip_frame(), *rtp_frames(20, payload_type=97)])))
    assert (str(leg.codec), leg.codec.payload_type) == ("PCMA/8000", 97)
    assert [int(frame.samples[0]) for frame, _ in leg_frames(leg)] == [int(g711.decode_a_law(bytes([n]))[0]) for n in range(20)]


@pytest.mark.parametrize("packed", [ipv4, ipv6])
def test_signalling_may_come_over_tcp_in_segments(file: Path, packed) -> None:  # type: ignore[no-untyped-def]
    parts = [tcp(SIP[:100], 2**32 - 50), tcp(b"", 50), tcp(SIP[100:], 50)]
    frames = [ethernet(packed(part, protocol=6)) + bytes(6) for part in parts]  # filled up, as short ones are
    (leg,) = read_legs(written(file, pcap([*frames, *rtp_frames(20, payload_type=97)])))
    assert str(leg.codec) == "PCMA/8000"
    assert [d.payload for d in read_datagrams(written(file, pcap(frames)))] == [SIP]


@pytest.mark.parametrize("segment", [tcp(SIP, 1)[:19], tcp(SIP, 1)[:12] + b"\x40" + tcp(SIP, 1)[13:], tcp(SIP, 1)[:8]])
def test_a_tcp_header_that_cannot_be_is_skipped(file: Path, segment: bytes) -> None:
    assert list(read_datagrams(written(file, pcap([ethernet(ipv4(segment, protocol=6))])))) == []


def test_opus_is_heard_and_a_sender_may_change_to_whatever_was_agreed_on(file: Path) -> None:
    silence = [RtpPacket(98, n, n * 960, SSRC, b"\xfc\xff\xfe") for n in range(30)]  # 20 ms, stereo
    keys = [RtpPacket(100, n, 30 * 960, SSRC, bytes([5, 10, 0, 160])) for n in range(30, 33)]
    frames = [ethernet(ipv4(udp(each.serialize()))) for each in [*silence, *keys]]
    (leg,) = read_legs(written(file, pcap([sip_frame(), *frames, *rtp_frames(53, payload_type=97)[33:]])))
    assert (str(leg.codec), leg.event_types) == ("OPUS/48000/2", {100})
    out = [frame for frame, _ in leg_frames(leg)]
    assert sum(len(frame.samples) for frame in out if frame.rate == 48000) == pytest.approx(30 * 960, abs=960)
    assert [len(frame.samples) for frame in out if frame.rate == 8000] == [160] * 20
    assert not any(frame.lost for frame in out)


def test_a_name_that_is_given_goes_before_what_the_signalling_says(file: Path) -> None:
    data = pcap([sip_frame(), *rtp_frames(20, payload_type=97)])
    assert str(read_legs(written(file, data), {97: parse_codec("L16/8000", 97)})[0].codec) == "L16/8000"


def test_encrypted_streams_are_told_and_not_heard(file: Path) -> None:
    secret = sip_frame(SIP.replace(b"RTP/AVP", b"RTP/SAVP"))
    with pytest.raises(AudioError, match=r"it holds RTP of payload type 0 and 1 encrypted stream \(SRTP\)$"):
        read_legs(written(file, pcap([secret, *rtp_frames(20)])))
    elsewhere = [ethernet(ipv4(udp(packet(n, ssrc=2).serialize(), destination=6000))) for n in range(20)]
    assert [leg.ssrc for leg in read_legs(written(file, pcap([secret, *rtp_frames(20), *elsewhere])))] == [2]


def test_a_capture_that_holds_each_packet_twice_is_read(file: Path) -> None:
    twice = [frame for frame in rtp_frames(50) for _ in range(2)]
    (leg,) = read_legs(written(file, pcap(twice)))
    assert [frame.lost for frame, _ in leg_frames(leg)].count(False) == 50


def test_other_protocols_are_no_stream(file: Path) -> None:
    noise = [ethernet(ipv4(udp(b"\x80\x00" + bytes([n * 37 % 256, n * 91 % 256]) + bytes(20)))) for n in range(40)]
    with pytest.raises(AudioError, match="no RTP stream"):
        read_legs(written(file, pcap(noise)))


def test_a_capture_that_breaks_off_gives_what_is_there(file: Path) -> None:
    whole = pcap(rtp_frames(20))
    leg = read_legs(written(file, whole[:-100]))[0]
    assert len(leg.packets) == 19, "half a packet is no packet"
    assert all(len(frame.samples) == 160 for frame, _ in leg_frames(leg))
    for cut in range(1, 300, 7):
        assert 18 <= len(read_legs(written(file, whole[:-cut]))[0].packets) <= 19


@pytest.mark.parametrize("data", [b"RIFF....WAVE", b"\x00\x01\x02\x03", b"ab"])
def test_what_is_no_capture_is_named_by_its_first_bytes(file: Path, data: bytes) -> None:
    with pytest.raises(AudioError, match=f"not a pcap or pcapng capture .it starts with {data[:4].hex()}"):
        read_legs(written(file, data))


def test_frames_come_with_their_time_and_holes(file: Path) -> None:
    frames = rtp_frames(20)
    del frames[7]
    leg = read_legs(written(file, pcap(frames)))[0]
    out = list(leg_frames(leg))
    assert [frame.lost for frame, _ in out].index(True) == 7
    assert sum(len(frame.samples) for frame, _ in out) == 20 * 160
    times = [now for _, now in out]
    assert times == sorted(times)
    assert math.isclose(times[0], 100.0)


def test_packets_that_the_capture_cut_short_are_no_audio(file: Path) -> None:
    snapped = [frame[:96] for frame in rtp_frames(30)]
    with pytest.raises(AudioError, match=r"\(30 UDP packets seen, 30 of them cut short: capture whole packets") as error:
        read_legs(written(file, pcap(snapped)))
    assert str(file) in str(error.value)
    assert len(read_legs(written(file, pcap(rtp_frames(20) + snapped)))[0].packets) == 20


@pytest.mark.parametrize("data", [b"", pcap([]), pcapng([]), pcap([])[:10], pcapng([])[:20]])
def test_a_capture_without_packets_is_said_to_hold_none(file: Path, data: bytes) -> None:
    with pytest.raises(AudioError, match=r"\(0 UDP packets seen\)|starts with nothing") as error:
        read_legs(written(file, data))
    assert str(file) in str(error.value)


def test_both_directions_of_a_call_are_two_legs_even_with_one_ssrc(file: Path) -> None:
    there = rtp_frames(20)
    back = [ethernet(ipv4(udp(packet(n).serialize(), source=5000, destination=4000))) for n in range(20)]
    legs = read_legs(written(file, pcap(there + back)))
    assert sorted(leg.source for leg in legs) == ["10.0.0.1:4000", "10.0.0.1:5000"]


def test_the_codec_is_that_of_most_packets(file: Path) -> None:
    digits = [ethernet(ipv4(udp(packet(n, payload_type=101).serialize()))) for n in range(20, 45)]
    (leg,) = read_legs(written(file, pcap(rtp_frames(20, payload_type=8) + digits)))
    assert (str(leg.codec), leg.codec.payload_type) == ("PCMA/8000", 8), "telephone events are no codec, however many"


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (113, bytes(14) + b"\x08\x06" + ipv4(udp(DATA))),
        (276, b"\x08\x06" + bytes(18) + ipv4(udp(DATA))),
        (101, b"\x50" + ipv4(udp(DATA))[1:]),
        (101, b"\x44" + ipv4(udp(DATA))[1:]),
        (101, ipv6(udp(DATA))[:6] + b"\x2c" + ipv6(udp(DATA))[7:]),
        (147, ipv4(udp(DATA))),
        (1, bytes(12) + b"\x81\x00\x00"),
    ],
    ids=["cooked arp", "cooked2 arp", "version 5", "header too short", "ipv6 fragment", "unknown link", "cut vlan"],
)
def test_what_is_no_ip_and_udp_is_skipped(file: Path, link: int, frame: bytes) -> None:
    assert list(read_datagrams(written(file, pcap([frame], link=link)))) == []


LONG = bytes(range(256)) * 8


@pytest.mark.parametrize("pieces", [ipv4_pieces, ipv6_pieces])
@pytest.mark.parametrize("order", [1, -1])
def test_datagrams_in_pieces_are_put_together(file: Path, pieces, order: int) -> None:  # type: ignore[no-untyped-def]
    frames = [ethernet(piece) + bytes(max(0, 46 - len(piece))) for piece in pieces(udp(LONG), 1024)]  # the last is filled up
    assert len(frames) == 3
    (found,) = read_datagrams(written(file, pcap(frames[::order])))
    (same,) = read_datagrams(written(file, pcap([ethernet((ipv4 if pieces is ipv4_pieces else ipv6)(udp(LONG)))])))
    assert found[1:] == same[1:]
    assert found.whole


@pytest.mark.parametrize("pieces", [ipv4_pieces, ipv6_pieces])
def test_pieces_without_the_others_are_no_datagram(file: Path, pieces) -> None:  # type: ignore[no-untyped-def]
    frames = [ethernet(piece) for piece in pieces(udp(LONG), 1024)]
    assert list(read_datagrams(written(file, pcap(frames[:2])))) == []
    assert list(read_datagrams(written(file, pcap([frames[0][:200], *frames[1:]])))) == [], "a snap length"
    assert list(read_datagrams(written(file, pcap([ethernet(piece) for piece in pieces(b"short", 1024)])))) == []


def test_a_message_in_pieces_says_what_a_stream_is(file: Path) -> None:
    message = SIP.replace(b"\r\n\r\n", b"\r\nX: " + bytes(2000) + b"\r\n\r\n", 1)
    pieces = [ethernet(piece) for piece in ipv4_pieces(udp(message), 1480)]
    (leg,) = read_legs(written(file, pcap([*pieces, *rtp_frames(20, payload_type=97)])))
    assert str(leg.codec) == "PCMA/8000"


def test_ip_options_and_a_longer_frame_than_the_datagram(file: Path) -> None:
    plain = ipv4(udp(DATA))
    options = b"\x46" + plain[1:20] + b"\x01\x01\x01\x00" + plain[20:] + b"padding"
    assert [d.payload for d in read_datagrams(written(file, pcap([options], link=101 | 1 << 28)))] == [DATA]


def section(order: str) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, order: str, resolution: int | None = None) -> bytes:
    option = b"" if resolution is None else struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    comment = struct.pack(order + "HH", 1, 5) + b"eth-0\0\0\0"
    return block(1, struct.pack(order + "HHI", link, 0, 0) + comment + option, order)


def enhanced(number: int, ticks: int, frame: bytes, order: str) -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


def test_pcapng_with_sections_interfaces_and_blocks_of_many_kinds(file: Path) -> None:
    raw, whole = ipv4(udp(b"raw")), ethernet(ipv4(udp(b"whole")))
    data = section("<") + interface(1, "<", 3) + interface(101, "<", 0x80 | 10)
    data += enhanced(0, 5_000, whole, "<") + enhanced(1, 6 * 1024, raw, "<") + enhanced(2, 0, raw, "<")
    data += block(5, bytes(12), "<") + block(3, struct.pack("<I", len(whole)) + whole, "<")
    data += section(">") + interface(101, ">") + enhanced(0, 7_000_000, raw, ">") + enhanced(1, 0, raw, ">")
    found = list(read_datagrams(written(file, data)))
    assert [(d.payload, d.time) for d in found] == [
        (b"whole", 5.0), (b"raw", 6.0), (b"whole", 0.0), (b"raw", 7.0),
    ]  # fmt: skip


def test_records_and_blocks_longer_than_allowed_end_the_file(file: Path) -> None:
    for make, head in ((pcap, struct.pack("<IIII", 0, 0, (1 << 18) + 1, 0)), (pcapng, struct.pack("<II", 6, (1 << 18) + 128))):
        data = make(rtp_frames(12)) + head + bytes(1000) + rtp_frames(1)[0]
        assert len(list(read_datagrams(written(file, data)))) == 12


def test_more_packets_than_allowed_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_PACKETS", 30)
    assert len(read_legs(written(file, pcap(rtp_frames(30))))[0].packets) == 30
    with pytest.raises(AudioError, match="holds more than 30 packets; cut it into parts") as error:
        read_legs(written(file, pcap(rtp_frames(31))))
    assert str(file) in str(error.value)


def test_time_that_steps_back_does_not_turn_back_the_frames(file: Path) -> None:
    frames = rtp_frames(24)
    data = bytearray(pcap(frames))
    for number in range(12, 18):  # another interface's clock, ten seconds behind
        struct.pack_into("<I", data, 24 + number * (16 + len(frames[0])), 90)
    out = list(leg_frames(read_legs(written(file, bytes(data)))[0]))
    times = [now for _, now in out]
    assert times == sorted(times)
    assert sum(len(frame.samples) for frame, _ in out) == 24 * 160
    assert not any(frame.lost for frame, _ in out)


def test_payload_types_that_cannot_be_decoded_are_named(file: Path) -> None:
    for number, words in ((18, r"payload type 18 \(G729\)"), (97, "payload type 97")):
        with pytest.raises(AudioError, match=rf"\(20 UDP packets seen\); it holds RTP of {words}$"):
            read_legs(written(file, pcap(rtp_frames(20, payload_type=number))))
    with pytest.raises(AudioError, match=r"payload type 3 \(GSM\), 97$"):
        read_legs(written(file, pcap(rtp_frames(20, payload_type=97, ssrc=1) + rtp_frames(20, payload_type=3, ssrc=2))))


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_link_type_that_is_not_known_is_named(file: Path, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AudioError, match=r"\(0 UDP packets seen\); it holds packets of link type 9999, which is not known"):
        read_legs(written(file, make(rtp_frames(20), link=9999)))


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_whether_a_capture_breaks_off_is_seen(file: Path, make) -> None:  # type: ignore[no-untyped-def]
    whole = make(rtp_frames(12))
    last = len(make(rtp_frames(12))) - len(make(rtp_frames(11)))
    for cut in range(last + 1):
        seen = Seen()
        read_legs(written(file, whole[: len(whole) - cut]), seen=seen)
        assert seen.breaks_off is (0 < cut < last), f"{cut} of the last packet's {last} bytes are missing"
