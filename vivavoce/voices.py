"""Who speaks the prompts: espeak-ng, piper or a person's recordings, and how their sound becomes a clip.

Synthesisers run as processes of their own (espeak-ng and piper are GPL, what they say is not).
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tempfile
import unicodedata
import wave
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from challenges.clips import BLOCK_S, LEVEL_DBFS, PromptError, active_level
from connectors.files import open_recording
from engine.audio import Samples
from engine.errors import VivavoceError

RATE = 16000  # Hz, the higher of the two that clips are kept at
WORDS_PER_MINUTE = 140  # slower than espeak-ng's 175: a prompt is heard once, on a telephone
ESPEAK_VOICES: Mapping[str, str] = {"en": "en-us", "fr": "fr-fr"}  # the others are called like their language
ESPEAK_VARIANT = "+klatt"  # of single English words pocketsphinx reads nine in ten; of the plain voice eight, of en-gb six
TIMEOUT_S = 60.0
QUIET_DB = -40.0  # blocks this far below the active level at either end are no speech
MARGIN_S = 0.04  # of them stay: the onset of an "f" is below any threshold
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aiff")


class Voice(Protocol):
    """Speaks a text, int16 [n] and its rate in Hz."""

    @property
    def name(self) -> str: ...

    def speaks(self, language: str) -> bool: ...

    def say(self, text: str, language: str) -> tuple[Samples, int]: ...


class Espeak:
    """espeak-ng, which knows about a hundred languages."""

    @cached_property
    def name(self) -> str:
        said = _run([self._program, "--version"], "").decode(errors="replace")
        version = re.search(r"\d+(\.\d+)+", said)
        return f"espeak-ng {version[0] if version else 'of unknown version'}"

    @cached_property
    def _program(self) -> str:
        if found := shutil.which("espeak-ng"):
            return found
        raise VivavoceError("espeak-ng is not installed; on Debian: apt-get install espeak-ng")

    @cached_property
    def _languages(self) -> frozenset[str]:
        lines = _run([self._program, "--voices"], "").decode(errors="replace").splitlines()[1:]
        return frozenset(line.split()[1] for line in lines if len(line.split()) > 1)

    def speaks(self, language: str) -> bool:
        return ESPEAK_VOICES.get(language, language) in self._languages

    def say(self, text: str, language: str) -> tuple[Samples, int]:
        voice = ESPEAK_VOICES.get(language, language) + ESPEAK_VARIANT
        call = [self._program, "-b", "1", "-s", str(WORDS_PER_MINUTE), "-v", voice, "--stdin", "--stdout"]
        return _parse_wav(_run(call, text), "espeak-ng")


class Piper:
    """One piper model, MODEL.onnx with MODEL.onnx.json beside it. Its noise is off: the same text sounds the same."""

    def __init__(self, model: Path) -> None:
        self.name = f"piper {model.stem}"
        self._model = model
        about = Path(f"{model}.json")
        if not model.is_file():
            raise VivavoceError(f"the piper voice {model} does not exist")
        try:
            code = json.loads(about.read_text())
            self._language = str(code["language"].get("family") or code["language"]["code"]).split("_")[0].lower()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise VivavoceError(f"{about} does not say the voice's language; it belongs beside {model.name}") from None

    @cached_property
    def _program(self) -> str:
        if found := shutil.which("piper"):
            return found
        raise VivavoceError("piper is not installed: no program of that name on the PATH (pip install piper-tts)")

    def speaks(self, language: str) -> bool:
        return language == self._language

    def say(self, text: str, language: str) -> tuple[Samples, int]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "said.wav"
            call = [self._program, "--model", str(self._model), "--output_file", str(file)]
            _run([*call, "--noise_scale", "0", "--noise_w", "0"], text + "\n")
            return _parse_wav(file.read_bytes() if file.exists() else b"", "piper")


class Recordings:
    """A folder of recordings by people, named like the clips: en/word/river.wav, or another kind of audio file."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise VivavoceError(f"{folder} is no folder of recordings")
        self.folder = folder
        self.files: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES:
                continue
            name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
            if name in self.files:
                raise VivavoceError(f"{self.files[name]} and {path.name} are two recordings of one clip")
            self.files[name] = path

    def read(self, name: str) -> tuple[Samples, int]:
        """The recording of the clip `name`, mixed to mono, at a rate the engine knows."""
        frames = list(open_recording(self.files[name]).frames("caller"))
        return np.concatenate([frame.samples for frame in frames]), frames[0].rate


