"""A part that stands for the whole: which rows are chosen, and the manifest that is written of them."""

from __future__ import annotations

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from connectors.g711 import decode_mu_law
from models.conformer import ModelConfig, StreamingConformer
from models.coreset import choose_at_random, read_rows
from models.corpus import Clip, read_manifest
from models.export import export
from vivavoce.cli import main
from vivavoce.samples import sample_speech


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten spoken clips, one silent, one of dev; in a folder of their own."""
    folder = tmp_path_factory.mktemp("corpus")
    speech = decode_mu_law(sample_speech())
    rows = ["path,split,label,note"]
    for index in range(11):
        samples = speech[index * 20000 :][:20000] if index < 10 else np.zeros(16000, np.int16)
        with wave.open(str(folder / f"{index}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
        rows.append(f"{index}.wav,train,{'bonafide' if index < 4 else 'spoof'},n{index}")
    rows.append("0.wav,dev,spoof,other")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    torch.manual_seed(0)
    export(StreamingConformer(ModelConfig(width=48, blocks=1, hidden=16)), folder / "m.onnx")
    return folder


def test_half_of_each_class_is_written_with_paths_that_lead_there(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "half.csv"
    command = ["data", "select", str(corpus / "manifest.csv"), "--share", "0.5", "--out", str(out), "--clusters", "2"]
    assert main([*command, "--model", str(corpus / "m.onnx")]) == 0
    assert "2 bona fide and 3 spoof of 11 clips" in capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "split", "label", "note"]
    assert {row["split"] for row in rows} == {"train"}
    assert "n10" not in {row["note"] for row in rows}, "a silent clip stands for nobody"
    assert all(clip.path.is_file() for clip in read_manifest(out))
    first = out.read_text()
    main([*command, "--model", str(corpus / "m.onnx")])
    assert out.read_text() == first


def test_by_lot_the_seed_decides(corpus: Path, tmp_path: Path) -> None:
    clips = [Clip(Path(f"{i}.wav"), "bonafide" if i < 40 else "spoof") for i in range(100)]
    picked = choose_at_random(clips, 0.25, seed=3)
    assert (len([i for i in picked if i < 40]), len(picked)) == (10, 25)
    assert picked == choose_at_random(clips, 0.25, seed=3) != choose_at_random(clips, 0.25, seed=4)
    out = tmp_path / "lot.csv"
    assert main(["data", "select", str(corpus / "manifest.csv"), "--share", "0.25", "--out", str(out), "--random", "1"]) == 0
    assert [clip.label for clip in read_manifest(out)] == ["bonafide", "spoof", "spoof"]


@pytest.mark.parametrize("share", ["0", "1.2", "nan"])
def test_a_share_that_makes_no_sense_is_a_sentence(corpus: Path, share: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "select", str(corpus / "manifest.csv"), "--share", share, "--out", "x.csv", "--random", "1"]
    assert main(command) == 2
    assert "is not above 0 and at most 1" in capsys.readouterr().err
    assert not Path("x.csv").exists()


def test_a_manifest_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_rows(tmp_path / "no.csv")
    (tmp_path / "a.csv").write_text("path\nx.wav\n")
    with pytest.raises(ValueError, match="column 'label' is missing"):
        read_rows(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("path,label,split\nx.wav,spoof,dev\n")
    with pytest.raises(ValueError, match='no rows of split "train"'):
        read_rows(tmp_path / "b.csv")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffpath,label\nx.wav,spoof\n", encoding="utf-8")
    rows, (clip,) = read_rows(tmp_path / "a.csv")
    assert rows == [{"path": "x.wav", "label": "spoof"}]
    assert clip.path == tmp_path / "x.wav"


def test_a_row_of_too_many_fields_is_named_before_anything_is_written(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out = tmp_path / "a.csv", tmp_path / "out.csv"
    manifest.write_text("path,label\nx.wav,spoof\n\ny, z.wav,bonafide\nw.wav,bonafide,more\n")
    assert main(["data", "select", str(manifest), "--share", "1", "--out", str(out), "--random", "1"]) == 2
    assert capsys.readouterr().err == f"vivavoce data: {manifest}, line 4: 3 columns instead of 2\n"
    assert not out.exists()
