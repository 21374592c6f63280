"""SIP's messages out of TCP segments, as they are cut, sent again and lost."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from connectors import segments
from connectors.segments import Conversations

ONE = b"INVITE sip:ada@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:5060\r\nContent-Length: 10\r\n\r\nv=0\r\ns=-\r\n"
TWO = b"SIP/2.0 200 OK\r\nl : 3\r\n\r\nabc"
NONE = b"SIP/2.0 180 Ringing\r\nContent-Length: 0\r\n\r\n"


def cut(stream: bytes, places: list[int], begin: int = 0) -> list[tuple[int, bytes]]:
    """A stream in segments with their sequence numbers."""
    ends = [0, *places, len(stream)]
    return [(begin + start & 0xFFFFFFFF, stream[start:end]) for start, end in pairwise(ends)]


def pushed(table: Conversations, row: list[tuple[int, bytes]]) -> list[bytes]:
    return [message for number, payload in row for message in table.push("a", number, payload)]


@pytest.mark.parametrize("begin", [0, 2**32 - 60])
def test_messages_are_cut_anywhere_behind_their_first_line(begin: int) -> None:
    rng, stream = random.Random(2), ONE + b"\r\n\r\n" + NONE + TWO
    second = len(ONE) + 4 + len(NONE)
    for _ in range(50):
        places = sorted(rng.sample([*range(40, len(ONE) + 4), *range(second - 4, second), *range(second + 20, len(stream))], 3))
        assert pushed(Conversations(), cut(stream, places, begin)) == [ONE, NONE, TWO], places


def test_what_is_sent_again_changes_nothing() -> None:
    first, second, third = cut(ONE, [50, 80], 1000)
    assert pushed(Conversations(), [first, first, second, first, second, third, third]) == [ONE]


def test_a_hole_costs_the_message_it_is_in() -> None:
    first, _, third = cut(ONE, [50, 80], 1000)
    table = Conversations()
    assert pushed(table, [first, third, (1000 + len(ONE), TWO)]) == [TWO]


def test_connections_are_told_apart() -> None:
    table, (first, second) = Conversations(), cut(ONE, [50])
    assert table.push("a", *first) == table.push("b", *first) == []
    assert table.push("a", *second) == table.push("b", *second) == [ONE]


@pytest.mark.parametrize("stream", [b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01\x02\x00", b"INVITE"])
def test_what_is_no_sip_is_not_kept(stream: bytes) -> None:
    table = Conversations()
    assert table.push("a", 0, stream) == []
    assert not table._begun


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Conversations()
    for number in range(segments.MAX_CONNECTIONS + 5):
        table.push(str(number), 0, ONE[:50])
    assert list(table._begun) == [str(number) for number in range(5, segments.MAX_CONNECTIONS + 5)]
    table = Conversations()
    row = [(0, ONE[:50]), *((50 + n, b"x") for n in range(200))]
    assert pushed(table, row) == []
    assert not table._begun, "too many segments"
    monkeypatch.setattr(segments, "MAX_MESSAGE", 100)
    assert pushed(table, [(0, ONE[:50]), (50, bytes(51))]) == []
    assert not table._begun, "too long"
    assert pushed(table, [(0, NONE * 200)]) == [NONE] * segments.MAX_TOGETHER
    assert not table._begun
    endless = ONE.replace(b": 10", b": 999999999")
    assert pushed(table, [(0, endless)]) == []


def test_broken_streams_raise_nothing() -> None:
    rng, found = random.Random("seed segments"), 0
    for _ in range(2000):
        stream = bytearray(ONE + TWO)
        for _ in range(rng.randint(0, 4)):
            stream[rng.randrange(len(stream))] = rng.choice(b"\r\n 09\x00\xff")
        row = cut(bytes(stream), sorted(rng.sample(range(40, len(stream)), 3)), rng.randrange(2**32))
        found += len(pushed(Conversations(), rng.sample(row, len(row)) if rng.random() < 0.2 else row))
    assert 500 < found < 4000
