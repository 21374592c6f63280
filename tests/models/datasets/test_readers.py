"""What holds for every reader: finding the one that fits, names, and how little it takes to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.datasets import READERS, detect, read
from models.datasets.base import Tree, sniff, split_by, table
from tests.models.datasets.trees import complaints, plant

ITW = {"meta.csv": "file,speaker,label\n0.wav,Ann,spoof\n"}


def test_an_empty_folder_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="looks like no data set known here; known: asvspoof2019-la, "):
        detect(tmp_path)


@pytest.mark.parametrize("name", [None, "table"])
def test_a_folder_that_is_not_there(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(ValueError, match="gone does not exist"):
        list(read(tmp_path / "gone", name))


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown kind of data set 'wild'; known: "):
        list(read(tmp_path, "wild"))


def test_two_sets_in_one_folder_need_a_name(tmp_path: Path) -> None:
    plant(tmp_path, "wavefake/ljspeech_melgan/LJ001-0001_gen.wav", **ITW)
    with pytest.raises(ValueError, match="looks like in-the-wild and wavefake; name one"):
        detect(tmp_path)


def test_a_table_beside_a_known_set_does_not_confuse(tmp_path: Path) -> None:
    plant(tmp_path, **ITW, **{"mine.csv": "path,label\na.wav,spoof\n"})
    assert detect(tmp_path) == "in-the-wild"


@pytest.mark.parametrize("name", READERS)
def test_no_reader_finds_anything_in_an_unrelated_tree(tmp_path: Path, name: str) -> None:
    plant(tmp_path, "real/a.wav", "fake/b.wav", "C1/c.wav", "notes.txt", "label/readme.txt", "x/y/z/deep.wav")
    assert not READERS[name].fits(Tree(tmp_path))


def test_names_are_unique_across_sets(tmp_path: Path) -> None:
    plant(tmp_path / "a", **ITW)
    plant(tmp_path / "b", **{"mine.csv": "path,label,split\n0.wav,spoof,eval\n"})
    names = [clip.name for folder in "ab" for clip in read(tmp_path / folder)]
    assert names == ["eval/spoof/in-the-wild/0.wav", "eval/spoof/table/0.wav"]


def test_reading_needs_neither_torch_nor_scipy_nor_the_upper_floors() -> None:
    code = (
        "import sys; from models.datasets import READERS;"
        "print([m for m in ('torch', 'scipy', 'engine', 'connectors', 'vivavoce') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "separator"),
    [("a,b,c", ","), ("a|b,c|d", "|"), ("a\tb", "\t"), ("a;b;c", ";"), ("alone", ",")],
)
def test_the_separator_that_occurs_most(line: str, separator: str) -> None:
    assert sniff(line) == separator


def test_a_field_too_long_for_a_quoted_table_is_named(tmp_path: Path) -> None:
    path = plant(tmp_path, **{"t.csv": 'a,b\n1,"' + "x" * 200_000 + '"\n'}) / "t.csv"
    with pytest.raises(ValueError, match=r"t\.csv, line 2: cannot be read as a table"):
        list(table(path, ("a",), lambda _: None))


def test_bytes_that_are_no_text_are_borne(tmp_path: Path) -> None:
    (tmp_path / "meta.csv").write_bytes(b"file,speaker,label\n0.wav,Ren\xe9,spoof\n")
    assert len(list(read(tmp_path))) == 1


def test_what_an_archiver_leaves_is_no_audio(tmp_path: Path) -> None:
    plant(tmp_path, "for-norm/training/real/a.wav", "for-norm/training/real/._a.wav", "__MACOSX/for-norm/training/real/a.wav")
    assert [clip.path.name for clip in read(tmp_path)] == ["a.wav"]


def test_complaints_do_not_stop_the_reading(tmp_path: Path) -> None:
    plant(tmp_path, **{"meta.csv": ITW["meta.csv"] + "1.wav,Ann,human\n2.wav\n3.wav,Ann,spoof\n"})
    found: list[str] = []
    assert [clip.path.name for clip in read(tmp_path, None, found.append)] == ["0.wav", "3.wav"]
    assert len(found) == len(complaints(tmp_path)) == 2


def test_splits_by_key_are_about_eight_one_one() -> None:
    splits = [split_by(str(n)) for n in range(2000)]
    assert {name: round(splits.count(name) / 200) for name in ("train", "dev", "eval")} == {"train": 8, "dev": 1, "eval": 1}
