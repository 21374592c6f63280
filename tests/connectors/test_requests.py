"""What the API takes: every refusal names the field and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.requests import BadRequestError, CallRequest, decode


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
        ({"payload_type": 128}, "payload_type", "<= 127"),
        ({"payload_type": "0"}, "payload_type", "int"),
        ({"legs": []}, "legs", "length >= 1"),
        ({"legs": ["boss"]}, "legs[0]", "boss"),
        ({"call_id": "a b"}, "call_id", "matching regex"),
        ({"call_id": ""}, "call_id", "length >= 1"),
        ({"caller": "x" * 129}, "caller", "length <= 128"),
        ({"metadata": {"k": 1}}, "metadata[...]", "str"),
        ({"metadata": {str(k): "v" for k in range(33)}}, "metadata", "length <= 32"),
        ({"codek": "PCMU"}, "", "codek"),
    ],
)
def test_a_refusal_names_field_and_limit(body: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequestError) as error:
        decode(json.dumps(body).encode(), CallRequest)
    assert error.value.field == field
    assert words in str(error.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b'"x"'])
def test_what_is_no_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        decode(body, CallRequest)
