"""Pieces of datagrams: in any order, twice, contradictory, too many, too late."""

from __future__ import annotations

import random

import pytest

from connectors.fragments import MAX_DATAGRAMS, MAX_FRAGMENTS, MAX_SIZE, WAIT_S, Reassembler

A, B = b"a", b"b"


def test_pieces_come_in_any_order_and_twice() -> None:
    rng, pieces = random.Random(1), [(0, True, b"12345678"), (8, True, b"abcdefgh"), (16, False, b"XYZ")]
    for _ in range(20):
        row = rng.sample(pieces, 3)
        table = Reassembler()
        found = [table.push(A, *piece, now=0.0) for piece in [row[0], row[0], row[1], row[1], row[2]]]
        assert found == [None, None, None, None, b"12345678abcdefghXYZ"]


def test_datagrams_are_told_apart_and_a_number_may_come_again() -> None:
    table = Reassembler()
    assert table.push(A, 0, True, b"AAAAAAAA", 0.0) is None
    assert table.push(B, 0, True, b"BBBBBBBB", 0.0) is None
    assert table.push(A, 8, False, b"a", 0.0) == b"AAAAAAAAa"
    assert table.push(B, 8, False, b"b", 0.0) == b"BBBBBBBBb"
    assert table.push(A, 8, False, b"c", 0.0) is None
    assert table.push(A, 0, True, b"CCCCCCCC", 0.0) == b"CCCCCCCCc"


def test_one_piece_that_is_the_whole() -> None:
    assert Reassembler().push(A, 0, False, b"whole", 0.0) == b"whole"


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([(0, True, b"1234567")], "7 bytes at 0 cannot be"),
        ([(0, False, b"")], "0 bytes at 0 cannot be"),
        ([(65528, False, b"12345678")], "8 bytes at 65528 cannot be"),
        ([(0, True, b"12345678"), (0, True, b"1234567x")], "8 bytes at 0 contradicts"),
        ([(8, False, b"1"), (16, False, b"2")], "1 bytes at 16 contradicts"),
        ([(0, True, b"1234567812345678"), (8, True, b"12345678"), (24, False, b"1")], "overlap at 8 of 25"),
        ([(16, True, b"12345678"), (8, False, b"12345678")], "overlap at 8 of 16"),
        ([(16, True, b"12345678"), (0, True, b"12345678"), (8, False, b"12345678")], "reach to 24, beyond the end at 16"),
        ([(0, True, b"12345678"), (8, True, b"12345678"), (8, False, b"1")], "contradicts"),
    ],
)
def test_pieces_that_cannot_be_end_their_datagram(pieces: list[tuple[int, bool, bytes]], words: str) -> None:
    table = Reassembler()
    for piece in pieces[:-1]:
        assert table.push(A, *piece, now=0.0) is None
    with pytest.raises(ValueError, match=words):
        table.push(A, *pieces[-1], now=0.0)
    assert table.push(A, 0, True, b"12345678", 0.0) is None
    assert table.push(A, 8, False, b"9", 0.0) == b"123456789", "nothing is left of the one before"


def test_the_oldest_of_too_many_goes() -> None:
    table = Reassembler()
    for number in range(MAX_DATAGRAMS + 1):
        table.push(bytes([number]), 0, True, b"12345678", 0.0)
    assert table.push(bytes([0]), 8, False, b"9", 0.0) is None, "it had to go, and now the second had"
    assert table.push(bytes([2]), 8, False, b"9", 0.0) == b"123456789"


def test_a_datagram_has_no_more_pieces_than_packets_need() -> None:
    table = Reassembler()
    for number in range(1, MAX_FRAGMENTS + 1):
        table.push(A, 8 * number, True, b"12345678", 0.0)
    with pytest.raises(ValueError, match=f"more than {MAX_FRAGMENTS} fragments"):
        table.push(A, 0, True, b"12345678", 0.0)


def test_the_longest_datagram_in_the_smallest_packets() -> None:
    table, whole = Reassembler(), bytes(MAX_SIZE)
    starts = range(0, MAX_SIZE, 552)
    found = [table.push(A, at, at + 552 < MAX_SIZE, whole[at : at + 552], 0.0) for at in starts]
    assert found == [None] * (len(starts) - 1) + [whole]


def test_what_comes_too_late_is_another_s() -> None:
    table = Reassembler()
    table.push(A, 0, True, b"12345678", 100.0)
    assert table.push(A, 8, False, b"9", 100.0 + WAIT_S + 1) is None
    assert table.push(A, 0, True, b"abcdefgh", 100.0 + WAIT_S - 0.5) == b"abcdefgh9", "clocks of two interfaces"
