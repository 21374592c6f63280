"""From settings to the model: form, chunk length, and what calls are told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_settings
from engine.errors import ConfigError, ModelError
from models.runtime import ANSWERS_WEIGHTS, DEFAULT_WEIGHTS, INT8_WEIGHTS, OnnxModel, load_info
from vivavoce.service_examination import judges
from vivavoce.service_model import call_config, load


@pytest.mark.parametrize(("form", "weights"), [("fp32", DEFAULT_WEIGHTS), ("int8", INT8_WEIGHTS)])
def test_the_form_chooses_among_the_weights_that_ship(form: str, weights: Path) -> None:
    model = load(load_settings(None, None, [f"model.form={form}"]))
    assert model.info == load_info(weights.with_suffix(".json"))
    assert model.chunk_samples == 1280


@pytest.mark.parametrize("form", ["fp32", "int8"])
def test_longer_chunks_are_a_setting_and_calls_know_it(form: str) -> None:
    settings = load_settings(None, None, [f"model.form={form}", "model.chunk_ms=320"])
    model = load(settings)
    assert model.chunk_samples == 2560
    assert call_config(settings, model.info).chunk_samples == 2560


def test_a_path_comes_before_the_form() -> None:
    settings = load_settings(None, None, [f"model.path={DEFAULT_WEIGHTS}", "model.form=int8"])
    assert load(settings).info == load_info(DEFAULT_WEIGHTS.with_suffix(".json"))


def test_a_path_that_leads_nowhere_is_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx does not exist"):
        load(load_settings(None, None, ["model.path=gone.onnx"]))


def test_answers_are_heard_by_weights_of_their_own_and_by_the_call_s() -> None:
    settings = load_settings(None, None, [])
    model = load(settings)
    first, second = judges(settings, model).ears
    shipped = load_info(ANSWERS_WEIGHTS.with_suffix(".json"))
    assert isinstance(first.detector, OnnxModel)
    assert (first.detector.version, first.detector.chunk_samples) == ("answers-1", 2560)
    assert (first.calibration.slope, first.voice) == (shipped.calibration.slope, shipped.voice)
    assert second.detector is model
    other = judges(load_settings(None, None, [f"examination.model={DEFAULT_WEIGHTS}"]), None).ears
    assert [ear.voice for ear in other] == [model.info.voice]


def test_weights_for_answers_that_are_not_there_are_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx does not exist"):
        judges(load_settings(None, None, ["examination.model=gone.onnx"]), None)


@pytest.mark.parametrize("setting", ["tags.deepfake_llr=50", "tags.human_llr=-100"])
def test_a_threshold_beyond_the_model_s_other_one_is_refused(setting: str) -> None:
    settings = load_settings(None, None, [setting])
    with pytest.raises(ConfigError, match=r"tags\.deepfake_llr = .* must be below tags\.human_llr = "):
        call_config(settings, load_info(DEFAULT_WEIGHTS.with_suffix(".json")))
