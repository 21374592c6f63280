"""Whose packets a leg takes, and what it makes of those that are no audio: RTCP, digits, comfort noise, other types."""

from __future__ import annotations

from connectors.codecs import make_decoder, parse_codec
from connectors.media import ADOPT_AFTER_S, MAX_DIGITS, RtpReceiver
from connectors.rtp import RtpPacket
from tests.connectors.packets import SSRC, feed, heard, packet, receiver


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


def test_a_stranger_who_knows_the_next_number_and_time_is_not_taken_for_the_caller() -> None:
    stream = receiver()
    feed(stream, [0, 1])
    assert stream.receive_datagram(packet(2, ssrc=666).serialize(), 0.04) == []
    assert heard(feed(stream, [2])) == [2]
    assert stream.stats.foreign == 1


def test_a_source_that_is_still_heard_is_not_replaced_by_one_packet_of_another() -> None:
    stream = receiver()
    feed(stream, list(range(101)))  # the last one at 2.0 s
    just_before = 2.0 + ADOPT_AFTER_S - 0.01
    assert stream.receive_packet(packet(7, ssrc=666), just_before) == []
    assert len(stream.receive_packet(packet(7, ssrc=666), just_before + 0.02)) == 1


def test_three_packets_of_a_stranger_that_are_not_in_a_row_change_nothing() -> None:
    stream = receiver()
    feed(stream, [0])
    assert [stream.receive_packet(packet(n, ssrc=77), 0.01) for n in (5, 6, 8, 9)] == [[], [], [], []]


def test_a_call_may_begin_with_comfort_noise_but_not_with_another_type() -> None:
    stream = receiver()
    assert stream.receive_packet(packet(0, payload_type=18, ssrc=5), 0.0) == []
    assert stream.receive_packet(packet(0, payload_type=101, ssrc=5), 0.0) == []
    assert stream.receive_packet(packet(1, payload_type=13), 0.0) == []
    assert heard(stream.receive_packet(packet(2), 0.02)) == [2]
    assert (stream.stats.received, stream.stats.foreign, stream.stats.digits) == (2, 2, [])


def test_audio_on_the_usual_number_of_digits_is_audio() -> None:
    stream = RtpReceiver(make_decoder(parse_codec("PCMU")), 101)
    assert heard(stream.receive_packet(packet(3, payload_type=101), 0.0)) == [3]


def test_digits_kept_are_bounded_and_the_last_ones() -> None:
    stream = receiver()
    feed(stream, [0])
    for n in range(1, 200):
        stream.receive_packet(RtpPacket(101, n, n * 800, SSRC, bytes([n % 16, 0x80, 3, 32])), 0.02 * n)
    assert len(stream.stats.digits) == MAX_DIGITS
    assert stream.stats.digits[-2:] == ["6", "7"]  # 199 is 7 modulo 16


def test_what_we_send_is_never_adopted_though_it_be_sent_back_for_long_and_nobody_else_speaks() -> None:
    stream = receiver()
    stream.own_ssrc = 0xABCD
    assert stream.receive_datagram(packet(0).serialize(), 0.0)
    for number in range(200):
        back = packet(number, ssrc=0xABCD).serialize()
        assert stream.receive_datagram(back, 5.0 + number * 0.02) == []
    assert (stream.ssrc, stream.stats.received, stream.stats.foreign) == (packet(0).ssrc, 1, 200)


def test_of_two_that_send_at_once_from_one_port_the_first_is_heard() -> None:
    stream = receiver()
    frames = []
    for number in range(20):
        for ssrc in (SSRC, SSRC + 1):
            frames += stream.receive_datagram(packet(number, ssrc=ssrc).serialize(), number * 0.02)
    assert heard(frames) == list(range(20))
    assert (stream.stats.received, stream.stats.foreign) == (20, 20)


def test_comfort_noise_says_that_the_line_is_there_and_for_how_long_nobody_spoke() -> None:
    stream = receiver()
    frames = feed(stream, [0, 1])
    for number in range(2, 12):  # ten a second
        quiet = RtpPacket(13, number, 160 * (5 * number - 8), SSRC, b"\x40")
        frames += stream.receive_datagram(quiet.serialize(), 0.1 * number)
    assert sum(len(frame.samples) for frame in frames) == 47 * 160
    again = RtpPacket(13, 12, 160 * 47, SSRC, b"\x40")
    assert stream.receive_datagram(again.serialize(), 1.2) == []
    assert not any(frame.lost for frame in frames)


def test_what_begins_a_call_is_a_whole_packet_of_its_own_types() -> None:
    stream = receiver(event_types=frozenset({101}))
    for number in (0, 13, 101, 50):
        assert (stream.own(packet(0, payload_type=number).serialize()) is not None) is (number != 50)
    padded = bytearray(packet(0).serialize())
    padded[0] |= 0x20  # whose last byte, 0, is no count of padding
    assert stream.own(bytes(padded)) is None


def test_whoever_listens_is_told_of_another_source_and_not_of_the_first_or_a_stray() -> None:
    stream, told = receiver(), list[float]()
    stream.on_source = told.append
    feed(stream, [0, 1])
    stream.receive_packet(packet(9, ssrc=666), 0.03)
    assert told == []
    for number in (5, 6, 7):
        stream.receive_packet(packet(number, ssrc=77), 0.05)
    assert told == [0.05]
