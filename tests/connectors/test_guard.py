"""Who is let in, how often, how much; and what never leaks."""

from __future__ import annotations

import asyncio
import json
import time
import zlib

import pytest

from connectors.guard import RateLimit, session_cookie
from tests.connectors import gateway
from tests.connectors.gateway import AUTH, TOKEN, Setup

OPEN = {("GET", "/"), ("GET", "/healthz"), ("POST", "/v1/session"), ("GET", "/console/console.css")}


def endpoints(gate: Setup) -> list[tuple[str, str]]:
    """Every route of the app as a request that would fit it."""
    found = []
    for route in gate.client.app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if route.method not in ("HEAD", "OPTIONS"):
            for name, value in (("{name}", "console.css"), ("{call_id}", "c"), ("{session_id}", "s")):
                path = path.replace(name, value)
            found.append((route.method, path))
    return found


async def test_every_endpoint_but_the_open_ones_needs_the_token(gate: Setup) -> None:
    wrong: list[dict[str, str]] = [{}, *({"Authorization": text} for text in ("Bearer wrong", TOKEN, f"Basic {TOKEN}"))]
    for method, path in endpoints(gate):
        for headers in wrong:
            async with gate.client.request(method, path, headers=headers, data=b"{}") as response:
                if (method, path) in OPEN:
                    assert "a bearer token is needed" not in await response.text()
                else:
                    assert response.status == 401, (method, path)
                    assert response.headers["WWW-Authenticate"] == "Bearer"
                    assert (await response.json())["error"]["code"] == "unauthorized"


