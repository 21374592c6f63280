"""What a judgement costs is told for every challenge, and as a program can read it."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from challenges.catalogue import CATALOGUE
from challenges.content import draw
from challenges.verifiers import logistic
from vivavoce import measure_judging
from vivavoce.measure_judging import BEFORE_S, RATE, main, speech, table, taken_for_done


def test_answers_are_speech_from_end_to_end() -> None:
    said = speech(30.0)
    assert said.dtype == np.int16
    assert len(said) == 30 * RATE
    assert np.percentile(np.abs(said.reshape(-1, RATE)).max(axis=1), 10) > 300


def test_every_challenge_is_judged_at_every_length(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("swift_f0", reason="measuring needs the extra 'examine'")
    monkeypatch.setattr(measure_judging, "LENGTHS_S", (1.0, 2.0))
    assert main(["--json", "--runs", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["before", "1 s", "1 s, done", "2 s", "2 s, done"]
    assert found.pop("before") > 0, f"{BEFORE_S} s before an answer are measured too"
    for costs in found.values():
        assert costs.keys() == CATALOGUE.keys()
    assert found["2 s"]["high-pitch"] > 0


def test_a_task_is_done_whatever_is_said() -> None:
    asked = draw(CATALOGUE["speak-softly"], "en", random.Random(1), 0.0)
    done = taken_for_done(asked)
    assert done.words == asked.words
    assert logistic(done.challenge, {"change_db": 20.0}) > 0.99 > 0.1 > logistic(asked.challenge, {"change_db": 20.0})


def test_the_table_ends_with_the_dearest() -> None:
    lines = table({"5 s": {"clap": 2.0, "sing": 1.0}, "10 s": {"clap": 4.0, "sing": 3.0}}).splitlines()
    assert [line.split() for line in lines[1:]] == [["sing", "1", "3"], ["clap", "2", "4"]]
