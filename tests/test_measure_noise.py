"""Calls that hold nothing but noise: whose noise they are, and that the weights that ship judge none of the tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.connectors.test_files import write_wav
from vivavoce.measure_noise import LEVELS_DB, TONES, measure_noise, noises


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


def test_hiss_and_telephone_tones_get_no_verdict(corpus: Path) -> None:
    found = measure_noise(corpus)
    assert found["verdicts"] == []
    assert {group: sum(ends.values()) for group, ends in found["ends"].items()} == {
        "kept out": 2 * len(LEVELS_DB), "train": len(LEVELS_DB), "tones": len(TONES) * len(LEVELS_DB),
    }  # fmt: skip
