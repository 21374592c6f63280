"""Captures: pcap and pcapng files to RTP streams to frames. What cannot be understood is skipped and counted.

Formats: libpcap's file (both byte orders, micro- and nanoseconds) and pcapng (section, interface, enhanced and simple
packet blocks); Ethernet with VLAN tags, Linux cooked v1 and v2, raw IP, BSD loopback; IPv4 and IPv6, in pieces too; UDP.
What dynamic payload types mean is read from the SIP of the same capture, over UDP or TCP.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from connectors import rtp
from connectors.codecs import CodecSpec, codec_of_type, make_decoder, static_decoders
from connectors.fragments import Reassembler
from connectors.media import EVENT_TYPES, RtpReceiver
from connectors.segments import Conversations
from connectors.signalling import Signalling, Terms
from engine.audio import AudioFrame
from engine.errors import AudioError

MAX_RECORD = 1 << 18  # bytes of one captured packet
MAX_PACKETS = 5_000_000  # per file
MIN_STREAM = 10  # packets that make a stream
ETHERNET, RAW, NULL, SLL, SLL2 = 1, 101, 0, 113, 276
_RAWS = frozenset({RAW, 12, 14})
_LINKS = _RAWS | {ETHERNET, NULL, SLL, SLL2}
_NAMES = {  # static payload types (RFC 3551 section 6) that are not decoded here
    3: "GSM", 4: "G723", 5: "DVI4", 6: "DVI4", 7: "LPC", 10: "L16", 11: "L16", 12: "QCELP", 13: "comfort noise", 14: "MPA",
    15: "G728", 16: "DVI4", 17: "DVI4", 18: "G729", 25: "CelB", 26: "JPEG", 28: "nv", 31: "H261", 32: "MPV", 33: "MP2T",
    34: "H263",
}  # fmt: skip
_TCP, _UDP, _FRAGMENT = 6, 17, 44  # IP's protocol numbers
_IPV4, _IPV6, _VLAN, _QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
_PCAP = {
    b"\xa1\xb2\xc3\xd4": (">", 1e-6), b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9), b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
}  # fmt: skip
_PCAPNG = b"\x0a\x0d\x0d\x0a"


class Datagram(NamedTuple):
    """One UDP payload of a capture, or a SIP message that came over TCP."""

    time: float  # seconds
    source: str  # host:port
    destination: str
    payload: bytes
    whole: bool = True  # False: the capture kept only its beginning (a snap length, or the file breaks off)


@dataclass
class CaptureLeg:
    """One RTP stream of a capture."""

    ssrc: int
    codec: CodecSpec
    source: str
    destination: str
    packets: list[tuple[float, bytes]] = field(default_factory=list)
    codecs: Mapping[int, CodecSpec] = field(default_factory=dict)  # of the payload types that are known
    event_types: frozenset[int] = EVENT_TYPES


@dataclass
class Seen:
    """What else was found in a capture."""

    datagrams: int = 0
    cut: int = 0  # of those, without their end
    links: Counter[int] = field(default_factory=Counter)  # packets of each link type that is not known here
    encrypted: int = 0  # RTP streams that are
    breaks_off: bool = False  # the file ends, or is damaged, in the middle of a packet


def read_datagrams(path: Path, seen: Seen | None = None) -> Iterator[Datagram]:
    """Every UDP payload in order, and SIP's messages over TCP. AudioError when the file is no capture; one that breaks off
    gives what is there."""
    seen, fragments, conversations = seen or Seen(), Reassembler(), Conversations()
    with path.open("rb") as file:
        magic = file.read(4)
        if magic in _PCAP:
            records = _pcap(file, *_PCAP[magic], seen)
        elif magic == _PCAPNG:
            records = _pcapng(file, seen)
        else:
            raise AudioError(f"{path} is not a pcap or pcapng capture (it starts with {magic.hex() or 'nothing'})")
        for count, (time, link, data) in enumerate(records):
            if count >= MAX_PACKETS:
                raise AudioError(f"{path} holds more than {MAX_PACKETS} packets; cut it into parts")
            segment = _segment(link, data, time, fragments)
            if link not in _LINKS:
                seen.links[link] += 1
            if segment is not None and segment.protocol == _TCP:
                yield from _messages(time, segment, conversations)
            elif segment is not None:
                datagram = _datagram(time, segment)
                seen.datagrams += 1
                seen.cut += not datagram.whole
                yield datagram


def read_legs(path: Path, codecs: Mapping[int, CodecSpec] | None = None, seen: Seen | None = None) -> list[CaptureLeg]:
    """The RTP streams of a capture, longest first; `codecs` names dynamic payload types in place of what the capture's SIP
    says. AudioError if there is none."""
    streams: dict[tuple[str, str, int], list[tuple[float, bytes]]] = defaultdict(list)
    seen, signalling = seen or Seen(), Signalling()
    for datagram in read_datagrams(path, seen):
        payload = datagram.payload
        if not datagram.whole or len(payload) <= 12:
            continue
        if rtp.classify(payload) is rtp.Kind.RTP:
            ssrc = int.from_bytes(payload[8:12], "big")
            streams[datagram.source, datagram.destination, ssrc].append((datagram.time, payload))
        else:
            signalling.receive(payload, datagram.time)
    legs = []
    for (source, destination, ssrc), packets in streams.items():
        if not _is_stream(packets):
            continue
        terms = signalling.terms(source, destination, packets[0][0], packets[-1][0]) or Terms({}, encrypted=False)
        leg = _leg(ssrc, source, destination, packets, terms, codecs or {})
        seen.encrypted += terms.encrypted
        if leg is not None and not terms.encrypted:
            legs.append(leg)
    if not legs:
        why = f", {seen.cut} of them cut short: capture whole packets (tcpdump -s 0)" if seen.cut > 1 else ""
        instead = _instead(streams.values(), seen)
        raise AudioError(f"{path} holds no RTP stream that can be decoded ({seen.datagrams} UDP packets seen{why}){instead}")
    return sorted(legs, key=lambda leg: -len(leg.packets))


def leg_frames(leg: CaptureLeg) -> Iterator[tuple[AudioFrame, float]]:
    """The leg's frames with their time, through the same receiver as live packets."""
    others = static_decoders(leg.codec.payload_type)
    others |= {number: partial(make_decoder, spec) for number, spec in leg.codecs.items()}
    receiver = RtpReceiver(make_decoder(leg.codec), leg.codec.payload_type, event_types=leg.event_types, others=others)
    now = 0.0
    for time, datagram in leg.packets:
        now = max(now, time)  # captures of several interfaces may step back
        for frame in receiver.poll(now):
            yield frame, now
        for frame in receiver.receive_datagram(datagram, now):
            yield frame, now
    for frame in receiver.poll(now + 1.0):
        yield frame, now


