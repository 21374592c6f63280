"""The documents describe what is there: routes, records, failures; no more and no less."""

from __future__ import annotations

import json
import random
import re
from dataclasses import fields, replace

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from openapi_spec_validator import validate

from challenges.catalogue import by_name
from challenges.content import draw
from challenges.examination import Examination, ExaminationConfig
from challenges.stages import Press, Record, Stage
from connectors.documents import asyncapi, openapi
from connectors.feeds import PING
from connectors.requests import BadRequestError, CallRequest, decode
from engine.events import REASONS, Tag, Verdict
from engine.streams import encode_tag
from tests.connectors.gateway import AUTH, Setup
from tests.engine.tags import make_tag

METHODS = {"get", "post", "delete", "patch", "options"}


def validator(document: dict[str, object], schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})


def test_openapi_is_valid() -> None:
    validate(openapi())


async def test_every_route_is_described_and_every_path_is_a_route(gate: Setup) -> None:
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in gate.client.app.router.routes()
        if route.method != "HEAD" and route.resource is not None and route.resource.canonical != "/{path}"
    }
    described = {(m, path) for path, item in openapi()["paths"].items() for m in item if m in METHODS}
    assert described == routes


async def test_what_is_described_as_open_is_open_and_nothing_else(gate: Setup) -> None:
    gate.feed.ending = True
    for path, item in openapi()["paths"].items():
        for method in METHODS & set(item):
            url = path.replace("{name}", "console.css").replace("{call_id}", "c").replace("{session_id}", "s")
            async with gate.client.request(method, url, data=b"{}") as response:
                refused = response.status == 401 and "bearer token" in await response.text()
            assert refused == (item[method].get("security") != []), (method, path)


def test_every_event_of_the_feed_is_described() -> None:
    told = asyncapi()["channels"]["events"]["description"]
    for kind in ("tag", "score", "exam", "end", "gap", "degraded", "restored", PING.split()[1].decode()):
        assert re.search(rf"\b{kind}\b", told), kind
    validator(asyncapi(), "Notice").validate(json.loads(PING.split(b"data: ")[1]))


def test_every_parameter_is_described() -> None:
    """Those the handlers read; a new one belongs here and into the document."""
    found = {}
    for path, item in openapi()["paths"].items():
        parameters = item.get("parameters", []) + [p for m in METHODS & set(item) for p in item[m].get("parameters", [])]
        found[path] = {p["name"] for p in parameters if p["in"] == "query"}
        assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    assert {path: names for path, names in found.items() if names} == {
        "/v1/calls/{call_id}/examination": {"leg"},
        "/v1/recordings": {"name", "pace", "channels"},
        "/v1/events": {"last_event_id", "call_id"},
        "/v1/ws": {"last_event_id", "call_id"},
        "/v1/whip": {"call_id", "caller", "agent", "queue", "language"},
    }


def test_what_a_whip_call_says_of_itself_and_is_told_is_described() -> None:
    post = openapi()["paths"]["/v1/whip"]["post"]
    told = {p["name"]: p["schema"] for p in post["parameters"]}
    assert told["call_id"] == openapi()["components"]["schemas"]["CallRequest"]["properties"]["call_id"]["anyOf"][0]
    assert told["queue"] == {"type": "string", "minLength": 1, "maxLength": 128}
    assert "urn:vivavoce:call" in post["responses"]["201"]["headers"]["Link"]["description"]
    assert {"201", "409"} <= post["responses"].keys()


def test_what_a_recording_s_pace_can_be_is_told() -> None:
    (pace,) = (p for p in openapi()["paths"]["/v1/recordings"]["parameters"] if p["name"] == "pace")
    assert pace["schema"] == {"type": "string", "enum": ["realtime", "fast"], "default": "realtime"}


async def test_failures_fit_their_schema(gate: Setup) -> None:
    for method, path, status in (("GET", "/v1/nowhere", 404), ("POST", "/v1/calls", 400), ("GET", "/v1/calls/x", 404)):
        async with gate.client.request(method, path, headers=AUTH, data=b"x") as response:
            assert response.status == status
            validator(openapi(), "Error").validate(await response.json())


