"""The machine-readable descriptions: OpenAPI 3.1 of the HTTP API, AsyncAPI 3.0 of the streams.

Both are made from the types that the code itself decodes into and encodes from, so a field that changes there changes
here; tests hold real answers and real stream entries against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from connectors.requests import CALL_LINK, CHANNELS, PACES, CallRequest, ExaminationRequest, SessionRequest, WhipRequest
from connectors.schemas import CALL, CALLS, ERROR, EXAMINATION, MESSAGE, NOTICE, PLAYED, RESUME, TICKET
from engine.events import REASONS, Tag

VERSION = "1"
Json = dict[str, Any]


def schemas() -> Json:
    """JSON schemas of everything that crosses the API."""
    types = (CallRequest, ExaminationRequest, SessionRequest, Tag)
    _, raw = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    made: Json = json.loads(json.dumps(raw))  # defaults that are tuples become arrays
    tag = made["Tag"]
    tag["properties"]["kind"] = {"enum": ["tag", "score", "exam", "end"]}
    tag["properties"]["reasons"]["items"] = {"enum": sorted(REASONS)}
    examination = {"anyOf": [{"$ref": "#/components/schemas/Examination"}, {"type": "null"}]}
    tag["properties"]["examination"] = {**examination, "description": "of this leg's caller, once there is one"}
    tag["required"] = sorted(tag["properties"])  # a published record always has every field
    return {
        **made, "Error": ERROR, "Call": CALL, "Calls": CALLS, "Ticket": TICKET, "Played": PLAYED,
        "Examination": EXAMINATION,
    }  # fmt: skip


def openapi() -> Json:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "viva voce", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "security": [{"bearer": []}],
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {"Error": _answer("what went wrong, in one sentence", "Error")},
        },
        "paths": _paths(),
    }


def _answer(text: str, schema: str | None = None, media: str = "application/json") -> Json:
    if schema is None:
        return {"description": text, "content": {media: {}}} if media else {"description": text}
    return {"description": text, "content": {media: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _operation(summary: str, answers: dict[str, Json], body: Json | None = None, *, open_: bool = False) -> Json:
    responses = {**answers, "default": {"$ref": "#/components/responses/Error"}}
    operation: Json = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if open_:
        operation["security"] = []
    return operation


def _body(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _named(names: str, operations: Json, place: str = "path") -> Json:
    """A path with its parameters, `names` apart by blanks."""
    common = {"in": place, "required": place == "path"}
    schemas = {name: {"enum": list(of), "default": of[0]} for name, of in (("pace", PACES), ("channels", CHANNELS))}
    named = [{"name": name, **common, "schema": {"type": "string", **schemas.get(name, {})}} for name in names.split()]
    return {"parameters": named, **operations}


def _fields_of(kind: type[Any]) -> list[Json]:
    """A request's fields as parameters of a query."""
    fields = msgspec.json.schema_components((kind,))[1][kind.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": next(s for s in field["anyOf"] if s["type"] != "null")}
        for name, field in fields.items()
    ]


def _whip_answer() -> Json:
    """RFC 9725's, and which call it is."""
    link = f'which call it is: </v1/calls/{{call_id}}>; rel="{CALL_LINK}"'
    told = {"Location": "the session, to hang up", "ETag": "of the session", "Link": link}
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()}
    return {**_answer("SDP answer", None, "application/sdp"), "headers": headers}


