"""Session descriptions as telephones write them, and as nobody should."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from connectors.sdp import MAX_SECTIONS, MAX_TYPES, parse_audio

SESSION = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
OFFER = SESSION + (
    b"m=audio 49170 RTP/AVP 96 9 0 97 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:9 G722/8000\r\n"
    b"a=rtpmap:97 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"
)


def kept(description: bytes) -> list[tuple[str, dict[int, str], bool]]:
    """What was read, codecs by their names."""
    return [(media.address, {n: str(c) for n, c in media.types.items()}, media.encrypted) for media in parse_audio(description)]


def test_an_offer_says_where_its_types_mean_what() -> None:
    (media,) = parse_audio(OFFER)
    assert media.address == "192.0.2.1:49170"
    assert {number: str(codec) for number, codec in media.types.items()} == {
        96: "OPUS/48000/2", 9: "G722/8000", 97: "PCMU/8000", 101: "None",
    }  # fmt: skip
    assert media.types[97] is not None
    assert media.types[97].payload_type == 97
    assert not media.encrypted


@pytest.mark.parametrize(
    ("section", "address"),
    [
        (b"m=audio 5000/2 RTP/AVP 0\r\n", "192.0.2.1:5000"),
        (b"m=audio 5000 RTP/AVPF 0\r\nc=IN IP4 198.51.100.7\r\n", "198.51.100.7:5000"),
        (b"m=audio 5000 RTP/AVP 0\r\nc=IN IP4 198.51.100.7 \r\n", "198.51.100.7:5000"),
        (b"m=audio 5000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127/3\r\n", "224.2.1.1:5000"),
        (b"m=audio 5000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n", "[2001:0db8:0000:0000:0000:0000:0000:0001]:5000"),
        (b"m=image 6000 udptl t38\r\nm=audio 5000 RTP/AVP 0\r\n", "192.0.2.1:5000"),
        (b"m=audio 5000 RTP/AVP 0\r\nm=audio 0 RTP/AVP 0\r\n", "192.0.2.1:5000"),
    ],
    ids=["count", "own address", "space", "multicast", "ipv6", "beside a fax", "refused"],
)
def test_the_address_of_a_section(section: bytes, address: str) -> None:
    assert [media.address for media in parse_audio(SESSION + section)] == [address]


def test_each_section_has_its_own_types_and_lines_end_as_they_like() -> None:
    two = SESSION + b"m=audio 1 RTP/AVP 96\r\na=rtpmap:96 PCMA/8000\r\nm=audio 2 RTP/SAVP 96\r\na=rtpmap:96 G722/8000\r\n"
    expected = [("192.0.2.1:1", {96: "PCMA/8000"}, False), ("192.0.2.1:2", {96: "G722/8000"}, True)]
    assert kept(two) == kept(two.replace(b"\r\n", b"\n")) == expected


def test_lines_that_cannot_be_read_cost_only_themselves() -> None:
    odd = (
        b"a=rtpmap:97\r\na=rtpmap:98 x/y\r\na=rtpmap:300 PCMU/8000\r\na=rtpmap:72 PCMU/8000\r\na=rtpmap:99 AMR-WB/16000\r\n"
        b"a=rtpmap:100 PCMU/16000\r\na=rtpmap:8 PCMU/8000\r\na=ssrc:1\r\na=rtcp:5001 IN IP4\r\na=\xff\xfe\r\nnonsense\r\n"
        b"a=rtpmap:\xd9\xa3 PCMU/8000\r\na=rtpmap:96 L16/16000\r\n"
    )
    assert kept(SESSION + b"m=audio 5000 RTP/AVP 96\r\n" + odd) == [("192.0.2.1:5000", {96: "L16/16000"}, False)]


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (b"", "0 bytes does not begin"),
        (b"x=0\r\n", "5 bytes does not begin"),
        (SESSION, "0 media sections"),
        (SESSION + b"m=video 5000 RTP/AVP 96\r\n", "1 media sections"),
        (SESSION + b"m=audio 0 RTP/AVP 0\r\n", "1 media sections"),
        (SESSION + b"m=audio 65536 RTP/AVP 0\r\n", "1 media sections"),
        (SESSION + b"m=audio 5000 TCP/MSRP *\r\n", "1 media sections"),
        (SESSION.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 0.0.0.0") + b"m=audio 5000 RTP/AVP 0\r\n", "1 media sections"),
        (SESSION.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 1.2.3") + b"m=audio 5000 RTP/AVP 0\r\n", "1 media sections"),
        (SESSION.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP4 pbx.test") + b"m=audio 5000 RTP/AVP 0\r\n", "1 media sections"),
        (b"v=0\r\nm=audio 5000 RTP/AVP 0\r\n", "1 media sections"),
    ],
    ids=["empty", "other", "no media", "video", "port 0", "port", "no rtp", "on hold", "no address", "name", "no connection"],
)
def test_a_description_without_rtp_audio_is_a_sentence(description: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_audio(description)


def test_what_is_kept_of_a_description_is_bounded() -> None:
    types = b"".join(b"a=rtpmap:%d PCMU/8000\r\n" % number for number in range(96, 128))
    many = SESSION + b"".join(b"m=audio %d RTP/AVP 0\r\n" % port + types for port in range(1, 400))
    found = parse_audio(many)
    assert [media.address for media in found] == [f"192.0.2.1:{port}" for port in range(1, MAX_SECTIONS + 1)]
    assert {len(media.types) for media in found} == {MAX_TYPES}


def test_broken_descriptions_raise_nothing_else() -> None:
    rng, read = random.Random("seed sdp"), 0
    for _ in range(3000):
        changed = bytearray(OFFER)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(changed))
            changed[at : at + rng.randrange(3)] = bytes(rng.choice(b"\r\n =:/09amc\x00\xff") for _ in range(rng.randrange(3)))
        with suppress(ValueError):
            read += bool(parse_audio(bytes(changed)))
    assert 0 < read < 3000
