"""Copies of real speech: length, level and rounding of the original, yet another signal; and a cache that resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from models.copies import CopyPlan, active_level, add_copies, add_originals, copy_speech, rounding_step, spread
from models.corpus import Clip
from models.store import AudioStore
from models.transcode import add_codings, available, transcode
from models.vocoders import HifiGan, mel_bank, vocoders
from tests.models.test_corpus import write_wav

RATE = 16000


def voice(seconds: float = 1.2, hz: float = 120.0, seed: int = 0) -> np.ndarray:
    """A buzz with two formants and breath: enough of a voice for a vocoder. int16 [n] at 16 kHz."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.05 * np.sin(2 * np.pi * 3 * at))) / RATE
    tone = sum(np.exp(-(((k * hz - 600) / 500) ** 2)) * np.cos(k * phase) for k in range(1, 30))
    tone = tone + 0.02 * rng.standard_normal(len(at))
    swell = 0.2 + 0.8 * np.sin(2 * np.pi * 1.3 * at) ** 2
    return (np.rint(tone * swell / np.abs(tone).max() * 200).astype(np.int16) * 64).astype(np.int16)


@pytest.mark.parametrize("path", ["world", "lpc", "sinusoidal", "mel-smooth", "griffin-lim"])
def test_a_copy_keeps_length_level_and_rounding_but_not_the_samples(path: str) -> None:
    original = voice()
    made = copy_speech(original, RATE, vocoders(None)[path], seed=7)
    assert made.shape == original.shape
    assert rounding_step(made) == rounding_step(original) == 64
    assert active_level(made / 32768) == pytest.approx(active_level(original / 32768), rel=0.1)
    assert np.mean(made == original) < 0.5
    np.testing.assert_array_equal(made, copy_speech(original, RATE, vocoders(None)[path], seed=7))


