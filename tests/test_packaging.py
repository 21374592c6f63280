"""What is published is whole: the source archive holds the tree, and the wheel works where there is no tree."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

pytest.importorskip("setuptools", minversion="77", reason="building needs setuptools, as the extra 'train' has it")

from vivavoce import __version__

ROOT = Path(__file__).parent.parent
TOPS = (".ci", ".github", "challenges", "connectors", "docker", "engine", "models", "tests", "vivavoce")
FILES = ("CHANGELOG.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "pyproject.toml")
BUILD = "import sys\nfrom setuptools import build_meta as b\nb.build_sdist(sys.argv[1])"
WHEEL = "import sys\nfrom setuptools import build_meta as b\nb.build_wheel(sys.argv[1])"
pytestmark = pytest.mark.timeout(300)


def names(folder: Path) -> set[str]:
    """Of all files that belong to the project, from `folder` on."""
    found = [folder / name for name in FILES]
    found += [path for top in TOPS for path in (folder / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)) for path in found if path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made of a copy of the tree and opened."""
    folder = tmp_path_factory.mktemp("source")
    for name in TOPS:
        shutil.copytree(ROOT / name, folder / "tree" / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / "tree")
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=folder / "tree", check=True, capture_output=True)
    with tarfile.open(folder / f"vivavoce-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"vivavoce-{__version__}"


@pytest.fixture(scope="module")
def installed(unpacked: Path) -> Path:
    """The wheel, made of what the source archive holds, as pip makes it, and opened in a folder of its own."""
    before = names(unpacked)
    made = unpacked.parent / "wheel"
    done = subprocess.run(
        [sys.executable, "-c", WHEEL, str(made)], cwd=unpacked, check=True, capture_output=True, text=True
    )
    assert "absent from the `packages`" not in done.stderr
    assert before <= names(unpacked)
    with zipfile.ZipFile(next(made.glob("*.whl"))) as archive:
        archive.extractall(made / "site")
    return made / "site"


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`vivavoce` of the wheel, which finds the packages that it needs where this interpreter has them, and no tree."""
    surroundings = {**os.environ, "PYTHONPATH": str(installed)}
    call = [sys.executable, "-P", "-m", "vivavoce", *arguments]
    return subprocess.run(call, cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=200, check=True)


def test_the_source_archive_holds_the_tree(unpacked: Path) -> None:
    assert names(ROOT) - names(unpacked) == set()


def test_what_make_runs_is_in_the_source_archive(unpacked: Path) -> None:
    assert os.access(unpacked / "tests/peers/install.sh", os.R_OK)
    make = shutil.which("make")
    if make is not None:
        done = subprocess.run([make, "-n", "run", "test"], cwd=unpacked, capture_output=True, text=True, check=True)
        assert "serve --demo" in done.stdout


def test_the_wheel_holds_all_of_the_packages_and_nothing_else_of_the_tree(installed: Path) -> None:
    others = (".ci/", ".github/", "docker/", "tests/")
    packages = {name for name in names(ROOT) if not name.startswith(others) and name not in FILES}
    got = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {name for name in got if ".dist-info/" not in name} == packages
    assert {Path(name).name for name in got if "/licenses/" in name} == {"LICENSE", "THIRD_PARTY.md"}


def test_an_index_takes_the_metadata(installed: Path) -> None:
    (file,) = installed.glob("*.dist-info/METADATA")
    found = Metadata.from_email(file.read_bytes(), validate=True)  # unknown and impossible fields raise
    assert found.author
    assert found.license_expression == "Apache-2.0"
    assert found.description_content_type == "text/markdown"
    assert found.description == (ROOT / "README.md").read_text()
    assert len(found.summary or "") <= 512
    assert not [line for line in found.classifiers or () if line.startswith("License ::")], "refused beside an expression"


def test_the_wheel_says_its_version(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "--version", cwd=tmp_path).stdout == f"vivavoce {__version__}\n"
    where = [sys.executable, "-P", "-c", "import vivavoce, models; print(vivavoce.__file__, models.__file__)"]
    found = subprocess.check_output(where, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, text=True)
    assert all(Path(file).is_relative_to(installed) for file in found.split())


def test_the_wheel_scores_the_bundled_samples(installed: Path, tmp_path: Path) -> None:
    samples = ("person-1.wav", "synthetic.wav")
    lines = ["path", *(str(installed / "vivavoce/samples" / name) for name in samples)]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    run(installed, "score", "--manifest", "in.csv", "--out", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open() as file:
        person, synthetic = (float(row["llr"]) for row in csv.DictReader(file))
    assert person > 0 > synthetic


def test_the_wheel_has_what_a_call_is_examined_with(installed: Path, tmp_path: Path) -> None:
    assert "whisper" in run(installed, "challenges", "--language", "de", cwd=tmp_path).stdout
    for name in ("connectors/console/index.html", "challenges/cepstra.npz", "models/weights/answers-1.onnx"):
        assert (installed / name).is_file(), name
