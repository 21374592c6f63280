"""Calls that hold nothing but noise: whose noise they are, and that the weights that ship judge none of the tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.config import load_settings
from engine.offline import screen
from models.runtime import StateStore
from tests.connectors.test_files import write_wav
from vivavoce import service_model
from vivavoce.measure_noise import LEVELS_DB, TONES, job, measure_noise, noises, tones


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "noise").mkdir()
    rows = ["path,kind,split"]
    for index, kind in enumerate(["fan", "fan", "rir", "car"]):
        hiss = (np.random.default_rng(index).standard_normal(16000) * 900).astype(np.int16)
        write_wav(folder / "noise" / f"{index}.wav", [hiss], 16000)
        rows.append(f"{index}.wav,{kind},{'eval' if kind == 'car' else 'train'}")
    (folder / "noise" / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_every_fifth_noise_of_train_and_all_of_eval_were_kept_out_and_rooms_are_no_noise(corpus: Path) -> None:
    found = [(kind, group) for kind, group, _ in noises(corpus) if group != "tones"]
    assert found == [("fan", "kept out"), ("fan", "train"), ("car", "kept out")]


@pytest.mark.parametrize("level_db", [-20.0, -25.0, -30.0])
def test_tones_get_no_verdict_whenever_they_begin(level_db: float) -> None:
    """Where a tone's beats lie in the chunks is chance; a busy line was a person, or a machine, by that."""
    settings = load_settings(None, {}, [])
    model = service_model.load(settings)
    config = service_model.call_config(settings, model.info)
    shifted = [(name, np.roll(sound, 1261)) for name, sound in tones()]
    jobs = (job(name, "tones", sound, level_db, config, settings.calls.vad_mode) for name, sound in shifted)
    ends = {done.key[0]: str(done.call.state) for done in screen(jobs, model, StateStore(model, 8), 8)}
    assert set(ends) == set(TONES)
    assert {name: end for name, end in ends.items() if end.endswith("-likely")} == {}


def test_hiss_and_telephone_tones_get_no_verdict(corpus: Path) -> None:
    found = measure_noise(corpus)
    assert found["verdicts"] == []
    assert {group: sum(ends.values()) for group, ends in found["ends"].items()} == {
        "kept out": 2 * len(LEVELS_DB), "train": len(LEVELS_DB), "tones": len(TONES) * len(LEVELS_DB),
    }  # fmt: skip
