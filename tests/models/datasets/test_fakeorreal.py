"""FakeOrReal on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

LONG = "file12.wav_16k.wav_norm.wav_mono.wav_silence.wav"


def test_the_folder_is_the_label(tmp_path: Path) -> None:
    plant(tmp_path, "for-original/training/real/a.mp3", "for-original/testing/fake/b.wav")
    assert detect(tmp_path) == "fakeorreal"
    clips = by_stem(tmp_path)
    assert (clips["a"].label, clips["a"].split) == ("bonafide", "train")
    assert (clips["b"].label, clips["b"].split, clips["b"].generator) == ("spoof", "eval", "")


def test_a_word_in_a_name_is_no_label(tmp_path: Path) -> None:
    plant(tmp_path, "for-norm/validation/real/fake_accent.wav")
    clip = by_stem(tmp_path)["fake_accent"]
    assert (clip.label, clip.split) == ("bonafide", "dev")


def test_names_with_many_suffixes_stay_apart_and_whole(tmp_path: Path) -> None:
    plant(tmp_path, f"for-norm/testing/fake/{LONG}", "for-norm/testing/fake/file12.wav_16k.wav")
    clips = list(read(tmp_path))
    assert {clip.path.name for clip in clips} == {LONG, "file12.wav_16k.wav"}
    assert len({clip.name for clip in clips}) == 2


def test_versions_of_one_recording_share_where_they_come_from(tmp_path: Path) -> None:
    plant(tmp_path, f"for-norm/testing/fake/{LONG}", "for-rerec/testing/fake/file12.wav_16k.wav_2s.wav")
    norm, replayed = read(tmp_path)
    assert norm.orig_path == replayed.orig_path == "testing/fake/file12"
    assert (norm.codec, replayed.codec) == ("", "loudspeaker")
    assert norm.repo != replayed.repo
    assert norm.name != replayed.name


@pytest.mark.parametrize("root", ["", "for-2sec", "for-2sec/for-2seconds"])
def test_archives_that_unpack_one_folder_deeper(tmp_path: Path, root: str) -> None:
    plant(tmp_path, "for-2sec/for-2seconds/training/fake/x.wav")
    assert len(list(read(tmp_path / root))) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("for-norm/training/Real/x.wav", "label 'Real' is none of real, fake"),
        ("for-norm/test/real/x.wav", "'test' is none of training, validation, testing"),
    ],
)
def test_folders_that_cannot_be(tmp_path: Path, path: str, said: str) -> None:
    plant(tmp_path, "for-norm/testing/real/a.wav", path)
    (sentence,) = complaints(tmp_path)
    assert said in sentence
