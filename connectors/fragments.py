"""IP fragments to whole datagrams (RFC 791 section 3.2, RFC 8200 section 4.5). Pure and bounded.

Signalling with long descriptions is what arrives in pieces, and audio of many channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_DATAGRAMS = 64  # incomplete at once, oldest dropped
MAX_FRAGMENTS = 128  # of one datagram: 64 KiB in packets of 576 bytes, which everybody carries
MAX_SIZE = 65535  # bytes of one datagram
WAIT_S = 30.0  # for the rest of a datagram: later its number may be another's


@dataclass(slots=True)
class _Pieces:
    begun: float
    held: dict[int, bytes] = field(default_factory=dict)  # by the offset in bytes
    size: int | None = None  # of the whole, once its last piece is there


class Reassembler:
    """Pieces in any order, each twice if need be; a datagram whose pieces contradict each other is given up."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Pieces] = {}

    def push(self, key: bytes, offset: int, more: bool, piece: bytes, now: float) -> bytes | None:
        """A piece at `offset` bytes of the datagram that `key` tells from others -> the whole, if this completes it.
        ValueError for one that cannot be; what was held of its datagram is then forgotten."""
        pieces = self._open.get(key)
        if pieces is None or abs(now - pieces.begun) > WAIT_S:  # captures of several interfaces may step back
            self._open.pop(key, None)
            pieces = self._open[key] = _Pieces(now)
            if len(self._open) > MAX_DATAGRAMS:
                del self._open[next(iter(self._open))]
        try:
            whole = _add(pieces, offset, more, piece)
        except ValueError:
            del self._open[key]
            raise
        if whole is not None:
            del self._open[key]
        return whole


def _add(pieces: _Pieces, offset: int, more: bool, piece: bytes) -> bytes | None:
    end = offset + len(piece)
    if not piece or end > MAX_SIZE or (more and len(piece) % 8):
        raise ValueError(f"fragment of {len(piece)} bytes at {offset} cannot be")
    if len(pieces.held) == MAX_FRAGMENTS and offset not in pieces.held:
        raise ValueError(f"datagram of more than {MAX_FRAGMENTS} fragments")
    if pieces.held.setdefault(offset, piece) != piece or (not more and pieces.size not in (None, end)):
        raise ValueError(f"fragment of {len(piece)} bytes at {offset} contradicts an earlier one")
    if not more:
        pieces.size = end
    held = sum(map(len, pieces.held.values()))
    if pieces.size is None or held < pieces.size:
        return None
    reached = 0
    for start in sorted(pieces.held):
        if start != reached:  # RFC 5722: no overlaps
            raise ValueError(f"fragments overlap at {start} of {pieces.size} bytes")
        reached += len(pieces.held[start])
    if reached != pieces.size:
        raise ValueError(f"fragments reach to {reached}, beyond the end at {pieces.size}")
    return b"".join(pieces.held[start] for start in sorted(pieces.held))
