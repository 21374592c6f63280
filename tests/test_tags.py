"""`vivavoce tags`: what a line says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.streams import encode_tag
from tests.engine.tags import make_tag
from tests.peers.redis import RealRedis
from vivavoce import cli
from vivavoce.tags import _line, shown

STEP = {
    "state": "asked", "challenge": "whisper", "by": "operator", "who": "Ada", "why": "sounds tinny",
    "reasons": ["line-limited"], "deadline_s": 3.0,
}  # fmt: skip


def test_a_step_of_an_examination_is_told_as_one() -> None:
    said = _line(encode_tag(replace(make_tag(kind="exam", call_id="ex2"), examination=STEP)))
    assert said.endswith("ex2              caller examination: asked  whisper  operator  Ada  sounds tinny  line-limited")


def test_an_examination_of_which_little_is_known_is_no_error() -> None:
    said = _line(encode_tag(replace(make_tag(kind="exam"), examination={"state": "over", "challenge": "", "reasons": []})))
    assert said.endswith("examination: over")


def test_the_help_names_every_kind_of_record(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["tags", "--help"])
    said = capsys.readouterr().out
    assert all(f" {kind} " in said for kind in ("tag", "exam")), said


@pytest.mark.parametrize("wrong", [["--shard", "-1"], ["--count", "0"], ["--count", "-1"]])
def test_a_count_that_never_comes_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tags", "--redis", "redis://127.0.0.1:1/0", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err


@pytest.mark.peer
@pytest.mark.parametrize("secret", ["", ":hunter2@", "nobody:hunter2@"])
def test_a_redis_that_refuses_the_password_is_no_redis_that_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    """Nothing mends that by waiting."""
    server = RealRedis(tmp_path)

    def served() -> int:
        loop.run_until_complete(server.start("--requirepass", "another"))
        return cli.main(["tags", "--redis", server.url.replace("redis://", f"redis://{secret}"), "--count", "1"])

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        try:
            assert served() == 2
        finally:
            loop.run_until_complete(server.kill())
    err = capsys.readouterr().err
    assert "--redis: Redis asks for another user or password" in err
    assert ("hunter2" in err, err.count("\n")) == (False, 1)


def test_a_caller_s_name_is_one_line_and_commands_no_terminal() -> None:
    line = shown("Listening  +1 202\n07:45:00  evil  Human-likely\u001b[8m\u202e")
    assert line == "Listening  +1 202\\n07:45:00  evil  Human-likely\\x1b[8m\\u202e"
    assert shown("Åse Müller 王") == "Åse Müller 王"


def test_json_on_stdout_is_only_json_while_redis_is_away(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vivavoce", "tags", "--json", "--redis", "redis://127.0.0.1:1/0"]
    with pytest.raises(subprocess.TimeoutExpired) as stopped:
        subprocess.run(command, capture_output=True, timeout=4, check=False)
    assert not stopped.value.stdout
    assert b"hub lost redis" in (stopped.value.stderr or b"")
