"""Packets of a line that nobody listens to, thrown away by the kernel.

To take a packet out of its socket and find that it is not wanted costs half of what it costs to hear it; where time has run
out that half is missing to those who are heard. A filter on the socket lets one RTP packet in KEPT through, by its sequence
number, so that the line is still known to live. Linux only; elsewhere every packet comes, as ever.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from contextlib import suppress

KEPT = 8
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
SEQUENCE = 8 + 2  # behind the UDP header, at which a filter of a UDP socket begins (RFC 3550 section 5.1)
# Classic BPF: (code, jump if true, jump if false, constant).
PROGRAM = (
    (0x28, 0, 0, SEQUENCE),  # load the sequence number
    (0x54, 0, 0, KEPT - 1),  # its last bits
    (0x15, 0, 1, 0),  # zero?
    (0x06, 0, 0, 0xFFFF),  # take all of it
    (0x06, 0, 0, 0),  # take nothing
)


def close_sieve(one: socket.socket) -> None:
    """From now on most packets that come are dropped unseen, as far as the system can."""
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in PROGRAM))
    with suppress(OSError):  # forbidden here: then they are looked at
        one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(PROGRAM), ctypes.addressof(code)))


def open_sieve(one: socket.socket) -> None:
    """From now on every packet comes. Safe to repeat."""
    if sys.platform.startswith("linux"):
        with suppress(OSError):  # it was never closed
            one.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
