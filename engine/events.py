"""What a call says to its shell, and the record that is published of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.audio import Chunk

SCHEMA = 1  # of Tag; raised when a field changes its meaning, not when one is added


class Verdict(StrEnum):
    """What the operator is told. Only two of the six are verdicts; the other four say why there is none."""

    LISTENING = "listening"  # audio arrives, too little speech so far
    NO_SPEECH = "no-speech"  # audio arrives, nobody speaks
    UNCERTAIN = "uncertain"  # enough speech, evidence for neither side
    DEEPFAKE_LIKELY = "deepfake-likely"
    HUMAN_LIKELY = "human-likely"
    UNKNOWN = "unknown"  # no audio, an error, or overload: we do not know, and say so


TEXTS: Mapping[Verdict, str] = {
    Verdict.LISTENING: "Listening",
    Verdict.NO_SPEECH: "No speech",
    Verdict.UNCERTAIN: "Uncertain",
    Verdict.DEEPFAKE_LIKELY: "Deepfake-likely",
    Verdict.HUMAN_LIKELY: "Human-likely",
    Verdict.UNKNOWN: "Unknown",
}

REASONS: Mapping[str, str] = {
    "too-little-speech": "not enough speech for a verdict yet",
    "no-speech": "audio arrives, but nobody has spoken for a while",
    "no-audio": "no audio has arrived for a while",
    "foreign-audio": "beside no-audio: sound comes to this leg's port, but from another sender than the one it belongs to",
    "lossy-audio": "more than 3 % of the last seconds were lost on the way",
    "source-changed": "another stream of sound took the place of the first: too little of it has been heard yet",
    "mean-disagrees": "the distances to people and to fakes speak for the tag less than they usually do; trust it less",
    "unfamiliar-sound": "the sound is unlike the people and the fakes that the model knows",
    "overload": "the engine had no time for part of this call",
    "model-error": "the model failed on this call",
    "error": "an internal fault ended the screening of this call",
    "rtp-timeout": "the RTP stream stopped",
    "closed": "the call was ended by the caller's side or by request",
    "drained": "the service was shutting down",
    "end-of-file": "the recording came to its end",
    "non-compliance": "examination: the task was not done",
    "distortion": "examination: the answer sounds synthetic",
    "identity-drift": "examination: the voice of the answer is not the voice before it",
    "another-task": "examination: another task was done than was asked: a recording may be played",
    "late": "examination: the caller did not begin to answer in time",
    "refused": "examination: a question was skipped, which is evidence for neither side",
    "line-limited": "examination: the line removes what the answer would be judged by",
    "cannot-tell": "examination: the answer could not be measured",
    "prompt-failed": "examination: the prompt was not played to its end: an operator who asked speaks it, else it is skipped",
    "judge-failed": "examination: an internal fault kept the answer from being judged",
    "audio-stopped": "examination: the call or its audio ended during a question",
    "operator-accepted": "the operator took the caller for a person",
    "operator-override": "the operator set the tag by hand",
}


@dataclass(frozen=True, slots=True)
class Tag:
    """One published record about one leg of one call; the JSON has these names."""

    kind: str  # "tag": the verdict changed; "score": only the numbers did; "exam": the examination; "end": the call is over
    seq: int  # 0, 1, 2 ... within call and leg: a hole is a lost record, a repeat a duplicate
    call_id: str
    leg: str  # "caller" or "agent"
    tag: Verdict
    text: str  # the verdict as the operator reads it
    llr: float | None  # natural-log likelihood ratio, bona fide over spoof: high = human
    probability: float | None  # that the voice is synthetic, at the configured prior
    net_speech_s: float
    audio_s: float
    loss: float  # share of the audio that never arrived, 0 to 1
    lossy: bool  # the last seconds were; scores over gaps deserve less trust
    reasons: tuple[str, ...]  # keys of REASONS
    model: str
    media_time_s: float  # position in the call's audio
    source: str  # "rtp", "webrtc", "recording", "capture" or "microphone"
    metadata: Mapping[str, str] = field(default_factory=dict)
    pii: Mapping[str, str] = field(default_factory=dict)  # caller's data; nothing personal stands elsewhere
    explanation: Mapping[str, float] | None = None  # d_real, d_fake: 1 is ordinary; agrees: share, 0 to 1
    examination: Mapping[str, Any] | None = None  # the examination's record, once there is one
    event_id: str = ""  # the Redis stream id, once published
    wall_time: float = 0.0  # Unix seconds, once published
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class ChunkReady:
    """Give this to the model."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class TagChanged:
    tag: Tag


@dataclass(frozen=True, slots=True)
class ScoreUpdated:
    tag: Tag


@dataclass(frozen=True, slots=True)
class CallEnded:
    tag: Tag


Event = ChunkReady | TagChanged | ScoreUpdated | CallEnded
