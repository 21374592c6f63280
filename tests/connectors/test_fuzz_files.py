"""Broken files: each works as far as it goes or is refused in one sentence; memory stays flat."""

from __future__ import annotations

import csv
import math
import random
import resource
import tracemalloc
from pathlib import Path

import pytest

from connectors.capture import leg_frames, read_legs
from connectors.files import open_recording, sniff
from engine.errors import AudioError
from tests.connectors.captures import ethernet, ipv4, ipv4_pieces, pcap, pcapng, rtp_frames, udp
from tests.connectors.packets import packet
from tests.connectors.test_files import encode, tone, write_wav
from tests.connectors.test_sdp import OFFER
from vivavoce import cli

FILES = 120  # mutations of each good file
KINDS = ("pcap", "pcapng", "g722", "sip", "wav", "flac", "ogg", "mp3")


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
    recording = open_recording(path, "split")
    return sum(len(frame.samples) for leg in recording.legs for frame in recording.frames(leg))


def resident() -> int:
    """Bytes of this process in memory, FFmpeg's included, which Python does not count."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def good(kind: str, folder: Path) -> bytes:
    if kind in ("pcap", "pcapng"):
        return (pcap if kind == "pcap" else pcapng)(rtp_frames(60))
    if kind == "g722":  # a decoder with a memory, in the other byte order and with VLAN tags
        return pcapng(
            [ethernet(ipv4(udp(packet(n, payload_type=9).serialize())), vlans=1) for n in range(60)],
            order=">",
            nanoseconds=True,
        )
    if kind == "sip":  # what the payload type is stands in a message before
        message = b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n" + OFFER.replace(b"192.0.2.1", b"10.0.0.2")
        pieces = ipv4_pieces(udp(message.replace(b"49170", b"5000"), 5060, 5060), 200)
        return pcap([*map(ethernet, pieces), *rtp_frames(60, payload_type=97)])
    if kind == "wav":
        return write_wav(folder / "a.wav", [tone(8000), tone(8000, 300)], 8000).read_bytes()
    codec, rate = {"flac": ("flac", 16000), "ogg": ("libopus", 48000), "mp3": ("libmp3lame", 44100)}[kind]
    return encode(folder / f"a.{kind}", codec, rate, seconds=4).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_broken_files_are_heard_or_refused(kind: str, tmp_path: Path) -> None:
    rng, path, whole = random.Random(f"seed {kind}"), tmp_path / "broken", good(kind, tmp_path)
    heard = early = early_resident = 0
    for number in range(FILES):
        if number == FILES // 4:
            tracemalloc.start()
            early, early_resident = tracemalloc.get_traced_memory()[0], resident()
        path.write_bytes(broken(whole, rng))
        refusal = sentence(path)
        heard += refusal is None
        assert refusal is None or (str(path) in refusal and len(refusal) > len(str(path)) + 10), refusal
        assert refusal is None or "\n" not in refusal, refusal
    grown, grown_resident = tracemalloc.get_traced_memory()[0] - early, resident() - early_resident
    tracemalloc.stop()
    assert grown < 200_000, f"{grown} bytes grown"
    assert grown_resident < 24 << 20, f"{grown_resident} bytes grown"
    assert 0 < heard < FILES
    path.write_bytes(whole)
    assert screened(path) > 3000


def test_broken_files_are_scored_or_told_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, kinds = random.Random(7), {kind: good(kind, tmp_path) for kind in KINDS}
    names = [f"{kind}-{number}" for kind in KINDS for number in range(10)]
    for name in names:
        (tmp_path / name).write_bytes(broken(kinds[name.split("-")[0]], rng))
    (tmp_path / "in.csv").write_text("\n".join(["path", *names]) + "\n")
    status = cli.main(["score", "--manifest", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv"), "--quiet"])
    told = capsys.readouterr().err.splitlines()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    refused = {row["path"] for row in rows if not row["llr"]}
    assert [row["path"] for row in rows] == names
    assert all(math.isfinite(float(row["llr"])) for row in rows if row["llr"])
    assert status == 1
    assert 0 < len(refused) < len(names)
    about = [next(name for name in names if str(tmp_path / name) + " " in line) for line in told]
    assert refused <= set(about), told
    assert all(about.count(name) == 1 for name in refused)
    assert any(name not in refused for name in about), "one that breaks off is told, and heard as far as it goes"
