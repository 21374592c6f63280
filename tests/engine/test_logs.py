"""What never reaches a log."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from engine.logs import LAST_S, MOST_LINES, LineThread, QuietLogger, configure_logs


@pytest.fixture(autouse=True)
def plain_structlog() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str], *, pii: bool, **fields: object) -> dict[str, object]:
    configure_logs("info", "json", pii=pii)
    structlog.get_logger("t").info("static message", **fields)
    return json.loads(capsys.readouterr().out)


def test_caller_data_stays_out_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", pii=False)
    structlog.get_logger("t").info("call opened", pii={"caller": "+1"})
    assert "pii" not in json.loads(capsys.readouterr().out)


def test_caller_data_is_logged_under_its_key_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", pii=True)
    structlog.get_logger("t").info("call opened", pii={"caller": "+1"})
    assert json.loads(capsys.readouterr().out)["pii"] == {"caller": "+1"}


@pytest.mark.parametrize("name", ["token", "server_token", "Authorization", "password", "cookie"])
def test_secrets_are_blanked_by_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert logged(capsys, pii=False, **{name: "sesame"})[name] == "***"


def test_passwords_inside_urls_are_blanked(capsys: pytest.CaptureFixture[str]) -> None:
    assert logged(capsys, pii=False, url="redis://me:sesame@h:1/0")["url"] == "redis://***@h:1/0"


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", "console", pii=False)
    structlog.get_logger("t").info("quiet")
    structlog.get_logger("t").warning("loud")
    out = capsys.readouterr().out
    assert "loud" in out
    assert "quiet" not in out


def test_the_http_library_does_not_log_what_strangers_send() -> None:
    configure_logs("debug", "json", pii=False)
    assert not logging.getLogger("aiohttp.server").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize("fault", [BrokenPipeError("nobody reads"), OSError(28, "disk full"), ValueError("closed file")])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(fault: Exception) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise fault

    logger = QuietLogger(Broken())
    for method in (logger.msg, logger.info, logger.warning, logger.error, logger.exception):
        method("a line")


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


@pytest.fixture
def restored() -> Iterator[None]:
    last_resort = logging.lastResort
    yield
    logging.lastResort = last_resort


def test_a_reader_who_stops_holds_up_nobody_and_is_told_what_was_lost(restored: None) -> None:
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with ThreadPoolExecutor(1) as reader:
        with os.fdopen(writing, "w") as file, LineThread(file) as lines:
            configure_logs("info", "json", pii=False, write=lines.write)
            for number in range(MOST_LINES + 500):
                structlog.get_logger("t").info("a line", number=number)
            text = reader.submit(read_all, reading)  # from now on somebody reads
        told = [json.loads(line) for line in text.result().splitlines()]
    numbers = [line["number"] for line in told if line["event"] == "a line"]
    lost = sum(line["lines"] for line in told if line["event"] == "log lines lost")
    assert numbers == sorted(numbers)
    assert lost >= 500 - size // 40 - 1  # those in the pipe, and the one being written, had left the queue
    assert len(numbers) + lost == MOST_LINES + 500


def test_a_reader_who_never_comes_back_does_not_hold_up_the_end() -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    begun = time.monotonic()
    with os.fdopen(writing, "w") as file:
        with LineThread(file) as lines:
            lines.write("x" * 10_000)
        assert time.monotonic() - begun < LAST_S + 5
        assert len(os.read(reading, 1 << 16)) == 4096
        os.close(reading)  # and the thread ends


def test_lines_that_wait_at_the_end_are_written_in_their_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as file, LineThread(file) as lines:
        for number in range(1000):
            lines.write(f"{number} ü")
    assert (tmp_path / "log").read_text() == "".join(f"{number} ?\n" for number in range(1000))


def test_what_libraries_say_is_in_the_log_without_secrets(restored: None) -> None:
    said: list[str] = []
    configure_logs("info", "json", pii=False, write=said.append)
    package = logging.getLogger("a.package")
    package.propagate = False  # to the handlers of the tests themselves
    try:
        raise RuntimeError("redis://me:sesame@h:1/0 broke")
    except RuntimeError:
        package.exception("in a callback")
    package.info("nothing worth it")
    (line,) = map(json.loads, said)
    assert (line["event"], line["level"], line["package"]) == ("a package says", "error", "a.package")
    assert "in a callback" in line["text"]
    assert "RuntimeError" in line["text"]
    assert "sesame" not in line["text"]
