"""The endpoints: what they pass on, and the one shape of every failure."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.requests import CallRequest
from tests.connectors import gateway
from tests.connectors.gateway import AUTH, Setup


async def ask(gate: Setup, method: str, path: str, status: int, **body: Any) -> Any:
    """The JSON of an answer that must have `status`; a failure must have the failures' shape."""
    headers = AUTH | body.pop("headers", {})
    async with gate.client.request(method, path, headers=headers, **body) as response:
        text = await response.text()
        assert response.status == status, text
        found = await response.json() if response.content_type == "application/json" else text
    if status >= 400:
        assert set(found["error"]) == {"code", "message", "field"}
        assert found["error"]["message"]
    return found


async def test_a_call_from_ticket_to_end(gate: Setup) -> None:
    body = {"call_id": "pbx-1", "codec": "PCMA", "legs": ["caller", "agent"], "agent": "Ada"}
    ticket = await ask(gate, "POST", "/v1/calls", 201, json=body)
    assert set(ticket["legs"]) == {"caller", "agent"}
    assert gate.desk.live["pbx-1"].codec == "PCMA"
    assert (await ask(gate, "GET", "/v1/calls", 200))["calls"] == [{"call_id": "pbx-1"}]
    assert await ask(gate, "GET", "/v1/calls/pbx-1", 200) == {"call_id": "pbx-1"}
    assert (await ask(gate, "DELETE", "/v1/calls/pbx-1", 200))["ended"]
    assert "'pbx-1'" in (await ask(gate, "GET", "/v1/calls/pbx-1", 404))["error"]["message"]
    await ask(gate, "DELETE", "/v1/calls/pbx-1", 404)


async def test_a_call_id_is_used_once_at_a_time(gate: Setup) -> None:
    await ask(gate, "POST", "/v1/calls", 201, json={"call_id": "x"})
    error = (await ask(gate, "POST", "/v1/calls", 409, json={"call_id": "x"}))["error"]
    assert error["field"] == "call_id"
    assert '"x" is running' in error["message"]


async def test_a_full_desk_refuses_with_503_and_says_when_to_come_again(gate: Setup) -> None:
    gate.desk.full = True
    async with gate.client.post("/v1/calls", json={}, headers=AUTH) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        assert "limit" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"", ""), (b"no", ""), (b'{"codec": 5}', "codec"), (b'{"callid": "a"}', "callid"), (b'{"legs": ["x"]}', "legs[0]")],
)
async def test_a_bad_body_is_named(gate: Setup, body: bytes, field: str) -> None:
    assert (await ask(gate, "POST", "/v1/calls", 400, data=body))["error"]["field"] == field


async def test_a_json_body_has_a_limit_whether_its_length_is_told_or_not(gate: Setup) -> None:
    async def chunks() -> Any:
        for _ in range(70):
            yield b" " * 1024

    for data in (b" " * 70_000, chunks()):
        error = (await ask(gate, "POST", "/v1/calls", 413, data=data))["error"]
        assert "65536 bytes" in error["message"]


async def test_a_recording_comes_raw_or_as_a_form(gate: Setup) -> None:
    await ask(gate, "POST", "/v1/recordings?name=..%2F..%2Fa%0Ab.wav", 202, data=b"RIFF1")
    form = aiohttp.FormData()
    form.add_field("file", b"RIFF2", filename="ignored.wav")
    await ask(gate, "POST", "/v1/recordings?name=b.wav&pace=fast", 202, data=form)
    assert gate.desk.uploads == [("ab.wav", b"RIFF1", True), ("b.wav", b"RIFF2", False)]


async def test_a_recording_is_named_as_its_part_and_comes_alone(gate: Setup) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"RIFF", filename="talk.wav")
    await ask(gate, "POST", "/v1/recordings", 202, data=form)
    assert gate.desk.uploads == [("talk.wav", b"RIFF", True)]
    two = aiohttp.FormData()
    two.add_field("file", b"RIFF", filename="a.wav")
    two.add_field("more", b"RIFF", filename="b.wav")
    error = (await ask(gate, "POST", "/v1/recordings", 400, data=two))["error"]
    assert "one file at a time" in error["message"]
    assert len(gate.desk.uploads) == 1


