# ruff: noqa: E402 - the imports below need the extra
"""`vivavoce train` with a recipe for a second opinion: from a corpus folder to one file that can be asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the second opinion needs the extra 'ssl'")
pytest.importorskip("transformers", reason="the second opinion needs the extra 'ssl'")
pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from models import recipe
from models.copies import CopyPlan
from models.second_opinion.ship import load
from tests.models.test_copies import voice
from tests.models.test_recipe import corpus  # noqa: F401 - a fixture
from tests.models.test_second_opinion import tiny
from vivavoce import cli

RECIPE = """
steps = 4
judge_every = 2
bfloat16 = false
[model]
kind = "ssl"
source = "{source}"
width = 16
heads = 2
blocks = 1
history = 16
hidden = 8
[batch]
rows = 4
crop_s = 1.6
"""


def written(folder: Path, source: Path) -> Path:
    (folder / "recipe.toml").write_text(RECIPE.format(source=source))
    return folder / "recipe.toml"


def test_one_command_makes_a_finished_second_opinion(
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipe, "TRAIN_PLAN", CopyPlan({"lpc": 10}))
    monkeypatch.setattr(recipe, "DEV_PLAN", CopyPlan({"griffin-lim": 10}))
    command = [
        "train", str(written(tmp_path, tiny(tmp_path / "source"))), "--corpus", str(corpus),
        "--run", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--vocoders", str(tmp_path / "none"),
    ]  # fmt: skip
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith(f"weights: {tmp_path / 'run/run.pt'}\n")
    finished = load(tmp_path / "run/run.pt")
    assert (finished.version, finished.window) == ("run", 12800)
    assert finished.llr(voice(3.0)[::2]) is not None
    assert finished.calibration.cap_s > 1
    found = torch.load(tmp_path / "run/run.pt", weights_only=True)
    assert json.loads(found["provenance"])["steps"] in (2, 4)
    assert (tmp_path / "run/dev_figures.md").read_text().strip()
    before = (tmp_path / "run/last.pt").stat().st_mtime_ns
    assert cli.main(command) == 0  # nothing left to train
    assert (tmp_path / "run/last.pt").stat().st_mtime_ns == before
    again = load(tmp_path / "run/run.pt")
    assert np.isclose(again.calibration.slope, finished.calibration.slope)
    for name, weight in finished.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name


def test_a_wrong_backbone_is_told_before_the_caches_are_filled(
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = written(tmp_path, tmp_path / "gone")
    arguments = ["--corpus", str(corpus), "--run", str(tmp_path / "r"), "--cache", str(tmp_path / "c")]
    assert cli.main(["train", str(config), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "gone is neither a folder here" in err
    assert not (tmp_path / "c").exists()


def test_without_transformers_the_recipe_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else real(name))
    assert cli.main(["train", str(written(tmp_path, tmp_path / "x"))]) == 2
    assert "pip install 'vivavoce[train,ssl]'" in capsys.readouterr().err
