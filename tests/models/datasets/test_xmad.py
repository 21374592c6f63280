"""XMAD-Bench on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import complaints, plant

META = "sample_name,is_fake,split\n1.wav,0,train\n1.wav,1,train\n2.wav,1,val\n3.wav,0,test\n"


def test_folders_follow_the_label(tmp_path: Path) -> None:
    plant(tmp_path, **{"commonvoice-de/meta.csv": META})
    assert detect(tmp_path) == "xmad"
    clips = list(read(tmp_path))
    assert [clip.path.relative_to(tmp_path).as_posix() for clip in clips[:2]] == [
        "commonvoice-de/real/1.wav",
        "commonvoice-de/fake/1.wav",
    ]
    assert [clip.label for clip in clips] == ["bonafide", "spoof", "spoof", "bonafide"]
    assert [clip.split for clip in clips] == ["train", "train", "dev", "eval"]
    assert {clip.language for clip in clips} == {"de"}
    assert len({clip.name for clip in clips}) == 4, "a person and the fake share the sample's name"


@pytest.mark.parametrize("separator", [",", "\t"])
def test_the_separator_is_sniffed_not_assumed(tmp_path: Path, separator: str) -> None:
    plant(tmp_path, **{"commonvoice-ru/meta.csv": META.replace(",", separator)})
    assert len(list(read(tmp_path))) == 4


@pytest.mark.parametrize(("name", "language"), [("mailabs-es", "es"), ("masc", "ar"), ("aishell3", "zh"), ("voxpopuli", "ro")])
def test_cross_domain_sets_are_tests_whatever_their_column_says(tmp_path: Path, name: str, language: str) -> None:
    plant(tmp_path, **{f"{name}/meta.csv": META})
    clips = list(read(tmp_path))
    assert {clip.split for clip in clips} == {"eval"}
    assert {clip.language for clip in clips} == {language}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("5.wav,2,train", "is_fake '2' is none of 0, 1"),
        ("5.wav,0,dev", "split 'dev' is none of train, val, test"),
        ("5.wav,0", "2 columns instead of 3"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, said: str) -> None:
    plant(tmp_path, **{"commonvoice-en/meta.csv": META + row + "\n"})
    assert complaints(tmp_path) == [f"{tmp_path}/commonvoice-en/meta.csv, line 6: {said}"]


def test_one_data_set_of_the_benchmark_alone(tmp_path: Path) -> None:
    plant(tmp_path, **{"mailabs-de/meta.csv": META})
    assert len(list(read(tmp_path / "mailabs-de"))) == 4
