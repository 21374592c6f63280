"""Telephone events by literal bytes, RFC 4733 section 2.3."""

from __future__ import annotations

import pytest

from connectors.dtmf import TelephoneEvent, parse_event


def test_an_event_by_its_bytes() -> None:
    assert parse_event(bytes.fromhex("058a0320")) == TelephoneEvent(5, end=True, volume=10, duration=800)
    assert not parse_event(bytes.fromhex("050a0320")).end


@pytest.mark.parametrize(("event", "digit"), [(0, "0"), (9, "9"), (10, "*"), (11, "#"), (12, "A"), (15, "D"), (16, None)])
def test_which_key_an_event_is(event: int, digit: str | None) -> None:
    assert parse_event(bytes([event, 0, 0, 0])).digit == digit


def test_redundant_events_after_the_first_are_ignored() -> None:
    assert parse_event(bytes.fromhex("01000050 02000050")).digit == "1"


def test_too_short_says_how_short() -> None:
    with pytest.raises(ValueError, match="3 bytes, at least 4"):
        parse_event(b"abc")
