"""Files to offline jobs: the way of `screen`, `score` and `evaluate`, through the same Call as a live stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import webrtcvad

from connectors import g711
from connectors.capture import leg_frames, read_legs
from connectors.files import open_recording, sniff
from engine.audio import AudioFrame, Chunker
from engine.call import Call, CallConfig, CallInfo
from engine.config import Settings
from engine.errors import AudioError
from engine.events import Tag
from engine.offline import Job, screen
from models.runtime import StateStore, StreamingModel

LANES = 64  # recordings side by side: a full batch of the model
CODECS = ("none", "pcmu", "pcma")
Codec = Literal["none", "pcmu", "pcma"]
Timed = Iterator[tuple[AudioFrame, float]]


def legs_of(path: Path, channels: Literal["mix", "split"] = "mix") -> list[tuple[str, str, Timed]]:
    """The legs of a file as (source, name, frames with media time). AudioError is a sentence about the file."""
    if sniff(path) == "recording":
        recording = open_recording(path, channels)
        return [("recording", leg, with_media_time(recording.frames(leg))) for leg in recording.legs]
    legs = []
    for leg in read_legs(path):
        name = f"{leg.source} > {leg.destination} ssrc {leg.ssrc:#010x}"
        legs.append(("capture", name, leg_frames(leg)))
    return legs


def only_leg(path: Path) -> Timed:
    """The frames of a labelled file: its label says of one voice what it is. AudioError also where there are several legs."""
    legs = legs_of(path)
    if len(legs) > 1:
        raise AudioError(f"{path} holds {len(legs)} legs, and a label is for one voice")
    return legs[0][2]


def with_media_time(frames: Iterator[AudioFrame]) -> Timed:
    """Each frame with the time its last sample would arrive at."""
    for frame in frames:
        yield frame, (frame.timestamp + len(frame.samples)) / frame.rate


def through_codec(frames: Timed, codec: Codec) -> Timed:
    """The frames as they come out of a G.711 telephone line, 8 kHz; "none" leaves them alone."""
    if codec == "none":
        yield from frames
        return
    chunker = Chunker(8000, 8000)  # for its resampling, which is that of the call: clips joined to one may differ in rate
    position = 0
    for frame, now in frames:
        samples = chunker.resample(frame)
        if codec == "pcmu":
            coded = g711.decode_mu_law(g711.encode_mu_law(samples))
        else:
            coded = g711.decode_a_law(g711.encode_a_law(samples))
        yield AudioFrame(coded, 8000, position, frame.lost), now
        position += len(coded)


def make_job(
    info: CallInfo, frames: Timed, config: CallConfig, settings: Settings, on_tag: Callable[[Tag], None], **more: Any
) -> Job:
    """A leg to screen, with a voice activity detector of its own."""
    vad = webrtcvad.Vad(settings.calls.vad_mode)
    return Job(Call(info, config, vad.is_speech, 0.0), frames, on_tag, **more)


def screen_all(jobs: Iterable[Job], model: StreamingModel) -> Iterator[Job]:
    """Screen every job; yields each when it is over."""
    return screen(jobs, model, StateStore(model, LANES), LANES)
