"""What the SIP in a capture says about its RTP: what the payload types of a stream mean, and whether it is encrypted. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from connectors.codecs import CodecSpec
from connectors.sdp import AudioMedia, parse_audio

MAX_ADDRESSES = 16384  # of which something is known, oldest dropped
MAX_CHANGES = 8  # of what is known of one address, oldest dropped
_SIP = re.compile(rb"SIP/2\.0 \d{3} |[A-Z]{2,16} [^ \r\n]{1,512} SIP/2\.0\r?\n")
_DESCRIPTION = re.compile(rb"^v=0\r?\n(?:[a-z]=[^\r\n]*(?:\r?\n|\Z))+", re.MULTILINE)


class Terms(NamedTuple):
    """What was agreed on for one stream."""

    types: Mapping[int, CodecSpec | None]  # None: telephone events
    encrypted: bool


def begins_message(data: bytes) -> bool:
    """Whether this is the beginning of a SIP message: its first line."""
    return _SIP.match(data) is not None


def parse_message(message: bytes) -> list[AudioMedia]:
    """The audio that a SIP message describes, be it in one part of several. ValueError when it is no SIP or describes none."""
    if not begins_message(message):
        raise ValueError(f"{len(message)} bytes are no SIP message")
    found = _DESCRIPTION.search(message) if b"application/sdp" in message.lower() else None
    if found is None:
        raise ValueError(f"SIP message of {len(message)} bytes holds no session description")
    return parse_audio(found[0])


class Signalling:
    """The descriptions of a capture, by the address that media is to be sent to."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[float, AudioMedia]]] = {}

    def receive(self, message: bytes, now: float) -> None:
        """A datagram, or a message that came over TCP; what describes no audio changes nothing."""
        try:
            described = parse_message(message)
        except ValueError:
            return
        for media in described:
            told = self._told.setdefault(media.address, [])
            if not told or told[-1][1] != media:  # INVITEs are sent again, and a 200 says what the 183 said
                told.append((now, media))
                del told[:-MAX_CHANGES]
            if len(self._told) > MAX_ADDRESSES:
                del self._told[next(iter(self._told))]

    def terms(self, source: str, destination: str, begin: float, end: float) -> Terms | None:
        """What was agreed on for a stream between those times, if that is known.

        Who receives a stream has said what its payload types mean. Where it did so for another address, behind a NAT say, what
        the sender takes itself is the next best: an answer keeps the offer's numbers (RFC 3264 section 6.1).
        """
        for address in (destination, source):
            told = self._told.get(address, [])
            first = max((index for index, (time, _) in enumerate(told) if time <= begin), default=0)
            valid = [media for time, media in told[first:] if time <= end]
            if valid:
                types = {number: codec for media in valid for number, codec in media.types.items()}
                return Terms(types, valid[-1].encrypted)
        return None