async def raw(gate: Setup, head: bytes) -> bytes:
    """The answer to bytes that no HTTP client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.client.port)
    writer.write(head)
    answer = await asyncio.wait_for(reader.read(), 2)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer \xff\xfe", b"Cookie: " + session_cookie(TOKEN)[0].encode() + b"=\xc3\xa9",
        b"Sec-WebSocket-Protocol: bearer.\xff",
    ],
)  # fmt: skip
async def test_a_token_that_is_no_text_is_a_wrong_token(gate: Setup, header: bytes) -> None:
    answer = await raw(gate, b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_guessing_tokens_is_slowed_down() -> None:
    setup = await gateway.start(rate_limit_per_s=2.0)
    statuses = []
    for guess in range(8):
        async with setup.client.get("/v1/calls", headers={"Authorization": f"Bearer {guess}"}) as response:
            statuses.append(response.status)
    assert statuses[-1] == 429
    for guess in range(8):
        async with setup.client.post("/v1/session", json={"token": str(guess)}) as response:
            statuses.append(response.status)
    await setup.client.close()
    assert statuses[:4] == [401] * 4
    assert statuses[-1] == 429
    assert set(statuses) == {401, 429}


async def test_the_token_opens(gate: Setup) -> None:
    for path in ("/v1/calls", "/metrics", "/readyz", "/v1/openapi.json"):
        async with gate.client.get(path, headers=AUTH) as response:
            assert response.status == 200, path


async def test_the_console_s_cookie_is_bought_with_the_token_and_does_not_hold_it(gate: Setup) -> None:
    async with gate.client.post("/v1/session", json={"token": "wrong"}) as response:
        assert response.status == 401
    async with gate.client.post("/v1/session", json={"token": TOKEN}) as response:
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    async with gate.client.get("/v1/calls") as response:  # the client kept the cookie
        assert response.status == 200


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 401), ("null", 401), (None, 401)])
async def test_a_cookie_counts_only_for_requests_of_our_own_page(gate: Setup, origin: str | None, status: int) -> None:
    headers = {"Cookie": "=".join(session_cookie(TOKEN))} | ({"Origin": origin} if origin else {})
    async with gate.client.post("/v1/calls", json={}, headers=headers) as response:
        assert response.status == status
    ours = headers | {"Origin": str(gate.client.make_url("")).rstrip("/")}
    async with gate.client.post("/v1/calls", json={}, headers=ours) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    ("site", "method", "status"),
    [
        ("same-origin", "POST", 201), ("same-origin", "GET", 200), ("none", "GET", 200),
        ("none", "POST", 401), ("same-site", "GET", 401), ("cross-site", "GET", 401), ("cross-site", "POST", 401),
    ],
)  # fmt: skip
async def test_behind_a_proxy_that_changes_the_host_the_browser_tells_whose_page_asks(
    gate: Setup, site: str, method: str, status: int
) -> None:
    headers = {"Cookie": "=".join(session_cookie(TOKEN)), "Origin": "https://console.example.com", "Sec-Fetch-Site": site}
    async with gate.client.request(method, "/v1/calls", json={}, headers=headers) as response:
        assert response.status == status


async def test_a_cookie_that_was_bought_by_tls_goes_by_tls_only_also_behind_a_proxy(gate: Setup) -> None:
    for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
        async with gate.client.post("/v1/session", json={"token": TOKEN}, headers=headers) as response:
            assert ("Secure" in response.headers["Set-Cookie"]) is secure


def test_another_service_on_another_port_of_the_host_has_a_cookie_of_its_own() -> None:
    assert session_cookie("one")[0] != session_cookie("two")[0]
    assert session_cookie("one") == session_cookie("one")


async def test_however_many_strangers_share_the_address_who_has_the_token_gets_in() -> None:
    setup = await gateway.start(rate_limit_per_s=2.0)
    for _ in range(12):
        async with setup.client.get("/v1/calls") as response:
            last = response.status
    assert last == 429
    for _ in range(12):
        async with setup.client.post("/v1/session", json={"token": TOKEN}) as response:
            assert response.status == 200
    await setup.client.close()


@pytest.mark.parametrize("headers", [{}, AUTH])
async def test_a_body_in_disguise_is_refused_before_it_is_unfolded(gate: Setup, headers: dict[str, str]) -> None:
    squeezed = zlib.compress(bytes(50 << 20), 9)  # 50 kB
    for encoding in ("gzip", "deflate", "br"):
        begun = time.process_time()
        async with gate.client.post(
            "/v1/calls", data=squeezed, headers={**headers, "Content-Encoding": encoding}, compress=False
        ) as response:
            assert response.status == 415
            assert (await response.json())["error"]["field"] == "Content-Encoding"
        assert time.process_time() - begun < 0.05
    async with gate.client.post("/v1/calls", data=b"{}", headers={**AUTH, "Content-Encoding": "identity"}) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1", None, 200), ("localhost", None, 200),
        ("evil.example", None, 401), ("127.evil.example", None, 401),
        ("127.evil.example", "http://127.evil.example", 401), ("127.0.0.1", "http://evil.example", 401),
    ],
)  # fmt: skip
async def test_the_loopback_exemption_is_for_this_machine_s_own_programs(host: str, origin: str | None, status: int) -> None:
    setup = await gateway.start(loopback_open=True)
    headers = {"Host": f"{host}:{setup.client.port}"} | ({"Origin": origin} if origin else {})
    async with setup.client.get("/v1/calls", headers=headers) as response:
        assert response.status == status
    await setup.client.close()


async def test_too_many_requests_are_told_to_wait() -> None:
    setup = await gateway.start(rate_limit_per_s=2.0)
    statuses = []
    for _ in range(12):
        async with setup.client.post("/v1/calls", json={}, headers=AUTH) as response:
            statuses.append(response.status)
            if response.status == 429:
                assert response.headers["Retry-After"] == "1"
    assert statuses[:4] == [201] * 4
    assert statuses[-1] == 429
    async with setup.client.get("/v1/calls", headers=AUTH) as response:  # looking is free
        assert response.status == 200
    await setup.client.close()


async def test_strangers_do_not_use_up_what_operators_behind_the_same_proxy_may() -> None:
    setup = await gateway.start(rate_limit_per_s=2.0)
    for _ in range(8):
        async with setup.client.get("/v1/calls") as response:
            assert response.status in (401, 429)
    async with setup.client.post("/v1/calls", json={}, headers=AUTH) as response:
        assert response.status == 201
    for _ in range(8):
        async with setup.client.post("/v1/calls", json={}, headers=AUTH) as response:
            last = response.status
    assert last == 429
    await setup.client.close()


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Real-IP", "Via"])
async def test_the_loopback_exemption_is_not_for_whoever_comes_through_a_proxy(name: str) -> None:
    setup = await gateway.start(loopback_open=True)
    async with setup.client.get("/v1/calls", headers={name: "203.0.113.9"}) as response:
        assert response.status == 401
    async with setup.client.get("/v1/calls", headers=AUTH | {name: "203.0.113.9"}) as response:
        assert response.status == 200
    await setup.client.close()


def test_a_bucket_fills_again_and_clients_do_not_share_it() -> None:
    limit = RateLimit(2.0)
    assert [limit.take("a", 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert limit.take("b", 0.0)
    assert limit.take("a", 0.5)
    assert not limit.take("a", 0.5)


def test_forgotten_clients_bound_the_memory() -> None:
    limit = RateLimit(1.0)
    for number in range(10_000):
        limit.take(str(number), 0.0)
    assert len(limit._buckets) <= 4096


async def test_other_sites_may_not_call_unless_named() -> None:
    setup = await gateway.start(cors_origins=("https://desk.example",))
    for origin, status in (("https://desk.example", 204), ("https://evil.example", 403)):
        async with setup.client.options("/v1/calls", headers={"Origin": origin}) as response:
            assert response.status == status
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if status == 204 else None)
    await setup.client.close()


async def test_no_other_site_may_call_by_default(gate: Setup) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        async with gate.client.request(method, "/v1/calls", headers=AUTH | {"Origin": "https://desk.example"}) as response:
            assert not [name for name in response.headers if name.startswith("Access-Control")]
            assert method != "OPTIONS" or response.status == 403


async def test_answers_carry_the_headers_browsers_obey(gate: Setup) -> None:
    for path in ("/", "/v1/calls", "/nowhere", "/console/console.css", "/v1/openapi.json", "/v1/events"):
        async with gate.client.get(path, headers=AUTH) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "head",
    [
        b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization Bearer a-token\r\n\r\n", b"GET http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_http_is_refused_in_the_same_shape_and_not_quoted(gate: Setup, head: bytes) -> None:
    answer = await raw(gate, head)
    top, _, body = answer.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.0 400 ")
    assert b"nosniff" in top
    assert json.loads(body) == {"error": {"code": "bad-request", "message": "the request is not valid HTTP", "field": ""}}


async def test_a_fault_of_ours_is_a_number_and_no_stack_trace(
    gate: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError(f"secret inside {TOKEN[:3]}")

    monkeypatch.setattr(gate.desk, "calls", broken)
    async with gate.client.get("/v1/calls", headers=AUTH) as response:
        text = await response.text()
        assert response.status == 500
    assert "secret" not in text
    assert "Traceback" not in text
    assert "see the log" in text
    assert TOKEN not in capsys.readouterr().out


async def test_a_client_that_hangs_up_harms_nobody(gate: Setup) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gate.client.port)
    head = f"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode() + b"ab")
    await writer.drain()
    writer.close()
    async with gate.client.get("/healthz") as response:
        assert response.status == 200
