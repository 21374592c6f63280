"""Clips of a prompt pack: one short spoken text in a mono 16-bit WAV per rate, and everything that can be wrong with it.

A clip that is quiet, clipped, cut or exchanged would be heard first by a caller in the middle of an examination, so a
clip is looked at in full before any call: form, length, hash and level.
"""

from __future__ import annotations

import hashlib
import io
import math
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from engine.audio import Samples

RATES = (8000, 16000)  # Hz, one file each: what telephone lines carry
LEVEL_DBFS = -20.0  # active level; full scale is the RMS of a square wave at +-32768 (dBov of ITU-T G.100.1)
TOLERANCE_DB = 1.5
MIN_S, MAX_S = 0.1, 15.0  # a clip is a word at least, a sentence or two at most
MARGIN_DB = 15.9  # ITU-T P.56: below the active level by more than this is pause, not speech
BLOCK_S = 0.02
HEADER_BYTES = 4096  # room for what a WAV file says beside its samples


class PromptError(ValueError):
    """A prompt that cannot be played; the sentence names the clip."""


class PackError(PromptError):
    """A pack, or a clip of it, that is not what its manifest says or not fit to be played."""


class MissingPrompt(PromptError):  # noqa: N818 - a state of the pack, told in a word
    """A text that no clip of the pack speaks."""


class ClipFile(NamedTuple):
    """One file of a clip."""

    file: str  # inside the pack, with forward slashes
    sha256: str  # of the whole file, hex


@dataclass(frozen=True, slots=True)
class Clip:
    """One spoken text, once per rate."""

    name: str  # "en/word/river"
    text: str
    voice: str  # who speaks: a synthesiser, or "recording"
    files: Mapping[int, ClipFile]  # by rate in Hz


def parse_clip(name: str, entry: Any, rates: tuple[int, ...]) -> Clip:
    """A clip's entry in the manifest. PackError says what is wrong with it."""
    if not isinstance(entry, dict):
        raise PackError(f"clip {name}: {entry!r} is no object")
    text, voice, files = entry.get("text"), entry.get("voice", ""), entry.get("files")
    if not isinstance(text, str) or not text.strip():
        raise PackError(f"clip {name}: text {text!r} says nothing")
    if not isinstance(voice, str):
        raise PackError(f"clip {name}: voice {voice!r} is no name")
    if not isinstance(files, dict) or set(files) != {str(rate) for rate in rates}:
        raise PackError(f"clip {name}: files must have the keys {', '.join(map(str, rates))}")
    return Clip(name, text, voice, {rate: _parse_file(name, files[str(rate)]) for rate in rates})


def _parse_file(name: str, entry: Any) -> ClipFile:
    file = entry.get("file") if isinstance(entry, dict) else None
    sha256 = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(file, str) or not file or "\0" in file:
        raise PackError(f"clip {name}: file {file!r} is no file's name")
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\\" in file:
        raise PackError(f"clip {name}: {file} lies outside the pack")
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise PackError(f"clip {name}: sha256 {sha256!r} is not 64 hexadecimal digits")
    return ClipFile(file, sha256)


def read_clip(folder: Path, clip: Clip, rate: int) -> Samples:
    """The clip's samples at `rate` Hz, int16 [n], read-only; the file must be the one the manifest means."""
    file = clip.files[rate]
    path = folder / file.file
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise PackError(f"clip {clip.name}: {file.file} leads outside the pack")
        size = path.stat().st_size
        if size > MAX_S * rate * 2 + HEADER_BYTES:
            raise PackError(f"clip {clip.name}: {file.file} has {size:,} bytes, more than {MAX_S:g} s at {rate} Hz")
        content = path.read_bytes()
    except FileNotFoundError:
        raise PackError(f"clip {clip.name}: {file.file} does not exist") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself, in Python 3.11 and 3.12
        raise PackError(f"clip {clip.name}: {file.file} cannot be read: {getattr(error, 'strerror', error)}") from None
    if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise PackError(f"clip {clip.name}: {file.file} was changed: sha256 {found[:12]}, in the manifest {file.sha256[:12]}")
    return _parse_wav(f"clip {clip.name}: {file.file}", content, rate)


def _parse_wav(what: str, content: bytes, rate: int) -> Samples:
    try:
        with wave.open(io.BytesIO(content)) as wav:
            form = (wav.getnchannels(), wav.getsampwidth(), wav.getframerate())
            count, frames = wav.getnframes(), wav.readframes(wav.getnframes())
    except (wave.Error, EOFError) as error:
        raise PackError(f"{what} is no WAV file: {error or 'it breaks off'}") from None
    if form != (1, 2, rate):
        raise PackError(f"{what} has {form[0]} channels of {8 * form[1]} bits at {form[2]} Hz, not 1 of 16 at {rate}")
    if len(frames) != 2 * count:
        raise PackError(f"{what} breaks off after {len(frames) // 2} of {count} samples")
    return np.frombuffer(frames, "<i2").astype(np.int16, copy=False)


def clip_faults(folder: Path, clip: Clip) -> Iterator[str]:
    """Everything that is wrong with a clip's files, a sentence each."""
    lengths = []
    for rate in sorted(clip.files):
        try:
            samples = read_clip(folder, clip, rate)
        except PackError as error:
            yield str(error)
            continue
        lengths.append(len(samples) / rate)
        if fault := sound_fault(samples, rate):
            yield f"clip {clip.name} at {rate} Hz {fault}"
    if lengths and max(lengths) - min(lengths) > 0.05:
        yield f"clip {clip.name} lasts {min(lengths):.2f} s at one rate and {max(lengths):.2f} s at another"


def sound_fault(samples: Samples, rate: int) -> str:
    """What is wrong with a clip's sound, as the end of a sentence; "" if nothing is."""
    seconds = len(samples) / rate
    if not MIN_S <= seconds <= MAX_S:
        return f"lasts {seconds:.2f} s, not {MIN_S:g} to {MAX_S:g} s"
    level = active_level(samples, rate)
    if not abs(level - LEVEL_DBFS) <= TOLERANCE_DB:
        return f"is at {level:.1f} dBFS, not {LEVEL_DBFS:g} +-{TOLERANCE_DB:g}"
    return ""


def active_level(samples: Samples, rate: int) -> float:
    """Level of the speech in int16 [n], dBFS, pauses left out; -inf for silence.

    The blocks of 20 ms count that are at most 15.9 dB below the mean of all that count: the definition of ITU-T P.56,
    solved on block powers instead of a smoothed envelope.
    """
    block = round(BLOCK_S * rate)
    whole = samples[: len(samples) // block * block].astype(np.float64).reshape(-1, block) / 32768
    power = (whole**2).mean(axis=1)
    mean = float(power.mean()) if len(power) else 0.0
    for _ in range(50):  # the mean rises with every pause that is left out, and stands after a few rounds
        active = power[power >= mean * 10 ** (-MARGIN_DB / 10)]
        if not mean or (risen := float(active.mean())) == mean:
            break
        mean = risen
    return 10 * math.log10(mean) if mean else -math.inf
