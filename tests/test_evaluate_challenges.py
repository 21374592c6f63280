"""vivavoce evaluate-challenges: the bundled speakers and a made-up whisper as a corpus of two people."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from challenges.fusion import Judgement
from connectors.g711 import decode_mu_law
from engine.events import Verdict
from tests.challenges.voices import whisper
from tests.connectors.test_files import write_wav
from vivavoce.challenge_trials import Trial, ends, figures, parts
from vivavoce.cli import main
from vivavoce.compliance_trials import figures as compliance_figures
from vivavoce.rehearsal import Outcome, Told
from vivavoce.samples import SAMPLES, mu_law

CALLS = ["--people", "1", "--part", "calls", "--challenge", "whisper", "--caller", "honest", "--caller", "silent"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "challenge").mkdir()
    rows = []
    for sample in SAMPLES:
        if sample.synthetic:
            continue
        speech = decode_mu_law(mu_law(sample.path))
        for part, at in (("a", 0), ("b", 8)):
            write_wav(folder / f"{sample.name}-{part}.wav", [speech[at * 8000 : (at + 7) * 8000]], 8000)
            rows.append([f"{sample.name}-{part}.wav", "dev", "bonafide", f"test:{sample.name}", "repo", "7.0"])
    for number in range(3):
        write_wav(folder / "challenge" / f"{number}.wav", [whisper(3.0, seed=number)], 8000)
    whispers = [[f"{number}.wav", "train", "whispering", "test:nobody"] for number in range(3)]
    save(folder / "manifest.csv", ["path", "split", "label", "speaker", "repo", "duration_s"], rows)
    save(folder / "challenge" / "manifest.csv", ["path", "split", "activity", "speaker"], whispers)
    return folder


def save(path: Path, head: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["evaluate-challenges", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.timeout(300)
def test_calls_are_played_counted_and_the_same_again(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = report(capsys, "--corpus", str(corpus), *CALLS)
    assert report(capsys, "--corpus", str(corpus), *CALLS) == first
    assert report(capsys, "--corpus", str(corpus), *CALLS, "--seed", "1")["callers"] != first["callers"]
    assert (first["people"], list(first["callers"])) == (1, ["honest", "silent"])
    honest, silent = first["callers"]["honest"], first["callers"]["silent"]
    assert honest["by_challenge"]["whisper"]["calls"] == silent["calls"] == 1
    assert honest["by_answer"]["recording"]["calls"] == 1
    assert honest["parts"]["compliance"]["measured"] >= 1
    assert silent["accused"] == 0.0
    assert set(silent["stages"]) <= {"no-answer", "unclear"}


@pytest.mark.timeout(300)
def test_the_table_of_verifiers_says_what_it_rests_on(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("whisper", "high-pitch", "sing", "foreign-words")
    arguments = [part for key in wanted for part in ("--challenge", key)]
    rows = report(capsys, "--corpus", str(corpus), "--people", "2", "--part", "compliance", *arguments)["compliance"]
    assert rows["whisper"]["material"] == "recorded (train)"
    assert (rows["whisper"]["genuine"], rows["whisper"]["auroc"]) == (3, 1.0)
    assert rows["high-pitch"]["material"] == "made from plain speech"
    assert rows["high-pitch"]["auroc"] > 0.9
    assert (rows["sing"]["material"], rows["foreign-words"]["material"]) == ("none", "none")
    assert main(["evaluate-challenges", "--corpus", str(corpus), "--people", "1", "--part", "compliance", *arguments[:2]]) == 0
    assert "recorded (train)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--corpus", "/nowhere"], "no corpus here"),
        (["--people", "0"], "--people 0 must be at least 1"),
        (["--challenge", "juggle"], "'juggle' is none of"),
        (["--challenge", "clap"], "a narrowband line does not carry the challenge clap"),
        (["--line", "wet-string"], "'wet-string' is none of"),
        (["--split", "eval"], 'nobody in split "eval"'),
        ([*CALLS, "--prompts", "/nowhere"], "/nowhere is no prompt pack"),
        ([*CALLS, "--record", "/dev/null/calls"], "Not a directory"),
    ],
)
def test_errors_are_sentences(corpus: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate-challenges", *([] if "--corpus" in arguments else ["--corpus", str(corpus)]), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_pack_that_is_not_there_is_told_before_anything_is_measured(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.compliance_trials.measure_all", lambda *_: pytest.fail("that takes minutes"))
    assert main(["evaluate-challenges", "--corpus", str(corpus), "--people", "1", "--prompts", "/nowhere"]) == 2
    assert "/nowhere is no prompt pack" in capsys.readouterr().err


def test_a_manifest_without_a_column_is_named(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "challenge").mkdir()
    for file in corpus.glob("*.*"):
        (tmp_path / file.name).symlink_to(file)
    save(tmp_path / "challenge" / "manifest.csv", ["path", "split", "speaker"], [])
    assert main(["evaluate-challenges", "--corpus", str(tmp_path)]) == 2
    assert "the column 'activity' is missing" in capsys.readouterr().err


def trial(verdict: Verdict, *told: Told, caller: str = "honest") -> Trial:
    return Trial(caller, "whisper", Outcome(verdict, -1.0, Verdict.UNCERTAIN, [], list(told)))


def test_figures_by_hand() -> None:
    drift = Judgement(0.9, None, None, -3.0)
    calls = [
        trial(Verdict.DEEPFAKE_LIKELY, Told("whisper", "recording", "failed", ("identity-drift",), drift, -1.8)),
        trial(Verdict.HUMAN_LIKELY, Told("whisper", "recording", "passed", (), Judgement(0.95, 1.0, 0.0, None), 1.2)),
        trial(Verdict.UNCERTAIN, Told("whisper", "nothing", "no-answer", ("late",))),
        trial(Verdict.UNKNOWN, Told("whisper", "plain", "unclear", ("cannot-tell",), Judgement(None, None, None, None))),
    ]
    found = ends(calls)
    assert found["ends"] == {"deepfake-likely": 1, "uncertain": 1, "human-likely": 1, "other": 1}
    assert (found["accused"], found["cleared"], found["noticed"], found["failed"]) == (0.25, 0.25, 0.25, 0.25)
    assert found["accused_low"] < 0.25 < found["accused_high"]
    shares = parts(calls)
    assert [shares[part]["measured"] for part in ("compliance", "realism", "identity")] == [2, 1, 1]
    assert (shares["identity"]["answers"], shares["identity"]["named"], shares["compliance"]["named"]) == (3, 1.0, 0.0)
    assert figures(calls)["honest"]["reasons"] == {"cannot-tell": 1, "identity-drift": 1, "late": 1}


def test_errors_of_a_verifier_by_hand() -> None:
    found = compliance_figures([0.9, 0.8, 0.1], [0.0, 0.5], ["too-short"], [])
    assert (found["genuine"], found["not_done"], found["cannot_tell"], found["why_not"]) == (3, 2, 1, ["too-short"])
    assert (found["genuine_failed"], found["not_done_unnoticed"]) == (pytest.approx(1 / 3, abs=1e-4), 0.5)
    assert found["auroc"] == pytest.approx(5 / 6, abs=1e-3)
    assert "auroc" not in compliance_figures([], [0.2], [], [])
    assert np.isclose(found["error"], (1 / 3 + 0.5) / 2, atol=1e-3)
