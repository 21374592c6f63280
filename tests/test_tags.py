"""`vivavoce tags`: what a line says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.streams import encode_tag
from tests.engine.tags import make_tag
from vivavoce import cli
from vivavoce.tags import _line

STEP = {
    "state": "asked", "challenge": "whisper", "by": "operator", "who": "Ada", "why": "sounds tinny",
    "reasons": ["line-limited"], "deadline_s": 3.0,
}  # fmt: skip


def test_a_step_of_an_examination_is_told_as_one() -> None:
    said = _line(encode_tag(replace(make_tag(kind="exam", call_id="ex2"), examination=STEP)))
    assert said.endswith("ex2              caller examination: asked  whisper  operator  Ada  sounds tinny  line-limited")


def test_an_examination_of_which_little_is_known_is_no_error() -> None:
    said = _line(encode_tag(replace(make_tag(kind="exam"), examination={"state": "over", "challenge": "", "reasons": []})))
    assert said.endswith("examination: over")


@pytest.mark.parametrize("wrong", [["--shard", "-1"], ["--count", "0"], ["--count", "-1"]])
def test_a_count_that_never_comes_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tags", "--redis", "redis://127.0.0.1:1/0", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err
