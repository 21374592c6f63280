"""JSON schemas, by hand, of what the API answers and the streams carry beside the record itself."""

from __future__ import annotations

from typing import Any

from engine.events import REASONS

Json = dict[str, Any]

ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "field"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "field")},
        }
    },
}
_COUNTS = (
    "received", "lost", "late", "duplicate", "reordered", "malformed", "foreign", "rtcp", "digits", "unheard",
    "overload_dropped",
)  # fmt: skip
CALL: Json = {
    "type": "object",
    "required": ["call_id", "source", "started", "metadata", "pii", "legs", "media"],
    "properties": {
        "call_id": {"type": "string"},
        "source": {"enum": ["rtp", "webrtc", "recording", "capture", "microphone"]},
        "started": {"type": "number", "description": "Unix seconds"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "pii": {"type": "object", "additionalProperties": {"type": "string"}},
        "legs": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Tag"}},
        "media": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    **{name: {"type": "integer", "minimum": 0} for name in _COUNTS},
                    "source": {"type": ["string", "null"]},
                },
            },
        },
    },
}
_PORT: Json = {
    "type": "object",
    "required": ["host", "port", "codec", "payload_type"],
    "properties": {
        "host": {"type": "string"},
        "port": {"type": "integer"},
        "codec": {"type": "string"},
        "payload_type": {"type": "integer"},
    },
}
TICKET: Json = {
    "type": "object",
    "required": ["call_id", "legs"],
    "properties": {
        "call_id": {"type": "string"},
        "legs": {"type": "object", "additionalProperties": _PORT},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
CALLS: Json = {
    "type": "object",
    "required": ["calls", "thresholds"],
    "properties": {
        "calls": {"type": "array", "items": {"$ref": "#/components/schemas/Call"}},
        "thresholds": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}
PLAYED: Json = {
    "type": "object",
    "required": ["call_id", "calls"],
    "properties": {"call_id": {"type": "string"}, "calls": {"type": "array", "items": {"type": "string"}}},
}

NOTICE: Json = {
    "type": "object",
    "description": "of gap (with the reason), degraded, restored and ping: what the feed says of itself",
    "properties": {"reason": {"type": "string"}},
    "additionalProperties": False,
}
MESSAGE: Json = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "resumes after this record; empty for a notice"},
        "event": {"enum": ["tag", "score", "exam", "end", "gap", "degraded", "restored", "ping"]},
        "data": {"anyOf": [{"$ref": "#/components/schemas/Tag"}, {"$ref": "#/components/schemas/Notice"}]},
    },
    "additionalProperties": False,
}
RESUME: Json = {
    "type": "object",
    "required": ["last_event_id"],
    "properties": {"last_event_id": {"type": "string", "description": "the last id the client has seen"}},
}

_SHARE: Json = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_EVIDENCE: Json = {"type": ["number", "null"], "description": "natural-log likelihood ratio, high is human"}
_STATES = ["idle", "proposed", "asked", "answering", "judging", "passed", "failed", "unclear", "no-answer", "skipped", "over"]
_FIELDS: Json = {
    "state": {"enum": _STATES},
    "attempt": {"type": "integer", "minimum": 0, "description": "questions asked so far"},
    "challenge": {"type": "string", "description": "key of the challenge; empty before the first"},
    "id": {"type": "string", "description": "its number, 01 to 22"},
    "name": {"type": "string"},
    "language": {"type": "string", "description": "ISO 639-1"},
    "sentence": {"type": "string", "description": "what the caller hears, word for word"},
    "spoken_by": {"enum": ["engine", "operator"], "description": "operator: it cannot be played, please say it"},
    "deadline_s": {"type": ["number", "null"], "minimum": 0, "description": "seconds left in this state, when it was sent"},
    "by": {"enum": ["policy", "operator"], "description": "who decided last"},
    "who": {"type": "string", "description": "the operator, as given"},
    "why": {"type": "string", "description": "in the operator's words, or a word of the policy's"},
    "decisions": {"type": "integer", "minimum": 0, "description": "verdicts that operators have given so far"},
    "reasons": {"type": "array", "items": {"enum": sorted(REASONS)}},
    "compliance": {**_SHARE, "description": "whether the task was done; null: cannot tell"},
    "realism": {**_EVIDENCE, "description": "of the answer's sound alone, natural-log likelihood ratio, high is human"},
    "baseline": {**_EVIDENCE, "description": "of the call before the question"},
    "identity": {**_EVIDENCE, "description": "natural-log likelihood ratio of one voice against two, before and in the answer"},
    "llr": {**_EVIDENCE, "description": "what this answer adds to the call's evidence, high is human"},
}  # fmt: skip
EXAMINATION: Json = {
    "type": "object",
    "description": "where the examination of a caller stands",
    "required": list(_FIELDS),
    "properties": _FIELDS,
    "additionalProperties": False,
}
