"""A load generator: N G.711 callers in one process of their own, paced by the clock, one system call per 1 ms tick.

`sendmmsg` lets one Python process offer 100,000 packets a second, so that a benchmark measures the engine and not
the generator. Linux only. It sends to IPv4 loopback addresses only and stops by itself after `seconds`.
"""

from __future__ import annotations

import argparse
import ctypes
import ipaddress
import json
import socket
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PACKET_MS = 20
PAYLOAD = 160  # G.711: one byte a sample, 8000 samples a second
HEADER = 12
STARTS = 8  # packets over which the callers begin: otherwise all chunks of all calls would be complete at once


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("sent", ctypes.c_uint))


@dataclass(frozen=True)
class LoadResult:
    sent: int  # packets handed to the kernel
    seconds: float
    late_ticks: int  # ticks sent more than 5 ms after their time: the generator itself was starved
    cpu_seconds: float


class LoadGenerator:
    """Callers `targets` = [(host, port)], each speaking `speech` (mu-law bytes, looped) from its own offset."""

    def __init__(self, targets: list[tuple[str, int]], speech: bytes) -> None:
        for host, _ in targets:
            address = ipaddress.ip_address(host)
            if address.version != 4 or not address.is_loopback:
                raise ValueError(f"the load generator sends to IPv4 loopback only, not to {host}")
        if len(speech) < PAYLOAD:
            raise ValueError(f"{len(speech)} bytes of speech are less than one packet of {PAYLOAD}")
        self._count = len(targets)
        self._speech = np.frombuffer(speech[: len(speech) // PAYLOAD * PAYLOAD], np.uint8).reshape(-1, PAYLOAD)
        self._offsets = np.arange(self._count) * 131 % len(self._speech)
        self._packets = self._first_packets()
        self._addresses = [self._sockaddr(host, port) for host, port in targets]
        self._messages = self._message_array()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._libc = ctypes.CDLL(None, use_errno=True)

    def run(self, seconds: float) -> LoadResult:
        """Send for `seconds`. Callers begin spread over the first 160 ms, as calls that know nothing of each other do."""
        ticks = int(seconds * 1000)
        bounds = [self._count * k // PACKET_MS for k in range(PACKET_MS + 1)]
        start, cpu = time.monotonic(), time.process_time()
        sent = late = 0
        for tick in range(ticks):
            lag = time.monotonic() - (start + tick / 1000)
            if lag < 0:
                time.sleep(-lag)
            late += lag > 0.005
            phase, index = tick % PACKET_MS, tick // PACKET_MS
            first, last = bounds[phase], bounds[phase + 1]
            begun = -(-(last - first) * min(index + 1, STARTS) // STARTS)
            sent += self._send(first, first + begun, index)
        return LoadResult(sent, time.monotonic() - start, late, time.process_time() - cpu)

    def _send(self, first: int, last: int, index: int) -> int:
        if first == last:
            return 0
        rows = self._packets[first:last]
        rows[:, 2:4] = np.frombuffer(int(index & 0xFFFF).to_bytes(2, "big"), np.uint8)
        rows[:, 4:8] = np.frombuffer(int(index * PAYLOAD & 0xFFFFFFFF).to_bytes(4, "big"), np.uint8)
        rows[:, HEADER:] = self._speech[(self._offsets[first:last] + index) % len(self._speech)]
        done, sent = first, 0
        while done < last:
            part = ctypes.byref(self._messages, done * ctypes.sizeof(_Mmsghdr))
            count = self._libc.sendmmsg(self._socket.fileno(), part, last - done, 0)
            if count < 0:  # the kernel refuses this one: skip it, keep the others alive
                done += 1
                continue
            done, sent = done + count, sent + count
        return sent

    def _first_packets(self) -> NDArray[np.uint8]:
        packets = np.zeros((self._count, HEADER + PAYLOAD), np.uint8)
        packets[:, 0] = 0x80
        packets[:, 8:12] = (np.arange(self._count, dtype=">u4") + 0x10000).view(np.uint8).reshape(-1, 4)
        return packets

    @staticmethod
    def _sockaddr(host: str, port: int) -> ctypes.Array[ctypes.c_char]:
        raw = socket.AF_INET.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)
        return ctypes.create_string_buffer(raw, 16)

    def _message_array(self) -> ctypes.Array[_Mmsghdr]:
        width, base = self._packets.shape[1], self._packets.ctypes.data
        self._iovecs = (_Iovec * self._count)(*[_Iovec(base + i * width, width) for i in range(self._count)])
        messages = (_Mmsghdr * self._count)()
        for i, address in enumerate(self._addresses):
            header = messages[i].header
            header.name, header.namelen = ctypes.addressof(address), 16
            header.iov = ctypes.addressof(self._iovecs) + i * ctypes.sizeof(_Iovec)
            header.iovlen = 1
        return messages


def main() -> int:
    """Read {"targets": [[host, port]...], "speech": path, "seconds": s} on stdin, print a LoadResult as JSON."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    job = json.load(sys.stdin)
    with open(job["speech"], "rb") as file:
        speech = file.read()
    generator = LoadGenerator([(host, port) for host, port in job["targets"]], speech)
    print("ready", flush=True)
    result = generator.run(float(job["seconds"]))
    print(json.dumps(result.__dict__), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
