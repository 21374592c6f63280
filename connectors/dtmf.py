"""Telephone events (RFC 4733 section 2.3): digits that travel as RTP payload."""

from __future__ import annotations

from typing import NamedTuple

DIGITS = "0123456789*#ABCD"


class TelephoneEvent(NamedTuple):
    """One packet of an event; an event is several packets with the same timestamp."""

    event: int
    end: bool
    volume: int  # -dBm0, 0 to 63
    duration: int  # in the clock of the payload

    @property
    def digit(self) -> str | None:
        """The key, for events 0 to 15."""
        return DIGITS[self.event] if self.event < len(DIGITS) else None


def parse_event(payload: bytes) -> TelephoneEvent:
    """ValueError when the payload is too short to be one."""
    if len(payload) < 4:
        raise ValueError(f"telephone event of {len(payload)} bytes, at least 4 are needed")
    return TelephoneEvent(payload[0], bool(payload[1] & 0x80), payload[1] & 0x3F, int.from_bytes(payload[2:4], "big"))
