"""SONAR on a made-up tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import detect, read
from tests.models.datasets.trees import by_stem, complaints, plant


@pytest.mark.parametrize("root", ["", "SONAR_dataset"])
def test_the_folder_is_label_and_system(tmp_path: Path, root: str) -> None:
    plant(tmp_path, "SONAR_dataset/real_samples/en/a.wav", "SONAR_dataset/OpenAI/b.wav", "SONAR_dataset/AudioGen/c.wav")
    assert detect(tmp_path / root) == "sonar"
    clips = by_stem(tmp_path / root)
    assert (clips["a"].label, clips["a"].generator, clips["a"].split) == ("bonafide", "", "eval")
    assert (clips["b"].label, clips["b"].generator, clips["b"].family) == ("spoof", "OpenAI", "")
    assert clips["c"].family == "sounds"


def test_a_folder_that_nobody_knows_is_no_system(tmp_path: Path) -> None:
    plant(tmp_path, "real_samples/a.wav", "OpenAI/b.wav", "openai/c.wav")
    (sentence,) = complaints(tmp_path)
    assert "'openai' is neither real_samples nor a system" in sentence
    with pytest.raises(ValueError, match="openai"):
        list(read(tmp_path))


def test_a_folder_without_audio_is_nobody_s_business(tmp_path: Path) -> None:
    plant(tmp_path, "real_samples/a.wav", "OpenAI/b.wav", "scripts/run.sh")
    assert complaints(tmp_path) == []
