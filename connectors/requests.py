"""What the HTTP API takes, declared once: the handlers check against it and the OpenAPI document is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=128)]
# Dots alone are no name in an address: clients take them for folders.
# `$` alone would take a line's end behind it, which breaks the header that repeats the id.
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^(?!\.+$)[A-Za-z0-9._:@-]+(?![^!-~])$")]
MAX_METADATA = 32  # entries
PACES = ("realtime", "fast")  # at which a recording is played, the first where nobody says
CHANNELS = ("mix", "split")  # of a recording with two: one leg, or the first the caller's and the second the agent's
CALL_LINK = "urn:vivavoce:call"  # link relation: from a WHIP session to the call that it is
_PATH = re.compile(r"`\$\.?([^`]*)`")
_PATTERN = re.compile(r"Expected `str` matching regex '.*'(?= - at|$)")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_BOUNDS = (
    ("minimum", "maximum", ""), ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"), ("minProperties", "maxProperties", " entries"),
)  # fmt: skip
_PARTS = (("items", "each"), ("propertyNames", "names"), ("additionalProperties", "values"))


class CallRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Reserve RTP ports for a call."""

    codec: Annotated[str, Meta(max_length=40, description="PCMU, PCMA, G722, L16/16000, opus/48000/2")] = "PCMU"
    payload_type: Annotated[int, Meta(ge=0, le=127, description="RTP payload type, if not the usual one")] | None = None
    event_payload_type: Annotated[int, Meta(ge=0, le=127, description="of RFC 4733 telephone events")] = 101
    legs: Annotated[
        tuple[Literal["caller", "agent"], ...],
        Meta(min_length=1, max_length=2, description="one RTP port each"),
    ] = ("caller",)
    call_id: Annotated[Id, Meta(description="yours; a running one is refused with 409")] | None = None
    caller: Annotated[Name, Meta(description="published under `pii` only")] | None = None
    callee: Annotated[Name, Meta(description="published under `pii` only")] | None = None
    agent: Name | None = None
    queue: Name | None = None
    metadata: Annotated[
        dict[Name, Annotated[str, Meta(max_length=256)]],
        Meta(max_length=MAX_METADATA, description="published; `language` (de, es-MX) is that of the questions"),
    ] = {}
    source: Annotated[str, Meta(max_length=64, description="ip or ip:port the RTP will come from")] | None = None
    listen_only: Annotated[
        bool, Meta(description="the sender plays nothing to the caller, as a media fork: the operator speaks every question")
    ] = False

    def public(self) -> dict[str, str]:
        """Metadata without personal data."""
        named = {"agent": self.agent, "queue": self.queue}
        return {**self.metadata, **{key: value for key, value in named.items() if value}}

    def personal(self) -> dict[str, str]:
        named = {"caller": self.caller, "callee": self.callee}
        return {key: value for key, value in named.items() if value}


class WhipRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser's call says of itself, in the query: the offer is the body."""

    call_id: Annotated[Id, Meta(description="yours; a running one is refused with 409")] | None = None
    caller: Annotated[Name, Meta(description="published under `pii` only")] | None = None
    agent: Name | None = None
    queue: Name | None = None
    language: Annotated[Name, Meta(description="of the questions: de, es-MX")] | None = None

    def metadata(self) -> dict[str, str]:
        """Whatever was given but the id."""
        given = {"caller": self.caller, "agent": self.agent, "queue": self.queue, "language": self.language}
        return {key: value for key, value in given.items() if value}


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Exchange the bearer token for a cookie."""

    token: Annotated[str, Meta(max_length=512)]


Action = Literal["ask", "answering", "skip", "repeat", "accept", "override", "stop"]


class ExaminationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An operator's decision about the examination of a caller."""

    action: Annotated[Action, Meta(description="answering: the caller begins now, to a question the operator spoke")]
    challenge: Annotated[
        str, Meta(max_length=40, description="id, key or name: what to ask; with other actions, what they are meant for")
    ] | None = None  # fmt: skip
    language: Annotated[Literal["en", "es", "fr", "de"], Meta(description="of this and later questions")] | None = None
    who: Annotated[str, Meta(max_length=80, description="the operator, as it is published")] | None = None
    verdict: Annotated[
        Literal["human-likely", "deepfake-likely", "uncertain"], Meta(description="the tag; with override")
    ] | None = None  # fmt: skip
    why: Annotated[str, Meta(max_length=400, description="in the operator's words, as it is published")] | None = None
    decisions: Annotated[
        int, Meta(ge=0, description="of the record that the operator saw: 409 if another has decided since")
    ] | None = None  # fmt: skip


class BadRequestError(ValueError):
    """A request that does not fit; `field` says where."""

    def __init__(self, message: str, field: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.field, self.status = field, status


@contextmanager
def naming(field: str) -> Iterator[None]:
    """What is found wrong within is wrong with that field of the request."""
    try:
        yield
    except ValueError as error:
        raise BadRequestError(str(error), field) from None


def decode(body: bytes, kind: type[Any]) -> Any:
    """JSON -> `kind`. BadRequestError names the field and what is allowed."""
    try:
        with _fitting(kind):
            return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None


def decode_query(query: Mapping[str, str], kind: type[Any]) -> Any:
    """The query of a request -> `kind`, all of whose fields are text. BadRequestError as of `decode`."""
    names = [name for name, _ in query.items()]  # aiohttp's mapping tells a repeated key here alone
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadRequestError(f'"{twice[0][:40]}" is given more than once', twice[0][:40])
    known_query(query, kind.__struct_fields__)
    with _fitting(kind):
        return msgspec.convert(dict(query), kind)


def known_query(query: Mapping[str, str], names: Sequence[str]) -> None:
    """BadRequestError for a key that is none of these."""
    if unknown := [name[:40] for name in query if name not in names]:
        allowed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise BadRequestError(f'"{unknown[0]}" is unknown here: {allowed} are allowed', unknown[0])


@contextmanager
def _fitting(kind: type[Any]) -> Iterator[None]:
    """What does not fit is told by field, with what is allowed there."""
    try:
        yield
    except msgspec.ValidationError as error:
        text = str(error)
        path, unknown = _PATH.search(text), _UNKNOWN.search(text)
        where = ".".join(found[1] for found in (path, unknown) if found and found[1])
        text = _PATTERN.sub("Expected letters, digits and . _ : @ -, and not dots alone", text.replace("`$.", "`"))
        raise BadRequestError(text + _allowed(kind, where), where) from None


def _allowed(kind: type[Any], where: str) -> str:
    """What may stand at `where`, as the schema has it, to end a sentence with."""
    if not where:
        return ""
    _, parts = msgspec.json.schema_components((kind,))
    fields = parts[kind.__name__]["properties"]
    name, inside, _ = where.partition("[")
    if name not in fields:
        return f"; allowed are {', '.join(fields)}"
    schema = fields[name].get("anyOf", [fields[name]])[0]
    if inside:
        schema = schema.get("items") or schema.get("additionalProperties") or schema
    words = _words(schema)
    return f"; allowed: {words}" if words else ""


def _words(schema: dict[str, Any]) -> str:
    words = [f"{schema.get(low, 0)} to {schema[high]}{unit}" for low, high, unit in _BOUNDS if high in schema]
    if "enum" in schema:
        words.append(" or ".join(schema["enum"]))
    words += [f"{name} of {inner}" for key, name in _PARTS if key in schema and (inner := _words(schema[key]))]
    return ", ".join(words)
