"""Labelled speech on disk: one typed record per clip, read from a manifest.

The corpus manifest has the columns path, split, label, generator, generator_family, seen, speaker, language,
duration_s, orig_sr, orig_codec, repo, orig_path, licence and may have gender, codec and challenge; a plain CSV needs
only `path` and `label`. Public data sets are read into the same record by models.datasets. Nothing here decides what
to train on: that is dataset.py.
"""

from __future__ import annotations

import fractions
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from models.manifests import read_table

RATE = 8000  # Hz, the rate the detector hears
SPLITS = ("train", "dev", "eval")
LABELS = ("bonafide", "spoof")
SEEN = {"": False} | dict.fromkeys(("no", "false", "0"), False) | dict.fromkeys(("yes", "true", "1"), True)
# What is opened as audio. FFmpeg knows playlists too, and a data set of somebody else's must not name files to be read.
CONTAINERS = "wav,w64,aiff,au,caf,nist,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,matroska,webm,amr,amrnb,amrwb,gsm,wv,g722,asf,avi"


class UnreadableError(ValueError):
    """A file that gives no audio, or none to its end."""


@dataclass(frozen=True)
class Clip:
    """One recording with its label. Empty strings mean "not known"; `orig_sr` 0 likewise."""

    path: Path
    label: str  # "bonafide" or "spoof"
    split: str = ""
    generator: str = ""  # what made the voice; empty for people
    family: str = ""  # kind of generator
    seen: bool = False  # the generator, or a sibling, also occurs in an earlier split
    speaker: str = ""
    repo: str = ""  # where it was published: the "recording world"
    language: str = ""
    duration_s: float = 0.0
    orig_sr: int = 0  # Hz
    orig_codec: str = ""
    orig_path: str = ""
    licence: str = ""
    gender: str = ""  # "f" or "m"
    codec: str = ""  # what it was sent through before it was published; empty for nothing
    challenge: str = ""  # what the speaker was asked to do, where somebody asked
    key: str = ""  # unique within its data set; empty where the stem of the file is

    @property
    def bonafide(self) -> bool:
        return self.label == "bonafide"

    @property
    def name(self) -> str:
        """Short stable name: split, label, and key or file stem."""
        return f"{self.split}/{self.label}/{self.key or self.path.stem}"


def read_manifest(manifest: Path, splits: Iterable[str] = SPLITS, *, root: Path | None = None) -> list[Clip]:
    """All clips of `splits` in the order of the file; paths are relative to `root` (default: the manifest's folder).

    Rows without a split are kept whatever `splits` says. Files of one name in several folders are told apart by `key`.
    ValueError names the line of the first bad row.
    """
    wanted = set(splits)
    if unknown := wanted - set(SPLITS):
        raise ValueError(f"unknown split {sorted(unknown)}; known: {', '.join(SPLITS)}")
    folder = root or manifest.parent
    clips = [clip_of(row, folder, where) for row, where in read_table(manifest)[1]]
    return [clip for clip in _told_apart(clips, folder) if not clip.split or clip.split in wanted]


def _told_apart(clips: list[Clip], folder: Path) -> list[Clip]:
    """Those whose names would be one are called by their paths: a cache knows clips by name."""
    times = Counter(clip.name for clip in clips)
    return [replace(clip, key=os.path.relpath(clip.path, folder)) if times[clip.name] > 1 else clip for clip in clips]


def read_corpus(folder: Path, splits: Iterable[str] = SPLITS) -> list[Clip]:
    """The clips of a corpus folder holding manifest.csv. FileNotFoundError when there is none."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise FileNotFoundError(f"no corpus here: {manifest} does not exist")
    return read_manifest(manifest, splits)


def clip_of(row: Mapping[str, str | None], folder: Path, where: str) -> Clip:
    """One row of a manifest, its path relative to `folder`. ValueError says what is wrong, beginning with `where`."""

    def text(key: str) -> str:
        return (row.get(key) or "").strip()

    label, split = text("label"), text("split")
    if label not in LABELS:
        raise ValueError(f"{where}: label {label!r} is neither 'bonafide' nor 'spoof'")
    if split and split not in SPLITS:
        raise ValueError(f"{where}: unknown split {split!r}")
    if not text("path"):
        raise ValueError(f"{where}: empty path")
    if text("seen").lower() not in SEEN:
        raise ValueError(f"{where}: seen {text('seen')!r} is neither 'yes' nor 'no'")
    return Clip(
        path=folder / text("path"),
        label=label,
        split=split,
        generator=text("generator"),
        family=text("generator_family"),
        seen=SEEN[text("seen").lower()],
        speaker=text("speaker"),
        repo=text("repo"),
        language=text("language"),
        duration_s=_number(text("duration_s"), "duration_s", where),
        orig_sr=int(_number(text("orig_sr"), "orig_sr", where)),
        orig_codec=text("orig_codec"),
        orig_path=text("orig_path"),
        licence=text("licence"),
        gender=text("gender"),
        codec=text("codec"),
        challenge=text("challenge"),
    )


def _number(text: str, column: str, where: str) -> float:
    try:
        number = float(text) if text else 0.0
    except ValueError as error:
        raise ValueError(f"{where}: {column} {text!r} is not a number") from error
    if not isfinite(number):  # one would spoil every sum it is in
        raise ValueError(f"{where}: {column} {text!r} is not finite")
    return number


def _open(path: Path) -> Any:
    """Without "file:" FFmpeg would take what stands before a colon in a name for a protocol."""
    return av.open(f"file:{path}", options={"format_whitelist": CONTAINERS})


def read_audio(path: Path) -> tuple[NDArray[np.int16], int]:
    """First channel of an audio file as int16 [n], and its rate in Hz. UnreadableError when it cannot be decoded."""
    try:
        with _open(path) as container:
            if not container.streams.audio:
                raise UnreadableError(f"{path}: no audio in it")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="s16", layout="mono")
            blocks = [out.to_ndarray()[0] for frame in container.decode(stream) for out in resampler.resample(frame)]
            blocks += [out.to_ndarray()[0] for out in resampler.resample(None)]
            rate = int(stream.rate)
    except (av.FFmpegError, OSError) as error:
        raise UnreadableError(f"{path}: cannot be read as audio ({error})") from error
    if not blocks:
        raise UnreadableError(f"{path}: no samples in it")
    return np.concatenate(blocks).astype(np.int16, copy=False), rate


def read_duration(path: Path) -> float:
    """Seconds of audio by the file's header, nothing decoded. UnreadableError when there is no audio or no length in it."""
    try:
        with _open(path) as container:
            if not container.streams.audio:
                raise UnreadableError(f"{path}: no audio in it")
            stream = container.streams.audio[0]
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError) as error:
        raise UnreadableError(f"{path}: cannot be read as audio ({error})") from error
    if seconds <= 0:
        raise UnreadableError(f"{path}: its header names no length")
    return seconds


def resample(samples: NDArray[np.int16], rate_in: int, rate_out: int) -> NDArray[np.int16]:
    """Polyphase resampling of a whole signal, int16 in and out, rounded and saturated."""
    if rate_in == rate_out:
        return samples
    from scipy.signal import resample_poly  # an extra; reading lists of clips must not need it

    ratio = fractions.Fraction(rate_out, rate_in)
    out = resample_poly(samples.astype(np.float32), ratio.numerator, ratio.denominator)
    rounded: NDArray[np.int16] = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    return rounded


def read_speech(path: Path) -> NDArray[np.int16]:
    """An audio file at the detector's rate, int16 [n] at 8 kHz."""
    samples, rate = read_audio(path)
    return resample(samples, rate, RATE)
