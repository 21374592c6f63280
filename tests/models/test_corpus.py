"""Reading manifests and audio: typed records out, one clear sentence when something is wrong."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from models.corpus import Clip, read_audio, read_corpus, read_duration, read_manifest, read_speech, resample

HEADER = (
    "path,split,label,generator,generator_family,seen,speaker,language,duration_s,orig_sr,orig_codec,"
    "repo,orig_path,licence\n"
)
ROW = "a.wav,train,bonafide,,,no,ann,en,1.5,16000,pcm_s16le,o/r,x/a.wav,CC0\n"
FAKE = "b.wav,dev,spoof,wavegrad,neural-vocoder,yes,,en,2,22050,pcm_s16le,o/r,x/b.wav,MIT\n"


def write_wav(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "manifest.csv").write_text(HEADER + ROW + FAKE)
    return tmp_path


def test_records_are_typed(corpus: Path) -> None:
    person, fake = read_corpus(corpus)
    assert person.bonafide
    assert person.path == corpus / "a.wav"
    assert (person.duration_s, person.orig_sr, person.speaker, person.seen) == (1.5, 16000, "ann", False)
    assert (fake.label, fake.generator, fake.family, fake.seen) == ("spoof", "wavegrad", "neural-vocoder", True)
    assert person.name == "train/bonafide/a"


def test_only_the_wanted_splits(corpus: Path) -> None:
    assert [clip.split for clip in read_corpus(corpus, ["dev"])] == ["dev"]
    with pytest.raises(ValueError, match="unknown split"):
        read_corpus(corpus, ["test"])


def test_a_plain_csv_needs_path_and_label(tmp_path: Path) -> None:
    manifest = tmp_path / "mine.csv"
    manifest.write_text("path,label\ncalls/1.wav,bonafide\n")
    (clip,) = read_manifest(manifest, root=tmp_path / "audio")
    assert clip.path == tmp_path / "audio/calls/1.wav"
    assert clip.split == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\nx.wav\n", "the column 'label' is missing"),
        ("path,label\nx.wav,human\n", "line 2: label 'human' is neither"),
        ("path,label\n,spoof\n", "line 2: empty path"),
        ("path,label,split\nx.wav,spoof,training\n", "line 2: unknown split 'training'"),
        ("path,label,duration_s\nx.wav,spoof,long\n", "line 2: duration_s 'long' is not a number"),
        ("path,label,duration_s\nx.wav,spoof,nan\n", "line 2: duration_s 'nan' is not finite"),
        ("path,label,orig_sr\nx.wav,spoof,inf\n", "line 2: orig_sr 'inf' is not finite"),
        ("path,label\n\nx.wav,human\n", "line 3: label 'human' is neither"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_manifest(manifest)


def test_no_corpus_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_corpus(tmp_path)


def test_audio_comes_back_as_written(tmp_path: Path) -> None:
    samples = np.arange(-500, 500, dtype=np.int16)
    got, rate = read_audio(write_wav(tmp_path / "x.wav", samples))
    assert rate == 16000
    np.testing.assert_array_equal(got, samples)


@pytest.mark.parametrize("content", [b"", b"not audio at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_unreadable_audio_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.wav"):
        read_audio(path)


def test_speech_is_brought_to_8_khz(tmp_path: Path) -> None:
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)).astype(np.int16)
    speech = read_speech(write_wav(tmp_path / "tone.wav", tone))
    assert len(speech) == 8000
    expected = 8000 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)
    assert np.abs(speech[200:-200] - expected[200:-200]).max() < 80


def test_resampling_saturates_instead_of_wrapping() -> None:
    square = np.repeat(np.array([32767, -32768] * 50, dtype=np.int16), 40)
    out = resample(square, 16000, 8000)
    assert np.all(np.sign(out[10:15]) == 1)


def test_a_manifest_may_say_who_was_asked_what_over_which_line(tmp_path: Path) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text("path,label,gender,codec,challenge\n1.wav,bonafide,f,pcma,whisper\n")
    (clip,) = read_manifest(manifest)
    assert (clip.gender, clip.codec, clip.challenge) == ("f", "pcma", "whisper")


def test_a_key_tells_clips_with_the_same_stem_apart() -> None:
    one, other = (Clip(Path(f"{voice}/1.wav"), "spoof", "dev", key=f"{voice}/1") for voice in "ab")
    assert one.name == "dev/spoof/a/1" != other.name


def test_files_of_one_name_in_two_folders_are_two_clips(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,split\na/1.wav,spoof,dev\nb/1.wav,spoof,dev\nb/2.wav,spoof,dev\n/c/1.wav,bonafide,dev\n")
    names = [clip.name for clip in read_manifest(manifest)]
    assert names == ["dev/spoof/a/1.wav", "dev/spoof/b/1.wav", "dev/spoof/2", "dev/bonafide/1"]


def test_duration_comes_from_the_header(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", np.zeros(4000, dtype=np.int16), rate=8000)
    assert read_duration(path) == 0.5


@pytest.mark.parametrize("content", [b"", b"not audio at all"])
def test_a_broken_header_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.wav"):
        read_duration(path)


def test_an_empty_recording_has_no_length(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "empty.wav", np.zeros(0, dtype=np.int16))
    with pytest.raises(ValueError, match=r"empty\.wav"):
        read_duration(path)


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "10:15.wav", np.ones(160, dtype=np.int16))
    monkeypatch.chdir(tmp_path)
    assert read_duration(Path("10:15.wav")) == 0.01
    assert read_audio(Path("10:15.wav"))[1] == 16000


def test_a_playlist_does_not_choose_what_is_read(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", np.ones(1600, dtype=np.int16))
    playlist = tmp_path / "clip.wav"
    playlist.write_text("ffconcat version 1.0\nfile secret.wav\n")
    for read in (read_audio, read_duration):
        with pytest.raises(ValueError, match=r"clip\.wav: cannot be read as audio"):
            read(playlist)
