"""The documents describe what is there: routes, records, failures; no more and no less."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from openapi_spec_validator import validate

from connectors.documents import asyncapi, openapi
from engine.events import REASONS, Tag, Verdict
from engine.streams import encode_tag
from tests.connectors.gateway import AUTH, Setup
from tests.engine.tags import make_tag


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
    methods = ("get", "post", "delete", "patch", "options")
    described = {(m, path) for path, item in openapi()["paths"].items() for m in item if m in methods}
    assert described == routes


async def test_answers_fit_their_schemas(gate: Setup) -> None:
    async with gate.client.get("/v1/nowhere", headers=AUTH) as response:
        validator(openapi(), "Error").validate(await response.json())
    async with gate.client.get("/v1/calls", headers=AUTH) as response:
        validator(openapi(), "Calls").validate(await response.json())


@pytest.mark.parametrize("verdict", Verdict)
def test_every_kind_of_record_fits_the_streams_document(verdict: Verdict) -> None:
    check = validator(asyncapi(), "Tag")
    for kind in ("tag", "score", "end"):
        record = make_tag(kind=kind, verdict=verdict)
        check.validate(json.loads(encode_tag(record)))


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
