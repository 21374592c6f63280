"""Prompts to packets, byte by byte, with a made-up clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.codecs import make_decoder, parse_codec
from connectors.g711 import encode_mu_law
from connectors.packetizer import EARLY_S, MAX_LATE_S, MAX_PAYLOAD, RtpPacketizer
from connectors.rtp import RtpPacket, parse
from engine.audio import Samples

SSRC = 0xDEADBEEF


def packetizer(
    codec: str = "PCMU", *, sequence: int = 7, timestamp: int = 1000, payload_type: int | None = None
) -> RtpPacketizer:
    return RtpPacketizer(parse_codec(codec, payload_type), SSRC, sequence, timestamp)


def ramp(seconds: float, rate: int = 8000) -> Samples:
    """Samples that are all different, so that none can take another's place unseen."""
    return (np.arange(round(seconds * rate)) * 3 - 12000).astype(np.int16)


def sent(stream: RtpPacketizer, start: float, step: float = 0.02, ticks: int = 5000) -> list[RtpPacket]:
    """Everything there is to send, asked for every `step` seconds."""
    packets: list[RtpPacket] = []
    for tick in range(ticks):
        packets += stream.next_packets(start + tick * step)
        if stream.due is None:
            return packets
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("codec", "payload_type", "sample", "first", "second"),
    [
        ("PCMU", None, 0, "80 80 0007 000003e8 deadbeef" + "ff" * 160, "80 00 0008 00000488 deadbeef" + "ff" * 160),
        ("PCMA", None, 8, "80 88 0007 000003e8 deadbeef" + "d5" * 160, "80 08 0008 00000488 deadbeef" + "d5" * 160),
        ("L16/8000", 97, 258, "80 e1 0007 000003e8 deadbeef" + "0102" * 160, "80 61 0008 00000488 deadbeef" + "0102" * 160),
    ],
)
def test_the_bytes_of_the_first_two_packets(codec: str, payload_type: int | None, sample: int, first: str, second: str) -> None:
    stream = packetizer(codec, payload_type=payload_type)
    assert stream.start(np.full(320, sample, np.int16), 8000, 50.0) == pytest.approx(50.04)
    packets = [packet.serialize() for packet in sent(stream, 50.0)]
    assert packets == [bytes.fromhex(first), bytes.fromhex(second)]


def test_a_packet_that_is_written_is_read_back_the_same() -> None:
    packet = RtpPacket(111, 0xFFFF, 0xFFFFFFFF, SSRC, b"\x01\x02\x03", True)
    assert packet.serialize().hex() == "80efffffffffffffdeadbeef010203"
    assert parse(packet.serialize()) == packet


def test_sequence_and_timestamp_wrap_and_the_marker_is_the_first_s_only() -> None:
    stream = packetizer(sequence=0xFFFE, timestamp=0xFFFFFF00)
    stream.start(ramp(0.08), 8000, 0.0)
    packets = sent(stream, 0.0)
    assert [p.sequence for p in packets] == [0xFFFE, 0xFFFF, 0, 1]
    assert [p.timestamp for p in packets] == [0xFFFFFF00, 0xFFFFFFA0, 0x40, 0xE0]
    assert [p.marker for p in packets] == [True, False, False, False]


def test_nothing_is_sent_between_prompts_and_the_timestamp_tells_how_long() -> None:
    stream = packetizer()
    stream.start(ramp(0.04), 8000, 10.0)
    before = sent(stream, 10.0)
    assert stream.due is None
    assert [stream.next_packets(10.0 + t) for t in (0.1, 1.0, 4.9)] == [[], [], []]
    stream.start(ramp(0.02), 8000, 15.0)
    (after,) = stream.next_packets(15.0)
    assert after.sequence == before[-1].sequence + 1
    assert after.timestamp == 1000 + 5 * 8000
    assert after.marker


def test_a_prompt_right_behind_another_does_not_overlap_it() -> None:
    stream = packetizer()
    stream.start(ramp(0.02), 8000, 1.0)
    stream.next_packets(1.0)
    assert stream.start(ramp(0.02), 8000, 1.005) == pytest.approx(1.04)
    assert stream.next_packets(1.005) == []
    assert [p.timestamp for p in stream.next_packets(1.02)] == [1160]


