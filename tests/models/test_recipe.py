"""The whole road from a corpus folder to weights that load, and the tables that report on them."""


from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from models import explain, recipe, report
from models.calibrate import Thresholds
from models.calibration import Calibration
from models.copies import CopyPlan
from models.corpus import Clip
from models.dataset import BatchConfig, read_noises
from models.recipe import Places, call_keys
from models.runtime import DEFAULT_WEIGHTS, load_model
from models.selection import Dev
from models.store import AudioStore
from models.train import TrainConfig, changed, load_config
from tests.models.test_calibrate import scored
from tests.models.test_copies import voice
from tests.models.test_corpus import write_wav
from tests.models.test_training import TINY
from vivavoce import train as command

COLUMNS = ("path", "split", "label", "generator", "generator_family", "speaker", "repo", "duration_s")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds each: three people and three fakes in train, as many in dev, one noise."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for split in ("train", "dev"):
        for i in range(6):
            fake = i % 2
            name = f"{split}{i}.wav"
            write_wav(folder / name, voice(4.5, 110 + 25 * i, i))
            rows.append((name, split, "spoof" if fake else "bonafide", "g" if fake else "", "f", f"s{i}", "o/r", 4.5))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (folder / "noise").mkdir()
    noise = (900 * np.random.default_rng(0).standard_normal(32000)).astype(np.int16)
    write_wav(folder / "noise/n.wav", noise)
    (folder / "noise/manifest.csv").write_text("path,kind,split\nn.wav,car,train\nn.wav,car,eval\n")
    return folder


def test_noises_of_dev_are_kept_out_of_training(corpus: Path) -> None:
    assert len(read_noises(corpus / "noise", hold_out=True)[0]) == 1
    assert len(read_noises(corpus / "noise", hold_out=False)[0]) == 0
    assert len(read_noises(corpus / "noise", hold_out=True, split="eval")[0]) == 1
    assert read_noises(corpus / "nowhere", hold_out=True) == ([], [])


def test_from_corpus_to_weights_that_serve(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "TRAIN_PLAN", CopyPlan({"lpc": 10}))
    monkeypatch.setattr(recipe, "DEV_PLAN", CopyPlan({"griffin-lim": 10}))
    places = Places(corpus, None, tmp_path / "run", tmp_path / "cache", tmp_path / "tiny-1.onnx")
    config = TrainConfig(steps=4, judge_every=2, model=TINY, bfloat16=False, batch=BatchConfig(rows=4, crop_s=1.6))
    found = recipe.from_corpus(places, config)
    model = load_model(tmp_path / "tiny-1.onnx")
    assert model.info.trained
    assert (model.version, model.chunk_samples) == ("tiny-1", 1280)
    assert -20 < model.info.deepfake_llr < model.info.human_llr < 20
    assert model.info.provenance["steps"] in (2, 4)
    assert model.info.provenance["onnx_difference"] <= 1e-5
    assert model.explains
    assert model.info.unfamiliar is not None
    assert model.info.unfamiliar > 0
    assert model.info.provenance["explanation"]["unfamiliar"] == model.info.unfamiliar
    assert "| copies" not in (tmp_path / "run/dev_figures.md").read_text()
    assert isinstance(found["cells"], list)
    before = (tmp_path / "run/last.pt").stat().st_mtime_ns
    recipe.from_corpus(places, config)  # nothing left to train
    assert (tmp_path / "run/last.pt").stat().st_mtime_ns == before


