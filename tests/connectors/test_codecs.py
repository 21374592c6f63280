"""Codecs by name, and their decoders against what FFmpeg encodes."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from connectors.codecs import codec_of_type, make_decoder, parse_codec


@pytest.mark.parametrize(
    ("text", "written", "payload_type", "rate"),
    [
        ("PCMU", "PCMU/8000", 0, 8000), ("pcma/8000", "PCMA/8000", 8, 8000), ("G722", "G722/8000", 9, 16000),
        ("L16/48000/2", "L16/48000/2", 96, 48000), ("opus", "OPUS/48000/2", 111, 48000),
        ("opus/48000/2", "OPUS/48000/2", 111, 48000), ("opus/48000/1", "OPUS/48000", 111, 48000),
    ],
)  # fmt: skip
def test_codecs_by_name(text: str, written: str, payload_type: int, rate: int) -> None:
    spec = parse_codec(text)
    assert (str(spec), spec.payload_type, spec.rate) == (written, payload_type, rate)


@pytest.mark.parametrize(
    "text", ["", "G729", "PCMU/16000", "PCMU/8000/2", "opus/16000", "L16/0", "L16/44100", "a" * 400, "PCMU\n", "L16/8000/9"]
)
def test_an_unknown_codec_is_named_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="known") as error:
        parse_codec(text)
    assert f'codec "{text[:40]}"' in str(error.value)
    assert len(str(error.value)) < 200


def test_a_payload_type_out_of_range_is_named() -> None:
    assert parse_codec("PCMU", 96).payload_type == 96
    for number in (128, -1):
        with pytest.raises(ValueError, match=f"payload type {number} is out of range: 0 to 127"):
            parse_codec("PCMU", number)
    for number in (64, 72, 95):  # RFC 5761 section 4
        with pytest.raises(ValueError, match=f"payload type {number} is taken for RTCP: 0 to 63 and 96 to 127 are free"):
            parse_codec("PCMU", number)
    assert parse_codec("PCMU", 63).payload_type == 63


def test_static_payload_types() -> None:
    assert [str(codec_of_type(number)) for number in (0, 8, 9)] == ["PCMU/8000", "PCMA/8000", "G722/8000"]
    assert codec_of_type(96) is codec_of_type(111) is codec_of_type(18) is None


@pytest.mark.parametrize(("codec", "samples"), [("PCMU", [-32124, 32124, 0, 8]), ("PCMA", [-5504, 5504, 848, -848])])
def test_g711_by_its_bytes(codec: str, samples: list[int]) -> None:
    decoded = make_decoder(parse_codec(codec)).decode(bytes.fromhex("0080ff7f" if codec == "PCMA" else "0080fffe"))
    assert (decoded.tolist(), decoded.dtype) == (samples, np.int16)


def test_l16_is_big_endian_and_stereo_is_averaged() -> None:
    mono, stereo = make_decoder(parse_codec("L16/8000")), make_decoder(parse_codec("L16/8000/2"))
    assert mono.decode(bytes.fromhex("0001 ff00 7fff")).tolist() == [1, -256, 32767]
    assert stereo.decode(bytes.fromhex("0064 00c8 8000 8000")).tolist() == [150, -32768]
    with pytest.raises(ValueError, match="L16 payload of 3 bytes is no whole number of 2-byte samples"):
        mono.decode(b"abc")


def encoded_tone(name: str, rate: int, seconds: float = 1.0, layout: str = "mono") -> list[bytes]:
    """A 440 Hz tone at a quarter of full scale, in packets of 20 ms."""
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.time_base = rate, layout, Fraction(1, rate)
    context.format = "s16"
    size, packets = rate // 50, []
    channels = 2 if layout == "stereo" else 1
    for start in range(0, int(rate * seconds), size):
        tone = 8192 * np.sin(2 * np.pi * 440 * np.arange(start, start + size) / rate)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone.astype(np.int16), channels)[None, :], format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


@pytest.mark.parametrize(
    ("codec", "encoder", "rate", "layout"),
    [("G722", "g722", 16000, "mono"), ("opus", "libopus", 48000, "stereo")],
    ids=["g722", "opus"],
)
def test_ffmpeg_s_codecs_give_the_tone_back(codec: str, encoder: str, rate: int, layout: str) -> None:
    decoder = make_decoder(parse_codec(codec))
    samples = np.concatenate([decoder.decode(packet) for packet in encoded_tone(encoder, rate, layout=layout)])
    assert decoder.rate == rate
    assert abs(len(samples) - rate) < rate / 10
    middle = samples[rate // 4 : 3 * rate // 4].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(spectrum.argmax() * rate / len(middle) - 440) < 5
    assert 4000 < np.sqrt((middle**2).mean()) < 7500


def test_garbage_is_a_value_error_and_costs_only_itself() -> None:
    decoder, packets = make_decoder(parse_codec("opus")), encoded_tone("libopus", 48000, layout="stereo")
    decoder.decode(packets[0])
    with pytest.raises(ValueError, match="payload of 3 bytes cannot be decoded"):
        decoder.decode(b"\xff\xff\xff")
    assert len(decoder.decode(packets[1]))


@pytest.mark.parametrize(("codec", "encoder", "rate"), [("G722", "g722", 16000), ("opus", "libopus", 48000)])
def test_an_empty_payload_does_not_end_the_stream(codec: str, encoder: str, rate: int) -> None:
    decoder, packets = make_decoder(parse_codec(codec)), encoded_tone(encoder, rate)
    decoder.decode(packets[0])
    with pytest.raises(ValueError, match="payload of 0 bytes"):
        decoder.decode(b"")
    assert len(decoder.decode(packets[1]))


def test_streams_do_not_share_a_decoder_s_state() -> None:
    spec, packets = parse_codec("G722"), encoded_tone("g722", 16000)
    one, other = make_decoder(spec), make_decoder(spec)
    for packet in packets[:10]:
        one.decode(packet)
    first = make_decoder(spec).decode(packets[0])
    assert (other.decode(packets[0]) == first).all()


@pytest.mark.parametrize(("codec", "number", "whose"), [("PCMU", 8, "PCMA"), ("L16", 0, "PCMU"), ("opus", 18, "G729")])
def test_a_static_payload_type_is_its_codec_s_alone(codec: str, number: int, whose: str) -> None:
    with pytest.raises(ValueError, match=f"payload type {number} is that of {whose}, not of"):
        parse_codec(codec, number)
