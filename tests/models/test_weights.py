"""`make weights` in miniature: the Makefile's own commands, a made-up corpus of a minute, narrow models, three steps each."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")
if shutil.which("make") is None:
    pytest.skip("make is not installed", allow_module_level=True)

from models.runtime import OnnxModel, load_model
from models.train import ANSWERS_MIX, load_averaged
from tests.models.test_copies import voice
from tests.models.test_corpus import write_wav
from vivavoce.cli import main

ROOT = Path(__file__).parents[2]
TEACHERS = ("teacher-1", "teacher-2", "teacher-3", "teacher-4", "teacher-5")
WEIGHTS = "models/weights/vivavoce-1.onnx"
INT8 = "models/weights/vivavoce-1-int8.onnx"
ANSWERS = "models/weights/answers-1.onnx"
COLUMNS = ("path", "split", "label", "generator", "generator_family", "speaker", "repo", "duration_s")
NARROW = "width = 32\nblocks = 1\nheads = 2\nhistory = 16\nhidden = 8\n"


pytestmark = pytest.mark.timeout(600)  # half a minute on a quiet core, and cores are not always


def write_corpus(folder: Path, splits: dict[str, int], repo: str) -> Path:
    """So many clips of 4.5 s in each split, people and fakes by turns; people only in debian/x."""
    folder.mkdir(parents=True)
    rows = []
    for split, count in splits.items():
        for i in range(count):
            fake, name = repo != "debian/x" and i % 2 == 1, f"{repo.replace('/', '-')}-{split}{i}.wav"
            write_wav(folder / name, voice(4.5, 110 + 25 * i, i))
            label, generator = ("spoof", "g") if fake else ("bonafide", "")
            rows.append((name, split, label, generator, "f" if fake else "", f"{repo}{i}", repo, 4.5))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return folder


def write_workplace(folder: Path) -> Path:
    """What `make weights` stands in: the Makefile itself, and the recipes that ship with narrow models and small batches."""
    (folder / "models/recipes").mkdir(parents=True)
    (folder / "Makefile").symlink_to(ROOT / "Makefile")
    for name in (*TEACHERS, "student", "telephone", "lines", "copies", "both", "answers"):
        text = (ROOT / f"models/recipes/{name}.toml").read_text()
        text, wide = re.subn(r"width = 96\n", NARROW, text)
        text, rows = re.subn(r"\[batch\]\n", "[batch]\nrows = 8\ncrop_s = 1.6\n", text)
        text, channels = re.subn(r"\[16, 16\]", "[4, 4]", text)
        assert (wide, rows, channels) == (1, 1, 1)
        if name == "student":  # a rate of next to nothing leaves it where it began, and so shows where that was
            text, rate = re.subn(r"learning_rate = 3e-3", "learning_rate = 1e-9", text)
            assert rate == 1
        (folder / f"models/recipes/{name}.toml").write_text(text)
    noise = (900 * np.random.default_rng(0).standard_normal(32000)).astype(np.int16)
    corpus = write_corpus(folder / "corpus", {"train": 6, "dev": 6}, "o/r")
    (corpus / "noise").mkdir()
    write_wav(corpus / "noise/n.wav", noise)
    (corpus / "noise/manifest.csv").write_text("path,kind,split\nn.wav,car,train\nn.wav,car,train\n")
    write_corpus(folder / "worlds", {"train": 2}, "debian/x")
    return folder


def make(folder: Path, venv: Path, worlds: str = "worlds", **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"VENV": str(venv), "READY": "", "CORPUS": "corpus", "VOCODERS": "nowhere", "WORLDS": worlds,
             "EXTRA": "--steps 3", "OWN": "--steps 2", "INT8": "--calls 2 --seconds 3"}  # fmt: skip
    command = ["make", "-C", str(folder), "weights", *(f"{name}={value}" for name, value in given.items())]
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment)


def contents(folder: Path) -> dict[str, object]:
    """When every checkpoint was written, how long logs and caches are, and what is in the weights."""
    found: dict[str, object] = {str(path): path.stat().st_mtime_ns for path in folder.glob("runs/*/*.pt")}
    found |= {str(path): path.stat().st_size for path in (*folder.glob("runs/cache/*"), *folder.glob("runs/*/dev.jsonl"))}
    return found | {path.name: path.read_bytes() for path in (folder / "models/weights").iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after `make weights`; its commands run in this process, for loading torch takes longer than all they do."""
    folder = write_workplace(tmp_path_factory.mktemp("workplace"))
    status, calls = calls_of(folder, 0, worlds="worlds")
    assert status == 0
    assert not [call for call in calls if call.startswith("data")], "worlds that are ready are not fetched"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert [main(call.split()) for call in calls] == [0] * len(calls)
    return folder


