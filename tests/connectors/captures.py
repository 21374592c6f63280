"""Captures made of literal headers, for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from tests.connectors.packets import packet

IPV4_UDP = 17


def udp(payload: bytes, source: int = 4000, destination: int = 5000) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(payload: bytes, number: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 5060, 5060, number & 0xFFFFFFFF, 0, 0x80, 0x18, 512, 0, 0) + bytes(12) + payload


def ipv4(segment: bytes, *, fragment: int = 0, protocol: int = IPV4_UDP) -> bytes:
    hosts = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, fragment, 64, protocol, 0) + hosts + segment


def ipv6(segment: bytes, *, protocol: int = IPV4_UDP) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02" + segment


def ipv4_pieces(segment: bytes, size: int) -> list[bytes]:
    """A segment in fragments of `size` bytes."""
    starts = range(0, len(segment), size)
    return [ipv4(segment[at : at + size], fragment=at // 8 | 0x2000 * (at + size < len(segment))) for at in starts]


def ipv6_pieces(segment: bytes, size: int) -> list[bytes]:
    """The same behind IPv6's extension header for fragments (RFC 8200 section 4.5)."""
    pieces = []
    for at in range(0, len(segment), size):
        head = struct.pack("!BBHI", IPV4_UDP, 0, at | (at + size < len(segment)), 7)
        whole = ipv6(head + segment[at : at + size])
        pieces.append(whole[:6] + b"\x2c" + whole[7:])
    return pieces


def ethernet(packet: bytes, *, vlans: int = 0) -> bytes:
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return bytes(12) + b"\x81\x00\x00\x05" * vlans + kind + packet


def pcap(frames: Iterable[bytes], *, link: int = 1, order: str = "<", nano: bool = False) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for number, frame in enumerate(frames):
        ticks = number * 20_000 * (1000 if nano else 1)
        unit = 10**9 if nano else 10**6
        out += struct.pack(order + "IIII", 100 + ticks // unit, ticks % unit, len(frame), len(frame)) + frame
    return out


def block(kind: int, body: bytes, order: str) -> bytes:
    body += bytes(-len(body) % 4)
    size = 12 + len(body)
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def pcapng(frames: Iterable[bytes], *, link: int = 1, order: str = "<", nanoseconds: bool = False) -> bytes:
    section = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    option = struct.pack(order + "HHB3x", 9, 1, 9) + bytes(4) if nanoseconds else b""
    out = block(0x0A0D0D0A, section, order) + block(1, struct.pack(order + "HHI", link, 0, 0) + option, order)
    for number, frame in enumerate(frames):
        ticks = number * 20_000 * (1000 if nanoseconds else 1)
        head = struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        out += block(6, head + frame, order)
    return out


def rtp_frames(count: int = 20, **stream: int) -> list[bytes]:
    """Ethernet frames of a PCMU stream."""
    return [ethernet(ipv4(udp(packet(number, **stream).serialize()))) for number in range(count)]
