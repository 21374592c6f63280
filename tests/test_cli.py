"""The command line's own behaviour: help, versions, one-sentence errors."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from vivavoce import __version__
from vivavoce.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_complete_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert COMMANDS[command][1][1:40].split(":")[0] in " ".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_of_commands_repeats_each_module_s_help(command: str) -> None:
    module, sentence = COMMANDS[command]
    assert sentence == importlib.import_module(module).HELP


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["scren"])
    assert stop.value.code == 2
    assert "scren" in capsys.readouterr().err


def test_the_top_help_imports_nothing_heavy() -> None:
    code = "import sys; from vivavoce.cli import build_parser; build_parser(None); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "onnxruntime" not in out
    assert "numpy" not in out


def test_a_missing_file_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["screen", "no-such-file.wav"]) == 1
    error = capsys.readouterr().err
    assert "no-such-file.wav" in error
    assert "Traceback" not in error