@pytest.mark.parametrize("path", ["world", "lpc", "sinusoidal", "mel-smooth", "griffin-lim"])
def test_a_copy_says_the_same(path: str) -> None:
    original = voice(2.0)
    made = copy_speech(original, RATE, vocoders(None)[path], seed=3)
    loud = [np.sqrt((x[: len(x) // 800 * 800].reshape(-1, 800) / 32768.0) ** 2).mean(axis=1) for x in (original, made)]
    assert np.corrcoef(*loud)[0, 1] > 0.8


@pytest.mark.parametrize("path", ["world", "lpc", "sinusoidal", "mel-smooth", "griffin-lim"])
def test_silence_makes_no_trouble(path: str) -> None:
    made = copy_speech(np.zeros(RATE, np.int16), RATE, vocoders(None)[path], seed=0)
    assert np.abs(made).max() < 256


def test_mel_bands_have_equal_area_and_the_right_ends() -> None:
    bank = mel_bank(80, 513, 22050, 8000)
    assert bank.shape == (80, 513)
    hz = np.linspace(0, 11025, 513)
    assert np.all(bank[:, hz > 8000] == 0)
    np.testing.assert_allclose(bank[40:].sum(axis=1) * (hz[1] - hz[0]), 1, rtol=0.12)


def clips(folder: Path, people: int = 3) -> list[Clip]:
    out = []
    for i in range(people):
        path = write_wav(folder / f"p{i}.wav", voice(1.0, 110 + 20 * i, i))
        out.append(Clip(path, "bonafide", "train", speaker=f"s{i % 2}", repo="o/a", duration_s=1.0))
    fake = write_wav(folder / "f.wav", voice(1.0, 200, 9))
    return [*out, Clip(fake, "spoof", "train", generator="g", repo="o/a", duration_s=1.0)]


def test_the_order_of_copying_visits_every_speaker_before_any_twice(tmp_path: Path) -> None:
    many = [Clip(tmp_path / f"{i}.wav", "bonafide", "train", speaker=f"s{i % 4}", repo=f"r{i % 4}") for i in range(12)]
    order = spread(many, "x")
    assert sorted(c.name for c in order) == sorted(c.name for c in many)
    assert {c.speaker for c in order[:4]} == {"s0", "s1", "s2", "s3"}
    assert [c.name for c in order] == [c.name for c in spread(many[::-1], "x")]


def test_the_cache_holds_originals_copies_and_codings_and_resumes(tmp_path: Path) -> None:
    plan = CopyPlan({"lpc": 10.0, "mel-smooth": 1 / 60})
    store = AudioStore(tmp_path / "cache/train")
    add_originals(store, clips(tmp_path))
    add_copies(store, clips(tmp_path), plan, None)
    kinds = [entry.generator for entry in store.entries]
    assert kinds.count("") == 3
    assert kinds.count("g") == 1
    assert kinds.count("copy:lpc") == 3
    assert kinds.count("copy:mel-smooth") == 1
    assert all(entry.label == "spoof" for entry in store.entries if entry.copy)
    add_codings(store)
    again = AudioStore(tmp_path / "cache/train")
    assert len(again.entries) == (16 if available() else 8)
    for entry in again.entries:
        np.testing.assert_array_equal(again.samples(entry), store.samples(entry))
    add_originals(again, clips(tmp_path))
    add_copies(again, clips(tmp_path), plan, None)
    assert len(again.entries) == len(store.entries)


def test_a_line_without_its_samples_is_forgotten(tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "s")
    fields = {"label": "spoof", "generator": "g", "repo": "r", "speaker": "", "coding": ""}
    with store:
        store.add(np.arange(100, dtype=np.int16), source="a", **fields)
        store.add(np.arange(100, dtype=np.int16), source="b", **fields)
    samples = tmp_path / "s.i16"
    samples.write_bytes(samples.read_bytes()[:-10])
    with (tmp_path / "s.jsonl").open("a") as file:
        file.write('{"source": "c", "lab')
    assert [entry.source for entry in AudioStore(tmp_path / "s").entries] == ["a"]


@pytest.mark.parametrize("coding", available(), ids=str)
def test_codecs_keep_length_and_time(coding: object) -> None:
    speech = voice(2.0)[::2].copy()
    coded = transcode(speech, coding)  # type: ignore[arg-type]
    assert coded.shape == speech.shape
    assert np.corrcoef(coded, speech)[0, 1] > 0.5
    assert np.mean(coded == speech) < 0.9


class SilentHifiGan(HifiGan):
    """The paths around the network, with a network that answers a tone of the right length."""

    def __init__(self) -> None:
        self._bank = mel_bank(80, 513, self.rate, 8000.0)
        self._window = np.hanning(1025)[:-1]

    def synthesize(self, mel: np.ndarray) -> np.ndarray:
        assert mel.shape[0] == 80
        assert np.isfinite(mel).all()
        return np.sin(np.arange(256 * mel.shape[1]) * 0.05).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_neural_copies_and_conversions_keep_the_tempo(seed: int) -> None:
    network = SilentHifiGan()
    for path in (network, network.convert):
        made = copy_speech(voice(1.7), RATE, path, seed)
        assert made.shape == voice(1.7).shape
        assert np.abs(made[-2000:].astype(int)).max() > 200  # it did not end early


def test_the_vocoder_hears_natural_logs_of_mel_magnitudes() -> None:
    mel = SilentHifiGan().mel(np.zeros(22050))
    assert mel.shape == (80, 22050 // 256)
    assert np.allclose(mel, np.log(1e-5), atol=1.5)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050)
    assert abs(int(SilentHifiGan().mel(tone).mean(axis=1).argmax()) - 26) <= 1  # band 26 of 80 has its centre at 1 kHz


def test_missing_vocoder_weights_are_named(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(FileNotFoundError, match=r"hifigan_v3_fp16\.tflite"):
        vocoders(tmp_path)


FIELDS = {"label": "spoof", "generator": "g", "repo": "r", "speaker": "", "coding": ""}


def test_what_a_stop_left_unfinished_costs_nothing_that_comes_after(tmp_path: Path) -> None:
    with AudioStore(tmp_path / "s") as store:
        store.add(np.arange(100, dtype=np.int16), source="a", **FIELDS)
    with (tmp_path / "s.i16").open("ab") as samples, (tmp_path / "s.jsonl").open("ab") as index:
        samples.write(b"\x07")  # half a sample
        index.write('{"source": "Ö'.encode()[:-1])  # and half a letter
    store = AudioStore(tmp_path / "s")
    with store:
        store.add(np.arange(50, dtype=np.int16), source="b", **FIELDS)
    again = AudioStore(tmp_path / "s")
    assert [entry.source for entry in again.entries] == ["a", "b"]
    np.testing.assert_array_equal(again.samples(again.entries[1]), np.arange(50))


def test_two_never_write_to_one_cache(tmp_path: Path) -> None:
    one, other = AudioStore(tmp_path / "s"), AudioStore(tmp_path / "s")
    with one:
        one.add(np.arange(9, dtype=np.int16), source="a", **FIELDS)
        with pytest.raises(ValueError, match=r"s\.i16 is being written to by another process"), other:
            pass
    with other:
        assert ("a", "g", "") in other, "and what was written meanwhile is known"


def test_a_file_of_the_same_name_and_size_is_another_clip(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (one,) = [Clip(write_wav(tmp_path / "1.wav", voice(1.0, 110, 1)), "bonafide", "train")]
    (other,) = [Clip(write_wav(tmp_path / "b/1.wav", voice(1.0, 150, 2)), "bonafide", "train")]
    assert one.path.stat().st_size == other.path.stat().st_size
    store = AudioStore(tmp_path / "s")
    add_originals(store, [one])
    add_originals(store, [one])
    with pytest.raises(ValueError, match="holds another train/bonafide/1"):
        add_originals(store, [other])


def test_clips_whose_table_tells_no_length_are_copied_too(tmp_path: Path) -> None:
    bare = [replace(clip, duration_s=0.0) for clip in clips(tmp_path)]
    store = AudioStore(tmp_path / "s")
    add_originals(store, bare)
    add_copies(store, bare, CopyPlan({"lpc": 10.0}), None)
    assert sum(entry.generator == "copy:lpc" for entry in store.entries) == 3


def test_one_that_cannot_be_read_is_told_or_raises(tmp_path: Path) -> None:
    many = clips(tmp_path)
    many[1].path.write_bytes(b"RIFF")
    told: list[str] = []
    kept = add_originals(AudioStore(tmp_path / "s"), many, lambda error: told.append(str(error)))
    assert [clip.path.name for clip in kept] == ["p0.wav", "p2.wav", "f.wav"]
    assert len(told) == 1
    assert "p1.wav" in told[0]
    with pytest.raises(ValueError, match="p1"):
        add_originals(AudioStore(tmp_path / "t"), many)