def _leg(
    ssrc: int, source: str, destination: str, packets: list[tuple[float, bytes]], terms: Terms, codecs: Mapping[int, CodecSpec]
) -> CaptureLeg | None:
    """A stream whose audio can be decoded, by what was agreed on for it and the `codecs` that were named; else None."""
    known = {number: codec for number, codec in terms.types.items() if codec is not None} | dict(codecs)
    events = frozenset(number for number, codec in terms.types.items() if codec is None)
    codec = _codec_of(packets, known)
    if codec is None:
        return None
    return CaptureLeg(ssrc, codec, source, destination, packets, known, events or EVENT_TYPES)


def _codec_of(packets: list[tuple[float, bytes]], codecs: Mapping[int, CodecSpec]) -> CodecSpec | None:
    """The codec of a stream's most frequent payload type that is audio to us."""
    counts: dict[int, int] = defaultdict(int)
    for _, payload in packets:
        counts[payload[1] & 0x7F] += 1
    for payload_type in sorted(counts, key=lambda number: -counts[number]):
        codec = codecs.get(payload_type) or codec_of_type(payload_type)
        if codec is not None:
            return codec
    return None


def _instead(streams: Iterable[list[tuple[float, bytes]]], seen: Seen) -> str:
    """What there was in the place of audio that can be decoded, as the end of a sentence."""
    types = {payload[1] & 0x7F for packets in streams if _is_stream(packets) for _, payload in packets}
    named = [f"{number} ({_NAMES[number]})" if number in _NAMES else str(number) for number in sorted(types)[:8]]
    found = [f"RTP of payload type {', '.join(named)}"] if named else []
    found += [f"{seen.encrypted} encrypted stream{'s' if seen.encrypted > 1 else ''} (SRTP)"] if seen.encrypted else []
    found += [f"packets of link type {link}, which is not known here" for link, _ in seen.links.most_common(3)]
    return f"; it holds {' and '.join(found)}" if found else ""


