"""What RTCP says of a sender that is silent, by literal bytes."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.rtcp import reports
from connectors.udp import RtpEndpoint
from tests.connectors.packets import packet, receiver

EMPTY_RR = bytes.fromhex("80c90001 00005eed")
SR = bytes.fromhex("80c80006 00005eed") + bytes(20)
SDES = bytes.fromhex("81ca0003 00005eed 01026162 00000000")
BYE = bytes.fromhex("81cb0001 00005eed")
CALLER = ("192.0.2.7", 4000)


@pytest.mark.parametrize("compound", [EMPTY_RR, SR, EMPTY_RR + SDES, SDES + SR, SR + bytes(3)])
def test_a_report_of_the_sender_says_that_it_is_there(compound: bytes) -> None:
    assert reports(compound, 0x5EED)
    assert not reports(compound, 0x5EEE)
    assert not reports(compound, None)


@pytest.mark.parametrize(
    "compound",
    [
        b"", b"\x80", EMPTY_RR[:7], SDES, BYE, EMPTY_RR + BYE, SR + SDES + BYE, b"\x00" + EMPTY_RR[1:],
        bytes.fromhex("80c9ffff 00005eee") + EMPTY_RR,  # says that it is longer than the datagram
    ],
)  # fmt: skip
def test_what_is_no_report_or_says_farewell_does_not(compound: bytes) -> None:
    assert not reports(compound, 0x5EED)


def held() -> tuple[RtpEndpoint, list[float], list[Any]]:
    """A leg that heard a packet at 1 s and is asked at 9."""
    now, frames = [1.0], list[Any]()
    endpoint = RtpEndpoint(receiver(), lambda frame, _: frames.append(frame), clock=lambda: now[0])
    endpoint.datagram_received(packet(0).serialize(), CALLER)
    now[0] = 9.0
    return endpoint, now, frames


@pytest.mark.parametrize("report", [EMPTY_RR, SR])
@pytest.mark.parametrize("listening", [True, False])
def test_reports_on_the_port_of_sound_keep_a_line_and_are_no_sound(report: bytes, listening: bool) -> None:
    endpoint, _, frames = held()
    endpoint.listen(listening)
    endpoint.datagram_received(report, CALLER)
    assert (endpoint.receiver.last_report, endpoint.last_packet, len(frames)) == (9.0, 1.0, 1)
    if listening:
        assert (endpoint.receiver.stats.rtcp, endpoint.receiver.stats.malformed) == (1, 0)


def test_only_reports_from_the_sender_s_host_and_of_its_stream_keep_a_line() -> None:
    endpoint, _, _ = held()
    endpoint.receive_rtcp(EMPTY_RR, ("198.51.100.9", 4001))
    endpoint.receive_rtcp(EMPTY_RR[:4] + b"\x00\x00\x00\x01", ("192.0.2.7", 4001))
    endpoint.receive_rtcp(EMPTY_RR + BYE, ("192.0.2.7", 4001))
    assert endpoint.receiver.last_report < 0
    endpoint.receive_rtcp(EMPTY_RR, ("192.0.2.7", 4001))
    assert endpoint.receiver.last_report == 9.0


def test_before_anybody_was_heard_no_report_keeps_a_line() -> None:
    endpoint = RtpEndpoint(receiver(), lambda frame, _: None, clock=lambda: 1.0)
    endpoint.receive_rtcp(EMPTY_RR, CALLER)
    assert endpoint.receiver.last_report < 0
