"""No machine that listens to calls tells a third party that it runs: ONNX Runtime would, from 1.29 on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_layout import FOLDERS, ROOT, imported, sources

RUNS = {
    "a model": "from models.runtime import load_model\nload_model()",
    "a voice": "from models.voice import *",
    "pitch": "import numpy as np\nfrom challenges.track import tracked\ntracked(np.zeros(16000, np.int16))",
    "a matrix": "from vivavoce.sgemm import *",
    "the command": "from vivavoce.cli import main\ntry:\n    main(['challenges', '--json'])\nexcept SystemExit:\n    pass",
}
SEEN = """
import os, sys
told = []
class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            told.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Look())
"""


@pytest.mark.parametrize("run", RUNS)
def test_onnx_runtime_is_told_to_report_nothing_before_it_is_imported(run: str, tmp_path: Path) -> None:
    code = f"{SEEN}\n{RUNS[run]}\nassert set(told) <= {{'1'}}, told\nprint('imported' * len(told), file=sys.stderr)"
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}  # as a user's, and not as CI's
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert not done.returncode, done.stderr
    assert run == "the command" or "imported" in done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], "a number of this machine, or events to be sent, were kept"


def test_whoever_imports_it_says_so_first() -> None:
    users = {folder for folder in FOLDERS for path in sources(folder) if "onnxruntime" in set(imported(path))}
    for folder in users | {"challenges", "vivavoce"}:  # SwiftF0 runs on it
        assert "ORT_DISABLE_TELEMETRY" in (ROOT / folder / "__init__.py").read_text(), folder


def test_a_user_may_want_it(tmp_path: Path) -> None:
    code = "import os, models, challenges, vivavoce; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    said = subprocess.run(
        [sys.executable, "-c", code], env={"ORT_DISABLE_TELEMETRY": "0"}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "0\n"