def _is_stream(packets: list[tuple[float, bytes]]) -> bool:
    """Whether sequence numbers mostly rise by little: other protocols' bytes do not."""
    if len(packets) < MIN_STREAM:
        return False
    numbers = [int.from_bytes(payload[2:4], "big") for _, payload in packets]
    steps = [step for a, b in pairwise(numbers) if (step := (b - a) & 0xFFFF)]  # some captures hold each packet twice
    return len(steps) >= MIN_STREAM - 1 and sum(step < 50 for step in steps) >= 0.6 * len(steps)


def _pcap(file: BinaryIO, order: str, unit: float, seen: Seen) -> Iterator[tuple[float, int, bytes]]:
    header = file.read(20)
    if len(header) < 20:
        seen.breaks_off = True
        return
    link = struct.unpack(order + "I", header[16:20])[0] & 0xFFFF
    record = struct.Struct(order + "IIII")
    while len(head := file.read(16)) == 16:
        seconds, fraction, size, _ = record.unpack(head)
        if size > MAX_RECORD:
            break  # the file is damaged from here on
        data = file.read(size)
        seen.breaks_off = len(data) < size
        yield seconds + fraction * unit, link, data
    seen.breaks_off |= bool(head)


def _pcapng(file: BinaryIO, seen: Seen) -> Iterator[tuple[float, int, bytes]]:
    """Blocks of the pcapng format (draft-ietf-opsawg-pcapng); interfaces are numbered per section."""
    file.seek(0)
    order = "<"
    interfaces: list[tuple[int, float]] = []
    while len(head := file.read(8)) == 8:
        if head[:4] == _PCAPNG:
            mark = file.read(4)
            order = ">" if mark == b"\x1a\x2b\x3c\x4d" else "<"
            interfaces = []
            size = struct.unpack(order + "I", head[4:8])[0]
            if not 28 <= size <= MAX_RECORD:
                break
            seen.breaks_off = len(file.read(size - 12)) < size - 12
            continue
        kind, size = struct.unpack(order + "II", head)
        if not 12 <= size <= MAX_RECORD + 64:
            break
        body = file.read(size - 8)
        seen.breaks_off, body = len(body) < size - 8, body[:-4]
        if kind == 1 and len(body) >= 8:
            interfaces.append((struct.unpack(order + "H", body[:2])[0], _resolution(body[8:], order)))
        elif kind == 6 and len(body) >= 20:
            number, high, low, captured = struct.unpack(order + "IIII", body[:16])
            if number < len(interfaces):
                link, unit = interfaces[number]
                yield ((high << 32) | low) * unit, link, body[20 : 20 + captured]
        elif kind == 3 and interfaces:
            yield 0.0, interfaces[0][0], body[4:]
    seen.breaks_off |= bool(head)


def _resolution(options: bytes, order: str) -> float:
    """if_tsresol (option 9) in seconds per tick; microseconds when absent."""
    while len(options) >= 4:
        code, size = struct.unpack(order + "HH", options[:4])
        if code == 9 and size >= 1 and len(options) > 4:
            value = options[4]
            return 2.0 ** -(value & 0x7F) if value & 0x80 else 10.0 ** -min(value, 18)
        if code == 0:
            break
        options = options[4 + size + (-size % 4) :]
    return 1e-6


class _Segment(NamedTuple):
    """What an IP packet carries."""

    protocol: int  # _UDP or _TCP
    source: str  # host
    destination: str
    payload: bytes  # at least a UDP header


