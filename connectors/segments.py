"""SIP over TCP: segments to whole messages (RFC 3261 section 18.3). Pure and bounded; a message that has a hole is given up."""

from __future__ import annotations

import re
from typing import NamedTuple

from connectors.signalling import begins_message

MAX_CONNECTIONS = 64  # with an incomplete message at once, oldest dropped
MAX_SEGMENTS = 64  # of one message
MAX_MESSAGE = 65535  # bytes
MAX_TOGETHER = 64  # messages of one segment, the rest dropped
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class _Begun(NamedTuple):
    """A message whose end is still to come."""

    following: int  # sequence number of the byte after it
    held: bytes
    segments: int


class Conversations:
    """One direction each of the connections in a capture."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    def push(self, key: str, number: int, payload: bytes) -> list[bytes]:
        """The bytes from sequence number `number` on -> the messages that they complete. Nothing raises."""
        begun = self._begun.get(key)
        ahead = 0 if begun is None else (number - begun.following) & 0xFFFFFFFF
        if not payload or ahead >= 1 << 31:
            return []  # a mere acknowledgement; sent again
        self._begun.pop(key, None)
        known, segments = (begun.held, begun.segments) if begun is not None and not ahead else (b"", 0)
        messages, rest = _split(known + payload)
        segments = 1 if messages else segments + 1
        if rest and len(rest) <= MAX_MESSAGE and segments < MAX_SEGMENTS:
            self._begun[key] = _Begun((number + len(payload)) & 0xFFFFFFFF, rest, segments)
            if len(self._begun) > MAX_CONNECTIONS:
                del self._begun[next(iter(self._begun))]
        return messages


def _split(stream: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages that a stream begins with, and the beginning of another; what is no SIP is dropped."""
    messages: list[bytes] = []
    while begins_message(stream := stream.lstrip(b"\r\n")) and len(messages) < MAX_TOGETHER:
        head, blank, body = stream.partition(b"\r\n\r\n")
        match = _LENGTH.search(head)
        size = int(match[1]) if match is not None else 0
        if not blank or len(body) < size:
            return messages, stream
        messages.append(head + blank + body[:size])
        stream = body[size:]
    return messages, b""
