"""RTP by literal bytes, RFC 3550 section 5.1, and what else shares its port."""

from __future__ import annotations

import pytest

from connectors.rtp import Kind, RtpPacket, classify, parse

PACKET = bytes.fromhex("80 00 1234 00000fa0 deadbeef ff7f")


def test_a_packet_by_its_bytes() -> None:
    assert parse(PACKET) == RtpPacket(0, 0x1234, 4000, 0xDEADBEEF, b"\xff\x7f", marker=False)


def test_the_marker_is_not_part_of_the_payload_type() -> None:
    packet = parse(bytes.fromhex("80 80 0001 00000000 00000001"))
    assert (packet.payload_type, packet.marker, packet.payload) == (0, True, b"")


def test_serialize_is_the_inverse() -> None:
    assert parse(PACKET).serialize() == PACKET
    marked = RtpPacket(101, 65535, 0xFFFFFFFF, 1, b"x", marker=True)
    assert parse(marked.serialize()) == marked


@pytest.mark.parametrize(
    ("datagram", "payload"),
    [
        ("82 00 0001 00000000 00000001 aaaaaaaa bbbbbbbb 55", "55"),  # two contributing sources
        ("90 00 0001 00000000 00000001 bede0001 10aa0000 55", "55"),  # one word of extension
        ("a0 00 0001 00000000 00000001 55 55 000003", "5555"),  # three bytes of padding
        ("b1 00 0001 00000000 00000001 cccccccc 00000000 55 01", "55"),  # all at once
        ("a0 00 0001 00000000 00000001 04040404", ""),  # nothing but padding
    ],
)
def test_what_stands_around_the_payload_is_skipped(datagram: str, payload: str) -> None:
    assert parse(bytes.fromhex(datagram)).payload == bytes.fromhex(payload)


@pytest.mark.parametrize(
    ("datagram", "sentence"),
    [
        ("", "0 bytes is shorter than its header"),
        ("80 00 0001 00000000 000000", "11 bytes is shorter"),
        ("40 00 0001 00000000 00000001", "version is 1, not 2"),
        ("00 00 0001 00000000 00000001", "version is 0"),
        ("90 00 0001 00000000 00000001 bede", "ends before its extension at 12"),
        ("90 00 0001 00000000 00000001 bede0002 00000000", "shorter than its 24 bytes"),
        ("8f 00 0001 00000000 00000001 55", "shorter than its 72 bytes"),
        ("a0 00 0001 00000000 00000001 00", "padding of 0"),
        ("a0 00 0001 00000000 00000001 ff", "shorter than its"),
    ],
)
def test_a_malformed_packet_says_what_was_seen(datagram: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(bytes.fromhex(datagram))


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("8000", Kind.RTP), ("80e0", Kind.RTP), ("80c8", Kind.RTCP), ("81c9", Kind.RTCP), ("0001", Kind.STUN),
        ("16fe", Kind.DTLS), ("4000", Kind.OTHER), ("c0ff", Kind.OTHER), ("80", Kind.OTHER), ("", Kind.OTHER),
        ("0300", Kind.STUN), ("0400", Kind.OTHER), ("1300", Kind.OTHER), ("1400", Kind.DTLS), ("3f00", Kind.DTLS),
        ("bf00", Kind.RTP), ("7f00", Kind.OTHER), ("80bf", Kind.RTP), ("80c0", Kind.RTCP), ("80df", Kind.RTCP),
    ],
)  # fmt: skip
def test_what_a_datagram_is(first: str, kind: Kind) -> None:
    assert classify(bytes.fromhex(first)) is kind