def _segment(link: int, data: bytes, time: float, fragments: Reassembler) -> _Segment | None:
    """What a frame carries over IP; None for everything else, such as a piece of a datagram."""
    packet = _ip(link, data)
    version = packet[0] >> 4 if packet else 0
    try:
        segment = _ipv4(packet, time, fragments) if version == 4 else _ipv6(packet, time, fragments) if version == 6 else None
    except ValueError:
        return None
    return segment if segment is not None and len(segment.payload) >= 8 else None


def _ip(link: int, data: bytes) -> bytes:
    """The IP packet inside a link-layer frame, or nothing."""
    if link == ETHERNET:
        start, kind = 14, int.from_bytes(data[12:14], "big")
        while kind in (_VLAN, _QINQ) and len(data) >= start + 4:
            kind, start = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
        return data[start:] if kind in (_IPV4, _IPV6) else b""
    if link == SLL:
        return data[16:] if int.from_bytes(data[14:16], "big") in (_IPV4, _IPV6) else b""
    if link == SLL2:
        return data[20:] if int.from_bytes(data[0:2], "big") in (_IPV4, _IPV6) else b""
    if link in _RAWS:
        return data
    return data[4:] if link == NULL else b""


def _ipv4(packet: bytes, time: float, fragments: Reassembler) -> _Segment | None:
    start = (packet[0] & 0x0F) * 4
    if len(packet) < start or start < 20 or packet[9] not in (_UDP, _TCP):
        return None
    size, place = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[6:8], "big")
    payload: bytes | None = packet[start:]
    if place & 0x3FFF:
        if len(packet) < size:
            return None  # the capture kept only its beginning
        key = packet[4:6] + packet[9:10] + packet[12:20]
        payload = fragments.push(key, (place & 0x1FFF) * 8, bool(place & 0x2000), packet[start:size], time)
    elif packet[9] == _TCP and size:  # unlike UDP it does not say where it ends, and a frame may be filled up
        payload = packet[start:size]
    if payload is None:
        return None
    source, destination = (".".join(map(str, packet[at : at + 4])) for at in (12, 16))
    return _Segment(packet[9], source, destination, payload)


def _ipv6(packet: bytes, time: float, fragments: Reassembler) -> _Segment | None:
    if len(packet) < 48:
        return None
    size, protocol = 40 + int.from_bytes(packet[4:6], "big"), packet[6]
    payload: bytes | None = packet[40:]
    if protocol == _FRAGMENT:
        protocol, place = packet[40], int.from_bytes(packet[42:44], "big")
        if len(packet) < size:
            return None
        payload = fragments.push(packet[8:40] + packet[44:48], place & 0xFFF8, bool(place & 1), packet[48:size], time)
    elif protocol == _TCP:
        payload = packet[40:size]
    if payload is None or protocol not in (_UDP, _TCP):  # other extension headers do not occur on media
        return None
    source, destination = ("[" + ":".join(packet[at + k : at + k + 2].hex() for k in range(0, 16, 2)) + "]" for at in (8, 24))
    return _Segment(protocol, source, destination, payload)


def _datagram(time: float, segment: _Segment) -> Datagram:
    """A UDP segment (RFC 768)."""
    payload = segment.payload
    first, second, size = struct.unpack("!HHH", payload[:6])
    whole = len(payload) >= size
    return Datagram(time, f"{segment.source}:{first}", f"{segment.destination}:{second}", payload[8 : max(8, size)], whole)


def _messages(time: float, segment: _Segment, conversations: Conversations) -> Iterator[Datagram]:
    """The SIP messages that a TCP segment (RFC 9293) completes."""
    payload = segment.payload
    first, second, number = struct.unpack("!HHI", payload[:8])
    start = (payload[12] >> 4) * 4 if len(payload) >= 20 else 0
    source, destination = f"{segment.source}:{first}", f"{segment.destination}:{second}"
    for message in conversations.push(f"{source} {destination}", number, payload[start:] if start >= 20 else b""):
        yield Datagram(time, source, destination, message)
