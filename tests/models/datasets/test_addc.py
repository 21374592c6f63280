"""ADD-C on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant


@pytest.mark.parametrize(
    "paths",
    [
        ("ADD-C/C0/real/a.wav", "ADD-C/C3/fake/amr-wb/b.wav"),
        ("ADD-C/C0/real/a.wav", "ADD-C/C3/amr-wb/fake/b.wav"),
        ("ADD-C/real/C0/a.wav", "ADD-C/fake/C0/c.wav", "ADD-C/real/C3/opus/d.wav", "ADD-C/fake/C3/amr-wb/b.wav"),
    ],
)
def test_condition_label_and_codec_in_whatever_order(tmp_path: Path, paths: tuple[str, ...]) -> None:
    plant(tmp_path, *paths)
    assert detect(tmp_path) == "add-c"
    clips = by_stem(tmp_path)
    assert len(clips) == len(paths)
    assert (clips["a"].label, clips["a"].codec, clips["a"].split) == ("bonafide", "", "eval")
    assert (clips["b"].label, clips["b"].codec) == ("spoof", "amr-wb, 5 % lost")


def test_copies_of_one_recording_are_not_independent(tmp_path: Path) -> None:
    plant(tmp_path, "C0/real/a.wav", "C1/real/opus/a.wav", "C5/real/opus/a.wav")
    clips = list(read(tmp_path))
    assert {clip.orig_path for clip in clips} == {"a.wav"}
    assert [clip.codec for clip in clips] == ["", "opus, 0 % lost", "opus, 20 % lost"]
    assert len({clip.name for clip in clips}) == 3


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("C1/opus/x.wav", "its folders say neither real nor fake"),
        ("C1/real/fake/x.wav", "its folders say bonafide and spoof"),
        ("real/x.wav", "0 folders instead of one name a condition"),
        ("C1/C2/real/x.wav", "2 folders instead of one name a condition"),
    ],
)
def test_a_file_that_cannot_be_placed_is_named(tmp_path: Path, path: str, said: str) -> None:
    plant(tmp_path, "C0/real/a.wav", "C1/real/b.wav", path)
    (sentence,) = complaints(tmp_path)
    assert sentence.startswith(f"{tmp_path}/{path}")
    assert said in sentence


def test_the_tests_of_codecfake_are_no_conditions(tmp_path: Path) -> None:
    plant(tmp_path, "test/C1/x.wav", "test/C2/x.wav")
    with pytest.raises(ValueError, match="looks like no data set"):
        detect(tmp_path)