def _paths() -> Json:
    taken = _answer("a call of this call_id is running", "Error")
    sdp: Json = {"application/sdp": {"schema": {"type": "string"}}}
    recording: Json = {"application/octet-stream": {}, "multipart/form-data": {}}
    record = _answer("its record", "Examination")
    not_now = _answer("what cannot be done now, and why", "Error")
    page = _answer("a file of the console", None, "text/html")
    return {
        "/": {"get": _operation("the console", {"200": page}, open_=True)},
        "/console/{name}": _named("name", {"get": _operation("its files", {"200": page}, open_=True)}),
        "/healthz": {"get": _operation("alive", {"200": _answer("yes")}, open_=True)},
        "/readyz": {"get": _operation("taking calls", {"200": _answer("yes"), "503": _answer("draining")})},
        "/metrics": {"get": _operation("Prometheus", {"200": _answer("metrics", None, "text/plain")})},
        "/v1/session": {"post": _operation("token for a cookie", {"200": _answer("set")}, _body("SessionRequest"), open_=True)},
        "/v1/calls": {
            "get": _operation("calls running now", {"200": _answer("the list", "Calls")}),
            "post": _operation(
                "reserve RTP ports for a call",
                {"201": _answer("where to send", "Ticket"), "409": taken},
                _body("CallRequest"),
            ),
        },
        "/v1/calls/{call_id}": _named(
            "call_id",
            {
                "get": _operation("one call", {"200": _answer("its state", "Call")}),
                "delete": _operation("end a call", {"200": _answer("its last state", "Call")}),
            },
        ),
        "/v1/calls/{call_id}/examination": _named(
            "call_id",
            {
                "get": _named("leg", _operation("where the examination of a caller stands", {"200": record}), "query"),
                "post": _named(
                    "leg",
                    _operation("an operator's decision", {"200": record, "409": not_now}, _body("ExaminationRequest")),
                    "query",
                ),
            },
        ),
        "/v1/recordings": _named(
            "name pace channels",
            {"post": _operation("play a recording", {"202": _answer("playing", "Played")}, recording)},
            "query",
        ),
        "/v1/events": _named(
            "last_event_id call_id",
            {"get": _operation("tags as server-sent events", {"200": _answer("stream", None, "text/event-stream")})},
            "query",
        ),
        "/v1/ws": _named(
            "last_event_id call_id",
            {"get": _operation("tags over a WebSocket", {"101": {"description": "switching protocols"}})},
            "query",
        ),
        "/v1/whip": {
            "post": {
                "parameters": _fields_of(WhipRequest),
                **_operation("a browser's call", {"201": _whip_answer(), "409": taken}, sdp),
            },
            "options": _operation("what WHIP takes", {"204": {"description": "Accept-Post"}}, open_=True),
        },
        "/v1/whip/{session_id}": _named(
            "session_id",
            {
                "delete": _operation("hang up", {"200": {"description": "ended"}}),
                "patch": _operation("not supported", {"405": _answer("send a complete offer", "Error")}),
            },
        ),
        "/v1/openapi.json": {"get": _operation("this document", {"200": _answer("OpenAPI 3.1")})},
        "/v1/asyncapi.json": {"get": _operation("the streams' document", {"200": _answer("AsyncAPI 3.0")})},
    }


def asyncapi() -> Json:
    """The AsyncAPI document: the Redis stream and the two feeds carry the same record."""
    named = {"Record": "Tag", "Notice": "Notice", "Message": "SocketMessage", "Resume": "Resume"}
    messages = {
        name: {"name": name, "contentType": "application/json", "payload": {"$ref": f"#/components/schemas/{schema}"}}
        for name, schema in named.items()
    }
    channels = _channels()
    operations: Json = {name: _action("send", name, channels[name]["messages"]) for name in channels}
    operations["socket"] = _action("send", "socket", ["Message"])
    operations["resume"] = _action("receive", "socket", ["Resume"])
    kept = ("Tag", "Verdict", "Examination", "Notice", "SocketMessage", "Resume")
    every = {**schemas(), "Notice": NOTICE, "SocketMessage": MESSAGE, "Resume": RESUME}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "viva voce tags", "version": VERSION},
        "channels": channels,
        "operations": operations,
        "components": {"schemas": {name: every[name] for name in kept}, "messages": messages},
    }


def _channels() -> Json:
    return {
        "tags": {
            "address": "vivavoce:tags:{shard}",
            "description": "Redis stream; fields call, kind and data, the last being the record as JSON",
            "parameters": {"shard": {"description": "one writer each"}},
            "messages": _messages("Record"),
        },
        "events": {
            "address": "/v1/events",
            "description": "server-sent events; `event` is tag, score, exam or end with a record, gap, degraded, restored or "
            "ping with a notice; degraded or restored is told at the beginning, ping after 15 s without anything else",
            "messages": _messages("Record", "Notice"),
        },
        "socket": {
            "address": "/v1/ws",
            "description": "WebSocket; records and notices in an envelope, degraded or restored at the beginning; the client "
            "may ask to resume; its ping comes as a notice, too, for pages see none of the protocol's",
            "messages": _messages("Message", "Resume"),
        },
    }


def _messages(*names: str) -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _action(action: str, channel: str, names: Iterable[str]) -> Json:
    messages = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}


def documents() -> dict[str, bytes]:
    """Path -> JSON, for the gateway to serve."""
    return {
        "/v1/openapi.json": json.dumps(openapi(), indent=1).encode(),
        "/v1/asyncapi.json": json.dumps(asyncapi(), indent=1).encode(),
    }
