"""The table of licences is of what is asked for, and says what the installed packages say of themselves."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAPER = (ROOT / ".github" / "THIRD_PARTY.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAMES = {  # how packages write it -> the family that SPDX's name of it begins with
    "apache": "Apache", "mit": "MIT", "bsd": "BSD", "0bsd": "BSD", "mpl": "MPL", "mozilla": "MPL", "psf": "PSF",
    "python software": "PSF", "isc": "ISC", "gpl": "GPL", "lgpl": "GPL", "agpl": "GPL", "gnu": "GPL", "eupl": "EUPL",
    "zlib": "Zlib", "cc0": "CC0", "bsl": "BSL",
}  # fmt: skip
COPYLEFT = {"GPL", "MPL", "EUPL"}
GPL_LIBRARIES = {"x264", "x265", "xvidcore", "xavs", "rubberband", "vidstab", "postproc", "cdio", "dvdread", "dvdnav"}


def rows(header: str) -> dict[str, str]:
    """First cell without its quotes -> the second, of the table whose header begins so."""
    table = PAPER.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in table]
    assert len(cells) == len({cell[0] for cell in cells}), f"twice in the table of {header}"
    return {cell[0].strip("`"): cell[1] for cell in cells}


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def families(text: str) -> set[str]:
    """Of the licences that a text names."""
    words = re.findall(rf"(?<![a-z])(?:{'|'.join(sorted(NAMES, key=len, reverse=True))})(?![a-z])", text.lower())
    return {NAMES[word] for word in words}


def told(package: Distribution) -> set[str]:
    """The families that an installed package names: its expression, else its fields, else the head of its licence file."""
    meta = package.metadata
    if expression := meta.get("License-Expression"):
        return families(expression)
    fields = [(meta.get("License") or "").partition("\n")[0], *meta.get_all("Classifier", [])]
    if found := families(" ".join(f for f in fields if not f.startswith(("Programming", "Framework", "Topic", "Operating")))):
        return found
    files = [file for file in package.files or [] if file.name.upper().startswith(("LICENSE", "LICENCE"))]
    return families(" ".join(file.locate().read_text()[:100] for file in files))


def installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:  # of an extra, or of another system
        return None


def brought_along(requirements: Iterable[str]) -> dict[str, Distribution]:
    """All that is installed of `requirements` and of what they ask for without extras."""
    found: dict[str, Distribution] = {}
    todo = [name_of(requirement) for requirement in requirements]
    while todo:
        name = todo.pop()
        package = None if name in found else installed(name)
        if package is not None:
            found[name] = package
            todo += [name_of(wanted) for wanted in package.requires or [] if "extra" not in wanted]
    return found


def test_every_package_that_is_asked_for_and_no_other() -> None:
    asked = [*PROJECT["dependencies"], *(wanted for extra in EXTRAS.values() for wanted in extra)]
    assert list(rows("package")) == list(dict.fromkeys(map(name_of, asked)))


@pytest.mark.parametrize("name", rows("package"))
def test_the_licence_is_what_the_package_says(name: str) -> None:
    package = installed(name)
    if package is not None:
        assert families(rows("package")[name]) == told(package), f"{name} {package.version}"


def test_an_extra_is_named_beside_what_only_it_needs() -> None:
    serving = {name_of(wanted) for wanted in PROJECT["dependencies"]}
    lines = {line.split("`")[1]: line for line in PAPER.splitlines() if line.startswith("| `")}
    for extra, requirements in EXTRAS.items():
        for name in set(map(name_of, requirements)) - serving:
            assert f"`{extra}`" in lines[name], name


def test_what_serving_brings_along_is_permissive_or_in_the_table() -> None:
    for name, package in brought_along([*PROJECT["dependencies"], *EXTRAS["examine"]]).items():
        said = told(package)
        assert said, f"{name} {package.version} names no licence"
        assert name in rows("package") or not said & COPYLEFT, f"{name} {package.version}: {said}"


def test_av_s_wheel_holds_the_gpl_libraries_that_are_named_and_no_other() -> None:
    package = distribution("av")
    bundled = {file.name.removeprefix("lib").split("-")[0] for file in package.files or [] if file.parent.name == "av.libs"}
    if bundled:  # else it was built here, against an FFmpeg of one's own
        assert set(rows("bundled library")) == bundled & GPL_LIBRARIES, package.version


def test_the_readme_says_it_where_a_user_decides() -> None:
    readme = (ROOT / "README.md").read_text()
    serving, licence = readme.split("**Run it as a service**")[1].split("##")[0], readme.split("## Licence")[1]
    assert ".github/THIRD_PARTY.md" in serving
    assert "GPL" in serving
    assert ".github/THIRD_PARTY.md" in licence


def test_the_paper_is_installed_with_the_licence_and_its_links_lead_somewhere() -> None:
    assert ".github/THIRD_PARTY.md" in PROJECT["license-files"]
    for target in re.findall(r"\]\(([^)#]+)\)", PAPER):
        assert "://" in target or (ROOT / ".github" / target).exists(), target


@pytest.mark.parametrize("weights", sorted((ROOT / "models/weights").glob("*.onnx")), ids=lambda path: path.stem)
def test_weights_that_ship_say_their_licence_as_the_papers_do(weights: Path) -> None:
    licence = json.loads(weights.with_suffix(".json").read_text())["provenance"]["licence"]
    (said,) = [said for files, said in rows("file").items() if f"{weights.stem}`" in f"{files}`"]
    assert said.startswith(licence)
    card = "models/identity/CARD.md" if weights.stem.startswith("identity") else "models/MODEL_CARD.md"
    assert re.search(rf"^(## Licence\n\n.*`{weights.stem}`.*|\| Licence \| ){licence}", (ROOT / card).read_text(), re.MULTILINE)
