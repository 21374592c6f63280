"""What never reaches a log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from engine.logs import QuietLogger, configure_logs


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
