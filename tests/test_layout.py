"""The floors of the house: who may import whom, read off the syntax tree rather than trusted to goodwill."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("vivavoce", "engine", "connectors", "challenges", "models")
FLOORS = {  # folder -> the folders of ours that it may import
    "models": {"models"},
    "engine": {"engine"},
    "challenges": {"challenges", "engine"},
    "connectors": {"connectors", "engine"},
    "vivavoce": set(FOLDERS),
}
PURE = {
    "engine": ("audio", "companding", "events", "call", "policy", "load"),
    "connectors": (
        "rtp", "g711", "jitter", "media", "dtmf", "resampling", "encoders", "packetizer", "sdp", "signalling", "fragments",
        "segments",
    ),
}  # fmt: skip
IMPURE = {"asyncio", "socket", "time", "threading", "redis", "torch", "onnxruntime", "aiohttp", "aiortc", "uvloop"}


def imported(path: Path) -> Iterator[str]:
    """Every dotted module name that `path` imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_arrow_runs_up(folder: str) -> None:
    for path in sources(folder):
        ours = {name.split(".")[0] for name in imported(path)} & set(FOLDERS)
        assert ours <= FLOORS[folder], f"{path.relative_to(ROOT)} imports {sorted(ours - FLOORS[folder])}"


@pytest.mark.parametrize(("folder", "module"), [(f, m) for f, modules in PURE.items() for m in modules])
def test_pure_files_touch_no_clock_socket_or_model(folder: str, module: str) -> None:
    found = {name.split(".")[0] for name in imported(ROOT / folder / f"{module}.py")}
    assert not found & IMPURE


def test_challenges_are_pure_and_use_only_the_engine_s_vocabulary() -> None:
    allowed = {"engine", "engine.audio", "engine.companding", "engine.events", "engine.errors"}
    for path in sources("challenges"):
        used = {".".join(name.split(".")[:2]) for name in imported(path)}
        assert not {name.split(".")[0] for name in used} & IMPURE, path
        assert {name for name in used if name.startswith("engine")} <= allowed, path


def test_connectors_use_only_the_engine_s_vocabulary() -> None:
    allowed = {"engine", "engine.audio", "engine.companding", "engine.events", "engine.errors"}
    for path in sources("connectors"):
        used = {".".join(name.split(".")[:2]) for name in imported(path) if name.startswith("engine")}
        assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)}"


def test_serving_imports_no_torch() -> None:
    training_only = {"conformer", "features", "train", "dataset", "copies", "export", "layers", "vocoder", "channel"}
    for path in sources("engine") + sources("connectors") + sources("vivavoce"):
        assert "torch" not in {name.split(".")[0] for name in imported(path)}, path
    assert "torch" not in set(imported(ROOT / "models" / "runtime.py"))
    for path in sources("engine") + sources("connectors"):
        assert not {n.split(".")[1] for n in imported(path) if n.startswith("models.")} & training_only, path


def test_functions_and_files_keep_their_size() -> None:
    for folder in FOLDERS:
        for path in sources(folder):
            text = path.read_text()
            assert text.count("\n") <= 500, f"{path} has {text.count(chr(10))} lines"
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    assert length <= 80, f"{path}:{node.lineno} {node.name} has {length} lines"
