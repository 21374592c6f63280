"""`vivavoce evaluate --copies`: pairs of a real clip and its copy, on the same way, cached, and figures by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from connectors.g711 import decode_mu_law
from engine.config import load_settings
from models.copies import HELD_OUT, NEURAL_CODEC, CopyPlan
from models.held_out import held_out_vocoders
from models.store import AudioStore
from tests.connectors.test_files import write_wav
from vivavoce import cli, copy_trials, service_model
from vivavoce.copy_trials import POOLED, Pair
from vivavoce.evaluation_names import NAMES
from vivavoce.samples import SAMPLES, mu_law

KINDS = {"a": "source and filter", "b": "phase recovery", "c": NEURAL_CODEC}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 2 s at 16 kHz from the bundled calls, and one that is too short to be copied."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for sample in SAMPLES:
        speech = decode_mu_law(mu_law(sample.path))
        for part in range(2):
            path = write_wav(folder / f"{sample.name}-{part}.wav", [np.repeat(speech[part * 16000 :][:16000], 2)], 16000)
            fake = sample.synthetic
            rows.append([path.name, "eval", "spoof" if fake else "bonafide", "g" * fake, "tts" * fake, "r", "2.0"])
    short = write_wav(folder / "short.wav", [speech[:4000]], 8000)
    rows.append([short.name, "eval", "bonafide", "", "", "r", "0.5"])
    with (folder / "manifest.csv").open("w", newline="") as file:
        names = ["path", "split", "label", "generator", "generator_family", "repo", "duration_s"]
        csv.writer(file).writerows([names, *rows])
    return folder


def evaluate(capsys: pytest.CaptureFixture[str], corpus: Path, *options: str) -> tuple[Any, str]:
    nowhere = str(corpus / "no vocoders")
    cache = str(corpus.parent / "cache")
    arguments = ["--corpus", str(corpus), "--split", "eval", "--json", "--vocoders", nowhere, "--cache", cache]
    assert cli.main(["evaluate", *arguments, *options]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def keys(value: Any) -> Iterator[str]:
    """Every name in a JSON value but those of groups, which come from the corpus."""
    groups = ("families", "languages", "groups", "repo", "language", "orig_sr", "subgroups", "conditions", "copies")
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield name
        hidden = name in groups
        for below in inner.values() if hidden and isinstance(inner, dict) else [inner]:
            yield from keys(below)
    if isinstance(value, list):
        for item in value:
            yield from keys(item)


def test_figures_of_pairs_by_path_and_pooled_without_the_codec() -> None:
    pairs = [Pair("x", "a", 1.0, 0.0), Pair("y", "a", 3.0, 2.0), Pair("x", "b", 1.0, 4.0), Pair("y", "b", 3.0, -2.5)]
    found = copy_trials.figures([*pairs, Pair("x", "c", 1.0, -9.0)], KINDS, -2.0, NEURAL_CODEC)
    assert list(found) == ["a", "b", "c", POOLED]
    a, pooled = found["a"], found[POOLED]
    assert (a["kind"], a["bonafide"], a["spoof"]) == ("source and filter", 2, 2)
    assert (a["eer"], a["auroc"]) == (0.5, 0.75)  # at any threshold one error of two; 3 of 4 pairs in order
    assert (a["told_apart"], a["caught"]) == (1.0, 0.0)
    assert (a["low"], a["high"]) == (pytest.approx(2 / (2 + 3.841459)), 1.0)
    assert (pooled["bonafide"], pooled["spoof"], pooled["auroc"]) == (2, 4, pytest.approx(5 / 8))  # 1 > 0, -2.5; 3 > 0, 2, -2.5
    assert (pooled["told_apart"], pooled["caught"]) == (0.75, 0.25)
    assert (pooled["kind"], pooled["mean_eer"]) == ("all but neural codec", (0.5 + found["b"]["eer"]) / 2)
    assert "mean_eer" not in a


def test_without_other_paths_nothing_is_pooled() -> None:
    assert list(copy_trials.figures([Pair("x", "c", 1.0, 0.0)], KINDS, -2.0, NEURAL_CODEC)) == ["c"]


@pytest.mark.parametrize("codec", ["none", "pcmu", "pcma"])
def test_real_and_copy_go_the_same_way_to_the_same_score(tmp_path: Path, codec: Any) -> None:
    store, speech = AudioStore(tmp_path / "s"), decode_mu_law(mu_law(SAMPLES[0].path))[:24001]
    with store:
        for generator, label in (("", "bonafide"), ("copy:same", "spoof")):
            fields = {"label": label, "generator": generator, "repo": "", "speaker": "", "coding": ""}
            store.add(speech, source="eval/bonafide/x", **fields)
    settings = load_settings(None, {}, [])
    (pair,) = copy_trials.score(store, store.entries, codec, settings, service_model.load(settings))
    assert pair.path == "same"
    assert pair.real == pair.copy != 0


def test_the_command_copies_every_real_clip_that_is_long_enough(capsys: pytest.CaptureFixture[str], corpus: Path) -> None:
    report, errors = evaluate(capsys, corpus, "--copies")
    assert report["conditions"] == {}
    paths = report["copies"]["G.711 mu-law"]
    possible = set(held_out_vocoders(None))  # without weights
    assert set(paths) == possible | {POOLED}
    real = 2 * sum(not sample.synthetic for sample in SAMPLES)
    assert {(row["bonafide"], row["spoof"]) for name, row in paths.items() if name != POOLED} == {(real, real)}
    assert paths[POOLED]["spoof"] == len(possible) * real
    assert f"no copies by {', '.join(sorted(set(HELD_OUT) - possible))}" in errors


def test_a_second_run_makes_nothing_and_says_the_same(
    capsys: pytest.CaptureFixture[str], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = evaluate(capsys, corpus, "--copies")

    def never(*_: object) -> None:
        raise AssertionError("a copy was made twice")

    monkeypatch.setattr("models.copies.copy_speech", never)
    assert evaluate(capsys, corpus, "--copies")[0] == first
    fewer, _ = evaluate(capsys, corpus, "--copies", "--limit", "2")
    assert fewer["copies"]["G.711 mu-law"][POOLED]["bonafide"] <= 2


def test_what_else_the_cache_holds_changes_nothing(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    little = CopyPlan({"cepstral": 1 / 60})  # one clip's worth: which one depends on what there is to choose from
    monkeypatch.setattr("models.copies.HELD_OUT_PLAN", little)
    fresh = [
        copy_trials.prepare(corpus, part, "eval", tmp_path / name, tmp_path)[1] for name, part in (("a", rows), ("b", rows[2:]))
    ]
    again = [copy_trials.prepare(corpus, part, "eval", tmp_path / "c", tmp_path)[1] for part in (rows, rows[2:])]
    for one, other in zip(fresh, again, strict=True):
        assert sorted(e.key for e in one) == sorted(e.key for e in other)
        assert sum(e.copy for e in one) == 1


def test_another_manifest_is_another_cache(corpus: Path, tmp_path: Path) -> None:
    rows = [{"path": "a.wav", "split": "eval", "label": "bonafide", "duration_s": "1.0"}]
    for text in ("one", "two"):
        (tmp_path / "manifest.csv").write_text(text)
        write_wav(tmp_path / "a.wav", [np.full(8000, len(text), np.int16)], 8000)
        copy_trials.prepare(tmp_path, rows, "eval", tmp_path / "cache", tmp_path / "none")
    assert len(list((tmp_path / "cache").glob("copies-eval-*.i16"))) == 2


def test_a_split_without_real_clips_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,split,label,duration_s\nx.wav,eval,spoof,3\n")
    assert cli.main(["evaluate", "--corpus", str(tmp_path), "--split", "eval", "--copies"]) == 2
    assert "no real clip of 0.8 s or more" in capsys.readouterr().err


def test_one_report_holds_all_and_explains_every_name(
    capsys: pytest.CaptureFixture[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.corruptions import grid

    few = [cell for cell in grid([]) if cell.name == "G.711"]
    monkeypatch.setattr("models.corruptions.grid", lambda noises: few)
    report, _ = evaluate(capsys, corpus, "--full", "--codec", "pcmu", "--page", str(tmp_path / "r.html"))
    lengths = {"1 s", "2 s", "4 s", "8 s", "whole", "10 s call", "10 s voice", "30 s call"}
    assert report.pop("names") == NAMES
    from_corpus = {"repo", "language", "orig_sr", *HELD_OUT, POOLED}
    assert set(keys(report)) - set(NAMES) - lengths - from_corpus == set()
    html = (tmp_path / "r.html").read_text()
    for words in ("time to detect", "Who is accused", "Real clips against copies", "Robustness", "What the figures mean"):
        assert words in html, words
    for drawing in html.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + drawing.split("</svg>")[0] + "</svg>")


def test_the_terminal_shows_copies_by_path(capsys: pytest.CaptureFixture[str], corpus: Path) -> None:
    arguments = ["--corpus", str(corpus), "--split", "eval", "--cache", str(corpus.parent / "cache"), "--vocoders", "nowhere"]
    assert cli.main(["evaluate", *arguments, "--copies"]) == 0
    out = capsys.readouterr().out
    assert "G.711 mu-law: cepstral" in out
    assert "G.711 mu-law: pooled" in out
