"""AUDETER by its manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

TEXT = "file_name\tlabel\tmodel\tcorpus\tpartition\na.wav\tfake\tsome-tts\tlibrispeech\tval\nb.wav\tReal\t\tlibrispeech\ttest\n"


def test_columns_by_any_of_their_names(tmp_path: Path) -> None:
    plant(tmp_path, **{"audeter_list.tsv": TEXT})
    assert detect(tmp_path) == "audeter"
    clips = by_stem(tmp_path)
    assert (clips["a"].label, clips["a"].generator, clips["a"].split) == ("spoof", "some-tts", "dev")
    assert (clips["b"].label, clips["b"].generator, clips["b"].split) == ("bonafide", "", "eval")
    assert clips["a"].repo == "audeter/librispeech"
    assert clips["a"].path == tmp_path / "a.wav"


def test_a_plain_manifest_in_a_folder_of_that_name(tmp_path: Path) -> None:
    plant(tmp_path, **{"AUDETER/manifest.csv": "path,is_fake\na.wav,1\nb.wav,0\n"})
    assert detect(tmp_path / "AUDETER") == "audeter"
    assert [clip.label for clip in read(tmp_path / "AUDETER")] == ["spoof", "bonafide"]


def test_the_manifest_itself_whatever_its_name(tmp_path: Path) -> None:
    plant(tmp_path, **{"list.csv": "path,label\na.wav,fake\n"})
    assert len(list(read(tmp_path / "list.csv", "audeter"))) == 1


def test_a_number_is_no_label_unless_its_column_says_what_it_means(tmp_path: Path) -> None:
    plant(tmp_path, **{"audeter.csv": "path,label\na.wav,1\n"})
    assert complaints(tmp_path) == [
        f"{tmp_path}/audeter.csv, line 2: label '1' is none of real, bonafide, bona-fide, fake, spoof"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\na,fake\n", "none of the columns path, file, "),
        ("path,voice\na,fake\n", "none of the columns label, key, "),
        ("path,label\n,fake\n", "line 2: empty path"),
        ("path,label,split\na.wav,fake,other\n", "line 2: split 'other'"),
    ],
)
def test_bad_manifests_are_named(tmp_path: Path, text: str, said: str) -> None:
    plant(tmp_path, **{"audeter.csv": text})
    (sentence,) = complaints(tmp_path)
    assert said in sentence


def test_without_a_manifest_nothing_is_guessed_from_the_tree(tmp_path: Path) -> None:
    plant(tmp_path, "AUDETER/tts/a.wav")
    with pytest.raises(ValueError, match="holds no manifest of AUDETER"):
        list(read(tmp_path / "AUDETER", "audeter"))
