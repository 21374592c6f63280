"""vivavoce evaluate --collapse: NC1 to NC4 of clips made by hand, and the command over a corpus."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from connectors.g711 import decode_mu_law
from models.calibration import Calibration
from models.conformer import ModelConfig, StreamingConformer
from models.corpus import Clip
from models.embeddings import Heard
from models.export import export
from vivavoce.cli import main
from vivavoce.evaluation_collapse import figures
from vivavoce.samples import sample_speech

AT_0 = Calibration(1.0, 0.0, 0.0, 1.0)


def heard(family: str, x: float, y: float, score: float) -> Heard:
    clip = Clip(Path("a.wav"), "spoof" if family else "bonafide", family=family)
    return Heard(clip, "g711", np.array([[x, y]], np.float32), np.array([score], np.float32), np.array([1.0]))


def test_by_hand() -> None:
    """People at x = 3 and 5, fakes at -3 and -5, score = x: within 1, between 16, the row along the means."""
    clips = [heard("", 3, 1, 3), heard("", 5, -1, 5), heard("tts", -3, 1, -3), heard("tts", -5, -1, -5)]
    found = figures(clips, AT_0)
    assert found["nc1"] == pytest.approx(1 / 16 / 2)
    assert found["nc3"] == pytest.approx(0.0, abs=1e-9)
    assert (found["nc4"], found["clips"]) == (1.0, 4)
    assert found["right"] == {"network": 1.0, "nearest mean": 1.0}
    assert found["families"] is None
    # A boundary of 4 lets the network call the person at 3 a fake; the nearest mean still says person.
    moved = figures(clips, Calibration(1.0, -4.0, 0.0, 1.0))
    assert (moved["nc4"], moved["right"]) == (0.75, {"network": 0.75, "nearest mean": 1.0})


def test_families_of_five_clips_are_classes() -> None:
    """Three heaps at the corners of a right angle; two clips of a fourth family do not count."""
    corners = {"": (0.0, 0.0), "tts": (4.0, 0.0), "vc": (0.0, 4.0)}
    clips = [heard(name, x + 0.1 * i, y, x) for name, (x, y) in corners.items() for i in range(-2, 3)]
    families = figures([*clips, heard("rare", 90, 90, 0), heard("rare", 91, 90, 0)], AT_0)["families"]
    assert families["classes"] == ["bona fide", "tts", "vc"]
    lengths = np.array([np.sqrt(32), np.sqrt(80), np.sqrt(80)]) / 3
    assert families["nc2 norms"] == pytest.approx(lengths.std() / lengths.mean())
    assert 0 < families["nc1"] < 0.01


def test_one_class_alone_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="class 1 has no clips"):
        figures([heard("", 1, 2, 3)], AT_0)
    with pytest.raises(ValueError, match="no speech"):
        figures([], AT_0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    speech, rows = decode_mu_law(sample_speech()), ["path,split,label"]
    for index in range(6):
        with wave.open(str(folder / f"{index}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(speech[index * 20000 :][:20000].astype("<i2").tobytes())
        rows.append(f"{index}.wav,dev,{'spoof' if index % 2 else 'bonafide'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    export(StreamingConformer(ModelConfig(width=48, blocks=1, hidden=16)), folder / "m.onnx")
    return folder


def test_the_command_prints_a_table_or_json(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--collapse", "--corpus", str(corpus), "--model", str(corpus / "m.onnx")]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["collapse"]) == ["wideband", "g711"], "without noise there is no noisy line"
    assert report["collapse"]["g711"]["clips"] == 6
    assert 0 <= report["collapse"]["g711"]["nc4"] <= 1
    assert main([*command, "--limit", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:5] == ["condition", "clips", "NC1", "NC3", "NC4"]
    assert [line.split()[:2] for line in lines[3:]] == [["wideband", "4"], ["g711", "4"]]