@pytest.mark.parametrize(
    ("query", "data", "status", "words"),
    [
        ("", b"", 422, "the file is empty"),
        ("?pace=slow", b"x", 400, "realtime or fast"),
        ("?channel=split", b"x", 400, '"channel" is unknown here: name, pace and channels are allowed'),
        ("?channels=left", b"x", 400, 'channels "left" is unknown: mix or split'),
        ("?name=cut.wav", b"broken", 422, "cut.wav breaks off"),
        ("?name=talk.doc", b"not audio", 422, "talk.doc is no audio file"),
        ("", b"x" * 2000, 413, "1024 bytes"),
    ],
)
async def test_a_recording_that_cannot_be_taken(query: str, data: bytes, status: int, words: str) -> None:
    small = await gateway.start(max_body_bytes=1024)
    error = (await ask(small, "POST", f"/v1/recordings{query}", status, data=data))["error"]
    assert words in error["message"]
    await small.client.close()


async def test_whip_offers_and_answers(gate: Setup) -> None:
    sdp = {"Content-Type": "application/sdp"}
    async with gate.client.post("/v1/whip?agent=Ada", data="v=0\r\n", headers=AUTH | sdp) as response:
        assert response.status == 201
        assert response.headers["Location"] == "/v1/whip/s1"
        assert response.headers["Link"] == '</v1/calls/w1>; rel="urn:vivavoce:call"'
        assert response.content_type == "application/sdp"
    assert gate.whip.sessions == {"s1": {"agent": "Ada"}}
    await ask(gate, "PATCH", "/v1/whip/s1", 405, data="candidate", headers={"Content-Type": "application/trickle-ice-sdpfrag"})
    await ask(gate, "DELETE", "/v1/whip/s1", 200)
    await ask(gate, "DELETE", "/v1/whip/s1", 404)
    await ask(gate, "POST", "/v1/whip", 415, json={})
    assert "v=0" in (await ask(gate, "POST", "/v1/whip", 400, data="hello", headers=sdp))["error"]["message"]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("agnet=Ada", "agnet", '"agnet" is unknown here: call_id, caller, agent, queue and language are allowed'),
        (f"queue={'q' * 129}", "queue", "1 to 128 characters"),
        ("agent=", "agent", "1 to 128 characters"),
        ("agent=Ada&agent=Eve", "agent", '"agent" is given more than once'),
        ("call_id=a%2Fb", "call_id", "letters, digits and . _ : @ -"),
        ("call_id=..", "call_id", "not dots alone"),
        (f"call_id={'a' * 65}", "call_id", "1 to 64 characters"),
    ],
)
async def test_what_a_whip_call_says_of_itself_is_refused_by_name(gate: Setup, query: str, field: str, words: str) -> None:
    sdp = {"Content-Type": "application/sdp"}
    error = (await ask(gate, "POST", f"/v1/whip?{query}", 400, data="v=0\r\n", headers=sdp))["error"]
    assert error["field"] == field
    assert words in error["message"]
    assert gate.whip.sessions == {}


async def test_a_whip_call_may_be_named_as_no_other_is(gate: Setup) -> None:
    sdp = {"Content-Type": "application/sdp"}
    async with gate.client.post("/v1/whip?call_id=a.b:c@d-1&caller=%2B1", data="v=0\r\n", headers=AUTH | sdp) as response:
        assert response.headers["Link"] == '</v1/calls/a.b:c@d-1>; rel="urn:vivavoce:call"'
    assert gate.whip.sessions.pop("s1") == {"caller": "+1"}
    gate.desk.live["x"] = CallRequest()
    error = (await ask(gate, "POST", "/v1/whip?call_id=x", 409, data="v=0\r\n", headers=sdp))["error"]
    assert (error["code"], error["field"]) == ("conflict", "call_id")
    assert gate.whip.sessions == {}

    def meanwhile() -> None:
        gate.desk.live["y"] = CallRequest()
        raise ValueError('a call "y" is running')

    gate.whip.on_open = meanwhile
    error = (await ask(gate, "POST", "/v1/whip?call_id=y", 409, data="v=0\r\n", headers=sdp))["error"]
    assert error["message"].startswith('a call "y" is running; end it first')


