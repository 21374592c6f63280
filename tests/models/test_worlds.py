"""Real speech out of packages: what the archives hold, how recordings become clips, and what is left out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="resampling needs the extra 'train'")

from models import worlds
from models.archives import drascula_voices, from_unsigned, queen_entries, raw_voices, sound_files
from models.corpus import read_audio, read_corpus
from tests.models.test_corpus import write_wav

RATE = worlds.RATE


def tone(seconds: float, amplitude: float = 8000, rate: int = RATE) -> np.ndarray:
    at = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * 200 * at)).astype(np.int16)


def test_eight_bit_samples_lie_around_128() -> None:
    assert from_unsigned(b"\x80\x00\xff").tolist() == [0, -32768, 32512]


def test_the_archive_s_table_names_sounds_and_skips_the_rest() -> None:
    entry = struct.Struct(">12sBII")
    head = b"QTBLCEM10\0\0\0\1" + struct.pack(">H", 2)
    data = head + entry.pack(b"020001P2.SB\0", 1, 500, 70) + entry.pack(b"MAP.PCX\0\0\0\0\0", 1, 570, 9)
    assert list(queen_entries(data)) == [("020001P2.SB", 500, 70)]


def test_headerless_voices_are_read_with_their_rates(tmp_path: Path) -> None:
    (tmp_path / "a.ALS").write_bytes(b"\x80\x90")
    (tmp_path / "b.raw").write_bytes(struct.pack("<2h", 5, -6) + b"\x01")
    ((name, samples, rate),) = drascula_voices(tmp_path)
    assert (name, samples.tolist(), rate) == ("a.ALS", [0, 4096], 11025)
    ((name, samples, rate),) = raw_voices(tmp_path)
    assert (name, samples.tolist(), rate) == ("/b.raw", [5, -6], 8000)


def test_files_that_are_no_audio_are_passed_over(tmp_path: Path) -> None:
    write_wav(tmp_path / "voice.wav", tone(0.5), RATE)
    (tmp_path / "broken.ogg").write_bytes(b"OggS and nothing else")
    (tmp_path / "readme.txt").write_text("hello")
    assert [name for name, _, _ in sound_files(tmp_path)] == ["voice.wav"]


def test_quiet_ends_go_and_silence_leaves_nothing() -> None:
    padded = np.concatenate([np.zeros(RATE, np.int16), tone(1.0), np.zeros(RATE, np.int16)])
    assert len(worlds.trim(padded)) == pytest.approx(1.12 * RATE, rel=0.03)
    assert not len(worlds.trim(np.zeros(RATE, np.int16)))


def test_short_recordings_are_joined_and_long_ones_cut() -> None:
    assert [len(clip) / RATE for clip in worlds.join([tone(1.5)] * 3)] == [4.5]
    assert [len(clip) / RATE for clip in worlds.join([tone(25.0)])] == [10.0, 10.0, 5.0]
    assert list(worlds.join([tone(0.5)])) == [], "less than a second is no clip"


def test_a_clip_has_the_corpus_s_level_and_rounding() -> None:
    made = worlds.levelled(tone(1.0, 300))
    assert np.sqrt(np.mean((made / 32768.0) ** 2)) == pytest.approx(worlds.LEVEL, rel=0.02)
    assert not np.any(made % worlds.STEP)


def test_a_package_becomes_a_corpus_of_worlds_and_speakers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(package: str, folder: Path) -> bool:
        for language in ("de", "fr"):
            path = folder / "x" / "sounds" / language / "word.wav"
            path.parent.mkdir(parents=True)
            write_wav(path, tone(2.0), RATE)
        write_wav(folder / "x" / "jingle.wav", tone(2.0), RATE)
        return package == "lessons"

    monkeypatch.setattr(worlds, "fetch", fetch)
    table = (worlds.World("lessons", "", r"sounds/(?P<world>[a-z]+)/"), worlds.World("gone", "en", ""))
    assert worlds.build(tmp_path / "out", table) == 2
    clips = read_corpus(tmp_path / "out", ["train"])
    assert {(clip.repo, clip.language, clip.label) for clip in clips} == {
        ("debian/lessons/de", "de", "bonafide"), ("debian/lessons/fr", "fr", "bonafide"),
    }  # fmt: skip
    samples, rate = read_audio(clips[0].path)
    assert (rate, len(samples) / rate) == (RATE, pytest.approx(2.0, abs=0.1))

    monkeypatch.setattr(worlds, "fetch", lambda *_: pytest.fail("what is done is not fetched again"))
    assert worlds.build(tmp_path / "out", table[:1]) == 2


def test_nothing_to_be_had_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "fetch", lambda *_: False)
    with pytest.raises(OSError, match="is a Debian mirror configured"):
        worlds.build(tmp_path, (worlds.World("gone", "en", ""),))
