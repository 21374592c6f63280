"""The fit finds the weights that made its data, weighs people apart, and measures nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="simulated callers need the extra 'train'")
pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")

from challenges.catalogue import CATALOGUE
from challenges.measures import Measures, measure
from tests.challenges.voices import voice
from vivavoce import measured_answers
from vivavoce.fit_verifiers import crossed, cues_of, fit, line, main, regression, told_apart
from vivavoce.measured_answers import Answered, Source

PLAIN = measure(voice(seconds=1.5))
SOFT = CATALOGUE["speak-softly"]


def answered(done: bool, level_db: float) -> Answered:
    """Of somebody who spoke at -20 dBFS before."""
    assert PLAIN is not None
    return Answered(done, replace(PLAIN, level_db=level_db), replace(PLAIN, level_db=-20.0))


def answers(seed: int, count: int = 40) -> list[Answered]:
    rng = np.random.default_rng(seed)
    return [answered(done, float(rng.normal(-27.0 if done else -20.0, 2.0))) for done in (True, False) for _ in range(count)]


def test_the_regression_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    cues = rng.standard_normal((4000, 2)) * [1.0, 10.0]
    done = rng.random(4000) < 1 / (1 + np.exp(-(0.5 + 2.0 * cues[:, 0] - 0.1 * cues[:, 1])))
    bias, first, second = regression(cues, done, ridge=0.01)
    assert first == pytest.approx(2.0, rel=0.15)
    assert second == pytest.approx(-0.1, rel=0.15)
    assert bias == pytest.approx(0.5 - np.log(done.mean() / (1 - done.mean())), abs=0.15)  # both kinds weigh alike


def test_a_ridge_draws_the_weights_in() -> None:
    cues, done = cues_of(SOFT, answers(0))
    assert abs(regression(cues, done, ridge=50.0)[1]) < 0.7 * abs(regression(cues, done, ridge=0.5)[1])


def test_a_cue_of_chance_is_worth_nothing_on_other_people() -> None:
    rng = np.random.default_rng(3)
    found = crossed(rng.standard_normal((60, 8)), np.arange(60) < 30, ridge=0.01)
    assert found is not None
    assert found < 0.75


def test_weights_that_point_the_wrong_way_are_put_right() -> None:
    wrong = replace(SOFT, parameters={"bias": 0.0, "change_db": 0.6, "words": 1.0})
    found = fit(wrong, answers(1), answers(2))
    assert found is not None
    assert found.dev_old is not None
    assert found.dev_new is not None
    assert found.dev_old < 0.1 < 0.95 < found.dev_new
    assert found.parameters["change_db"] < 0
    assert found.parameters["words"] == 1.0  # not a cue: kept
    weights = f'"bias": {found.parameters["bias"]}, "change_db": {found.parameters["change_db"]}, "words": 1.0'
    assert line(found).startswith(f'"level", {{{weights}}},')


def test_too_few_answers_fit_nothing_and_one_kind_tells_nothing_apart() -> None:
    few = [*answers(1)[:9], *answers(1)[-40:]]
    assert fit(SOFT, few, answers(2)) is None
    assert told_apart(SOFT, [one for one in answers(2) if one.done]) is None


def test_what_cannot_be_compared_is_left_out() -> None:
    cues, done = cues_of(SOFT, [answered(True, -27.0), Answered(True, PLAIN, None), Answered(False, None, PLAIN)])
    assert cues.tolist() == [[-7.0]]
    assert done.tolist() == [True]


def test_measures_are_kept_for_the_same_people_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def once(self: Source, challenge: object) -> list[Answered]:
        asked.append(self.split)
        return [*answers(4, 2), Answered(False, None, None)]

    monkeypatch.setattr(Source, "_measured", once)
    source = Source(tmp_path, "train", 3, (8.0, 30.0), 0, tmp_path / "kept")
    first = source.answers(SOFT)
    assert source.answers(SOFT) == first
    assert asked == ["train"]
    assert isinstance(first[0].answer, Measures)
    assert first[-1] == Answered(False, None, None)
    Source(tmp_path, "train", 4, (8.0, 30.0), 0, tmp_path / "kept").answers(SOFT)
    Source(tmp_path, "dev", 3, (15.0, 15.0), 0, tmp_path / "kept").answers(SOFT)
    assert asked == ["train", "train", "dev"]


def test_another_way_of_measuring_makes_what_was_kept_worthless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Source, "_measured", lambda self, challenge: answers(4, 2))
    source = Source(tmp_path, "train", 3, (8.0, 30.0), 0, tmp_path / "kept")
    source.answers(SOFT)
    monkeypatch.setattr(measured_answers, "MAKERS", measured_answers.MAKERS[:-1])
    source.answers(SOFT)
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_the_command_prints_what_was_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Source, "_measured", lambda self, challenge: answers(5))
    call = [str(tmp_path), "--challenge", "speak-softly", "--cache", str(tmp_path / "kept")]
    main(call)
    assert capsys.readouterr().out.startswith('"level", {"bias": ')
    main([*call, "--json"])
    (row,) = json.loads(capsys.readouterr().out)["fitted"]
    assert row["challenge"] == "speak-softly"
    assert row["train"]["done"] == 40
    assert row["dev"]["auroc_new"] > 0.95