async def test_the_console_is_served_and_nothing_beside_it(gate: Setup) -> None:
    assert "viva voce" in await ask(gate, "GET", "/", 200)
    await ask(gate, "GET", "/console/console.css", 200)
    too_long = "a" * 300 + ".js"
    for name in ("nothing.js", too_long, "..%2Fgateway.py", "%2e%2e%2fguard.py", "..%5cguard.py", ".", "console.css%00"):
        assert (await ask(gate, "GET", f"/console/{name}", 404))["error"]["code"] == "not-found"


async def test_readiness_ends_with_draining(gate: Setup) -> None:
    assert (await ask(gate, "GET", "/readyz", 200))["ready"]
    gate.desk.draining = True
    async with gate.client.get("/readyz", headers=AUTH) as response:
        assert response.status == 503
    assert await ask(gate, "GET", "/healthz", 200) == {"ok": True}


async def test_unknown_paths_and_methods_have_the_failures_shape(gate: Setup) -> None:
    assert "'/v2/calls'" in (await ask(gate, "GET", "/v2/calls", 404))["error"]["message"]
    async with gate.client.put("/v1/calls", headers=AUTH) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD,POST"
        assert (await response.json())["error"]["message"] == "'/v1/calls' does not take PUT, only GET,HEAD,POST"


FORM = {"Content-Type": "multipart/form-data; boundary=x"}
BROKEN_BODIES = [
    ("/v1/recordings", {"Content-Type": "multipart/form-data"}, b"x"),
    ("/v1/recordings", FORM, b""),
    ("/v1/recordings", FORM, b"no boundary"),
    ("/v1/recordings", FORM, b"--x\r\nno header\r\n\r\nab\r\n--x--\r\n"),
    ("/v1/recordings", FORM, b"--x--\r\n"),
    ("/v1/recordings", FORM, b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n"),
    ("/v1/recordings", FORM, b"--x\r\nContent-Type: audio/wav\r\n\r\n" + b"cut in the middle" * 1000),
]


@pytest.mark.parametrize(("path", "headers", "data"), BROKEN_BODIES)
async def test_a_body_that_cannot_be_read_is_the_sender_s_fault(
    gate: Setup, path: str, headers: dict[str, str], data: bytes
) -> None:
    await ask(gate, "POST", path, 400, data=data, headers=headers, skip_auto_headers=["Content-Type"])
    assert gate.desk.uploads == []


@pytest.mark.parametrize(
    "form",
    [
        b"x" * 78 + b"\r\n",  # before a first part that never comes
        b"--x\r\nA: b\r\n\r\n" + b"y" * 78 + b"\r\n",
    ],
)
async def test_a_form_s_limit_counts_all_of_it(form: bytes) -> None:
    small = await gateway.start(max_body_bytes=1 << 20)
    data = form + form[-80:] * (3 << 14)
    error = (await ask(small, "POST", "/v1/recordings", 413, data=data, headers=FORM))["error"]
    assert error["field"] == "body"
    await small.client.close()


async def test_an_upload_leaves_nothing_behind(gate: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await ask(gate, "POST", "/v1/recordings", 202, data=b"RIFF")
    await ask(gate, "POST", "/v1/recordings", 422, data=b"not audio")
    await ask(gate, "POST", "/v1/recordings", 422, data=b"")
    assert list(tmp_path.iterdir()) == []


async def test_whip_tells_what_it_takes(gate: Setup) -> None:
    async with gate.client.options("/v1/whip") as response:
        assert (response.status, response.headers["Accept-Post"]) == (204, "application/sdp")
    async with gate.client.post("/v1/whip", json={}, headers=AUTH) as response:
        assert response.headers["Accept"] == "application/sdp"
    async with gate.client.patch("/v1/whip/s1", headers=AUTH) as response:
        assert response.headers["Allow"] == "DELETE, OPTIONS"


async def test_metrics_are_prometheus_text(gate: Setup) -> None:
    async with gate.client.get("/metrics", headers=AUTH) as response:
        assert response.content_type == "text/plain"
        assert await response.read() == b"vivavoce_calls 0\n"


async def test_a_full_disk_is_told_as_one(gate: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    error = (await ask(gate, "POST", "/v1/recordings", 507, data=b"RIFF"))["error"]
    assert error["message"] == "the service has no room for this file now (No space left on device)"
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    assert (await ask(gate, "POST", "/v1/recordings", 507, data=b"RIFF"))["error"]["field"] == "body"
