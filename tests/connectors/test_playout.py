"""Prompts out of a leg's own socket, to a second socket on loopback."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import uvloop

from connectors.codecs import parse_codec
from connectors.g711 import decode_mu_law, encode_mu_law
from connectors.rtp import RtpPacket, parse
from connectors.udp import RtpEndpoint, Source, open_endpoint
from engine.audio import Samples
from tests.connectors.held_up import HeldUp
from tests.connectors.packets import packet, receiver
from tests.connectors.test_udp import Heard, free_range


class Phone(asyncio.DatagramProtocol):
    """The far end: what it is sent, with the time of its coming."""

    def __init__(self) -> None:
        self.got: list[tuple[float, RtpPacket]] = []
        self.senders: set[tuple[str, int]] = set()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.senders.add(addr)
        self.got.append((time.monotonic(), parse(data)))

    def send(self, endpoint: RtpEndpoint, datagram: bytes) -> None:
        self.transport.sendto(datagram, (endpoint.host, endpoint.port))

    @property
    def packets(self) -> list[RtpPacket]:
        return [packet for _, packet in self.got]


class Line:
    """A leg, and the phone that it hears; `also` is another that it must not talk to."""

    def __init__(self, endpoint: RtpEndpoint, heard: Heard, phone: Phone, also: Phone) -> None:
        self.endpoint, self.heard, self.phone, self.also = endpoint, heard, phone, also

    async def latch(self) -> None:
        self.phone.send(self.endpoint, packet(0).serialize())
        await self.heard.until(1)

    async def silence(self) -> None:
        """Until nothing plays any more, and what was sent has come."""
        async with asyncio.timeout(60):
            while (player := self.endpoint.player()) is not None and player.playing:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.03)


async def dial(codec: str = "PCMU", declared: Source | None = None) -> Line:
    heard, spec = Heard(), parse_codec(codec)
    endpoint = await open_endpoint(free_range(), receiver(codec), heard, declared=declared, codec=spec)
    phones = []
    for _ in range(2):
        _, phone = await asyncio.get_running_loop().create_datagram_endpoint(Phone, local_addr=("127.0.0.1", 0))
        phones.append(phone)
    return Line(endpoint, heard, *phones)


def hang_up(line: Line) -> None:
    line.endpoint.close()
    for phone in (line.phone, line.also):
        phone.transport.close()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = await dial()
    yield made
    hang_up(made)


def chirp(seconds: float, rate: int = 8000) -> Samples:
    at = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * (300 + 400 * at) * at)).astype(np.int16)


def tasks() -> int:
    return len(asyncio.all_tasks())


async def two_seconds() -> tuple[Line, Samples, float, float]:
    """A prompt of two seconds, all of it received; how long `play` said that it would take; the machine's hold-ups."""
    line, sound = await dial(), chirp(2.0)
    await line.latch()
    player = line.endpoint.player()
    assert player is not None
    async with HeldUp() as held:
        now = time.monotonic()
        takes = player.play(sound, 8000, now) - now
        await line.silence()
    hang_up(line)
    return line, sound, takes, held.seconds


def check_pace(times: np.ndarray, held: float) -> None:
    """Nothing makes it early; late by what the machine was held up. Jitter is the machine's own once it was."""
    assert 1.94 < times[-1] - times[0] + 0.02 < 2.05 + 2 * held
    spacing, jitter = np.diff(times), 0.0
    for each in np.abs(spacing - 0.02):  # RFC 3550 section 6.4.1
        jitter += (each - jitter) / 16
    assert held > 0.05 or (np.median(spacing) == pytest.approx(0.02, abs=0.0015) and jitter < 0.005)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "the service's own loop"])
def test_two_seconds_of_prompt_take_two_seconds_and_arrive_as_they_were(run: Callable[[Any], Any]) -> None:
    line, sound, takes, held = run(two_seconds())
    packets = line.phone.packets
    check_pace(np.array([at for at, _ in line.phone.got]), held)
    assert takes == pytest.approx(2.0)
    assert {p.ssrc for p in packets} == {packets[0].ssrc}
    assert [(p.sequence - packets[0].sequence) & 0xFFFF for p in packets] == list(range(100))
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)]
    assert [p.marker for p in packets] == [True] + [step > 160 for step in steps]
    assert min(steps) == 160
    assert sum(steps) - 99 * 160 <= 2 * held * 8000
    assert {p.payload_type for p in packets} == {0}
    assert (decode_mu_law(b"".join(p.payload for p in packets)) == decode_mu_law(encode_mu_law(sound))).all()
    assert line.phone.senders == {(line.endpoint.host, line.endpoint.port)}
    assert line.also.got == []


async def test_a_loop_that_was_held_up_sends_no_burst_and_loses_no_word(line: Line) -> None:
    await line.latch()
    player, sound = line.endpoint.player(), chirp(0.3)
    assert player is not None
    began = time.monotonic()
    ends = player.play(sound, 8000, began)
    await asyncio.sleep(0.05)
    time.sleep(0.15)  # noqa: ASYNC251
    await line.silence()
    packets = line.phone.packets
    assert time.monotonic() > ends + 0.1
    assert b"".join(p.payload for p in packets) == encode_mu_law(sound)
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)]
    assert max(steps) >= 160 + 0.09 * 8000
    late = steps.index(max(steps)) + 1
    resumed = line.phone.got[late][0]
    assert sum(1 for at, _ in line.phone.got[late:] if at < resumed + 0.01) == 1
    assert [p.marker for p in packets] == [True] + [step > 160 for step in steps]