def test_every_stage_leaves_its_files(made: Path) -> None:
    for stage in (*TEACHERS, "student", "telephone", "lines", "copies", "both", "answers"):
        names = {path.name for path in (made / "runs" / stage).iterdir()}
        assert {"last.pt", "best.pt", "dev.jsonl", "dev_figures.md", "dev_figures.json"} <= names
        assert (made / "runs" / stage / "dev.jsonl").read_text().count("\n") == 1
    for teacher in TEACHERS:
        assert (made / f"runs/{teacher}/{teacher}.onnx").is_file()
    names = {path.name for path in (made / "models/weights").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("vivavoce-1", "vivavoce-1-int8", "answers-1") for kind in ("onnx", "json")}
    assert not list((made / "runs").glob("**/*.partial"))


def test_only_the_later_teachers_and_the_student_hear_the_worlds(made: Path) -> None:
    hours = {stage: load_model(made / f"runs/{stage}/{stage}.onnx").info.provenance["hours_bona_fide"] for stage in TEACHERS}
    hours["student"] = load_model(made / WEIGHTS).info.provenance["hours_bona_fide"]
    assert hours["teacher-1"] == hours["teacher-2"] < hours["teacher-3"] == hours["teacher-5"] == hours["student"]


def test_the_student_begins_with_the_fourth_teacher(made: Path) -> None:
    """Its rate is next to nothing here, so it is still there."""
    models = {stage: load_averaged(made / f"runs/{stage}/best.pt") for stage in (*TEACHERS, "student")}
    vectors = {stage: torch.nn.utils.parameters_to_vector(model.parameters()).detach() for stage, model in models.items()}
    away = {stage: float((vectors[stage] - vectors["student"]).abs().max()) for stage in TEACHERS}
    assert away.pop("teacher-4") < 1e-6
    assert min(away.values()) > 1e-4


def test_the_fifth_teacher_hears_copies_by_the_vocoder_trained_for_it(made: Path) -> None:
    assert list((made / "runs/vocoder").glob("snapshot-*.pt"))
    hours = {stage: load_model(made / f"runs/{stage}/{stage}.onnx").info.provenance["hours_copies"] for stage in TEACHERS}
    assert hours["teacher-5"] > hours["teacher-3"]


