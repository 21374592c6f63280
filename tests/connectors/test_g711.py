"""G.711 by table: literal values of the recommendation, and nearest codes."""

from __future__ import annotations

import numpy as np
import pytest

from connectors import g711

# ITU-T G.711 tables 2a and 1a, scaled to 16 bits: the ends of the range and the codes around zero.
MU = {0x00: -32124, 0x80: 32124, 0x7F: 0, 0xFF: 0, 0xFE: 8, 0x7E: -8, 0x8F: 16764, 0xF0: 120}
A = {0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256, 0xD4: 24, 0x80: 5504, 0x00: -5504}


@pytest.mark.parametrize(("code", "value"), MU.items())
def test_mu_law_values(code: int, value: int) -> None:
    assert g711.decode_mu_law(bytes([code])).tolist() == [value]


@pytest.mark.parametrize(("code", "value"), A.items())
def test_a_law_values(code: int, value: int) -> None:
    assert g711.decode_a_law(bytes([code])).tolist() == [value]


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(g711.encode_mu_law, g711.decode_mu_law), (g711.encode_a_law, g711.decode_a_law)],
    ids=["mu", "a"],
)
def test_every_sample_gets_the_nearest_code(encode, decode) -> None:  # type: ignore[no-untyped-def]
    samples = np.arange(-32768, 32768, dtype=np.int16)
    error = np.abs(decode(encode(samples)).astype(int) - samples)
    values = np.sort(np.unique(decode(bytes(range(256)))).astype(int))
    nearest = np.abs(samples.astype(int)[:, None] - values[None, :]).min(axis=1)
    assert (error == nearest).all()


def test_silence_is_sent_as_the_recommendation_s_positive_zero() -> None:
    assert g711.encode_mu_law(np.zeros(2, np.int16)) == b"\xff\xff"
    assert g711.encode_a_law(np.zeros(2, np.int16)) == b"\xd5\xd5"


def test_decoding_then_encoding_keeps_the_value() -> None:
    codes = bytes(range(256))
    again = g711.decode_a_law(g711.encode_a_law(g711.decode_a_law(codes)))
    assert (again == g711.decode_a_law(codes)).all()


def test_nothing_decodes_to_nothing() -> None:
    assert g711.decode_mu_law(b"").tolist() == []
    assert g711.encode_mu_law(np.zeros(0, np.int16)) == b""
