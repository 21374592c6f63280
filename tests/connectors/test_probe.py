"""Recordings that strangers send: what they may cost to open."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from connectors import probe as probing
from connectors.probe import probe
from engine.errors import AudioError
from tests.connectors.test_files import write_wav


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes) -> bytes:
    return box(kind, bytes(4), *parts)


def quicktime(samples: int) -> bytes:
    """A film of 64 bytes of sound whose tables name so many samples (ISO/IEC 14496-12)."""
    sound = box(b"sowt", bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, 8000 << 16))
    tables = box(
        b"stbl", full(b"stsd", struct.pack(">I", 1), sound), full(b"stts", struct.pack(">III", 1, samples, 2)),
        full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)), full(b"stsz", struct.pack(">II", 2, samples)),
        full(b"stco", struct.pack(">II", 1, 48)),
    )  # fmt: skip
    media = box(
        b"mdia", full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 8000, samples, 0, 0)), full(b"hdlr", bytes(4), b"soun", bytes(13)),
        box(b"minf", full(b"smhd", bytes(4)), tables),
    )  # fmt: skip
    track = box(b"trak", full(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, samples), bytes(60)), media)
    film = box(b"moov", full(b"mvhd", struct.pack(">IIII", 0, 0, 8000, 0), bytes(80)), track)
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ", bytes(16)) + box(b"mdat", bytes(64)) + film


async def test_what_can_be_opened_is(tmp_path: Path) -> None:
    await probe(write_wav(tmp_path / "ä b.wav", [np.zeros(800, np.int16)], 8000))
    (tmp_path / "small.mov").write_bytes(quicktime(30))
    await probe(tmp_path / "small.mov")


async def test_what_takes_gigabytes_to_be_opened_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "large.mov"
    path.write_bytes(quicktime(85_000_000))
    assert path.stat().st_size < 700
    with pytest.raises(AudioError, match=r"large\.mov"):
        await probe(path)


async def test_what_is_no_audio_is_the_sentence_of_whoever_opens_it(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF nothing of the kind")
    with pytest.raises(AudioError, match=r"x\.wav cannot be read as audio"):
        await probe(tmp_path / "x.wav")


async def test_what_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MOST_S", 0.001)
    with pytest.raises(AudioError, match=r"cannot be opened within 0\.001 s"):
        await probe(write_wav(tmp_path / "x.wav", [np.zeros(800, np.int16)], 8000))
