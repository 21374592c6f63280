"""RTP packets (RFC 3550 section 5.1) and what else arrives on the same port (RFC 7983, RFC 5761)."""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

HEADER = struct.Struct("!BBHII")


class Kind(Enum):
    """What a datagram on a media port is, by its first two bytes."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    OTHER = "other"


def classify(datagram: bytes) -> Kind:
    """RFC 7983 section 7, with RTCP told from RTP by the payload type (RFC 5761 section 4)."""
    if len(datagram) < 2:
        return Kind.OTHER
    first = datagram[0]
    if 128 <= first <= 191:
        return Kind.RTCP if 192 <= datagram[1] <= 223 else Kind.RTP
    if first <= 3:
        return Kind.STUN
    return Kind.DTLS if 20 <= first <= 63 else Kind.OTHER


class RtpPacket(NamedTuple):
    """One packet. Extensions and contributing sources are skipped on the way in and absent on the way out."""

    payload_type: int
    sequence: int  # 16 bit
    timestamp: int  # 32 bit, in the payload's clock
    ssrc: int
    payload: bytes
    marker: bool = False

    def serialize(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        return HEADER.pack(0x80, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def parse(datagram: bytes) -> RtpPacket:
    """A datagram -> its packet. ValueError says what is wrong, with the number seen."""
    if len(datagram) < HEADER.size:
        raise ValueError(f"RTP packet of {len(datagram)} bytes is shorter than its header of {HEADER.size}")
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(datagram)
    if first == 0x80:
        payload = datagram[HEADER.size :]
    elif first >> 6 == 2:
        payload = _beyond_header(datagram, first)
    else:
        raise ValueError(f"RTP version is {first >> 6}, not 2")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, payload, bool(second & 0x80))


def _beyond_header(datagram: bytes, first: int) -> bytes:
    """The payload behind contributing sources and extension, without padding."""
    start, end = HEADER.size + 4 * (first & 0x0F), len(datagram)
    if first & 0x10:  # RFC 3550 section 5.3.1
        if end < start + 4:
            raise ValueError(f"RTP packet of {end} bytes ends before its extension at {start}")
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4], "big")
    if first & 0x20:
        padding = datagram[-1]
        if not padding:
            raise ValueError("RTP padding of 0 bytes is announced")
        end -= padding
    if end < start:
        raise ValueError(f"RTP packet of {len(datagram)} bytes is shorter than its {start} bytes of header and padding")
    return datagram[start:end]
