"""Tokens and callers' data go where they must and nowhere else: not into answers, not into logs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from connectors.guard import session_cookie
from engine.logs import QUIET, configure_logs
from tests.connectors.gateway import AUTH, TOKEN, Setup
from tests.connectors.test_guard import endpoints

WRONG = "wr0ng-but-somebody-s"
NUMBER = "+34600123456"


@pytest.fixture
def service_logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logs as the service writes them, at their most talkative."""
    configure_logs("debug", "json", pii=False)
    monkeypatch.setattr(logging.getLogger("aiohttp.access"), "disabled", True)  # the service runs without an access log
    caplog.set_level(logging.DEBUG)
    yield
    structlog.reset_defaults()
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err + caplog.text


def ways(secret: str) -> list[dict[str, str]]:
    """Every way in which a request may bring a token."""
    return [
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"Basic {secret}"},
        {"Cookie": f"{session_cookie(TOKEN)[0]}={secret}"},
        {"Sec-WebSocket-Protocol": f"bearer.{secret}"},
    ]


@pytest.mark.usefixtures("service_logs")
async def test_no_answer_and_no_log_repeats_a_token(
    gate: Setup, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    gate.feed.ending = True
    for secret in (TOKEN, WRONG):
        for method, path in endpoints(gate):
            for headers in ways(secret):
                body = json.dumps({"token": secret}) if path == "/v1/session" else secret
                async with gate.client.request(method, path, headers=headers, data=body) as response:
                    text = await response.text() + str(response.raw_headers)
                assert secret not in text, (method, path, headers)
    found = logged(capsys, caplog)
    assert TOKEN not in found
    assert WRONG not in found


@pytest.mark.usefixtures("service_logs")
async def test_a_broken_request_leaves_no_token_in_the_logs(
    gate: Setup, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for line in (f"Authorization: Bearer {TOKEN}\x00", f"Authorization Bearer {TOKEN}", f"Cookie\x01: {TOKEN}"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.client.port)
        writer.write(f"GET /v1/calls HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 2)
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert TOKEN.encode() not in answer
        writer.close()
    assert TOKEN not in logged(capsys, caplog)


@pytest.mark.usefixtures("service_logs")
async def test_a_fault_is_logged_with_its_number_and_without_the_request(
    gate: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("the desk fell over")

    monkeypatch.setattr(gate.desk, "open_call", broken)
    async with gate.client.post(f"/v1/calls?token={TOKEN}", json={"caller": NUMBER}, headers=AUTH) as response:
        assert response.status == 500
        message = (await response.json())["error"]["message"]
    found = logged(capsys, caplog)
    number = message.split("number ")[1].split(";")[0]
    assert number in found
    assert "the desk fell over" in found
    assert "the desk fell over" not in message
    assert TOKEN not in found
    assert NUMBER not in found


@pytest.mark.usefixtures("service_logs")
async def test_callers_data_is_not_repeated_in_a_refusal(
    gate: Setup, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for body in ({"caller": NUMBER * 20}, {"caller": [NUMBER]}, {"caller": NUMBER, "codec": 1}):
        async with gate.client.post("/v1/calls", json=body, headers=AUTH) as response:
            assert response.status == 400
            assert NUMBER not in await response.text()
    assert NUMBER not in logged(capsys, caplog)


def test_a_cookie_tells_nothing_of_its_token() -> None:
    name, value = session_cookie(TOKEN)
    assert TOKEN not in name + value
    assert name.removeprefix("vivavoce_") not in value
    assert value != session_cookie(TOKEN + "x")[1]
    assert len(value) == 64
