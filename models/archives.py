"""Readers for the ways in which old games and telephone systems keep people's voices.

Every reader takes the folder of an unpacked package and yields (path inside it, int16 mono [n], rate in Hz). What
cannot be decoded is passed over: packages hold music, pictures and broken files besides.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.corpus import read_audio

Samples = NDArray[np.int16]
Recordings = Iterator[tuple[str, Samples, int]]
SOUNDS = (".wav", ".ogg", ".mp3", ".flac", ".gsm", ".g722")
OLD_RATE = 11025  # Hz: what the games of the nineties speak at


def sound_files(folder: Path) -> Recordings:
    """Files that are audio by their suffix."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS and p.is_file() and not p.is_symlink()):
        try:
            samples, rate = read_audio(path)
        except ValueError:
            continue
        yield str(path.relative_to(folder)), samples, rate


def raw_voices(folder: Path) -> Recordings:
    """Headerless 16-bit little-endian samples at 8 kHz."""
    for path in sorted(folder.rglob("*.raw")):
        octets = path.read_bytes()
        yield "/" + str(path.relative_to(folder)), np.frombuffer(octets[: len(octets) // 2 * 2], "<i2").astype(np.int16), 8000


def drascula_voices(folder: Path) -> Recordings:
    """Headerless unsigned 8-bit samples."""
    for path in sorted(p for p in folder.rglob("*.ALS") if p.is_file()):
        yield str(path.relative_to(folder)), from_unsigned(path.read_bytes()), OLD_RATE


def from_unsigned(octets: bytes) -> Samples:
    """8-bit samples around 128 as int16."""
    return ((np.frombuffer(octets, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)


def queen_voices(folder: Path) -> Recordings:
    """MP3 speech in one archive that begins with a table of its files."""
    data = next(folder.rglob("queen.1c")).read_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        for name, offset, size in queen_entries(data):
            path = Path(scratch) / "voice.mp3"
            path.write_bytes(data[offset : offset + size])
            try:
                samples, rate = read_audio(path)
            except ValueError:
                continue
            yield name, samples, rate


def queen_entries(data: bytes) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of the sounds in the table at the head of the archive."""
    (count,) = struct.unpack_from(">H", data, 13)
    for at in range(15, 15 + 21 * count, 21):
        octets, _, offset, size = struct.unpack_from(">12sBII", data, at)
        name = octets.rstrip(b"\0").decode("ascii", "replace")
        if name.endswith(".SB"):
            yield name, offset, size
