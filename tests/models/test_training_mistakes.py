# ruff: noqa: E402 - the imports below need torch
"""What is wrong with a recipe or a checkpoint is told in a sentence, a recipe's before anything is done."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from math import nan
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from models.conformer import ModelConfig
from models.runtime import load_info
from models.selection import DevFigures
from models.store import AudioStore
from models.train import SECTIONS, TrainConfig, Trainer, dev_line, load_averaged, load_config
from tests.models.test_training import TINY, config, sampler, store  # noqa: F401 - a fixture
from vivavoce.cli import main


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model]\nwidht = 3\n", r"\[model\]: unknown key 'widht'; known: bands, "),
        ('[model]\nwidth = "96"\n', r"\[model\]: width '96' is no whole number"),
        ("[model]\nchannels = [16]\n", r"\[model\]: channels \(16,\) is no list of 2 whole numbers"),
        ("[model]\nwidth = 97\n", r"\[model\]: no model has this shape \(.+\)"),
        ("[model]\nheads = 0\n", r"\[model\]: no model has this shape \(.+\)"),
        ("model = 3\n", "model 3 is no table"),
        ('steps = "10"\n', "steps '10' is no whole number"),
        ("steps = 10.0\n", "steps 10.0 is no whole number"),
        ("steps = true\n", "steps True is no whole number"),
        ("bfloat16 = 1\n", "bfloat16 1 is no boolean"),
        ("learning_rate = true\n", "learning_rate True is no finite number"),
        ("learning_rate = nan\n", "learning_rate nan is no finite number"),
        ("device = 0\n", "device 0 is no text"),
        ("ease = 3\n", "ease 3 is no list of 2 whole numbers"),
        ("ease = [0, 1, 2]\n", r"ease \[0, 1, 2\] is no list of 2 whole numbers"),
        ('teachers = "a.pt"\n', "teachers 'a.pt' is no list of texts"),
        ("teachers = [1]\n", r"teachers \[1\] is no list of texts"),
        ('[batch]\nrows = "x"\n', r"\[batch\]: rows 'x' is no whole number"),
        ('[batch]\npaths = { world = "2" }\n', r"\[batch\]: paths {'world': '2'} is no table of finite numbers"),
        ("batch = 3\n", r"\[batch\]: 3 is no table"),
        ("judge_every = 0\n", "judge_every 0 must be at least 1"),
        ("[batch]\nrows = 0\n", r"\[batch\] rows 0 must be at least 1"),
        ('optimizer = "sgd"\n', "unknown optimizer 'sgd'; known: muon, adamw"),
    ],
)
def test_a_mistake_in_a_recipe_is_found_when_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/r\.toml: {said}"):
        load_config(path)


def test_whole_numbers_do_where_others_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("learning_rate = 1\nease = [0, 1]\nteachers = ['a.pt']\n[model]\nmean_s = 2\nchannels = [8, 8]\n"
                    "[batch]\npaths = { world = 2 }\n")  # fmt: skip
    assert load_config(path).learning_rate == 1


@pytest.mark.parametrize("kind", [TrainConfig, ModelConfig, *SECTIONS.values()], ids=lambda kind: kind.__name__)
def test_every_setting_has_a_type_that_a_message_can_name(kind: type, tmp_path: Path) -> None:
    section = {kind: name for name, kind in SECTIONS.items()} | {ModelConfig: "model"}
    for name in {f.name for f in fields(kind)} - {"model", *SECTIONS}:
        path = tmp_path / "r.toml"
        path.write_text((f"[{section[kind]}]\n" if kind in section else "") + f"{name} = 1979-05-27\n")
        with pytest.raises(ValueError, match=rf"{name} datetime\.date\(1979, 5, 27\) is no \w+"):
            load_config(path)


def test_reading_a_recipe_leaves_the_random_state_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("steps = 7\n")
    before = torch.get_rng_state()
    load_config(tmp_path / "r.toml")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_dev_does_not_tell_is_null(tmp_path: Path) -> None:
    """JSON has no nan: strict readers, jq among them, refuse the whole line."""
    figures = DevFigures({"g711": 0.1, "g711+15dB": 0.2}, {"g711": 0.9}, {"g711": nan, "g711+15dB": nan}, {})
    found = json.loads(dev_line(7, nan, figures), parse_constant=pytest.fail)
    assert (found["step"], found["loss"], found["choice"]) == (7, None, 0.8)
    assert found["within"] == {"g711": None, "g711+15dB": None}
    assert json.loads(dev_line(7, 0.51234, figures))["loss"] == 0.5123


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"txt\n", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pt is no checkpoint: it cannot be read as a torch file of weights$"):
        load_averaged(path)


@pytest.mark.parametrize("table", [{"weights": torch.zeros(2)}, {"config": {"rate": 8000}, "averaged": {}}, [1]], ids=str)
def test_another_file_of_torch_is_a_sentence(tmp_path: Path, table: object) -> None:
    torch.save(table, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt is no checkpoint of `vivavoce train`"):
        load_averaged(tmp_path / "x.pt")


def test_a_checkpoint_of_another_version_is_a_sentence(tmp_path: Path) -> None:
    torch.save({"config": {"model": dict(TINY)}, "averaged": {"head.mix": torch.zeros(2)}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt does not fit this version: Error.*[^\n]$"):
        load_averaged(tmp_path / "x.pt")
    torch.save({"config": {"model": {"kind": "ssl"}}, "averaged": {}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt: \[model\]: unknown key 'kind'"):
        load_averaged(tmp_path / "x.pt")


class Mark:
    """What a pickle would run: the file PATH appears when it does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_checkpoint_is_run(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    for path in (tmp_path / "x.pt", tmp_path / "run/last.pt"):
        path.parent.mkdir(exist_ok=True)
        torch.save({"config": {"model": dict(TINY)}, "averaged": Mark(tmp_path / "ran")}, path)
    with pytest.raises(ValueError, match=r"x\.pt is no checkpoint"):
        load_averaged(tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"last\.pt is no checkpoint"):
        Trainer(config(), sampler(store), None, tmp_path / "run").run()
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_becomes_a_file_that_serves(
    store: AudioStore,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = replace(config(), licence="Apache-2.0")
    Trainer(named, sampler(store), None, tmp_path / "run").save(tmp_path / "run/last.pt")
    out = tmp_path / "m.onnx"
    assert main(["export", str(tmp_path / "run/last.pt"), str(out), "--chunk-ms", "80"]) == 0
    assert out.is_file()
    assert load_info(out.with_suffix(".json")).provenance == {"licence": "Apache-2.0"}
    assert load_info(out.with_suffix(".json")).chunk_samples == 640
    assert "agrees with torch" in capsys.readouterr().out
    (tmp_path / "x.pt").write_text("not a checkpoint\n")
    assert main(["export", str(tmp_path / "x.pt"), str(tmp_path / "no.onnx")]) == 2
    assert capsys.readouterr().err.startswith(f"vivavoce export: {tmp_path}/x.pt is no checkpoint: ")
    assert not (tmp_path / "no.onnx").exists()


@pytest.mark.parametrize("chunk_ms", ["0", "-40", "100"])
def test_a_chunk_that_nobody_can_serve_is_a_sentence(tmp_path: Path, chunk_ms: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt").touch()
    assert main(["export", str(tmp_path / "x.pt"), str(tmp_path / "m.onnx"), "--chunk-ms", chunk_ms]) == 2
    assert capsys.readouterr().err == f"vivavoce export: --chunk-ms {chunk_ms} is no positive multiple of 40\n"


def test_a_run_is_not_gone_on_with_on_other_speech(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    Trainer(config(steps=2, save_every=1), sampler(store), None, tmp_path / "run").run()
    Trainer(config(steps=2, save_every=1), sampler(store), None, tmp_path / "run").run()
    with store:
        store.add(np.zeros(9000, np.int16), source="train/bonafide/0bonafide", label="spoof", generator="copy:world",
                  repo="r", speaker="", coding="")  # fmt: skip
    Trainer(config(steps=2, save_every=1), sampler(store), None, tmp_path / "run").run()  # a copy more, for another run
    with store:
        store.add(np.zeros(9000, np.int16), source="train/bonafide/new", label="bonafide", generator="",
                  repo="r", speaker="", coding="")  # fmt: skip
    with pytest.raises(ValueError, match=r"last\.pt was trained on other speech; train into an empty folder"):
        Trainer(config(steps=2, save_every=1), sampler(store), None, tmp_path / "run").run()