def test_a_manifest_says_what_is_trained_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache may hold more, from a run on everything; dev stays whole."""
    monkeypatch.setattr(recipe, "TRAIN_PLAN", CopyPlan({"lpc": 10}))
    monkeypatch.setattr(recipe, "DEV_PLAN", CopyPlan({}))
    part = tmp_path / "part.csv"
    part.write_text("path,split,label\ntrain0.wav,train,bonafide\ntrain1.wav,train,spoof\ndev0.wav,dev,bonafide\n")
    whole = Places(corpus, None, tmp_path / "run", tmp_path / "cache", tmp_path / "m.onnx")
    chosen = replace(whole, manifest=part)
    assert [clip.path.name for clip in recipe.train_clips(whole)] == [f"train{i}.wav" for i in range(6)]
    assert [clip.path for clip in recipe.train_clips(chosen)] == [corpus / "train0.wav", corpus / "train1.wav"]
    recipe.prepare(whole)
    train, dev = recipe.prepare(chosen)
    assert {entry.source for entry in train.entries} == {"train/bonafide/train0", "train/spoof/train1"}
    assert any(entry.copy for entry in train.entries)
    assert len({entry.source for entry in dev.entries}) == 6
    assert len({entry.source for entry in recipe.prepare(whole)[0].entries}) == 6
    part.write_text("path,split,label\nstranger.wav,train,spoof\n")
    with pytest.raises(ValueError, match="train/spoof/stranger is not in train of"):
        recipe.train_clips(chosen)


def test_a_corpus_without_splits_is_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,split,label\na.wav,train,spoof\nb.wav,,bonafide\n")
    with pytest.raises(ValueError, match=r"b\.wav has no split in manifest\.csv"):
        recipe.train_clips(Places(tmp_path, None, tmp_path, tmp_path, tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ("a.wav,train,bonafide\nb.wav,train,spoof\n", "bonafide clips in dev"),
        ("a.wav,train,bonafide\nb.wav,train,spoof\nc.wav,dev,bonafide\n", "spoof clips in dev"),
        ("a.wav,train,bonafide\nc.wav,dev,bonafide\nd.wav,dev,spoof\n", "spoof clips in train"),
        ("c.wav,dev,bonafide\nd.wav,dev,spoof\n", "bonafide clips in train"),
    ],
)
def test_a_corpus_that_cannot_be_trained_on_is_told_before_the_caches_are_filled(
    tmp_path: Path, rows: str, missing: str
) -> None:
    (tmp_path / "manifest.csv").write_text("path,split,label\n" + rows)
    places = Places(tmp_path, None, tmp_path / "run", tmp_path / "cache", tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=f"^{tmp_path} has no {missing}; training needs both classes in train and in dev$"):
        recipe.from_corpus(places, TrainConfig())
    assert not (tmp_path / "cache").exists()


def test_further_speech_and_a_choice_of_clips_count_among_the_classes(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/manifest.csv").write_text("path,label\nmore.wav,bonafide\n")
    (tmp_path / "fakes.csv").write_text("path,split,label\n" + str(corpus / "train1.wav") + ",train,spoof\n")
    places = Places(corpus, None, tmp_path, tmp_path, tmp_path / "m.onnx", manifest=tmp_path / "fakes.csv")
    with pytest.raises(ValueError, match=r"fakes\.csv has no bonafide clips in train"):
        recipe.check_classes(places)
    recipe.check_classes(replace(places, more=(tmp_path / "more",)))


def test_further_speech_needs_no_split_but_a_name_of_its_own(corpus: Path, tmp_path: Path) -> None:
    for folder, name in (("a", "more"), ("b", "train0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "manifest.csv").write_text(f"path,label\n{name}.wav,bonafide\n")
    places = Places(corpus, None, tmp_path, tmp_path, tmp_path / "m.onnx", more=(tmp_path / "a",))
    clips = recipe.train_clips(places)
    assert [clip.name for clip in recipe.further_clips(places, clips)] == ["train/bonafide/more"]
    with pytest.raises(ValueError, match=r"b/train0\.wav and .*train0\.wav would be one clip, train/bonafide/train0"):
        recipe.further_clips(replace(places, more=(tmp_path / "a", tmp_path / "b")), clips)


def test_another_corpus_of_the_same_names_is_not_served_from_the_cache(tmp_path: Path) -> None:
    stores = AudioStore(tmp_path / "cache/train")
    path = write_wav(tmp_path / "a.wav", voice(1.0))
    recipe.add_originals(stores, [Clip(path, "bonafide", "train")])
    assert AudioStore(tmp_path / "cache/train").entries[0].octets == path.stat().st_size
    recipe.add_originals(AudioStore(tmp_path / "cache/train"), [Clip(path, "bonafide", "train")])
    (tmp_path / "other").mkdir()
    other = Clip(write_wav(tmp_path / "other/a.wav", voice(1.5)), "bonafide", "train")
    with pytest.raises(ValueError, match=r"train\.i16 holds another train/bonafide/a than .*other/a\.wav"):
        recipe.add_originals(AudioStore(tmp_path / "cache/train"), [other])


def test_a_part_is_copied_as_it_is_in_the_whole(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds of one path are a clip or two of the whole. A part must not have more of it than that."""
    monkeypatch.setattr(recipe, "TRAIN_PLAN", CopyPlan({"mel-smooth": 10, "lpc": 5 / 60}))
    monkeypatch.setattr(recipe, "DEV_PLAN", CopyPlan({}))
    keys: dict[str, set[tuple[str, str, str]]] = {}
    for name in ("train0", "train2", "train4", "whole"):
        part = tmp_path / f"{name}.csv"
        part.write_text(f"path,split,label\n{name}.wav,train,bonafide\n")
        manifest = None if name == "whole" else part
        places = Places(corpus, None, tmp_path / "run", tmp_path / f"cache-{name}", tmp_path / "m.onnx", manifest=manifest)
        keys[name] = {entry.key for entry in recipe.prepare(places)[0].entries}
    whole = keys.pop("whole")
    assert len([key for key in whole if key[1:] == ("copy:lpc", "")]) == 2
    for name, found in keys.items():
        assert found == {key for key in whole if key[0] == f"train/bonafide/{name}"}