def _run(call: list[str], text: str) -> bytes:
    program = Path(call[0]).name
    try:
        done = subprocess.run(call, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise VivavoceError(f"{program} did not finish within {TIMEOUT_S:g} s over {text!r}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise VivavoceError(f"{program} failed over {text.strip()!r}: {said[-1] if said else done.returncode}")
    return done.stdout


def _parse_wav(content: bytes, program: str) -> tuple[Samples, int]:
    """A WAV whose header may promise more than there is: a pipe's length is not known when the header is written."""
    try:
        with wave.open(io.BytesIO(content)) as wav:
            if (wav.getnchannels(), wav.getsampwidth()) != (1, 2):
                raise VivavoceError(f"{program} gave {wav.getnchannels()} channels of {8 * wav.getsampwidth()} bits")
            frames, rate = wav.readframes(wav.getnframes()), wav.getframerate()
    except (wave.Error, EOFError):
        raise VivavoceError(f"{program} gave no WAV file") from None
    return np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(np.int16), rate


def make_clip(samples: Samples, rate: int) -> dict[int, Samples]:
    """Speech at any rate -> the clip by rate: silent ends cut off, brought to -20 dBFS active level.

    PromptError when there is no speech in it.
    """
    wide = resample(samples, rate, RATE)
    level = active_level(wide, RATE)
    if not level > -60.0:
        raise PromptError("holds no sound that could be speech")
    speech = trim(wide, RATE, level)
    return {RATE: at_level(speech, RATE), RATE // 2: at_level(resample(speech, RATE, RATE // 2), RATE // 2)}


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """Mono int16 at another rate, by FFmpeg's resampler."""
    if rate_in == rate_out:
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_out)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="s16", layout="mono")
    frame.sample_rate = rate_in
    parts = [part.to_ndarray()[0] for given in (frame, None) for part in resampler.resample(given)]
    joined: Samples = np.concatenate(parts).astype(np.int16, copy=False)
    return joined


def trim(samples: Samples, rate: int, level: float) -> Samples:
    """Without the silence at both ends; `level` is the active level in dBFS. Short fades keep the cuts inaudible."""
    block = round(BLOCK_S * rate)
    power = (samples[: len(samples) // block * block].astype(np.float64).reshape(-1, block) / 32768) ** 2
    loud = np.flatnonzero(power.mean(axis=1) > 10 ** ((level + QUIET_DB) / 10))
    margin = round(MARGIN_S * rate)
    cut = samples[max(0, loud[0] * block - margin) : (loud[-1] + 1) * block + margin].astype(np.float64)
    fade: NDArray[np.float64] = np.linspace(0.0, 1.0, min(round(0.01 * rate), len(cut) // 2))
    cut[: len(fade)] *= fade
    cut[len(cut) - len(fade) :] *= fade[::-1]
    trimmed: Samples = np.rint(cut).astype(np.int16)
    return trimmed


def at_level(samples: Samples, rate: int) -> Samples:
    """Brought to the level of prompts; the few peaks that do not fit are cut, which lowers it by less than it may vary."""
    gain = 10 ** ((LEVEL_DBFS - active_level(samples, rate)) / 20)
    levelled: Samples = np.rint(samples * gain).clip(-32768, 32767).astype(np.int16)
    return levelled
