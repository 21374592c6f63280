"""Programs that are run by `python -m` say in one sentence what they lack, as commands do, and ask for no more than that."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OPTIONAL = {  # package as imported -> the extra that installs it
    "torch": "train", "onnx": "train", "scipy": "train", "pyworld": "train", "ai_edge_litert": "train",
    "transformers": "ssl", "swift_f0": "examine", "pocketsphinx": "examine", "faust": "cluster", "sounddevice": "microphone",
}  # fmt: skip
NEEDED = {
    "models.identity.ship": ("torch", "onnx", "scipy"),
    "models.identity.train": ("torch", "scipy"),
    "models.identity.teacher": ("torch", "scipy"),
    "vivavoce.fit_verifiers": ("scipy", "pyworld", "swift_f0"),
    "vivavoce.measure_noise": ("scipy",),
    "vivavoce.measure_words": ("scipy", "pyworld", "pocketsphinx"),
    "vivavoce.train_cepstra": ("torch", "scipy", "pocketsphinx"),
}
PROGRAM = """
import runpy, sys
module, hidden, *sys.argv[1:] = sys.argv[1:]
class Without:
    def find_spec(self, name, path=None, target=None):
        if name in hidden.split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Without())
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run(module: str, hidden: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", PROGRAM, module, ",".join(sorted(hidden)), *arguments]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(("module", "package"), [(m, p) for m, packages in NEEDED.items() for p in packages])
def test_a_missing_package_is_one_sentence(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)  # else runpy warns of what other tests have imported
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert ended.value.code == 2
    told = re.fullmatch(r"(\S+) needs (.+): install with pip install 'vivavoce\[(.+)\]'\n", capsys.readouterr().err)
    assert told
    assert told[1] == module
    assert package in told[2].split(", ")
    assert set(told[3].split(",")) == {OPTIONAL[name] for name in NEEDED[module]}


@pytest.mark.parametrize("module", NEEDED)
def test_nothing_else_is_needed_to_begin(module: str) -> None:
    pytest.importorskip("scipy", reason="extra 'train'")
    done = run(module, set(OPTIONAL) - set(NEEDED[module]), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


@pytest.mark.parametrize("module", [module for module in NEEDED if module.startswith("vivavoce")])
def test_a_corpus_that_is_none_is_one_sentence(module: str, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="extra 'train'")
    more = [str(tmp_path / "out.npz")] if module == "vivavoce.train_cepstra" else []
    done = run(module, set(), str(tmp_path / "nowhere"), *more)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"{re.escape(module)}: .*nowhere.*\n", done.stderr.rpartition("\r")[2])
