"""SIP messages as literal bytes, and what is known of a stream after them."""

from __future__ import annotations

import pytest

from connectors import signalling
from connectors.signalling import Signalling, parse_message

INVITE = (
    b"INVITE sip:ada@192.0.2.2 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 151\r\n\r\n"
)
OK = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nc: Application/SDP\r\nl: 151\r\n\r\n"
HERE, THERE, NOWHERE = "192.0.2.1:4000", "192.0.2.2:5000", "203.0.113.9:1024"


def sdp(host: bytes, port: int, *maps: bytes, profile: bytes = b"RTP/AVP") -> bytes:
    head = b"v=0\r\no=- 1 1 IN IP4 %b\r\ns=-\r\nc=IN IP4 %b\r\nt=0 0\r\nm=audio %d %b 0\r\n" % (host, host, port, profile)
    return head + b"".join(b"a=rtpmap:%b\r\n" % each for each in maps)


def types(known: Signalling, source: str, destination: str, begin: float = 100.0, end: float = 200.0) -> dict[int, str] | None:
    terms = known.terms(source, destination, begin, end)
    return None if terms is None else {number: str(codec) for number, codec in terms.types.items()}


def test_each_side_says_what_the_types_mean_that_are_sent_to_it() -> None:
    known = Signalling()
    known.receive(INVITE + sdp(b"192.0.2.1", 4000, b"97 PCMU/8000", b"96 telephone-event/8000"), 1.0)
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"97 G722/8000"), 2.0)
    assert types(known, THERE, HERE) == {97: "PCMU/8000", 96: "None"}
    assert types(known, HERE, THERE) == {97: "G722/8000"}
    assert types(known, "192.0.2.1:4001", "192.0.2.2:5001") is None


def test_behind_a_nat_what_the_sender_takes_is_the_next_best() -> None:
    known = Signalling()
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"97 G722/8000"), 2.0)
    assert types(known, THERE, NOWHERE) == {97: "G722/8000"}
    assert types(known, NOWHERE, HERE) is None


def test_a_port_that_is_used_again_means_what_was_said_last_before() -> None:
    known = Signalling()
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"96 PCMU/8000", b"97 PCMA/8000"), 50.0)
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"96 telephone-event/8000"), 250.0)
    assert types(known, HERE, THERE) == {96: "PCMU/8000", 97: "PCMA/8000"}
    assert types(known, HERE, THERE, 260.0, 300.0) == {96: "None"}
    assert types(known, HERE, THERE, 10.0, 20.0) is None, "a later call's"
    assert types(known, HERE, THERE, 10.0, 100.0) == {96: "PCMU/8000", 97: "PCMA/8000"}, "packets may come before the answer"


def test_what_is_said_during_a_stream_is_added() -> None:
    known = Signalling()
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"96 G722/8000"), 50.0)
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"97 PCMA/8000"), 150.0)
    assert types(known, HERE, THERE) == {96: "G722/8000", 97: "PCMA/8000"}


def test_an_encrypted_stream_is_told() -> None:
    known = Signalling()
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"96 G722/8000", profile=b"RTP/SAVP"), 50.0)
    terms = known.terms(HERE, THERE, 100.0, 200.0)
    assert terms is not None
    assert terms.encrypted


def test_a_description_may_be_one_part_of_several() -> None:
    parts = (
        b"INVITE sip:srs@192.0.2.2 SIP/2.0\r\nContent-Type: multipart/mixed;boundary=foo\r\n\r\n"
        b"--foo\r\nContent-Type: application/sdp\r\n\r\n" + sdp(b"192.0.2.1", 4000, b"97 PCMU/8000") + b"\r\n--foo\r\n"
        b"Content-Type: application/rs-metadata\r\n\r\n<recording>\r\nm=audio 7 RTP/AVP 0\r\n</recording>\r\n--foo--\r\n"
    )
    assert [media.address for media in parse_message(parts)] == [HERE]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "0 bytes are no SIP"),
        (b"\r\n\r\n", "4 bytes are no SIP"),
        (b"HTTP/1.1 200 OK\r\n\r\nv=0\r\n", "no SIP"),
        (b"GET / HTTP/1.1\r\nAccept: application/sdp\r\n\r\n", "no SIP"),
        (INVITE, "holds no session description"),
        (INVITE.replace(b"application/sdp", b"text/plain") + sdp(b"192.0.2.1", 4000), "holds no session description"),
        (INVITE + b"v=0\r\ns=-\r\n", "0 media sections"),
    ],
)
def test_what_describes_nothing_is_a_sentence_and_changes_nothing(message: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_message(message)
    Signalling().receive(message, 0.0)


def test_what_is_kept_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "MAX_ADDRESSES", 20)
    known = Signalling()
    for port in range(1, 31):
        known.receive(OK + sdp(b"192.0.2.2", port, b"96 G722/8000"), 1.0)
    assert [types(known, HERE, f"192.0.2.2:{port}") is not None for port in range(1, 31)] == [False] * 10 + [True] * 20
    for number in range(40):
        known.receive(OK + sdp(b"192.0.2.2", 30, b"%d G722/8000" % (96 + number % 30)), 150.0 + number)
    assert types(known, HERE, "192.0.2.2:30", 0.0, 300.0) == dict.fromkeys(range(98, 106), "G722/8000")


def test_what_is_said_twice_is_kept_once() -> None:
    known = Signalling()
    known.receive(OK + sdp(b"192.0.2.2", 5000, b"96 G722/8000"), 1.0)
    for second in range(20):
        known.receive(OK + sdp(b"192.0.2.2", 5000, b"97 PCMA/8000"), 50.0 + second)
    assert types(known, HERE, THERE, 0.0, 300.0) == {96: "G722/8000", 97: "PCMA/8000"}
