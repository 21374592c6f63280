"""Broken files: each works as far as it goes or is refused in one sentence; memory stays flat."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from connectors.capture import leg_frames, read_legs
from connectors.files import open_recording, sniff
from engine.errors import AudioError
from tests.connectors.captures import pcap, pcapng, rtp_frames
from tests.connectors.test_files import encode, tone, write_wav

FILES = 120  # mutations of each good file


def broken(data: bytes, rng: random.Random) -> bytes:
    """Cut off, holed, or with some bytes changed, most of them in the head where formats keep their lengths."""
    changed = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed))])
    if kind == 1:
        at = rng.randrange(len(changed))
        del changed[at : at + rng.randrange(1, 400)]
        return bytes(changed)
    reach = 96 if kind == 2 else len(changed)
    for _ in range(rng.randint(1, 12)):
        changed[rng.randrange(min(reach, len(changed)))] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.randrange(256)])
    return bytes(changed)


def sentence(path: Path) -> str | None:
    """Why a file is refused, or None when it is heard."""
    try:
        screened(path)
    except AudioError as error:
        return str(error)
    return None


def screened(path: Path) -> int:
    """Samples that come out, the way every command reads a file."""
    if sniff(path) == "capture":
        return sum(len(frame.samples) for leg in read_legs(path) for frame, _ in leg_frames(leg))
    recording = open_recording(path)
    return sum(len(frame.samples) for leg in recording.legs for frame in recording.frames(leg))


@pytest.fixture
def good(tmp_path: Path, request: pytest.FixtureRequest) -> bytes:
    kind = request.param
    if kind in ("pcap", "pcapng"):
        return (pcap if kind == "pcap" else pcapng)(rtp_frames(60))
    if kind == "wav":
        return write_wav(tmp_path / "a.wav", [tone(8000)], 8000).read_bytes()
    codec, rate = {"flac": ("flac", 16000), "ogg": ("libopus", 48000), "mp3": ("libmp3lame", 44100)}[kind]
    return encode(tmp_path / f"a.{kind}", codec, rate, seconds=4).read_bytes()


@pytest.mark.parametrize("good", ["pcap", "pcapng", "wav", "flac", "ogg", "mp3"], indirect=True)
def test_broken_files_are_heard_or_refused(good: bytes, tmp_path: Path) -> None:
    rng, path = random.Random(len(good)), tmp_path / "broken"
    heard = 0
    for number in range(FILES):
        if number == FILES // 4:
            tracemalloc.start()
            early = tracemalloc.get_traced_memory()[0]
        path.write_bytes(broken(good, rng))
        refusal = sentence(path)
        heard += refusal is None
        assert refusal is None or (str(path) in refusal and len(refusal) > len(str(path)) + 10), refusal
    grown = tracemalloc.get_traced_memory()[0] - early
    tracemalloc.stop()
    assert grown < 200_000, f"{grown} bytes grown"
    assert 0 < heard < FILES
    path.write_bytes(good)
    assert screened(path) > 3000
