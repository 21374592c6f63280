"""The load generator on loopback: what it sends, to whom, at which pace, and that it counts honestly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.rtp import RtpPacket, parse
from vivavoce import loadgen
from vivavoce.loadgen import LoadGenerator

BLOCKS = 5
SPEECH = b"".join(bytes([block]) * 160 for block in range(BLOCKS)) + b"the rest of a packet"


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        peer.bind(("127.0.0.1", 0))
        peer.setblocking(False)
        yield peer


def drained(peer: socket.socket) -> list[RtpPacket]:
    packets = []
    while True:
        try:
            packets.append(parse(peer.recv(2048)))
        except BlockingIOError:
            return packets


class Clock:
    """Stands in for the time module; every sleep notes what had arrived until then."""

    def __init__(self, ear: socket.socket) -> None:
        self.now, self.ear = 1000.0, ear
        self.heard: list[tuple[int, RtpPacket]] = []  # (ms since the start, packet)
        self.oversleep: dict[int, float] = {}  # ms -> seconds too long
        self.module: Any = SimpleNamespace(monotonic=lambda: self.now, process_time=lambda: 0.0, sleep=self.sleep)

    @property
    def ms(self) -> int:
        return round((self.now - 1000.0) * 1000)

    def sleep(self, seconds: float) -> None:
        self.note()
        self.now += seconds + self.oversleep.pop(self.ms, 0.0)

    def note(self) -> None:
        self.heard += [(self.ms, packet) for packet in drained(self.ear)]


@pytest.fixture
def clock(ear: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(ear)
    monkeypatch.setattr(loadgen, "time", made.module)
    return made


def test_one_caller_is_a_packet_every_20_ms(ear: socket.socket, clock: Clock) -> None:
    result = LoadGenerator([ear.getsockname()], SPEECH).run(0.2)
    clock.note()
    times = [ms for ms, _ in clock.heard]
    assert (result.sent, len(times), result.late_ticks) == (10, 10, 0)
    assert {later - earlier for earlier, later in pairwise(times)} == {20}
    packets = [packet for _, packet in clock.heard]
    assert [p.sequence for p in packets] == list(range(10))
    assert [p.timestamp for p in packets] == [160 * n for n in range(10)]
    assert [p.payload for p in packets] == [bytes([n % BLOCKS]) * 160 for n in range(10)], "speech is looped in whole packets"


def test_many_callers_begin_and_speak_apart_from_each_other(ear: socket.socket, clock: Clock) -> None:
    result = LoadGenerator([ear.getsockname()] * 160, SPEECH).run(0.2)
    clock.note()
    # Eight callers share each millisecond of the 20; one more of them begins with each packet.
    assert result.sent == len(clock.heard) == 20 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 8 + 8)
    last = [packet for _, packet in clock.heard if packet.sequence == 9]
    assert len({packet.ssrc for packet in last}) == 160
    assert {packet.payload[0] for packet in last} == set(range(BLOCKS)), "each caller speaks from a place of its own"
    per_ms = [sum(ms == at for ms, _ in clock.heard) for at in range(181, 200)]
    assert set(per_ms) == {8}, "the load is even, no bursts"


def test_a_starved_generator_says_so_and_leaves_nothing_out(ear: socket.socket, clock: Clock) -> None:
    clock.oversleep[100] = 0.05
    result = LoadGenerator([ear.getsockname()], SPEECH).run(0.2)
    clock.note()
    assert result.sent == len(clock.heard) == 10
    assert 40 <= result.late_ticks <= 50
    assert clock.heard[-1][0] == 199, "it is back in time at the end"


def test_numbers_go_round(ear: socket.socket) -> None:
    generator = LoadGenerator([ear.getsockname()], SPEECH)
    for index in (65535, 65536, (1 << 32) // 160 + 1):
        generator._send(0, 1, index)
    packets = drained(ear)
    assert [p.sequence for p in packets] == [65535, 0, ((1 << 32) // 160 + 1) & 0xFFFF]
    assert packets[-1].timestamp == ((1 << 32) // 160 + 1) * 160 - (1 << 32)


def test_what_the_kernel_refuses_is_not_counted_and_costs_nobody_else(ear: socket.socket, clock: Clock) -> None:
    here = ear.getsockname()
    result = LoadGenerator([here, ("127.0.0.1", 0), here], SPEECH).run(0.1)  # nothing can be sent to port 0
    clock.note()
    assert result.sent == len(clock.heard) == 2 * 5
    assert len({packet.ssrc for _, packet in clock.heard}) == 2


def test_a_port_that_is_gone_costs_nobody_else(ear: socket.socket, clock: Clock) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()
    LoadGenerator([nobody, ear.getsockname()], SPEECH).run(0.1)
    clock.note()
    assert len(clock.heard) == 5


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "0.0.0.0", "::1", "2001:db8::1"])
def test_only_this_machine_is_sent_to(host: str) -> None:
    with pytest.raises(ValueError, match=f"loopback only, not to {host}"):
        LoadGenerator([("127.0.0.1", 9), (host, 9)], SPEECH)


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match=r"example\.org"):
        LoadGenerator([("example.org", 9)], SPEECH)


def started(job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vivavoce.loadgen"]
    return subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=30)


def test_as_a_process_it_reports_what_it_did(ear: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "speech").write_bytes(SPEECH)
    done = started({"targets": [list(ear.getsockname())] * 20, "speech": str(tmp_path / "speech"), "seconds": 0.2})
    ready, report = done.stdout.splitlines()
    result = json.loads(report)
    assert (ready, result["sent"], len(drained(ear))) == ("ready", 200, 200)
    assert result["seconds"] >= 0.198, "the last tick is a millisecond before the end, and no packet is early"
    assert result["cpu_seconds"] >= 0


def test_as_a_process_it_refuses_other_machines(tmp_path: Path) -> None:
    (tmp_path / "speech").write_bytes(SPEECH)
    done = started({"targets": [["192.0.2.1", 9]], "speech": str(tmp_path / "speech"), "seconds": 0.1})
    assert done.returncode != 0
    assert "ready" not in done.stdout
