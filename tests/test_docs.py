"""The README describes what there is: every setting, field, reason, metric and command once, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from engine.config import describe_settings
from engine.events import REASONS, Tag
from vivavoce.cli import COMMANDS
from vivavoce.metrics import METRICS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def rows(header: str) -> dict[str, str]:
    """First cell -> rest of the row, of the table whose header begins so."""
    table = README.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ", 1) for line in table]
    names = [name.strip("`") for name, _ in cells]
    assert len(names) == len(set(names)), f"twice in the table of {header}"
    return {name: rest for name, (_, rest) in zip(names, cells, strict=True)}


def test_every_setting_with_default_and_meaning() -> None:
    documented = rows("setting")
    described = describe_settings()
    assert list(documented) == [doc.name for doc in described]
    for doc in described:
        default, meaning = documented[doc.name].split(" | ")
        assert meaning == doc.description
        if isinstance(doc.default, int | float) and not isinstance(doc.default, bool):
            number, _, unit = default.partition(" ")
            assert float(number) == doc.default, doc.name
            assert unit == doc.unit, doc.name


@pytest.mark.parametrize(
    ("header", "names"),
    [("field", [f.name for f in dataclasses.fields(Tag)]), ("reason", list(REASONS)), ("metric", list(METRICS))],
    ids=["fields", "reasons", "metrics"],
)
def test_every_name_once(header: str, names: list[str]) -> None:
    assert sorted(rows(header)) == sorted(names)


def test_reasons_and_metrics_read_as_in_the_code() -> None:
    assert rows("reason") == dict(REASONS)
    assert rows("metric") == METRICS


def test_every_command_is_shown() -> None:
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", README), command


PAPERS = ["README.md", *(f".github/{name}.md" for name in ("CONTRIBUTING", "SECURITY", "THIRD_PARTY"))]


@pytest.mark.parametrize("paper", PAPERS)
def test_links_inside_the_repository_lead_somewhere(paper: str) -> None:
    for target, _, part in re.findall(r"\]\(([^)#]*)(#([^)]+))?\)", (ROOT / paper).read_text()):
        if "://" not in target:
            linked = (ROOT / paper).parent / target if target else ROOT / paper
            assert linked.exists(), target
            assert not part or part in anchors(linked.read_text()), f"{target}#{part}"


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_what_the_papers_name_is_there() -> None:
    rules = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if re.match(r"\w+:", line)}
    settings = {doc.name for doc in describe_settings()}
    for paper in PAPERS[1:]:
        text = (ROOT / paper).read_text()
        assert set(re.findall(r"^make (\w+)", text, re.MULTILINE)) <= rules
        named = re.findall(r"`([\w./-]+)`", text)
        assert all(any(ROOT.glob(f"{name}*")) for name in named if "/" in name), named
        sections = {name.split(".")[0] for name in settings}
        assert {name for name in named if name.split(".")[0] in sections and name.count(".") == 1} <= settings


def test_the_changelog_names_the_version() -> None:
    from vivavoce import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
