"""In-the-Wild on a made-up tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

META = "release_in_the_wild/meta.csv"
TEXT = "file,speaker,label\n0.wav,Ann Other,spoof\n1.wav,Ann Other,bona-fide\n"


@pytest.mark.parametrize("root", ["", "release_in_the_wild"])
def test_fields_and_paths(tmp_path: Path, root: str) -> None:
    plant(tmp_path, **{META: TEXT})
    assert detect(tmp_path / root) == "in-the-wild"
    clips = by_stem(tmp_path / root)
    assert clips["0"].path == tmp_path / "release_in_the_wild/0.wav"
    assert (clips["0"].label, clips["1"].label) == ("spoof", "bonafide")
    assert (clips["1"].speaker, clips["1"].split, clips["0"].generator) == ("Ann Other", "eval", "")


def test_a_person_is_written_with_a_hyphen(tmp_path: Path) -> None:
    plant(tmp_path, **{META: TEXT.replace("bona-fide", "bonafide")})
    with pytest.raises(ValueError, match=r"meta\.csv, line 3: label 'bonafide' is none of bona-fide, spoof"):
        list(read(tmp_path))


def test_a_name_with_a_comma_is_one_field(tmp_path: Path) -> None:
    plant(tmp_path, **{META: 'file,speaker,label\n0.wav,"Other, Ann",spoof\n'})
    assert by_stem(tmp_path)["0"].speaker == "Other, Ann"


def test_a_line_cut_short_is_named(tmp_path: Path) -> None:
    plant(tmp_path, **{META: TEXT + "2.wav,Ann\n"})
    assert complaints(tmp_path) == [f"{tmp_path}/{META}, line 4: 2 columns instead of 3"]


def test_another_meta_csv_is_not_in_the_wild(tmp_path: Path) -> None:
    plant(tmp_path, **{"meta.csv": "id,speaker,label\n"})
    with pytest.raises(ValueError, match="looks like no data set"):
        detect(tmp_path)
