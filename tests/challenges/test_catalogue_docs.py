"""challenges/README.md says of the 20 challenges what the catalogue does."""

from __future__ import annotations

from pathlib import Path

import pytest

from challenges.catalogue import CATALOGUE
from challenges.content import EXPIRES_S
from challenges.languages import LANGUAGES, MIN_WORDS, load
from vivavoce.challenges import markdown
from vivavoce.cli import main

README = (Path(__file__).parent.parent.parent / "challenges" / "README.md").read_text()
TABLE = "| id |" + README.split("| id |", 1)[1].split("\n\n", 1)[0]


def test_the_table_is_the_catalogue_s() -> None:
    """After a change of the catalogue: vivavoce challenges --markdown."""
    assert TABLE.splitlines() == markdown(CATALOGUE.values(), "en").splitlines()


def test_the_command_prints_that_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["challenges", "--markdown"]) == 0
    assert capsys.readouterr().out == TABLE + "\n"


def test_every_parameter_and_label_stands_in_the_row_of_its_challenge() -> None:
    rows = dict(zip(CATALOGUE, TABLE.splitlines()[2:], strict=True))
    for key, challenge in CATALOGUE.items():
        assert f"`{key}`" in rows[key]
        assert f"**{challenge.measurable}**" in rows[key]
        assert f"`{challenge.verifier}`" in rows[key]
        for name, value in challenge.parameters.items():
            assert f"{name} {value:g}" in rows[key]


def test_no_cell_breaks_the_table() -> None:
    assert {row.count(" | ") for row in TABLE.splitlines()} == {8}


def test_what_it_says_of_the_content_is_so() -> None:
    assert f"more than {MIN_WORDS} common words" in README
    assert f"stale after {EXPIRES_S:g} seconds" in README
    for code in LANGUAGES:
        assert {"en": "English", "es": "Spanish", "fr": "French", "de": "German"}[code] in README
        assert len(load(code).words) > MIN_WORDS
