"""Both sets called CodecFake, and CodecFake+, on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant

XIE = {
    "Codecfake/label/train.txt": "p1_001.wav real -\nF01_p1_001.wav fake F01\n",
    "Codecfake/label/dev.txt": "p2_001.wav\treal\t-\n",
    "Codecfake/label/C3.txt": "F03_p3_001.wav fake F03\n",
    "Codecfake/label/A1.txt": "A1_000.wav fake\n",
}
WU = (
    "wavpath,label,spkID,CodecName\n/home/authors/wavs,,,\n"
    "VCTK/p225/p225_001.wav,genuine,p225,genuine\nencodec_24khz/p226/p226_001.wav,spoof,p226,encodec_24khz\n"
    "encodec_24khz/p228/p228_001.wav,spoof,p228,encodec_24khz\n"
)
PLUS = {
    "CoRS_labels.txt": "p225 p225_001.wav bonafide\np227 p227_001_bigcodec.wav Spoof\np229 p229_001_bigcodec spoof\n",
    "CoSG_labels.txt": "VIOLA VIOLA_1 Mvq None Freq Spoof\nVIOLA VIOLA_2 Real Real Real bonafide\n",
}


def test_xie_s_parts_and_their_folders(tmp_path: Path) -> None:
    plant(tmp_path, **XIE)
    assert detect(tmp_path) == "codecfake-xie"
    clips = by_stem(tmp_path)
    assert clips["F01_p1_001"].path == tmp_path / "Codecfake/train/F01_p1_001.wav"
    assert clips["F03_p3_001"].path == tmp_path / "Codecfake/test/C3/F03_p3_001.wav"
    assert (clips["F01_p1_001"].generator, clips["F01_p1_001"].family) == ("F01", "neural-codec")
    assert (clips["p1_001"].label, clips["p1_001"].generator) == ("bonafide", "")
    assert {stem: clip.split for stem, clip in clips.items()} == {
        "p1_001": "train", "F01_p1_001": "train", "p2_001": "dev", "F03_p3_001": "eval", "A1_000": "eval",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [("a.wav spoof F01", "label 'spoof' is none of real, fake"), ("a.wav", "1 columns instead of 2 or 3")],
)
def test_xie_s_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    plant(tmp_path, **XIE, **{"Codecfake/label/C4.txt": line})
    assert complaints(tmp_path) == [f"{tmp_path}/Codecfake/label/C4.txt, line 1: {said}"]


def test_wu_s_speakers_make_the_splits_and_the_authors_folder_is_no_clip(tmp_path: Path) -> None:
    plant(tmp_path, **{"datalist.csv": WU})
    assert detect(tmp_path) == "codecfake-wu"
    clips = by_stem(tmp_path)
    assert {stem: clip.split for stem, clip in clips.items()} == {
        "p225_001": "train", "p226_001": "dev", "p228_001": "eval",
    }  # fmt: skip
    assert (clips["p225_001"].label, clips["p225_001"].generator) == ("bonafide", "")
    assert (clips["p226_001"].label, clips["p226_001"].generator) == ("spoof", "encodec_24khz")
    assert clips["p226_001"].path == tmp_path / "encodec_24khz/p226/p226_001.wav"


def test_wu_by_the_columns_of_its_parquet_files(tmp_path: Path) -> None:
    plant(tmp_path, **{"datalist.csv": "file_name,label,speaker_id,codec_name\na.wav,spoof,p300,SpeechTokenizer\n"})
    assert by_stem(tmp_path)["a"].generator == "SpeechTokenizer"


def test_wu_s_parquet_files_hold_no_paths(tmp_path: Path) -> None:
    plant(tmp_path, "data/train-00000-of-00002.parquet")
    with pytest.raises(ValueError, match="unpack the archives"):
        list(read(tmp_path, "codecfake-wu"))


def test_wu_an_unknown_label_is_named(tmp_path: Path) -> None:
    plant(tmp_path, **{"datalist.csv": WU.replace("genuine,p225", "true,p225")})
    assert [sentence.rsplit("/", 1)[1] for sentence in complaints(tmp_path)] == [
        "datalist.csv, line 3: label 'true' is none of genuine, bonafide, real, spoof, fake"
    ]


def test_plus_by_its_lists_whatever_the_case_of_a_label(tmp_path: Path) -> None:
    plant(tmp_path, "all_data_16k/p225_001.wav", "SLMdemos_16k/VIOLA/deeper/VIOLA_1.wav", **PLUS)
    assert detect(tmp_path) == "codecfake-plus"
    clips = by_stem(tmp_path)
    assert {stem: (clip.label, clip.split, clip.generator) for stem, clip in clips.items()} == {
        "p225_001": ("bonafide", "train", ""),
        "p227_001_bigcodec": ("spoof", "eval", "bigcodec"),
        "p229_001_bigcodec": ("spoof", "dev", "bigcodec"),
        "VIOLA_1": ("spoof", "eval", "VIOLA"),
        "VIOLA_2": ("bonafide", "eval", ""),
    }
    assert clips["VIOLA_1"].path == tmp_path / "SLMdemos_16k/VIOLA/deeper/VIOLA_1.wav"
    assert clips["VIOLA_2"].path == tmp_path / "SLMdemos_16k/VIOLA/VIOLA_2.wav"


def test_plus_by_names_alone(tmp_path: Path) -> None:
    folder = "all_data_16k"
    plant(
        tmp_path,
        f"{folder}/p225_001_audiodec_24k_320d.wav",
        f"{folder}/p225_001.wav",
        f"{folder}/p225_002_mic1.wav",
        f"{folder}/s5_400_xcodec.wav",
    )
    clips = by_stem(tmp_path)
    assert {stem: clip.generator for stem, clip in clips.items()} == {
        "p225_001_audiodec_24k_320d": "audiodec_24k_320d", "p225_001": "", "p225_002_mic1": "", "s5_400_xcodec": "xcodec",
    }  # fmt: skip
    assert clips["p225_002_mic1"].bonafide


def test_plus_s_demonstrations_cannot_be_told_apart_without_their_list(tmp_path: Path) -> None:
    plant(tmp_path, "SLMdemos_16k/VIOLA/VIOLA_1.wav")
    with pytest.raises(ValueError, match=r"needs CoSG_labels\.txt"):
        list(read(tmp_path))
