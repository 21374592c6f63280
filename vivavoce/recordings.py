"""Files to offline jobs: the way of `screen`, `score` and `evaluate`, through the same Call as a live stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import webrtcvad

from connectors import g711
from connectors.capture import Seen, leg_frames, read_legs
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
_PIPED = 0x7FFF0000  # bytes, of a WAV file's header


def legs_of(
    path: Path, channels: Literal["mix", "split"] = "mix", note: Callable[[str], None] = lambda sentence: None
) -> list[tuple[str, str, Timed]]:
    """The legs of a file as (source, name, frames with media time). AudioError is a sentence about the file; one about a
    file that breaks off, and is read as far as it goes, goes to `note`."""
    if sniff(path) == "recording":
        recording = open_recording(path, channels, note)
        if _cut_short(path):
            note(f"{path} ends before its header says: what is there is read")
        return [("recording", leg, with_media_time(recording.frames(leg))) for leg in recording.legs]
    legs, seen = [], Seen()
    for leg in read_legs(path, seen=seen):
        name = f"{leg.source} > {leg.destination} ssrc {leg.ssrc:#010x}"
        legs.append(("capture", name, leg_frames(leg)))
    if seen.breaks_off:
        note(f"{path} breaks off in the middle of a packet: what is before it is read")
    return legs


def _cut_short(path: Path) -> bool:
    """Whether a WAV file is shorter than it says. One that was written to a pipe says about the most that it can."""
    with path.open("rb") as file:
        head = file.read(12)
    size = int.from_bytes(head[4:8], "little")
    is_wav = head[:4] == b"RIFF" and head[8:] == b"WAVE"
    return is_wav and size < _PIPED and size + 8 > path.stat().st_size + 1  # some count a last byte that only fills up


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
