# ruff: noqa: E402 - the imports below need the extra
"""A finished second opinion: written, read, refused, and asked by `screen` and `score` about suspected calls only."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the second opinion needs the extra 'ssl'")
pytest.importorskip("transformers", reason="the second opinion needs the extra 'ssl'")

from models.calibrate import Recording
from models.calibration import Calibration
from models.second_opinion.listen import mean_logit, windows_of
from models.second_opinion.ship import Opinion, calibrated, load
from tests.models.test_copies import voice
from tests.models.test_second_opinion import large, opinion, tiny
from tests.test_screen import PERSON, SYNTHETIC, run, short
from vivavoce import second_opinion

CLEARED = "tags.human_llr=-90"  # whoever speaks is Human-likely
NOT_CLEARED = "tags.human_llr=90"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    made = Opinion(opinion(tiny(tmp_path / "source")), 12800, Calibration(2.0, 0.5, 0.3, 8.0), "heavy-1")
    made.save(tmp_path / "heavy.pt", {"steps": 3})
    return tmp_path / "heavy.pt"


def speech(seconds: float = 5.0) -> np.ndarray:
    return voice(seconds)[::2]  # 8 kHz


def constant(value: float, seen: list[int] | None = None) -> Any:
    def score(windows: np.ndarray) -> np.ndarray:
        if seen is not None:
            seen.append(len(windows))
        return np.full(len(windows), value, np.float32)

    return score


def test_what_is_written_is_read_back_without_the_source(finished: Path, tmp_path: Path) -> None:
    first = load(finished)
    for path in (tmp_path / "source").iterdir():
        path.unlink()
    second = load(finished)
    assert (second.version, second.window, second.calibration) == ("heavy-1", 12800, Calibration(2.0, 0.5, 0.3, 8.0))
    assert first.llr(speech()) == second.llr(speech()) is not None
    mean, speech_s = second.mean(speech())
    assert mean is not None
    assert second.llr(speech()) == Calibration(2.0, 0.5, 0.3, 8.0).llr(mean, speech_s)


def test_a_large_model_with_dropped_layers_comes_back_too(tmp_path: Path) -> None:
    model = opinion(large(tmp_path / "source", "wavlm"), layers=1, tune_rate=1e-5)
    Opinion(model, 8000, Calibration(1, 0, 0, 1), "x").save(tmp_path / "x.pt", {})
    samples = torch.from_numpy(speech()[None, :8000].copy())
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path / "x.pt").model(samples), model(samples), rtol=0, atol=0)


def test_files_that_are_none_are_named_in_a_sentence(tmp_path: Path) -> None:
    for name, content, words in (
        ("gone.pt", None, "does not exist"),
        ("text.pt", b"no weights", "cannot be read"),
        ("empty.pt", b"", "cannot be read"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}.*{words}") as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    torch.save({"step": 3, "trained": {}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="no finished second opinion"):
        load(tmp_path / "last.pt")


def test_a_file_that_carries_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"format": 1, "backbone": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_file_of_another_shape_is_refused(finished: Path) -> None:
    table = torch.load(finished, weights_only=True)
    table["model"]["width"] = 32
    torch.save(table, finished)
    with pytest.raises(ValueError, match="does not fit this version") as caught:
        load(finished)
    assert "\n" not in str(caught.value)


def test_windows_cover_a_recording_evenly_and_are_bounded() -> None:
    ramp = np.arange(20000, dtype=np.int16)
    assert windows_of(ramp, 8000)[:, 0].tolist() == [0, 6000, 12000]
    assert windows_of(ramp, 20000)[:, 0].tolist() == [0]
    assert windows_of(ramp[:3000], 8000).shape == (1, 8000)
    assert windows_of(np.zeros(9_000_000, np.int16), 8000, most=5).shape == (5, 8000)


def test_windows_weigh_by_their_speech_and_silence_is_not_asked_about() -> None:
    seen: list[int] = []
    loud = (3000 * np.sin(np.arange(8000))).astype(np.int16)
    quiet = np.zeros(8000, np.int16)
    assert mean_logit(constant(1.5, seen), np.concatenate([loud, quiet]), 8000) == (1.5, 1.0)
    assert seen == [1]
    for nothing in (quiet, quiet[:100], quiet[:0]):
        assert mean_logit(constant(1.5), nothing, 8000) == (None, 0.0)

    def first_sample(windows: np.ndarray) -> np.ndarray:
        return (np.abs(windows).max(axis=1) > 2000).astype(np.float32)

    half = np.concatenate([(loud // 3)[:4000], quiet[:4000]])
    mean, speech_s = mean_logit(first_sample, np.concatenate([loud, half]), 8000)
    assert mean == pytest.approx(2 / 3, abs=0.02)
    assert speech_s == pytest.approx(1.5, abs=0.05)


def test_the_calibration_is_fitted_on_what_the_model_says(finished: Path) -> None:
    made = load(finished)
    made._logits = lambda windows: np.log1p(np.abs(windows).mean(axis=1)).astype(np.float32) - 7  # type: ignore[method-assign]
    rng = np.random.default_rng(0)
    trials = [
        Recording((speech() * (0.3 + 0.5 * person + 0.1 * rng.random())).astype(np.int16), bool(person), "clip", "o/r")
        for person in (0, 1) * 12
    ]
    found = calibrated(made, trials, [])
    assert made.calibration.slope > 0
    clip = next(c for c in found["cells"] if (c["condition"], c["span"]) == ("g711", "clip"))
    assert (clip["bonafide"], clip["eer"]) == (12, 0.0)


def test_screen_asks_only_about_who_was_not_cleared(capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path) -> None:
    path = short(PERSON, 5, tmp_path / "a.wav")
    asked = ("screen", "--json", "--second-opinion", finished)
    suspected = json.loads(run(capsys, *asked, "--set", NOT_CLEARED, path)[1])[0]
    cleared = json.loads(run(capsys, *asked, "--set", CLEARED, "--set", "tags.deepfake_llr=-99", path)[1])[0]
    plain = json.loads(run(capsys, "screen", "--json", "--set", NOT_CLEARED, path)[1])[0]
    assert (suspected["tag"] != "human-likely", cleared["tag"], cleared["second_llr"]) == (True, "human-likely", None)
    assert np.isfinite(suspected.pop("second_llr"))
    assert suspected == plain, "the second opinion changes nothing else"
    text = run(capsys, "screen", "--second-opinion", finished, "--set", NOT_CLEARED, path)[1]
    assert text.splitlines()[-1].startswith("  second opinion: LLR ")


def test_screen_hears_the_whole_leg_again(capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path) -> None:
    from connectors.g711 import decode_mu_law
    from vivavoce.samples import mu_law

    path = short(PERSON, 5, tmp_path / "a.wav")
    wanted = load(finished).llr(decode_mu_law(mu_law(PERSON)[: 5 * 8000]))
    got = json.loads(run(capsys, "screen", "--json", "--second-opinion", finished, "--set", NOT_CLEARED, path)[1])[0]
    assert got["second_llr"] == pytest.approx(wanted, abs=1e-4)


def test_score_adds_a_column_only_when_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short(PERSON, 5, tmp_path / "a.wav")
    short(SYNTHETIC, 5, tmp_path / "b.wav")
    (tmp_path / "in.csv").write_text("path,second_llr\na.wav,old\nb.wav,old\ngone.wav,old\n")

    def scored(status: int, *options: str | Path) -> list[dict[str, str]]:
        arguments = ("--manifest", tmp_path / "in.csv", "--out", tmp_path / "out.csv", "--quiet", *options)
        assert run(capsys, "score", *arguments)[0] == status
        with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    plain = scored(1)
    assert [row["second_llr"] for row in plain] == ["old"] * 3, "somebody else's column is left alone"
    monkeypatch.setenv("VIVAVOCE_TAGS_HUMAN_LLR", "90")
    both = scored(1, "--second-opinion", finished)
    assert list(both[0]) == ["path", "llr", "second_llr"]
    assert [row["llr"] for row in both] == [row["llr"] for row in plain]
    assert np.isfinite([float(row["second_llr"]) for row in both[:2]]).all()
    assert both[2]["second_llr"] == ""
    monkeypatch.setenv("VIVAVOCE_TAGS_HUMAN_LLR", "-90")
    monkeypatch.setenv("VIVAVOCE_TAGS_DEEPFAKE_LLR", "-99")
    assert [row["second_llr"] for row in scored(1, "--second-opinion", finished)] == ["", "", ""]


def test_a_wrong_file_or_a_missing_package_is_told_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()  # progress of the fixture
    status, out, err = run(capsys, "screen", "--second-opinion", tmp_path / "gone.pt", PERSON)
    assert (status, out, err.count("\n"), "gone.pt does not exist" in err) == (2, "", 1, True)
    monkeypatch.setattr(second_opinion, "NEEDED", ("torch", "no_such_package"))
    status, out, err = run(capsys, "screen", "--second-opinion", finished, PERSON)
    assert (status, "needs no_such_package" in err, "vivavoce[ssl]" in err) == (2, True, True)


def test_nobody_who_did_not_ask_pays_for_it() -> None:
    code = (
        "import sys, vivavoce.screen, vivavoce.score, vivavoce.train, vivavoce.serve, vivavoce.second_opinion;"
        "print([m for m in ('torch', 'transformers', 'models.second_opinion') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