async def test_without_a_source_there_is_nobody_to_play_to(line: Line) -> None:
    player = line.endpoint.player()
    assert player is not None
    with pytest.raises(ValueError, match="no source yet"):
        player.play(chirp(0.1), 8000, time.monotonic())
    line.phone.send(line.endpoint, b"\x80\xc8" + bytes(26))  # RTCP latches nothing
    await asyncio.sleep(0.02)
    with pytest.raises(ValueError, match="no source yet"):
        player.play(chirp(0.1), 8000, time.monotonic())
    assert not player.playing
    assert line.phone.got == []


async def test_a_declared_source_is_played_to_only_once_it_was_heard_and_where_it_sends_from() -> None:
    line = await dial(declared=Source("127.0.0.1"))
    player = line.endpoint.player()
    assert player is not None
    with pytest.raises(ValueError, match="no source yet"):
        player.play(chirp(0.1), 8000, time.monotonic())
    await line.latch()
    line.also.send(line.endpoint, packet(1).serialize())
    player.play(chirp(0.06), 8000, time.monotonic())
    await line.silence()
    assert (len(line.phone.got), len(line.also.got)) == (3, 0)
    hang_up(line)


async def test_nothing_runs_unless_something_plays(line: Line) -> None:
    await line.latch()
    before = tasks()
    player = line.endpoint.player()
    assert player is line.endpoint.player()
    assert player is not None
    assert (tasks(), player.playing) == (before, False)
    player.play(chirp(0.04), 8000, time.monotonic())
    assert (tasks(), player.playing) == (before + 1, True)
    await line.silence()
    assert (tasks(), player.playing) == (before, False)
    await asyncio.sleep(0.05)
    assert len(line.phone.got) == 2


async def test_stop_cuts_a_prompt_off_and_the_next_one_begins_with_a_marker(line: Line) -> None:
    await line.latch()
    player = line.endpoint.player()
    assert player is not None
    player.play(chirp(2.0), 8000, time.monotonic())
    with pytest.raises(ValueError, match="being played already"):
        player.play(chirp(0.1), 8000, time.monotonic())
    await asyncio.sleep(0.1)
    player.stop()
    player.stop()
    assert not player.playing
    await asyncio.sleep(0.02)
    first = len(line.phone.got)
    assert 3 <= first <= 8
    await asyncio.sleep(0.06)
    assert len(line.phone.got) == first
    player.play(chirp(0.04), 8000, time.monotonic())
    await line.silence()
    before, after = line.phone.packets[first - 1 : first + 1]
    assert len(line.phone.got) == first + 2
    assert after.marker
    assert after.sequence == (before.sequence + 1) & 0xFFFF
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF > 640
    assert after.ssrc == before.ssrc


async def test_a_prompt_ends_with_its_call_and_none_begins_after_it(line: Line) -> None:
    await line.latch()
    before = tasks()
    player = line.endpoint.player()
    assert player is not None
    player.play(chirp(2.0), 8000, time.monotonic())
    await asyncio.sleep(0.03)
    line.endpoint.close()
    await asyncio.sleep(0.03)
    assert (player.playing, tasks()) == (False, before)
    with pytest.raises(ValueError, match="the leg is closed"):
        player.play(chirp(0.1), 8000, time.monotonic())


async def test_what_is_played_and_comes_back_is_not_heard(line: Line) -> None:
    await line.latch()
    player = line.endpoint.player()
    assert player is not None
    player.play(chirp(0.2), 8000, time.monotonic())
    await line.silence()
    for sent in line.phone.packets:
        line.phone.send(line.endpoint, sent.serialize())
    line.phone.send(line.endpoint, packet(1).serialize())
    await line.heard.until(2)
    assert [len(frame.samples) for frame in line.heard] == [160, 160]
    assert line.endpoint.receiver.stats.foreign == 10
    assert line.endpoint.receiver.ssrc == packet(0).ssrc


async def test_a_leg_of_no_stated_codec_can_only_be_listened_to() -> None:
    endpoint = await open_endpoint(free_range(), receiver(), Heard())
    assert endpoint.player() is None
    endpoint.close()


async def test_a_prompt_that_breaks_ends_alone(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    await line.latch()
    player = line.endpoint.player()
    assert player is not None
    player.play(chirp(1.0), 8000, time.monotonic())

    def broken(datagram: bytes) -> None:
        raise RuntimeError("no more packets today")

    with monkeypatch.context() as patch:
        patch.setattr(line.endpoint, "send", broken)
        await line.silence()
    assert not player.playing
    assert player.left_s > 0.9, "and is not taken for heard to its end"
    player.play(chirp(0.02), 8000, time.monotonic())
    await line.silence()
    assert player.left_s == 0
    assert len(line.phone.got) == 1
