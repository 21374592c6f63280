"""Which Python `make` takes: an old one is refused whoever asks, and what a package can mend is mended by root only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if shutil.which("make") is None:
    pytest.skip("make is not installed", allow_module_level=True)

MAKEFILE = Path(__file__).parent.parent / "Makefile"
PYTHON = """#!/bin/sh
[ "$1" = -c ] || { mkdir -p "$3/bin" && touch "$3/bin/python" && exit; }
exec REAL -c "import sys; sys.version_info = VERSION; sys.modules.update(MODULES)
$2"
"""
OF_MAKE = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "PYTHON", "VENV")  # of the `make test` that these tests may run in
APT = '#!/bin/sh\necho apt-get "$@"\n'


class Machine:
    """A folder with an `apt-get`, an `id` and a `python3` of ours in front of the machine's own."""

    def __init__(self, folder: Path, *, root: bool) -> None:
        self.folder = folder
        self.write("apt-get", APT)
        self.write("id", f"#!/bin/sh\necho {0 if root else 1000}\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def python(self, version: tuple[int, int, int], *, venv: bool = True, name: str = "python3") -> str:
        missing = "{}" if venv else "dict(ensurepip=None)"
        text = PYTHON.replace("REAL", sys.executable).replace("VERSION", repr(version)).replace("MODULES", missing)
        self.write(name, text)
        return text

    def make(self) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k not in OF_MAKE}
        surroundings = {**clean, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        call = ["make", "-f", str(MAKEFILE), "--no-print-directory", ".venv/bin/python"]
        return subprocess.run(call, cwd=self.folder, env=surroundings, capture_output=True, text=True, timeout=60, check=False)

    @property
    def made(self) -> bool:
        return (self.folder / ".venv").exists()


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("venv", [True, False])
def test_an_old_python_is_refused_and_nothing_is_installed(tmp_path: Path, root: bool, venv: bool) -> None:
    machine = Machine(tmp_path, root=root)
    machine.python((3, 10, 13), venv=venv)
    done = machine.make()
    assert done.returncode
    assert "Python 3.11 or newer is needed, and python3 is older" in done.stderr
    assert "apt-get" not in done.stdout
    assert not machine.made


def test_a_python_that_the_package_brings_is_asked_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=True)
    machine.python((3, 11, 2), venv=False)
    machine.python((3, 9, 2), name="debian")
    machine.write("apt-get", f'{APT}cp "{tmp_path}/debian" "{tmp_path}/python3"\n')
    done = machine.make()
    assert done.returncode
    assert "python3 is older" in done.stderr
    assert not machine.made


def test_root_is_given_the_package_that_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=True)
    machine.python((3, 11, 2), venv=False)
    done = machine.make()
    assert done.returncode == 0, done.stderr
    assert "apt-get install -y -qq python3-venv" in done.stdout
    assert machine.made


def test_others_are_told_which(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False)
    machine.python((3, 13, 0), venv=False)
    done = machine.make()
    assert done.returncode
    assert "apt-get install python3-venv" in done.stderr
    assert "apt-get" not in done.stdout
    assert not machine.made


def test_a_new_python_is_taken(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=True)
    machine.python((3, 11, 0))
    done = machine.make()
    assert done.returncode == 0, done.stderr
    assert "apt-get" not in done.stdout
    assert machine.made
