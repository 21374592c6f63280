"""MLAAD and M-AILABS on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

READING = "en_US/by_book/female/ann_other/a_book/wavs/a_book_01_f000001.wav"
HEADER = "path|original_file|language|is_original_language|duration|model_name|architecture|transcript\n"
ROW = f'./fake/en/some model/a.wav|{READING}|en|True|2.5|vendor/some-model|vits|He said "no\n'
META = "MLAAD/fake/en/some model/meta.csv"


def test_fakes_and_the_readings_they_speak(tmp_path: Path) -> None:
    plant(tmp_path, f"M-AILABS/{READING}", **{META: HEADER + ROW})
    assert detect(tmp_path) == "mlaad"
    clips = by_stem(tmp_path)
    fake, person = clips["a"], clips["a_book_01_f000001"]
    assert fake.path == tmp_path / "MLAAD/fake/en/some model/a.wav"
    assert (fake.label, fake.generator, fake.family) == ("spoof", "vendor/some-model", "vits")
    assert (fake.language, fake.duration_s, fake.licence) == ("en", 2.5, "CC BY-NC 4.0")
    assert (person.label, person.speaker, person.gender, person.language) == ("bonafide", "ann_other", "f", "en")
    assert person.path == tmp_path / "M-AILABS" / READING
    assert fake.orig_path == person.orig_path == READING


def test_a_quotation_mark_that_is_never_closed_swallows_nothing(tmp_path: Path) -> None:
    plant(tmp_path, **{META: HEADER + ROW + ROW.replace("a.wav", "b.wav") + ROW.replace("a.wav", "c.wav")})
    assert sorted(by_stem(tmp_path)) == ["a", "b", "c"]


def test_a_transcript_longer_than_the_csv_module_s_limit(tmp_path: Path) -> None:
    plant(tmp_path, **{META: HEADER + ROW.replace("He said", "He " * 60000)})
    assert sorted(by_stem(tmp_path)) == ["a"]


def test_a_transcript_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    plant(tmp_path, **{META: HEADER + ROW.replace("He said", "one | two\nthree") + ROW.replace("a.wav", "b.wav")})
    assert complaints(tmp_path) == []
    assert sorted(by_stem(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_the_separator_is_sniffed(tmp_path: Path, separator: str) -> None:
    plant(tmp_path, **{META: (HEADER + ROW).replace("|", separator).replace('"', "")})
    assert by_stem(tmp_path)["a"].family == "vits"


def test_a_line_cut_short_is_named(tmp_path: Path) -> None:
    plant(tmp_path, **{META: HEADER + "fake/en/some model/a.wav|x\n"})
    with pytest.raises(ValueError, match=r"meta\.csv, line 2: 2 columns instead of 8"):
        list(read(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file|duration\na.wav|1\n", "meta.csv: the column 'path' is missing"),
        ("path|duration\n|1\n", "meta.csv, line 2: empty path"),
        ("path|duration\na.wav|long\n", "meta.csv, line 2: duration 'long' is not a number"),
        ("path|duration\na.wav|nan\n", "meta.csv, line 2: duration 'nan' is not a number"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, text: str, said: str) -> None:
    plant(tmp_path, **{META: text})
    assert [sentence.rsplit("/", 1)[1] for sentence in complaints(tmp_path)] == [said]


def test_without_metadata_the_folders_say_what_it_is(tmp_path: Path) -> None:
    plant(tmp_path, "fake/pl/griffin_lim/x.wav")
    clip = by_stem(tmp_path)["x"]
    assert (clip.label, clip.language, clip.generator) == ("spoof", "pl", "griffin_lim")


def test_the_same_stem_in_two_languages_is_two_names(tmp_path: Path) -> None:
    plant(tmp_path, "fake/pl/griffin_lim/x.wav", "fake/de/griffin_lim/x.wav")
    assert len({clip.name for clip in read(tmp_path)}) == 2


def test_a_mixed_book_has_no_speaker(tmp_path: Path) -> None:
    plant(tmp_path, "de_DE/by_book/mix/a_book/wavs/a.wav")
    clip = by_stem(tmp_path)["a"]
    assert (clip.speaker, clip.gender, clip.language) == ("", "", "de")


def test_an_empty_list_of_a_book_hides_no_recordings(tmp_path: Path) -> None:
    plant(tmp_path, f"{READING}", **{"en_US/by_book/female/ann_other/a_book/metadata.csv": ""})
    assert len(list(read(tmp_path))) == 1


def test_a_book_s_list_counts_even_where_a_recording_is_missing(tmp_path: Path) -> None:
    plant(tmp_path, READING, **{"en_US/by_book/female/ann_other/a_book/metadata.csv": 'gone|He "|he\n'})
    assert [clip.path.name for clip in read(tmp_path)] == ["gone.wav"]


def test_another_set_s_folder_of_fakes_is_not_mlaad(tmp_path: Path) -> None:
    plant(tmp_path, "training/fake/x.wav")
    with pytest.raises(ValueError, match="looks like no data set"):
        detect(tmp_path)
