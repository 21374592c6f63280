"""The command line's own behaviour: help, versions, one-sentence errors."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.g711 import decode_mu_law
from tests.connectors.test_files import write_wav
from vivavoce import __version__
from vivavoce.cli import COMMANDS, main
from vivavoce.samples import SAMPLES, mu_law


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


def test_a_file_that_a_command_needs_is_named_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--manifest", "no-such.csv", "--out", "x.csv"]) == 2
    assert capsys.readouterr().err == "vivavoce score: no-such.csv: No such file or directory\n"


def test_a_file_that_cannot_be_written_once_the_service_is_up_is_told_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--ready-file", "/no/such/file", "--set", "server.port=0"]) == 2
    said = capsys.readouterr()
    assert said.err == "vivavoce serve: --ready-file /no/such/file: there is no folder /no/such\n"
    assert "viva voce" not in said.out


def told(stdout: int, *arguments: str) -> tuple[int, str]:
    """Exit status and stderr of a command whose output goes there, held back in a buffer as the shell's pipes have it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "vivavoce", *arguments]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["challenges"], ["challenges", "--json"], ["--help"]], ids=["short", "long", "help"])
def test_a_reader_who_has_gone_is_no_fault(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        assert told(pipe.fileno(), *arguments) == (0, "")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["short", "long"])
def test_a_full_disk_is_one_sentence(options: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        status, err = told(full.fileno(), "challenges", *options)
    assert (status, err.count("\n")) == (2, 1), err
    assert err.startswith("vivavoce challenges: ")
    assert "No space left on device" in err


def test_a_closed_output_is_no_fault() -> None:
    command = f"'{sys.executable}' -m vivavoce challenges >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_name_that_is_no_text_costs_only_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = decode_mu_law(mu_law(SAMPLES[0].path)[:8000])
    files = [tmp_path / "a.wav", tmp_path / os.fsdecode(b"\xff.wav"), tmp_path / "b.wav"]
    for path in files:
        write_wav(path, [speech], 8000)
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", errors="strict"))
    assert main(["screen", *map(str, files)]) in (0, 1)
    heads = [line for line in out.getvalue().decode().splitlines() if not line.startswith(" ")]
    assert heads == [f"{tmp_path}/{name}  caller  (recording)" for name in ("a.wav", "\\udcff.wav", "b.wav")]


def test_ctrl_c_while_a_command_is_still_being_loaded_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(command: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vivavoce.cli.build_parser", interrupted)
    assert main(["serve"]) == 130


def test_json_is_readable_in_any_encoding() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "vivavoce", "challenges", "--json", "--language", "de"]
    assert json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
