# ruff: noqa: E402 - the imports below need the extra
"""Fine-tuning the second opinion on a made-up corpus: it learns, freezes, stops, goes on, and says what is wrong."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the second opinion needs the extra 'ssl'")
pytest.importorskip("transformers", reason="the second opinion needs the extra 'ssl'")

from models.objective import LossConfig
from models.recipe import wants_second_opinion
from models.second_opinion.model import SecondOpinion, SslConfig
from models.second_opinion.tune import Tuner, check, loss_of
from models.selection import Dev
from models.store import AudioStore
from models.train import TrainConfig, load_config
from tests.models.test_second_opinion import HEAD, large, tiny
from tests.models.test_training import batch_of, fill, sampler, store  # noqa: F401 - a fixture

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "second-opinion.toml"


def config(source: Path, steps: int = 6, learning_rate: float = 1e-2, **model: Any) -> TrainConfig:
    table = {"kind": "ssl", "source": str(source), **HEAD, **model}
    base = TrainConfig(steps=steps, warmup=2, save_every=3, judge_every=steps, model=table, bfloat16=False, average=0.5)
    return replace(base, learning_rate=learning_rate, head_dropout=0.1)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_training_learns_what_there_is_to_learn(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    clips = fill(AudioStore(tmp_path / "dev"), people=8)
    dev = Dev(AudioStore(tmp_path / "dev"), clips, [])
    c = config(tiny(tmp_path / "source", conv_dim=(32,) * 7), steps=60)
    tuner = Tuner(c, sampler(store), dev, tmp_path / "run")
    losses = [tuner.train_step() for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    figures = tuner.judge(losses[-1])
    assert figures.eer["g711"] < 0.1
    assert figures.within["g711"] > 0.95
    assert figures.copies["lpc"] > 0.95
    assert (tmp_path / "run/best.pt").is_file()
    assert (tmp_path / "run/dev.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_a_run_stopped_and_resumed_is_the_run_never_stopped(store: AudioStore, tmp_path: Path, rate: float) -> None:  # noqa: F811
    c = config(tiny(tmp_path / "source"), tune_rate=rate)
    whole = Tuner(c, sampler(store), None, tmp_path / "whole")
    assert whole.run().name == "last.pt"
    first = Tuner(c, sampler(store), None, tmp_path / "parts")
    for _ in range(3):
        first.train_step()
    first.save(tmp_path / "parts/last.pt")
    torch.rand(5)  # whatever else the process did in between
    second = Tuner(c, sampler(store), None, tmp_path / "parts")
    second.run()
    assert second.step == 6
    for name, weight in weights(whole.model).items():
        assert torch.equal(weight, weights(second.model)[name]), name
    for name, mean in whole.averaged.items():
        assert torch.equal(mean, second.averaged[name]), name


def test_a_frozen_backbone_is_not_touched_and_not_saved(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    tuner = Tuner(config(tiny(tmp_path / "source", hidden_dropout=0.5)), sampler(store), None, tmp_path / "run")
    before = weights(tuner.model)
    for _ in range(3):
        tuner.train_step()
    after = weights(tuner.model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(tuner.trained)
    assert "backbone.weights" in moved
    assert not any(name.startswith("backbone.inner.") for name in moved)
    assert not tuner.model.backbone.inner.training, "its dropout must be off"
    tuner.save(tmp_path / "run/last.pt")
    saved = torch.load(tmp_path / "run/last.pt", weights_only=True)
    assert set(saved["trained"]) == set(saved["averaged"]) == moved


def test_a_tuned_backbone_moves_at_its_own_rate_above_its_convolutions(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    tuner = Tuner(config(tiny(tmp_path / "source"), tune_rate=1e-4), sampler(store), None, tmp_path / "run")
    before = weights(tuner.model)
    tuner.train_step()
    tuner.train_step()
    far = {name: float((p - before[name]).abs().max()) for name, p in weights(tuner.model).items()}
    assert max(far[name] for name in far if name.startswith("backbone.inner.feature_extractor.")) == 0
    layers = max(far[name] for name in far if name.startswith("backbone.inner.encoder.layers."))
    assert 0 < layers < 5e-4 < 1e-3 < far["score.weight"]
    assert not tuner.model.train().backbone.inner.feature_extractor(torch.zeros(1, 8000)).requires_grad, "memory for nothing"
    rates = {group["share"]: group["lr"] for group in tuner.optimizer.param_groups}
    assert rates[0.01] == pytest.approx(0.01 * rates[1.0])


def test_the_same_seed_is_the_same_run_and_another_is_not(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    source = tiny(tmp_path / "source")
    first, second, other = (
        Tuner(replace(config(source), seed=seed), sampler(store), None, tmp_path / f"{index}").train_step()
        for index, seed in enumerate((1, 1, 2))
    )
    assert first == second != other


def test_a_checkpoint_of_another_model_is_refused(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    source = tiny(tmp_path / "source")
    Tuner(config(source), sampler(store), None, tmp_path / "run").save(tmp_path / "run/last.pt")
    with pytest.raises(ValueError, match=r"another \[model\]"):
        Tuner(config(source, layers=1), sampler(store), None, tmp_path / "run").run()


def test_what_dev_does_not_tell_is_null(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    """Two people and two fakes of each repository are too few for a figure inside repositories; JSON has no nan."""
    clips = fill(AudioStore(tmp_path / "dev"), people=4)
    dev = Dev(AudioStore(tmp_path / "dev"), clips, [])
    Tuner(config(tiny(tmp_path / "source")), sampler(store), dev, tmp_path / "run").judge(0.5)
    found = json.loads((tmp_path / "run/dev.jsonl").read_text(), parse_constant=pytest.fail)
    assert set(found["within"].values()) == {None}


def test_a_file_that_is_no_checkpoint_is_a_sentence(store: AudioStore, tmp_path: Path) -> None:  # noqa: F811
    tuner = Tuner(config(tiny(tmp_path / "source")), sampler(store), None, tmp_path / "run")
    (tmp_path / "run/last.pt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"last\.pt is no checkpoint"):
        tuner.run()


def test_the_loss_likes_right_logits_and_real_above_copy() -> None:
    batch = batch_of([1, 0], [1, 0])
    right, level = torch.tensor([2.0, -2.0]), torch.zeros(2)
    plain = LossConfig(pair=0.0)
    assert loss_of(right, batch, plain) < loss_of(level, batch, plain) < loss_of(-right, batch, plain)
    gap = loss_of(-right, batch, LossConfig(pair=0.3)) - loss_of(-right, batch, plain)
    assert float(gap) == pytest.approx(0.3 * np.log1p(np.exp(4.0)), rel=1e-4)
    lonely = batch_of([1, 0], [-1, -1])
    assert loss_of(right, lonely, LossConfig(pair=0.3)) == loss_of(right, lonely, plain)


def test_a_wrong_recipe_is_told_before_anything_is_done(tmp_path: Path) -> None:
    good = config(tiny(tmp_path / "source"))
    assert check(good) == SslConfig(source=str(tmp_path / "source"), **HEAD)
    for changes, words in (
        ({"model": {"kind": "ssl"}}, "needs source"),
        ({"model": {**good.model, "widht": 3}}, "unknown key 'widht'"),
        ({"model": {**good.model, "width": "16"}}, r"\[model\]: width '16' is no whole number"),
        ({"model": {**good.model, "source": str(tmp_path / "gone")}}, "gone is neither a folder"),
        ({"teachers": ("a.pt",)}, "teachers is for the streaming model"),
        ({"paired_teachers": ("a.pt",)}, "paired_teachers is for the streaming model"),
        ({"start": "a.pt"}, "start is for the streaming model"),
    ):
        with pytest.raises(ValueError, match=words):
            check(replace(good, **changes))
    with pytest.raises(ValueError, match="unknown kind 'whisper'"):
        wants_second_opinion(replace(good, model={"kind": "whisper"}))
    assert not wants_second_opinion(TrainConfig())


def test_the_recipe_that_ships_is_a_recipe(tmp_path: Path) -> None:
    found = load_config(RECIPE)
    assert wants_second_opinion(found)
    model = SslConfig.of(found.model)
    assert (model.layers, model.collect, model.frozen) == (12, "sum", False)
    assert model.tune_rate < found.learning_rate
    table = {**tomllib.loads(RECIPE.read_text())["model"], "source": str(large(tmp_path)), "layers": 1}
    assert SecondOpinion.from_source(SslConfig.of(table))(torch.zeros(2, 8000)).shape == (2,)