def test_the_student_is_taught_by_the_last_two(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = torch.load(made / "runs/student/last.pt", weights_only=False)["config"]
    assert list(config["teachers"]) == [f"runs/{teacher}/best.pt" for teacher in TEACHERS[3:]]
    assert config["teach"] == 2.0
    monkeypatch.chdir(made)
    again = ["train", "models/recipes/student.toml", "--corpus", "corpus", "--vocoders", "nowhere", "--more", "worlds",
             "--steps", "1", "--run", str(tmp_path / "run")]  # fmt: skip
    for teacher in TEACHERS[3:]:
        path, away = made / f"runs/{teacher}/best.pt", tmp_path / "away.pt"
        path.rename(away)
        assert main(again) == 2, "it must not be taught by fewer"
        assert f"runs/{teacher}/best.pt" in capsys.readouterr().err
        away.rename(path)


def test_what_ships_goes_from_the_student_over_telephone_lines(made: Path) -> None:
    config = torch.load(made / "runs/telephone/last.pt", weights_only=False)["config"]
    assert [config["start"]] == list(config["teachers"]) == ["runs/student/best.pt"]
    assert config["quiet_teachers"]
    assert config["loss"]["labels"] == 0
    vectors = [
        torch.nn.utils.parameters_to_vector(load_averaged(made / "runs" / path).parameters()).detach()
        for path in ("student/best.pt", "telephone/last.pt", "telephone/best.pt")
    ]
    begun, learned, kept = vectors
    torch.testing.assert_close(kept, begun + config["blend"] * (learned - begun), rtol=0, atol=1e-6)
    assert load_model(made / WEIGHTS).info.provenance["moments"]["shares"] == [1.5, 1.0]


def test_what_judges_answers_learns_of_strangers_and_of_copies_from_two(made: Path) -> None:
    found = {stage: torch.load(made / f"runs/{stage}/best.pt", weights_only=False) for stage in ("copies", "both", "answers")}
    assert found["copies"]["config"]["start"] == "runs/lines/best.pt"
    both, answers = found["both"]["config"], found["answers"]["config"]
    assert [both["start"]] == list(both["paired_teachers"]) == ["runs/copies/best.pt"]
    assert answers["start"] == "runs/both/best.pt"
    assert list(answers["paired_teachers"]) == ["runs/both/best.pt", "runs/copies/best.pt"]
    assert list(both["teachers"]) == list(answers["teachers"]) == ["runs/student/best.pt"]
    moments = load_model(made / ANSWERS).info.provenance["moments"]
    assert (moments["shares"], moments["waves"]) == ([0.0, 2.5], True)
    for stage in found.values():
        assert stage["config"]["purpose"] == "answers"
        assert stage["averaged"]["head.mix"].tolist() == pytest.approx(ANSWERS_MIX)
        assert stage["step"] == 3, "the last weights, whatever dev says of calls"
    spans = json.loads((made / "runs/answers/dev_figures.json").read_text())["cells"]
    assert {cell["span"] for cell in spans} <= {"1", "2", "4", "clip"}, "single answers, no joined calls"


@pytest.mark.parametrize("name", [WEIGHTS, INT8, ANSWERS])
def test_the_weights_load_and_score(made: Path, name: str) -> None:
    model: OnnxModel = load_model(made / name)
    assert model.info.trained
    assert model.info.provenance["steps"] == 3
    assert model.info.provenance["licence"] == "Apache-2.0"
    audio = np.stack([voice(0.16, 100 + 40 * i, i)[:1280] for i in range(3)])
    scores, state = model.step(audio, model.init_state(3))
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    assert len(state) == len(model.state_names)


def test_the_chain_again_does_nothing_anew(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(made)
    _, calls = calls_of(made, 0, worlds="worlds")
    monkeypatch.chdir(made)
    assert [main(call.split()) for call in calls] == [0] * len(calls)
    assert contents(made) == before


def calls_of(folder: Path, fail_at: int, worlds: str = "nothing-there") -> tuple[int, list[str]]:
    """Exit status of the chain, and what it called, with a `vivavoce` that only says so and fails at its nth call."""
    program = folder / "venv/bin/vivavoce"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text('#!/bin/sh\necho "$@" >> calls\n[ $(wc -l < calls) != "$FAIL_AT" ]\n')
    program.chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    done = make(folder, folder / "venv", worlds, FAIL_AT=str(fail_at))
    return done.returncode, (folder / "calls").read_text().splitlines()


def test_a_stage_that_fails_stops_the_chain(tmp_path: Path) -> None:
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    status, whole = calls_of(tmp_path, 0)
    assert status == 0
    assert len(whole) >= 6
    assert [call.split()[0] for call in whole[-2:]] == ["train", "quantize"]
    assert any(call.startswith("data worlds nothing-there") for call in whole), "worlds are fetched where none are ready"
    for number in range(1, len(whole) + 1):
        status, calls = calls_of(tmp_path, number)
        assert status != 0
        assert calls == whole[:number]
