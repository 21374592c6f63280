"""Captures from literal headers: every link layer, both formats, many streams, and what is no call."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from connectors.capture import leg_frames, read_datagrams, read_legs
from connectors.codecs import parse_codec
from engine.errors import AudioError
from tests.connectors.captures import ethernet, ipv4, ipv6, pcap, pcapng, rtp_frames, udp
from tests.connectors.packets import packet

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


def test_other_protocols_are_no_stream(file: Path) -> None:
    noise = [ethernet(ipv4(udp(b"\x80\x00" + bytes([n * 37 % 256, n * 91 % 256]) + bytes(20)))) for n in range(40)]
    with pytest.raises(AudioError, match="no RTP stream"):
        read_legs(written(file, pcap(noise)))


def test_a_capture_that_breaks_off_gives_what_is_there(file: Path) -> None:
    whole = pcap(rtp_frames(20))
    assert len(read_legs(written(file, whole[:-100]))[0].packets) in (19, 20)


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