def test_a_second_prompt_while_one_runs_is_refused_until_it_is_stopped() -> None:
    stream = packetizer()
    stream.start(ramp(1.0), 8000, 1.0)
    with pytest.raises(ValueError, match="being played already"):
        stream.start(ramp(1.0), 8000, 1.5)
    assert len(stream.next_packets(1.0)) == 1
    stream.stop()
    stream.stop()
    assert stream.next_packets(1.1) == []
    stream.start(ramp(0.02), 8000, 2.0)
    assert [(p.timestamp, p.marker) for p in stream.next_packets(2.0)] == [(9000, True)]


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros(0, np.int16), 8000, "prompt of 0 s cannot be played"),
        (np.zeros(8000 * 60 + 1, np.int16), 8000, "at most 60 s"),
        (np.zeros(160, np.int16), 11025, "rate 11025 Hz"),
        (np.zeros(160, np.float32), 8000, "audio is float32 of 1"),
        (np.zeros((160, 2), np.int16), 8000, "int16 of 2 dimensions"),
    ],
)
def test_what_is_no_prompt_is_refused_and_leaves_the_stream_free(samples: Samples, rate: int, words: str) -> None:
    stream = packetizer()
    with pytest.raises(ValueError, match=words):
        stream.start(samples, rate, 1.0)
    stream.start(ramp(0.02), 8000, 1.0)
    assert len(stream.next_packets(1.0)) == 1


def test_up_to_60_ms_of_delay_are_caught_up_on() -> None:
    stream = packetizer()
    stream.start(ramp(0.2), 8000, 0.0)
    stream.next_packets(0.0)
    late = stream.next_packets(0.08)
    assert [p.timestamp for p in late] == [1160, 1320, 1480, 1640]
    assert stream.due == pytest.approx(0.1)


def test_after_a_longer_stall_timestamps_are_skipped_and_nothing_of_the_prompt() -> None:
    stream, sound = packetizer(), ramp(0.2)
    stream.start(sound, 8000, 0.0)
    early = stream.next_packets(0.0) + stream.next_packets(0.02)
    late = stream.next_packets(0.54)
    assert [(p.sequence, p.timestamp, p.marker) for p in late] == [(9, 1000 + round(0.54 * 8000), True)]
    rest = sent(stream, 0.56)
    assert rest[0].timestamp == late[0].timestamp + 160
    assert b"".join(p.payload for p in [*early, *late, *rest]) == encode_mu_law(sound)
    assert stream.ends == pytest.approx(0.7)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "L16/16000", "L16/48000/2", "L16/32000/2", "L16/24000", "opus"])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_codec_that_is_received_can_be_sent(codec: str, rate: int) -> None:
    stream, decoder = packetizer(codec), make_decoder(parse_codec(codec))
    at = np.arange(rate) / rate
    stream.start((8000 * np.sin(2 * np.pi * (300 + 500 * at) * at)).astype(np.int16), rate, 0.0)
    packets = sent(stream, 0.0)
    assert max(len(p.payload) for p in packets) <= MAX_PAYLOAD
    heard = np.concatenate([decoder.decode(p.payload) for p in packets]).astype(float)
    at = np.arange(len(heard)) / decoder.rate
    wanted = np.where(at < 1, 8000 * np.sin(2 * np.pi * (300 + 500 * at) * at), 0)
    lag = np.fft.irfft(np.fft.rfft(heard, 2 * len(at)) * np.conj(np.fft.rfft(wanted, 2 * len(at)))).argmax()
    assert lag <= 0.007 * decoder.rate
    assert len(heard) - lag >= decoder.rate  # its end, too
    same = heard[lag : lag + decoder.rate]
    assert np.corrcoef(same, wanted[: len(same)])[0, 1] > 0.99
    clock = decoder.clock * len(heard) // decoder.rate
    assert packets[-1].timestamp - packets[0].timestamp == clock * (len(packets) - 1) // len(packets)


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=80), st.integers(1, 60))
def test_however_the_loop_stumbles_packets_keep_to_the_clock(steps: list[float], count: int) -> None:
    stream, sound = packetizer(sequence=0xFFF0, timestamp=0xFFFFF000), ramp(count * 0.02)
    stream.start(sound, 8000, 100.0)
    now, packets, times = 100.0, [], []
    for step in [*steps, *[0.02] * (count + 5)]:
        now += step
        due = stream.next_packets(now)
        assert len(due) <= round(MAX_LATE_S / 0.02) + 1
        packets += due
        times += [now] * len(due)
    assert b"".join(p.payload for p in packets) == encode_mu_law(sound)
    assert [p.sequence for p in packets] == [(0xFFF0 + n) & 0xFFFF for n in range(count)]
    for packet, at in zip(packets, times, strict=True):
        shown = 100.0 + ((packet.timestamp - 0xFFFFF000) & 0xFFFFFFFF) / 8000
        assert -EARLY_S - 0.003 <= at - shown <= MAX_LATE_S + 0.003  # each stall is rounded to a tick
