"""A call centre's own recordings, and our own corpus, by a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.corpus import read_corpus
from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

TEXT = "path,label,speaker,language,codec\ncalls/1.wav,bonafide,ann,en,pcma\ncalls/2.wav,spoof,,en,pcma\n"


def test_a_folder_with_one_table(tmp_path: Path) -> None:
    plant(tmp_path, **{"ours.csv": TEXT, "notes.csv": "day,weather\n1,rain\n"})
    assert detect(tmp_path) == "table"
    clips = by_stem(tmp_path)
    assert clips["1"].path == tmp_path / "calls/1.wav"
    assert (clips["1"].label, clips["1"].speaker, clips["1"].codec, clips["1"].split) == ("bonafide", "ann", "pcma", "")
    assert clips["2"].name == "/spoof/table/calls/2.wav"


def test_the_table_itself(tmp_path: Path) -> None:
    plant(tmp_path, **{"lists/ours.csv": TEXT})
    path = tmp_path / "lists/ours.csv"
    assert detect(path) == "table"
    assert [clip.path for clip in read(path)] == [tmp_path / "lists/calls/1.wav", tmp_path / "lists/calls/2.wav"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_a_spreadsheet_writes(tmp_path: Path, separator: str) -> None:
    text = "\ufeff" + TEXT.replace(",", separator).replace("\n", "\r\n")
    (tmp_path / "ours.csv").write_bytes(text.encode())
    assert [(clip.label, clip.codec) for clip in read(tmp_path)] == [("bonafide", "pcma"), ("spoof", "pcma")]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_spreadsheet_s_quotation_marks_are_no_part_of_a_value(tmp_path: Path, separator: str) -> None:
    rows = [("path", "label", "speaker"), ("1.wav", "spoof", 'the ""late"" Ann'), ("2.wav", "spoof", "5 inches")]
    plant(tmp_path, **{"ours.csv": "\n".join(separator.join(f'"{field}"' for field in row) for row in rows) + "\n"})
    assert [(clip.path.name, clip.speaker) for clip in read(tmp_path)] == [("1.wav", 'the "late" Ann'), ("2.wav", "5 inches")]
    plant(tmp_path, **{"ours.csv": f'path{separator}label{separator}speaker\n1.wav{separator}spoof{separator}5"\n'})
    assert [clip.speaker for clip in read(tmp_path)] == ['5"'], "a mark that stands alone is text"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    plant(tmp_path, **{"ours.csv": "path,label\n/elsewhere/1.wav,spoof\n"})
    (clip,) = read(tmp_path)
    assert clip.path == Path("/elsewhere/1.wav")
    assert clip.key == "table/elsewhere/1.wav"


def test_our_own_corpus_is_such_a_table(tmp_path: Path) -> None:
    plant(tmp_path, **{"manifest.csv": "path,split,label,generator\na.wav,train,spoof,wavegrad\n", "second.csv": TEXT})
    (ours,), (same,) = read(tmp_path), read_corpus(tmp_path)
    assert (ours.path, ours.split, ours.generator) == (same.path, same.split, same.generator)


def test_two_tables_must_be_told_apart(tmp_path: Path) -> None:
    plant(tmp_path, **{"a.csv": TEXT, "b.csv": TEXT})
    with pytest.raises(ValueError, match=r"holds a\.csv and b\.csv .*; name the file itself"):
        list(read(tmp_path))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("3.wav,human,,,", "line 4: label 'human' is neither"),
        (",spoof,,,", "line 4: empty path"),
        ("3.wav,spoof", "line 4: 2 columns instead of 5"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, said: str) -> None:
    plant(tmp_path, **{"ours.csv": TEXT + row + "\n"})
    (sentence,) = complaints(tmp_path)
    assert said in sentence
    with pytest.raises(ValueError, match=said):
        list(read(tmp_path))