def test_provenance_has_the_day_of_the_training_not_of_the_report(tmp_path: Path) -> None:
    config = {"seed": 4, "batch": {"rows": 8}, "model": {}}
    found = {"config": config, "averaged": {}, "step": 7, "saved": 1_700_000_000.0}  # 14 November 2023
    torch.save(found, tmp_path / "best.pt")
    provenance = recipe.provenance_of(tmp_path / "best.pt", (AudioStore(tmp_path / "a"), AudioStore(tmp_path / "b")))
    assert (provenance["trained"], provenance["steps"], provenance["seed"]) == ("2023-11-14", 7, 4)
    assert "licence" not in provenance, "nobody named one: it is not for us to say"


def test_provenance_has_the_licence_that_the_recipe_names(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('licence = "CC-BY-4.0"\n')
    config = asdict(load_config(tmp_path / "run.toml"))
    torch.save({"config": config | {"model": {}}, "averaged": {}, "step": 7, "saved": 0.0}, tmp_path / "best.pt")
    provenance = recipe.provenance_of(tmp_path / "best.pt", (AudioStore(tmp_path / "a"), AudioStore(tmp_path / "b")))
    assert provenance["licence"] == "CC-BY-4.0"


def test_a_licence_may_be_named_when_a_run_is_taken_up_again() -> None:
    assert not changed(asdict(TrainConfig()), asdict(TrainConfig(licence="Apache-2.0")))


def test_figures_count_people_accused_and_fakes_caught() -> None:
    rows = [scored(True, x) for x in (-3, 1, 2, 3, 4)] + [scored(False, x) for x in (-5, -4, -2, 0, 5)]
    found = report.figures(rows, Calibration(1, 0, 0, 1), Thresholds(-2.5, 1))
    (cell,) = found["cells"]
    assert (cell["condition"], cell["span"], cell["bonafide"], cell["spoof"]) == ("g711", "clip", 5, 5)
    assert cell["accused"] == pytest.approx(0.2)
    assert cell["caught"] == pytest.approx(0.4)
    assert found["false_positives"] == [("o/a", 5, 1)]
    assert found["families"]["tts"]["spoof"] == 5
    assert list(found["seen"]) == ["True"]
    text = report.as_text(found)
    assert "| g711 | whole clip | 5 / 5 |" in text
    assert "| o/a | 5 | 1 |" in text


def test_a_figure_that_there_is_none_of_is_null_and_a_dash(tmp_path: Path) -> None:
    """No repository has both classes; JSON has no nan, and strict readers refuse a file with one."""
    rows = [scored(True, x) for x in range(5)] + [scored(False, -x, repo="o/b") for x in range(5)]
    found = report.figures(rows, Calibration(1, 0, 0, 1), Thresholds(-2.5, 1))
    recipe._write_figures(found, tmp_path)
    (cell,) = json.loads((tmp_path / "dev_figures.json").read_text(), parse_constant=pytest.fail)["cells"]
    assert (cell["within_repository_auroc"], cell["repositories"]) == (None, 0)
    assert "| - (0) |" in (tmp_path / "dev_figures.md").read_text()
    assert report.as_text(json.loads((tmp_path / "dev_figures.json").read_text())) == report.as_text(found)


def test_small_cells_are_not_reported() -> None:
    rows = [scored(True, 1.0), scored(False, -1.0)]
    assert report.figures(rows, Calibration(1, 0, 0, 1), Thresholds(-1, 1))["cells"] == []


def test_calls_join_one_person_or_one_generator(corpus: Path) -> None:
    keys = call_keys(recipe.read_corpus(corpus, ["dev"])[:2])
    assert keys == ["p:o/r:s0", "g:g:o/r"]


def test_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.configure(parser)
    args = parser.parse_args(["--corpus", str(tmp_path), "--run", str(tmp_path / "r"), "--cache", str(tmp_path / "c")])
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv does not exist"):
        command.run(args)
    monkeypatch.setattr(command, "NEEDED", ("torch", "no_such_package"))
    with pytest.raises(command.ConfigError, match="training needs no_such_package"):
        command.run(args)


def test_nothing_is_trained_on_that_judges_it(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"path,label\n{corpus / 'dev2.wav'},bonafide\n")
    places = Places(corpus, None, tmp_path / "run", tmp_path / "cache", tmp_path / "m.onnx", more=(tmp_path,))
    with pytest.raises(ValueError, match=r"dev2\.wav is of dev too: what is trained on must be nothing that judges it"):
        recipe.from_corpus(places, TrainConfig())
    assert not (tmp_path / "cache").exists()


def test_without_recordings_of_noise_nothing_is_called_noisy(corpus: Path) -> None:
    clips = recipe.read_corpus(corpus, ["dev"])
    store = AudioStore(corpus / "no-noise")
    recipe.add_originals(store, clips)
    quiet, noisy = (Dev(store, clips, noises) for noises in ([], [np.ones(8000, np.int16)]))
    views = np.zeros((1, 1, 2), np.float32)

    def silent(audio: np.ndarray) -> np.ndarray:
        return np.broadcast_to(views, (len(audio), audio.shape[1] // 320, 2))

    assert list(quiet.judge(silent).eer) == ["g711"]
    assert list(noisy.judge(silent).eer) == ["g711", "g711+15dB"]
    assert 0 <= quiet.judge(silent).choice <= 1


def test_a_fit_that_fails_leaves_the_weights_as_they_were(corpus: Path, tmp_path: Path) -> None:
    weights = tmp_path / "m.onnx"
    for end in (".onnx", ".json"):
        weights.with_suffix(end).write_bytes(DEFAULT_WEIGHTS.with_suffix(end).read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    text = (corpus / "manifest.csv").read_text().splitlines()
    for rows, said in (
        ([row for row in text if ",dev,spoof" not in row], "dev has no spoof clip in which somebody speaks"),
        ([row.replace(",dev,", ",,") for row in text], "has no split in manifest.csv"),
    ):
        folder = tmp_path / "c"
        folder.mkdir(exist_ok=True)
        lines = [rows[0], *(f"{corpus}/{row}" for row in rows[1:])]
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
        with pytest.raises(ValueError, match=said):
            explain.fit_weights(weights, folder, 2)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
