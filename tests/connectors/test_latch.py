"""Whose packets a port takes: stray packets, addresses that change in mid-call, and who tries to take a call over."""

from __future__ import annotations

import pytest

from connectors.latch import REBOUND_QUIET_S, ROW, SETTLED, STRAY_QUIET_S, Source
from connectors.udp import FOREIGN_QUIET_S, RtpEndpoint
from engine.audio import AudioFrame
from tests.connectors.packets import heard, packet, receiver

CALLER, OTHER = ("192.0.2.7", 4000), ("198.51.100.9", 52001)


class Leg:
    """A port with a clock, and what was heard on it."""

    def __init__(self, declared: Source | None = None) -> None:
        self.now = 100.0
        self.frames: list[AudioFrame] = []
        self.told: list[float] = []
        self.endpoint = RtpEndpoint(receiver(), self._hear, declared=declared, clock=lambda: self.now)
        self.endpoint.on_foreign = self.told.append

    def _hear(self, frame: AudioFrame, now: float) -> None:
        self.frames.append(frame)

    def send(self, address: tuple[str, int], numbers: range, ssrc: int = 0x5EED, payload_type: int = 0) -> None:
        for number in numbers:
            self.now += 0.02
            self.endpoint.datagram_received(packet(number, ssrc=ssrc, payload_type=payload_type).serialize(), address)
            self.endpoint.poll(self.now)


@pytest.mark.parametrize("ssrc", [0x5EED, 0xBAD])
@pytest.mark.parametrize("strays", [1, SETTLED - 1])
def test_stray_packets_at_first_lose_no_call(strays: int, ssrc: int) -> None:
    leg = Leg()
    leg.send(OTHER, range(40_000, 40_000 + strays), ssrc)
    leg.send(CALLER, range(60))
    assert leg.endpoint.source == "192.0.2.7:4000"
    lost = round(STRAY_QUIET_S / 0.02) + ROW
    assert heard(leg.frames)[-(60 - lost) :] == list(range(lost, 60))
    assert leg.told == []


def test_of_two_that_send_at_once_from_the_first_packet_on_the_first_is_heard() -> None:
    leg = Leg()
    for number in range(120):
        leg.send(CALLER, range(number, number + 1))
        leg.send(OTHER, range(number, number + 1), 0xBAD)
    assert leg.endpoint.source == "192.0.2.7:4000"
    assert heard(leg.frames) == [*range(120)]


def test_a_stream_that_goes_on_from_another_address_is_followed() -> None:
    leg = Leg()
    leg.send(CALLER, range(SETTLED))
    leg.now += REBOUND_QUIET_S
    leg.send(OTHER, range(SETTLED + 20, SETTLED + 60))
    assert leg.endpoint.source == "198.51.100.9:52001"
    assert heard(leg.frames)[-30:] == list(range(SETTLED + 30, SETTLED + 60))
    assert any(frame.lost for frame in leg.frames), "what was sent meanwhile is lost, and said to be"


@pytest.mark.parametrize(("ssrc", "start"), [(0xBAD, SETTLED + 20), (0x5EED, 30_000)])
def test_another_stream_is_not_followed_and_neither_is_one_that_only_knows_its_name(ssrc: int, start: int) -> None:
    leg = Leg()
    leg.send(CALLER, range(SETTLED))
    leg.now += 60
    leg.send(OTHER, range(start, start + 500), ssrc)
    assert leg.endpoint.source == "192.0.2.7:4000"
    assert (len(leg.frames), leg.endpoint.foreign) == (SETTLED, 500)


def test_who_sends_in_the_caller_s_name_while_the_caller_is_heard_takes_nothing_over() -> None:
    leg = Leg()
    leg.send(CALLER, range(SETTLED))
    for number in range(SETTLED, SETTLED + 200):
        leg.send(OTHER, range(number, number + 1))
        leg.send(CALLER, range(number, number + 1))
    assert leg.endpoint.source == "192.0.2.7:4000"


@pytest.mark.parametrize("declared", [Source("192.0.2.7"), Source("192.0.2.7", 4000)])
def test_a_declared_host_stays_the_only_one(declared: Source) -> None:
    leg = Leg(declared)
    leg.send(CALLER, range(2))
    leg.now += 60
    leg.send(OTHER, range(2, 100))
    assert (leg.endpoint.source, len(leg.frames)) == ("192.0.2.7:4000", 2)


def test_the_port_of_a_declared_host_may_change_unless_it_is_declared_too() -> None:
    for declared, port in ((Source("192.0.2.7"), 4002), (Source("192.0.2.7", 4000), 4000)):
        leg = Leg(declared)
        leg.send(CALLER, range(SETTLED))
        leg.now += REBOUND_QUIET_S
        leg.send(("192.0.2.7", 4002), range(SETTLED, SETTLED + 60))
        assert leg.endpoint.source == f"192.0.2.7:{port}"


def test_it_is_told_once_a_silence_that_only_somebody_else_sends() -> None:
    leg = Leg()
    leg.send(CALLER, range(SETTLED))
    leg.send(OTHER, range(500), 0xBAD)
    assert len(leg.told) == 1
    assert leg.told[0] - leg.endpoint.last_packet == pytest.approx(FOREIGN_QUIET_S, abs=0.03)
    leg.send(CALLER, range(SETTLED, SETTLED + 2))
    leg.send(OTHER, range(500, 1000), 0xBAD)
    assert len(leg.told) == 2


def test_of_stray_packets_and_other_payload_types_nothing_is_told() -> None:
    leg = Leg()
    leg.send(CALLER, range(SETTLED))
    leg.now += 60
    for number in (7, 90, 4, 1000, 33, 8000):
        leg.send(OTHER, range(number, number + ROW - 1), 0xBAD)
    leg.send(OTHER, range(500), 0xBAD, payload_type=50)
    assert leg.told == []


def test_where_the_wrong_source_was_declared_that_is_told() -> None:
    leg = Leg(Source("192.0.2.8"))
    leg.send(CALLER, range(100))
    assert (len(leg.told), leg.frames) == (1, [])
