"""The documents against what the real desk, a real call and the real hub send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connectors.documents import asyncapi, openapi
from connectors.gateway import GatewayOptions, build_app
from engine.config import load_settings
from engine.events import Tag
from engine.hub import Hub
from engine.scorer import Scorer
from engine.streams import encode_tag
from models.runtime import StateStore
from tests.connectors.gateway import AUTH, TOKEN, Whip
from tests.connectors.test_documents import validator
from tests.engine.tags import make_tag
from vivavoce import service_model
from vivavoce.desk import Desk
from vivavoce.samples import SAMPLES

STREAM = "vivavoce:tags:0"


@dataclass
class Real:
    client: TestClient[web.Request, web.Application]
    hub: Hub
    desk: Desk
    published: list[Tag] = field(default_factory=list)


@pytest.fixture
async def real() -> AsyncIterator[Real]:
    """The service's desk and hub behind its gateway; Redis is away, records end in a list."""
    settings = load_settings(None, {}, ["model.workers=1", "calls.max=4"])
    model = service_model.load(settings)
    scorer = Scorer(model, StateStore(model, 4), capacity=4, workers=1)
    published: list[Tag] = []
    desk = Desk(settings, service_model.call_config(settings, model.info), scorer, lambda tag, _: published.append(tag))
    hub = Hub("redis://127.0.0.1:1/0", [STREAM])
    await hub.start()
    app = build_app(desk, hub, Whip(), GatewayOptions(TOKEN))  # type: ignore[arg-type] # without metrics
    client = TestClient(TestServer(app))
    await client.start_server()
    yield Real(client, hub, desk, published)
    await desk.drain(0)
    await client.close()
    await hub.aclose()
    await scorer.aclose()


async def answer(real: Real, method: str, path: str, schema: str, **body: object) -> dict[str, object]:
    async with real.client.request(method, path, headers=AUTH, **body) as response:  # type: ignore[arg-type]
        assert response.status < 300, await response.text()
        found: dict[str, object] = await response.json()
    validator(openapi(), schema).validate(found)
    return found


async def test_a_call_s_answers_fit(real: Real) -> None:
    body = {"call_id": "a", "legs": ["caller", "agent"], "caller": "+1", "agent": "Ada"}
    await answer(real, "POST", "/v1/calls", "Ticket", json=body)
    assert len((await answer(real, "GET", "/v1/calls", "Calls"))["calls"]) == 1  # type: ignore[arg-type]
    await answer(real, "GET", "/v1/calls/a", "Call")
    await answer(real, "DELETE", "/v1/calls/a", "Call")


async def test_a_recording_s_answer_and_every_record_of_it_fit(real: Real) -> None:
    data = SAMPLES[0].path.read_bytes()
    await answer(real, "POST", "/v1/recordings?pace=fast", "Played", data=data)
    async with asyncio.timeout(20):
        while not (real.published and real.published[-1].kind == "end"):
            await asyncio.sleep(0.02)
    assert {tag.kind for tag in real.published} >= {"tag", "end"}
    assert not [tag for tag in real.published if "overload" in tag.reasons], "what is played is played as it can be scored"
    check = validator(asyncapi(), "Tag")
    for tag in real.published:
        check.validate(json.loads(encode_tag(replace(tag, event_id="1-0", wall_time=1.7e9))))


async def test_what_the_socket_carries_fits_notices_included(real: Real) -> None:
    check = validator(asyncapi(), "SocketMessage")
    async with real.client.ws_connect("/v1/ws?last_event_id=1-0", headers=AUTH) as socket:
        told = [await socket.receive_json(timeout=2)]  # a gap: what was missed cannot be read
        for number in range(300):  # more than a queue holds
            entry = {b"call": b"c1", b"kind": b"tag", b"data": encode_tag(make_tag(number))}
            real.hub._spread(STREAM, [(f"{number + 1}-0".encode(), entry)])
        real.hub._mark(degraded=False)
        while told[-1]["data"] != {"reason": "too slow"}:
            told.append(await socket.receive_json(timeout=2))
    for message in told:
        check.validate(message)
    assert {message["event"] for message in told} >= {"gap", "tag"}


def test_a_record_of_another_kind_is_no_message() -> None:
    check = validator(asyncapi(), "SocketMessage")
    assert check.is_valid({"id": "", "event": "restored", "data": {}})
    assert not check.is_valid({"id": "", "event": "news", "data": {}})
    assert not check.is_valid({"id": "", "event": "gap", "data": {"why": "?"}})
