"""What the API takes: every refusal names the field and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.requests import BadRequestError, CallRequest, SessionRequest, decode


def test_an_empty_object_is_a_whole_request() -> None:
    wanted = decode(b"{}", CallRequest)
    assert (wanted.codec, wanted.legs, wanted.payload_type) == ("PCMU", ("caller",), None)
    assert wanted.public() == wanted.personal() == {}


def test_personal_data_is_kept_apart_from_metadata() -> None:
    body = {"caller": "+34600", "callee": "+1", "agent": "Ada", "queue": "cards", "metadata": {"site": "Lugo"}}
    wanted = decode(json.dumps(body).encode(), CallRequest)
    assert wanted.public() == {"site": "Lugo", "agent": "Ada", "queue": "cards"}
    assert wanted.personal() == {"caller": "+34600", "callee": "+1"}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"payload_type": 128}, "payload_type", "<= 127 - at `payload_type`; allowed: 0 to 127"),
        ({"payload_type": "0"}, "payload_type", "got `str` - at `payload_type`; allowed: 0 to 127"),
        ({"payload_type": 1.5}, "payload_type", "allowed: 0 to 127"),
        ({"event_payload_type": -1}, "event_payload_type", "allowed: 0 to 127"),
        ({"legs": []}, "legs", "allowed: 1 to 2 entries, each of agent or caller"),
        ({"legs": "caller"}, "legs", "got `str` - at `legs`; allowed: 1 to 2 entries"),
        ({"legs": ["boss"]}, "legs[0]", "'boss' - at `legs[0]`; allowed: agent or caller"),
        ({"call_id": "a\n"}, "call_id", "Expected letters, digits and . _ : @ -"),
        ({"call_id": "a b"}, "call_id", "Expected letters, digits and . _ : @ -, and not dots alone - at `call_id`; allowed"),
        ({"call_id": ".."}, "call_id", "not dots alone"),
        ({"call_id": ""}, "call_id", "allowed: 1 to 64 characters"),
        ({"call_id": "x" * 65}, "call_id", "allowed: 1 to 64 characters"),
        ({"caller": "x" * 129}, "caller", "allowed: 1 to 128 characters"),
        ({"codec": None}, "codec", "allowed: 0 to 40 characters"),
        ({"metadata": {"k": 1}}, "metadata[...]", "got `int` - at `metadata[...]`; allowed: 0 to 256 characters"),
        ({"metadata": {"": "v"}}, "metadata", "names of 1 to 128 characters, values of 0 to 256 characters"),
        ({"metadata": {str(k): "v" for k in range(33)}}, "metadata", "allowed: 0 to 32 entries"),
        ({"codek": "PCMU"}, "codek", "unknown field `codek`; allowed are codec, payload_type, event_payload_type, legs"),
    ],
)
def test_a_refusal_names_field_and_allowed_range(body: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequestError) as error:
        decode(json.dumps(body).encode(), CallRequest)
    assert error.value.field == field
    assert words in str(error.value)
    assert error.value.status == 400


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(BadRequestError, match="missing required field `token`"):
        decode(b"{}", SessionRequest)


def test_a_refusal_does_not_repeat_the_token() -> None:
    with pytest.raises(BadRequestError) as error:
        decode(b'{"token": "' + b"s3cret" * 100 + b'"}', SessionRequest)
    assert error.value.field == "token"
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b'"x"', b'{"codec": "\xff"}', b"{} {}", b"NaN"],
)
def test_what_is_no_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequestError) as error:
        decode(body, CallRequest)
    assert error.value.field == ""