async def test_the_documents_are_served_as_they_are_made(gate: Setup) -> None:
    for path, made in (("/v1/openapi.json", openapi()), ("/v1/asyncapi.json", asyncapi())):
        async with gate.client.get(path, headers=AUTH) as response:
            assert await response.json() == made


@pytest.mark.parametrize(
    "request_body",
    [{}, {"codec": "PCMA", "legs": ["caller", "agent"], "payload_type": 8}, {"call_id": "a.b:c@d-1", "metadata": {"k": "v"}}],
)
def test_a_request_is_taken_if_the_document_says_so(request_body: dict[str, object]) -> None:
    validator(openapi(), "CallRequest").validate(request_body)
    decode(json.dumps(request_body).encode(), CallRequest)


@pytest.mark.parametrize("bad", [{"codek": 1}, {"legs": []}, {"legs": ["boss"]}, {"payload_type": 128}, {"call_id": "a b"}])
def test_a_request_is_refused_if_the_document_says_so(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        validator(openapi(), "CallRequest").validate(bad)
    with pytest.raises(BadRequestError):
        decode(json.dumps(bad).encode(), CallRequest)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_kind_of_record_fits_the_streams_document(verdict: Verdict) -> None:
    check = validator(asyncapi(), "Tag")
    for kind in ("tag", "score", "exam", "end"):
        record = replace(make_tag(kind=kind, verdict=verdict), examination=asked().record(3.0))
        check.validate(json.loads(encode_tag(record)))
    assert not check.is_valid(json.loads(encode_tag(make_tag(kind="news"))))


def asked() -> Examination:
    """An examination that has just been asked for, by a question nobody can play."""
    question = draw(by_name("whisper"), "en", random.Random(1), 0.0)
    examination = Examination(ExaminationConfig(), lambda *_: question, 0.64, can_play=False)
    examination.press(Press.ASK, 2.0, who="Ada", why="odd voice")
    return examination


def test_an_examination_fits_from_before_the_first_question_to_its_result() -> None:
    check = validator(asyncapi(), "Examination")
    examination = asked()
    check.validate(Examination(ExaminationConfig(), lambda *_: None, 0.64, can_play=True).record())
    examination.press(Press.ANSWERING, 5.0)
    examination.handle_timer(60.0)
    check.validate(examination.record(60.0))
    examination.press(Press.OVERRIDE, 61.0, verdict="uncertain")
    records = [step.table for step in examination.steps() if isinstance(step, Record)]
    assert [record["state"] for record in records][:2] == ["asked", "answering"]
    for record in records:
        check.validate(record)


def test_an_examination_has_every_field_every_state_and_nothing_else() -> None:
    schema = asyncapi()["components"]["schemas"]["Examination"]
    record = asked().record(2.0)
    assert set(schema["properties"]) == set(schema["required"]) == set(record)
    assert set(schema["properties"]["state"]["enum"]) == {str(stage) for stage in Stage}
    check = validator(asyncapi(), "Examination")
    for change in ({"state": "asking"}, {"compliance": 1.2}, {"deadline_s": "12"}, {"reasons": ["because"]}, {"x": 1}):
        assert not check.is_valid(record | change), change


def test_the_document_lists_every_field_and_reason() -> None:
    schema = asyncapi()["components"]["schemas"]["Tag"]
    assert set(schema["properties"]) == {field.name for field in fields(Tag)} == set(schema["required"])
    assert schema["properties"]["reasons"]["items"]["enum"] == sorted(REASONS)


@pytest.mark.parametrize("change", [{"tag": "human"}, {"seq": "1"}, {"reasons": ["because"]}, {"llr": "high"}])
def test_what_is_no_record_does_not_fit(change: dict[str, object]) -> None:
    record = json.loads(encode_tag(make_tag())) | change
    with pytest.raises(ValidationError):
        validator(asyncapi(), "Tag").validate(record)


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    document = asyncapi()

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for item in node for r in references(item)] if isinstance(node, list) else []

    for reference in references(document):
        place: object = document
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict)
            place = place[part]
