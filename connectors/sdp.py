"""Session descriptions (RFC 8866): where RTP audio is to be sent, and what its payload types mean there. Pure.

Browsers' offers are read by aiortc, which answers them. Those of telephones are read here: aiortc refuses a description as a
whole for one line that it does not know (a fax section, a port with a count), which a look at somebody else's call must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import islice, pairwise
from typing import NamedTuple

from connectors.codecs import CodecSpec, checked_type, parse_codec

MAX_SECTIONS = 16  # media sections that are looked at
MAX_TYPES = 16  # payload types of one section that are kept
EVENTS = "TELEPHONE-EVENT"
_MEDIA = re.compile(r"m=audio (\d{1,5})(?:/\d{1,5})? ([\w/]{1,32})(?: .*)?", re.ASCII)
_CONNECTION = re.compile(r"c=IN IP[46] ([0-9A-Fa-f:.]{2,45})(?:/.*)?\s*", re.ASCII)
_RTPMAP = re.compile(r"a=rtpmap:(\d{1,3}) +([\w.-]{1,32})(/[\d/]{1,12})?\s*", re.ASCII)


class AudioMedia(NamedTuple):
    """One audio section that was not refused."""

    address: str  # ip:port that RTP is to be sent to; an IPv6 address in full, between brackets
    types: dict[int, CodecSpec | None]  # payload types that are known here; None: telephone events
    encrypted: bool  # SRTP


def parse_audio(description: bytes) -> list[AudioMedia]:
    """The audio sections of a description, lines that cannot be read left out. ValueError when there is none."""
    lines = [line.decode("ascii", "replace") for line in description.splitlines()]
    if not lines or lines[0].rstrip() != "v=0":
        raise ValueError(f'description of {len(description)} bytes does not begin with "v=0"')
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    usual = _host(lines[: starts[0]]) if starts else None
    sections = [lines[start:end] for start, end in islice(pairwise([*starts, len(lines)]), MAX_SECTIONS)]
    found = [media for section in sections if (media := _audio(section, usual)) is not None]
    if not found:
        raise ValueError(f"description of {len(starts)} media sections names no address for RTP audio")
    return found


def _audio(section: list[str], usual: str | None) -> AudioMedia | None:
    """A section, if it is audio over RTP that somebody is to send; `usual` is the session's address."""
    media, host = _MEDIA.fullmatch(section[0]), _host(section) or usual
    if media is None or host is None or not 0 < int(media[1]) < 65536 or "RTP/" not in media[2]:
        return None
    return AudioMedia(f"{host}:{int(media[1])}", _types(section), "SAVP" in media[2])


def _host(lines: Iterable[str]) -> str | None:
    """The address of a connection line. Names are not looked up, and 0.0.0.0 says that nothing is to be sent."""
    match = next((match for line in lines if (match := _CONNECTION.fullmatch(line)) is not None), None)
    try:
        address = ip_address(match[1]) if match is not None else None
    except ValueError:
        return None
    if address is None or address.is_unspecified:
        return None
    return str(address) if address.version == 4 else f"[{address.exploded}]"


def _types(section: Iterable[str]) -> dict[int, CodecSpec | None]:
    types: dict[int, CodecSpec | None] = {}
    for line in section:
        if (match := _RTPMAP.fullmatch(line)) is None:
            continue
        try:
            number, name = checked_type(int(match[1])), match[2].upper()
            types[number] = None if name == EVENTS else parse_codec(name + (match[3] or ""), number)
        except ValueError:
            continue  # a codec that is not known here: another of the section may be
        if len(types) == MAX_TYPES:
            break
    return types
