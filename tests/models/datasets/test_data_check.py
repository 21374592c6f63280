"""`vivavoce data check`: what it counts, what it calls wrong, what it prints and returns."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from models.datasets.check import CANNOT_BE, MISSING, TWICE, UNLISTED, UNREADABLE, audio_files, check
from tests.models.datasets.trees import plant
from vivavoce.cli import main

ROWS = (
    "path,label,split,generator,language\n"
    "a.wav,bonafide,train,,en\nb.wav,spoof,train,x-tts,en\nc.wav,spoof,eval,y-tts,de\nd.wav,bonafide,eval,,\n"
)
PROTOCOL = "ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.dev.trl.txt"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return plant(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav", **{"ours.csv": ROWS})


def write_wav(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(round(seconds * 16000)))


def test_counts_by_split_label_generator_and_language(good: Path) -> None:
    found = check(good)
    assert (found.kind, found.clips, found.faults, found.notes) == ("table", 4, {}, [])
    assert found.labels_by_split == {
        ("train", "bonafide"): 1, ("train", "spoof"): 1, ("eval", "spoof"): 1, ("eval", "bonafide"): 1,
    }  # fmt: skip
    assert found.counts["generator"] == {"x-tts": 1, "y-tts": 1}, "people count under no generator"
    assert found.counts["language"] == {"en": 2, "de": 1, "": 1}
    assert found.seconds is None


def test_missing_and_unlisted_files_are_named(good: Path) -> None:
    (good / "b.wav").unlink()
    plant(good, "deeper/e.flac", "notes.txt")
    assert check(good).faults == {MISSING: [f"{good}/b.wav"], UNLISTED: [f"{good}/deeper/e.flac"]}


@pytest.mark.parametrize(
    ("there", "said"),
    [("B.wav", "b.wav: only B.wav is there, and case matters"), ("b.flac", "b.wav: only b.flac is there")],
)
def test_a_near_miss_is_said(good: Path, there: str, said: str) -> None:
    (good / "b.wav").rename(good / there)
    assert check(good).faults[MISSING] == [f"{good}/{said}"]


@pytest.mark.parametrize(("label", "more"), [("spoof", ""), ("bonafide", ": spoof and bonafide")])
def test_a_file_listed_twice_counts_once(good: Path, label: str, more: str) -> None:
    plant(good, **{"ours.csv": ROWS + f"b.wav,{label},train,,en\n"})
    found = check(good)
    assert found.faults == {TWICE: [f"{good}/b.wav{more}"]}
    assert found.clips == 4


def test_two_formats_of_one_name_are_two_recordings(tmp_path: Path) -> None:
    plant(tmp_path, "a.wav", "a.flac", **{"ours.csv": "path,label\na.wav,bonafide\na.flac,spoof\n"})
    found = check(tmp_path)
    assert (found.clips, found.faults) == (2, {})


@pytest.mark.parametrize(("column", "value"), [("orig_sr", "inf"), ("duration_s", "nan")])
def test_a_number_that_is_none_is_a_fault(tmp_path: Path, column: str, value: str) -> None:
    plant(tmp_path, "a.wav", "b.wav", **{"ours.csv": f"path,label,{column}\na.wav,spoof,{value}\nb.wav,bonafide,1\n"})
    found = check(tmp_path)
    assert found.faults[CANNOT_BE] == [f"{tmp_path}/ours.csv, line 2: {column} '{value}' is not finite"]
    assert found.clips == 1


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_that_other_commands_cannot_read_is_noted(good: Path, separator: str) -> None:
    plant(good, **{"ours.csv": ROWS.replace(",", separator)})
    note = "ours.csv is not comma-separated, which vivavoce train, score and evaluate need"
    for root in (good, good / "ours.csv"):
        found = check(root)
        assert (found.clips, found.faults, found.notes) == (4, {}, [note])


def test_labels_that_cannot_be_are_named_and_the_rest_is_read(good: Path) -> None:
    plant(good, **{"ours.csv": ROWS.replace("b.wav,spoof", "b.wav,robot")})
    found = check(good)
    assert found.faults[CANNOT_BE] == [f"{good}/ours.csv, line 3: label 'robot' is neither 'bonafide' nor 'spoof'"]
    assert found.clips == 3


def test_reading_that_cannot_go_on_is_a_fault_not_a_crash(tmp_path: Path) -> None:
    plant(tmp_path, "ASVspoof2021_LA_eval/flac/LA_E_0000001.flac")
    sentences = check(tmp_path).faults[CANNOT_BE]
    assert "trial_metadata.txt is missing" in sentences[0]
    assert sentences[1].endswith("no labelled recording in it")


def test_audio_that_rightly_stands_in_no_list(tmp_path: Path) -> None:
    flac = "ASVspoof2019_LA_dev/flac"
    plant(
        tmp_path,
        f"{flac}/LA_D_0000001.flac",
        f"{flac}/LA_D_A0000001.flac",
        f"{flac}/LA_D_0000002.flac",
        **{PROTOCOL: "LA_0001 LA_D_0000001 - - bonafide\n"},
    )
    assert check(tmp_path).faults == {UNLISTED: [f"{tmp_path}/{flac}/LA_D_0000002.flac"]}


def test_noise_and_folders_with_lists_of_their_own_are_not_this_table_s(good: Path) -> None:
    plant(good, "noise/street.wav", "other/audio/e.wav", **{"other/manifest.csv": "path,activity\naudio/e.wav,singing\n"})
    assert check(good).faults == {}


def test_a_table_given_itself_says_nothing_of_its_neighbours(good: Path) -> None:
    plant(good, "e.wav")
    assert check(good / "ours.csv").faults == {}
    assert list(check(good).faults) == [UNLISTED]


def test_paths_that_go_up_and_down_are_the_same_file(good: Path) -> None:
    plant(good, **{"ours.csv": ROWS.replace("a.wav", "./deeper/../a.wav")})
    assert check(good).faults == {}


def test_a_relative_root(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good)
    assert check(Path()).faults == {}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.wav")
    (tmp_path / "set/again").symlink_to(tmp_path / "set")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/linked").symlink_to(tmp_path / "set")
    assert list(audio_files(tmp_path / "root")) == [f"{tmp_path}/root/linked/a.wav"]


def test_one_sided_sets_are_noted_but_not_wrong(tmp_path: Path) -> None:
    plant(tmp_path, "fake/pl/griffin_lim/x.wav")
    found = check(tmp_path)
    assert found.notes == ["no bonafide speech in it"]
    assert found.faults == {}


def test_hours_come_from_headers_and_broken_files_are_named(good: Path) -> None:
    for name, seconds in (("a", 1.5), ("b", 2.0), ("c", 0.5)):
        write_wav(good / f"{name}.wav", seconds)
    found = check(good, audio=True)
    assert found.seconds == {("train", "bonafide"): 1.5, ("train", "spoof"): 2.0, ("eval", "spoof"): 0.5}
    (sentence,) = found.faults[UNREADABLE]
    assert sentence.startswith(f"{good}/d.wav: ")


def test_exit_status_0_and_a_table_for_people(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(good)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{good}: a table of recordings (table), 4 clips\n")
    assert [line.split() for line in out.splitlines() if line.startswith(("train", "eval"))] == [
        ["train", "1", "1"],
        ["eval", "1", "1"],
    ]
    assert "generator (2)" in out
    assert "not said" in out
    assert out.endswith("nothing wrong\n")


def test_exit_status_1_and_no_more_faults_than_asked_for(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(good, "x1.wav", "x2.wav", "x3.wav")
    assert main(["data", "check", str(good), "--show", "1"]) == 1
    out = capsys.readouterr().out
    assert "files in no list: 3\n" in out
    assert "x1.wav\n  and 2 more" in out
    assert "x2.wav" not in out
    assert main(["data", "check", str(good), "--show", "0"]) == 1
    assert "x3.wav" in capsys.readouterr().out


def test_json_for_programs(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abcd":
        write_wav(good / f"{name}.wav", 36.0)
    plant(good, "e.wav")
    assert main(["data", "check", str(good), "--audio", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["kind"], report["clips"]) == ("table", 4)
    assert report["labels_by_split"] == {"train": {"bonafide": 1, "spoof": 1}, "eval": {"spoof": 1, "bonafide": 1}}
    assert report["hours"]["train"] == {"bonafide": 0.01, "spoof": 0.01}
    assert report["counts"]["generator"] == {"x-tts": 1, "y-tts": 1}
    assert report["faults"] == {UNLISTED: {"count": 1, "examples": [f"{good}/e.wav"]}}


def test_many_values_of_a_group_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n}.wav,spoof,g{n}\n" for n in range(30))
    plant(tmp_path, *(f"{n}.wav" for n in range(30)), **{"ours.csv": "path,label,generator\n" + rows})
    assert main(["data", "check", str(tmp_path)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines() if "others" in line] == [["others", "18"]]


def test_no_codec_is_none_and_no_language_is_not_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "path,label,language,codec\na.wav,spoof,en,pcma\nb.wav,bonafide,,\n"
    plant(tmp_path, "a.wav", "b.wav", **{"ours.csv": rows})
    assert main(["data", "check", str(tmp_path)]) == 0
    blocks = {block.split(" ")[0]: block.split() for block in capsys.readouterr().out.split("\n\n")}
    assert blocks["codec"] == ["codec", "(1)", "pcma", "1", "none", "1"]
    assert blocks["language"] == ["language", "(1)", "en", "1", "not", "said", "1"]


def test_the_kind_may_be_named(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(good, **{"meta.csv": "file,speaker,label\na.wav,Ann,spoof\n"})
    assert main(["data", "check", str(good), "--kind", "in-the-wild", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["kind"] == "in-the-wild"


@pytest.mark.parametrize(
    ("more", "said"), [((), "looks like no data set known here"), (("--show", "-1"), "--show -1 must be at least 0")]
)
def test_exit_status_2_and_one_sentence(
    tmp_path: Path, more: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path), *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", [(), ("--kind", "mlaad")])
def test_a_root_that_is_not_there(tmp_path: Path, kind: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path / "gone"), *kind]) == 2
    assert "gone does not exist" in capsys.readouterr().err


def test_the_command_needs_no_torch(good: Path) -> None:
    code = (
        "import sys; from vivavoce.cli import main; main(sys.argv[1:]); print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "data", "check", str(good)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("False False\n")
