"""From which address a leg's packets come: the declared one, or that of the first sender. Pure.

A sender is followed to another address only where that takes nothing over: while it has hardly been heard (one stray
packet must not lose a call), or where the very stream that was heard goes on there, as behind a NAT that binds anew.
Anything else in mid-call is how RTP streams are taken over (CVE-2017-14099).
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket

MAPPED = "::ffff:"  # before an IPv4 address, as a socket of both families has it (RFC 4291 section 2.5.5.2)
ROW = 4  # packets in a row that make another sender credible
SETTLED = 25  # packets of one sender, from which on it is the call's
STRAY_QUIET_S = 0.25  # without a packet of one that is not settled, before another takes its place
REBOUND_QUIET_S = 0.5  # the same of one that is: both addresses sending is no NAT that binds anew

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Source:
    """From where a leg's packets may come; no port means any of that host."""

    host: str
    port: int | None = None

    def permits(self, address: Address) -> bool:
        return address[0].removeprefix(MAPPED) == self.host and self.port in (None, address[1])


@dataclass(frozen=True, slots=True)
class Rival:
    """Another address that sends, and how far its packets came in a row."""

    address: Address
    ssrc: int
    following: int  # the number that would go on with the row
    row: int


class Latch:
    """Who may be heard on one port."""

    def __init__(self, receiver: RtpReceiver, declared: Source | None) -> None:
        self.address: Address | None = None
        self._receiver, self._declared = receiver, declared
        self._rival: Rival | None = None
        self._before = 0  # packets received of earlier senders

    def claim(self, address: Address, datagram: bytes, now: float, last: float) -> bool:
        """Whether RTP of another address than the latched one is the leg's from now on; `last`: when its own came last."""
        packet = self._receiver.own(datagram)
        if packet is None:
            return False
        self._rival = self._rivalling(address, packet)
        if self._declared is not None and not self._declared.permits(address):
            return False
        if self.address is not None and not self._displaces(packet, now - last):
            return False
        if self.address is not None:
            self._receiver.expect_another()
        self.address, self._rival = address, None
        self._before = self._receiver.stats.received
        return True

    @property
    def insisting(self) -> bool:
        """Whether somebody who is not heard sends sound that would be the call's, and not one stray packet."""
        return self._rival is not None and self._rival.row >= ROW

    def _rivalling(self, address: Address, packet: RtpPacket) -> Rival:
        before, following = self._rival, (packet.sequence + 1) & 0xFFFF
        goes_on = before is not None and (before.address, before.ssrc, before.following) == (
            address, packet.ssrc, packet.sequence,
        )  # fmt: skip
        return Rival(address, packet.ssrc, following, before.row + 1 if before is not None and goes_on else 1)

    def _displaces(self, packet: RtpPacket, quiet_s: float) -> bool:
        if not self.insisting:
            return False
        if self._receiver.stats.received - self._before < SETTLED:
            return quiet_s >= STRAY_QUIET_S
        return quiet_s >= REBOUND_QUIET_S and self._receiver.continued_by(packet)
