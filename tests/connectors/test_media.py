"""One RTP stream to frames: order, holes, pauses, gathered packets."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from connectors.codecs import make_decoder, parse_codec
from connectors.media import RtpReceiver
from connectors.rtp import RtpPacket
from engine.audio import AudioFrame
from tests.connectors.packets import feed, heard, packet, receiver
from tests.connectors.test_codecs import encoded_tone


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


def test_a_duplicate_makes_no_second_frame() -> None:
    stream = receiver()
    assert heard(feed(stream, [0, 1, 1, 2, 0, 3])) == [0, 1, 2, 3]
    assert (stream.jitter.stats.duplicate, stream.stats.received, stream.position_s) == (2, 6, 0.08)


def test_a_packet_later_than_the_wait_stays_lost() -> None:
    stream = receiver(wait_s=0.06)
    assert heard(feed(stream, [0, 1, 3, 4, 5, 6])) == [0, 1, -1, 3, 4, 5, 6]
    assert stream.receive_datagram(packet(2).serialize(), 0.13) == []
    assert heard(feed(stream, [7])) == [7]
    assert (stream.jitter.stats.lost, stream.jitter.stats.late) == (1, 1)
    assert stream.position_s == pytest.approx(8 * 0.02)


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


def test_holes_and_pauses_of_a_codec_whose_clock_is_not_its_rate_have_their_true_length() -> None:
    stream, tone = receiver("G722"), encoded_tone("g722", 16000)  # a clock of 8000 Hz, samples at 16000
    sent = [RtpPacket(9, n, n * 160, 1, tone[n]) for n in range(8)]
    frames = [f for p in sent[:2] for f in stream.receive_packet(p, 0.0)]
    frames += stream.receive_packet(sent[3], 0.08) + stream.poll(1.0)
    assert [(f.timestamp, len(f.samples), f.lost) for f in frames] == [
        (0, 320, False), (320, 320, False), (640, 320, True), (960, 320, False)
    ]  # fmt: skip
    frames = stream.receive_packet(sent[4]._replace(timestamp=640 + 800), 1.1)
    assert [(len(f.samples), f.lost) for f in frames] == [(1600, False), (320, False)]
    assert [frames[0].timestamp, frames[-1].timestamp] == [1280, 1280 + 1600]


def test_a_clock_set_anew_is_no_hour_of_silence() -> None:
    stream = receiver()
    stream.receive_packet(packet(0), 0.0)
    for timestamp in (0x90000000, 5):
        frames = stream.receive_packet(packet(stream.jitter.next or 0)._replace(timestamp=timestamp), 0.1)
        assert len(frames) == 1


@pytest.mark.parametrize("kind", [0, 13])
def test_a_jump_of_the_timestamp_is_believed_as_far_as_the_clock_goes(kind: int) -> None:
    for ahead_s, paused_s, counted_s in ((2400.0, 0.02, 0.0), (30.0, 29.0, 30.0), (4.0, 2.5, 4.0), (4.0, 1.5, 0.0)):
        stream = receiver()
        feed(stream, [0, 1])
        payload = bytes(160) if kind == 0 else b"\x40"
        jump = packet(0)._replace(sequence=2, timestamp=320 + round(8000 * ahead_s), payload=payload, payload_type=kind)
        stream.receive_packet(jump, 0.02 + paused_s)
        assert stream.position_s == pytest.approx(0.04 + counted_s + (0.02 if kind == 0 else 0))


def test_what_waited_behind_a_hole_when_the_pause_began_came_before_it() -> None:
    """Though nobody polled meanwhile, as in a capture."""
    stream = receiver()
    feed(stream, [0, 2])
    frames = stream.receive_packet(packet(200)._replace(sequence=3), 4.0)
    assert stream.position_s == pytest.approx(4.02)
    assert [frame.lost for frame in frames] == [True, False, False, False], "one lost, one that waited, the pause, one more"


def test_keys_pressed_for_long_are_time_that_went_by() -> None:
    stream = receiver()
    feed(stream, [0])
    for step in range(1, 200):
        key = packet(0)._replace(sequence=step, timestamp=160, payload_type=101, payload=b"\x05\x0a\x03\x20")
        stream.receive_packet(key, step * 0.02)
    stream.receive_packet(packet(200), 4.0)
    assert stream.position_s == pytest.approx(4.02)


def test_sequence_and_timestamp_wrap() -> None:
    stream = receiver()
    late = 2**32 // 160
    datagrams = [packet(late + k, start=65534 - late).serialize() for k in range(5)]
    frames = [f for k, d in enumerate(datagrams) for f in stream.receive_datagram(d, k * 0.02)]
    assert len(frames) == 5
    assert not any(f.lost for f in frames)


def test_a_payload_that_does_not_decode_is_a_lost_packet() -> None:
    stream = receiver("L16/8000")
    good = RtpPacket(96, 1, 0, 1, b"\x01\x00" * 160)
    stream.receive_packet(good, 0.0)
    frames = stream.receive_packet(good._replace(sequence=2, timestamp=160, payload=b"\x01" * 7), 0.02)
    assert [f.lost for f in frames] == [True]
    assert stream.stats.undecodable == 1
    assert len(stream.receive_packet(good._replace(sequence=3, timestamp=320), 0.04)) == 1


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


@pytest.mark.parametrize("gather", [0, 1280])
def test_packets_that_nobody_looked_into_are_time_but_no_loss(gather: int) -> None:
    stream = receiver(gather=gather)
    frames = feed(stream, [0, 1, 2])
    stream.skip(500)
    frames += feed(stream, list(range(503, 520)))
    frames += stream.flush()
    assert not any(f.lost for f in frames)
    assert stream.jitter.stats.lost == 0
    assert stream.position_s == pytest.approx(520 * 0.02)
    assert heard(frames)[-1] >= 0
    assert frames[-1].timestamp + len(frames[-1].samples) == 520 * 160


def test_a_sender_that_pauses_without_packets_is_known_for_it() -> None:
    stream = receiver()
    for pause in range(3):  # numbers in order, a jump of the timestamp: half a second in which nothing was said
        assert not stream.dtx
        for index in (0, 1):
            number = 2 * pause + index
            sent = packet(number)._replace(timestamp=number * 160 + pause * 4000)
            stream.receive_packet(sent, number * 0.02 + pause * 0.5)
    assert not stream.dtx
    stream.receive_packet(packet(6)._replace(timestamp=6 * 160 + 3 * 4000), 1.7)
    assert stream.dtx


def test_keys_in_the_place_of_sound_are_no_pauses() -> None:
    stream = receiver()
    for key in range(4):  # two packets of sound, two of a key that lasts a tenth of a second, as senders of RFC 4733 do
        number, ticks = 4 * key, key * 1120
        for index in (0, 1):
            stream.receive_packet(packet(number + index)._replace(timestamp=ticks + index * 160), number * 0.02)
        for index, end in ((2, 0x0A), (3, 0x8A)):
            event = RtpPacket(101, number + index, ticks + 320, packet(0).ssrc, bytes([key, end, 0x03, 0x20]))
            stream.receive_packet(event, (number + index) * 0.02)
    assert len(stream.stats.digits) == 4
    assert not stream.dtx


def test_comfort_noise_is_sent_by_who_pauses() -> None:
    stream = receiver()
    feed(stream, [0, 1, 3, 4, 5, 6, 7])  # a lost packet is no pause
    assert not stream.dtx
    stream.receive_packet(RtpPacket(13, 8, 8 * 160, packet(0).ssrc, b"\x40"), 0.2)
    assert stream.dtx


def test_a_sender_may_change_to_any_codec_that_was_agreed_on() -> None:
    opus, mu = encoded_tone("libopus", 48000), encoded_tone("pcm_mulaw", 8000)
    others = {number: partial(make_decoder, parse_codec(name)) for number, name in ((111, "opus"), (0, "PCMU"))}
    stream = RtpReceiver(others[111](), 111, others=others)
    frames, number = [], 0
    for payload_type, payloads, clock in ((111, opus[:20], 48000), (0, mu[:20], 8000), (111, opus[20:40], 48000)):
        for payload in payloads:
            frames += stream.receive_packet(RtpPacket(payload_type, number, number * clock // 50, 7, payload), number / 50)
            number += 1
    assert [(f.rate, len(f.samples)) for f in frames] == [(48000, 960)] * 20 + [(8000, 160)] * 20 + [(48000, 960)] * 20
    assert [f.timestamp / f.rate for f in frames] == pytest.approx([n / 50 for n in range(60)])
    assert (stream.stats.received, stream.stats.foreign, stream.dtx) == (60, 0, False)


def test_packets_of_the_codec_from_before_that_come_late_stay_in_their_place() -> None:
    others = {number: partial(make_decoder, parse_codec(name)) for number, name in ((0, "PCMU"), (8, "PCMA"))}
    stream, frames = RtpReceiver(others[0](), 0, others=others), []
    for number, payload_type in ((0, 0), (1, 0), (3, 8), (2, 0), (4, 8), (5, 8)):
        frames += stream.receive_packet(packet(number, payload_type=payload_type), number / 50)
    assert [(f.timestamp, f.lost) for f in frames] == [(160 * n, False) for n in range(6)]
    assert stream.stats.undecodable == 0


def test_an_encoder_that_changes_its_rate_does_not_pause() -> None:
    """FFmpeg gives 936 samples of the first packet of a narrower band, and 984 of the first that is wider again."""
    stream, frames, at = receiver("L16/48000"), [], 0
    for number in range(60):
        size = {10: 936, 20: 984}.get(number % 30, 960)
        frames += stream.receive_packet(RtpPacket(96, number, at, 7, bytes(2 * size)), number / 50)
        at += 960
    assert sum(len(f.samples) for f in frames) == 60 * 960
    assert len(frames) == 60
    assert (stream.position_s, stream.dtx) == (60 / 50, False)


@pytest.mark.parametrize("codec", ["PCMU", "G722", "opus", "L16/16000"])
def test_a_packet_of_nothing_is_neither_sound_nor_loss(codec: str) -> None:
    stream = receiver(codec)
    kind = parse_codec(codec).payload_type
    assert stream.receive_packet(RtpPacket(kind, 0, 0, 7, b""), 0.0) == []
    assert stream.receive_packet(RtpPacket(kind, 1, 160, 7, b""), 0.02) == []
    assert (stream.stats.received, stream.stats.undecodable, stream.position_s) == (2, 0, 0.0)
