"""One RTP stream to frames: order, holes, pauses, other sources, digits."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from connectors.g711 import MU_LAW
from connectors.media import ADOPT_AFTER_S, RtpReceiver
from connectors.rtp import RtpPacket
from engine.audio import AudioFrame
from tests.connectors.packets import packet, receiver


def feed(stream: RtpReceiver, numbers: list[int], *, start: int = 0, size: int = 160) -> list[AudioFrame]:
    """Each number at its time, polled in between."""
    frames = []
    for number in numbers:
        now = number * size / 8000
        frames += stream.receive_datagram(packet(number, size=size, start=start).serialize(), now)
        frames += stream.poll(now)
    return frames


def heard(frames: list[AudioFrame]) -> list[int]:
    """Which packet each frame is; -1 for lost, -2 for silence."""
    values = {int(MU_LAW[n]): n for n in range(127)}
    return [-1 if f.lost else values.get(int(f.samples[0]), -2) for f in frames]


def test_packets_in_order_come_out_at_once_with_their_position() -> None:
    frames = feed(receiver(), [0, 1, 2])
    assert heard(frames) == [0, 1, 2]
    assert [f.timestamp for f in frames] == [0, 160, 320]
    assert {f.rate for f in frames} == {8000}


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 40, 60])
def test_any_packet_length(milliseconds: int) -> None:
    stream = receiver()
    frames = feed(stream, list(range(5)), size=8 * milliseconds)
    assert [len(f.samples) for f in frames] == [8 * milliseconds] * 5
    assert stream.position_s == pytest.approx(5 * milliseconds / 1000)


def test_a_swapped_packet_is_put_back() -> None:
    assert heard(feed(receiver(), [0, 2, 1, 3])) == [0, 1, 2, 3]


def test_a_lost_packet_is_a_frame_marked_lost() -> None:
    stream = receiver()
    frames = feed(stream, [0, 1, 3, 4, 5, 6, 7, 8])
    assert heard(frames) == [0, 1, -1, 3, 4, 5, 6, 7, 8]
    lost = frames[2]
    assert (lost.timestamp, len(lost.samples), int(np.abs(lost.samples).max())) == (320, 160, 0)
    assert stream.jitter.stats.lost == 1


def test_a_long_hole_advances_the_clock_and_hands_on_one_second() -> None:
    stream = receiver()
    frames = feed(stream, [0, 1, 201, 202, 203, 204, 205])
    assert sum(len(f.samples) for f in frames if f.lost) == 8000
    assert frames[-1].timestamp == 205 * 160


def test_a_pause_of_the_sender_is_silence_and_not_loss() -> None:
    stream = receiver()
    stream.receive_packet(packet(0), 0.0)
    frames = stream.receive_packet(packet(1)._replace(timestamp=160 + 1600), 0.2)
    assert heard(frames)[-1] == 1
    assert sum(len(f.samples) for f in frames[:-1]) == 1600
    assert not any(f.lost for f in frames)


def test_a_clock_set_anew_is_no_hour_of_silence() -> None:
    stream = receiver()
    stream.receive_packet(packet(0), 0.0)
    for timestamp in (0x90000000, 5):
        frames = stream.receive_packet(packet(stream.jitter.next or 0)._replace(timestamp=timestamp), 0.1)
        assert len(frames) == 1


def test_sequence_and_timestamp_wrap() -> None:
    stream = receiver()
    late = 2**32 // 160
    datagrams = [packet(late + k, start=65534 - late).serialize() for k in range(5)]
    frames = [f for k, d in enumerate(datagrams) for f in stream.receive_datagram(d, k * 0.02)]
    assert len(frames) == 5
    assert not any(f.lost for f in frames)


def test_a_stray_source_is_never_followed() -> None:
    stream = receiver()
    feed(stream, [0, 1])
    assert stream.receive_packet(packet(9, ssrc=666), 0.03) == []
    assert heard(feed(stream, [2])) == [2]
    assert stream.stats.foreign == 1


def test_a_new_source_is_adopted_when_it_keeps_on_or_the_old_one_is_silent() -> None:
    stream = receiver()
    feed(stream, [0, 1])
    got = [stream.receive_packet(packet(n, ssrc=77), 0.05) for n in (5, 6, 7)]
    assert [len(frames) for frames in got] == [0, 0, 1]
    later = 0.05 + ADOPT_AFTER_S
    assert len(stream.receive_packet(packet(1, ssrc=88), later + 0.01)) == 1


def test_rtcp_on_the_port_is_counted_and_moves_nothing() -> None:
    stream = receiver()
    feed(stream, [0])
    report = bytes.fromhex("80c90001 00005eee")
    assert stream.receive_datagram(report + bytes(8), 0.01) == []
    assert (stream.stats.rtcp, stream.stats.malformed) == (1, 0)
    assert heard(feed(stream, [1])) == [1]


def test_digits_are_told_once_however_often_they_are_sent() -> None:
    stream = receiver()
    feed(stream, [0])
    for number, (key, timestamp) in enumerate([(5, 160), (5, 160), (5, 160), (11, 800), (5, 1600)], start=1):
        stream.receive_packet(RtpPacket(101, number, timestamp, 0x5EED, bytes([key, 0x8A, 3, 32])), 0.02 * number)
    assert stream.stats.digits == ["5", "#", "5"]
    stream.receive_packet(RtpPacket(101, 6, 2000, 0x5EED, b"\x05"), 0.2)
    assert (stream.stats.received, stream.stats.malformed, stream.stats.undecodable) == (7, 0, 1)


def test_digits_with_an_ssrc_of_their_own_are_told_and_counted() -> None:
    stream = receiver()
    feed(stream, [0])
    assert stream.receive_packet(RtpPacket(101, 700, 160, 0xD161, b"\x07\x8a\x03\x20"), 0.02) == []
    assert stream.stats.digits == ["7"]
    assert (stream.stats.received, stream.stats.foreign) == (2, 0)
    assert heard(feed(stream, [1])) == [1]


def test_comfort_noise_and_other_types_make_no_sound() -> None:
    stream = receiver()
    feed(stream, [0])
    assert stream.receive_packet(packet(1, payload_type=13), 0.02) == []
    assert stream.receive_packet(packet(2, payload_type=18), 0.04) == []
    assert (stream.stats.received, stream.stats.foreign) == (2, 1)
    frames = stream.receive_packet(packet(3), 0.06)
    assert heard(frames)[-1] == 3
    assert not any(f.lost for f in frames)


def test_a_payload_that_does_not_decode_is_a_lost_packet() -> None:
    stream = receiver("L16/8000")
    good = RtpPacket(96, 1, 0, 1, b"\x01\x00" * 160)
    stream.receive_packet(good, 0.0)
    frames = stream.receive_packet(good._replace(sequence=2, timestamp=160, payload=b"\x01" * 7), 0.02)
    assert [f.lost for f in frames] == [True]
    assert stream.stats.undecodable == 1
    assert len(stream.receive_packet(good._replace(sequence=3, timestamp=320), 0.04)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_short_way_gives_what_the_careful_way_gives(seed: int) -> None:
    rng = random.Random(seed)
    short, careful = receiver(), receiver()
    numbers = [n for n in range(300) if rng.random() > 0.05]
    for at in range(len(numbers) - 1):
        if rng.random() < 0.1:
            numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    start = rng.randrange(65536)
    for at, number in enumerate(numbers):
        item = packet(number, start=start, payload_type=rng.choices([0, 13, 101, 3], [50, 1, 1, 1])[0])
        now = at * 0.02
        one = short.receive_datagram(item.serialize(), now) + short.poll(now)
        other = careful.receive_packet(item, now) + careful.poll(now)
        assert [(f.timestamp, f.lost, f.samples.tobytes()) for f in one] == [
            (f.timestamp, f.lost, f.samples.tobytes()) for f in other
        ]
    assert short.stats == careful.stats
    assert short.jitter.stats == careful.jitter.stats


def timeline(frames: list[AudioFrame]) -> list[tuple[int, bool]]:
    """(sample, lost) of the whole stream, however it was cut into frames; positions must join up."""
    for before, after in pairwise(frames):
        assert before.timestamp + len(before.samples) == after.timestamp
    return [(int(sample), frame.lost) for frame in frames for sample in frame.samples]


def test_gathered_packets_are_one_frame_per_chunk() -> None:
    frames = feed(receiver(gather=1280), list(range(20)))
    assert [(f.timestamp, len(f.samples)) for f in frames] == [(0, 160), (160, 1120), (1280, 1280)]


def test_a_pause_or_the_end_gives_out_what_was_gathered() -> None:
    stream = receiver(gather=1280)
    feed(stream, [0, 1, 2])
    assert [len(f.samples) for f in stream.flush()] == [320]
    assert stream.flush() == []


def test_codecs_that_do_not_join_are_not_gathered() -> None:
    stream = receiver("L16/8000", gather=1280)
    sent = [RtpPacket(96, n, n * 160, 1, bytes(320)) for n in range(4)]
    assert [len(stream.receive_datagram(p.serialize(), 0.0)) for p in sent] == [1] * 4


@pytest.mark.parametrize("seed", range(20))
def test_gathering_changes_no_sample_and_hides_no_loss(seed: int) -> None:
    rng = random.Random(seed)
    numbers = [n for n in range(400) if rng.random() > 0.04]
    for at in range(1, len(numbers) - 1):
        if rng.random() < 0.05:
            numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    plain, gathered = receiver(), receiver(gather=1280)
    one, other = feed(plain, numbers), feed(gathered, numbers)
    other += gathered.flush()
    assert timeline(other) == timeline(one)
    assert len(other) < len(one) / 2
    whole = [f for f in other if len(f.samples) > 160]
    assert all(f.timestamp // 1280 == (f.timestamp + len(f.samples) - 1) // 1280 for f in whole), "across a chunk's border"
    assert gathered.stats == plain.stats
