"""RTCP (RFC 3550 section 6), as far as a listener needs it: whether a sender says that it is still there. Pure."""

from __future__ import annotations

REPORTS = frozenset({200, 201})  # sender and receiver report
BYE = 203


def reports(datagram: bytes, ssrc: int | None) -> bool:
    """Whether a compound packet holds a report of that sender and does not end with its BYE. Nothing a peer sends raises."""
    found, at = False, 0
    while at + 8 <= len(datagram) and datagram[at] >> 6 == 2:
        kind, size = datagram[at + 1], 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4])
        whose = int.from_bytes(datagram[at + 4 : at + 8])
        if kind == BYE and whose == ssrc:
            return False
        found = found or (kind in REPORTS and whose == ssrc)
        at += size
    return found
