"""Made-up packs: a tone for every clip, written by the standard library, with a manifest that is true."""

from __future__ import annotations

import hashlib
import json
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from challenges.content import clip_texts
from challenges.languages import LANGUAGES

RATES = (8000, 16000)


def tone(rate: int, seconds: float = 0.4, dbfs: float = -20.0, hz: float = 440.0) -> np.ndarray:
    """A sine whose RMS is `dbfs` below full scale."""
    peak = 32768 * 2**0.5 * 10 ** (dbfs / 20)
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def write_wav(path: Path, samples: np.ndarray, rate: int, channels: int = 1) -> str:
    """A 16-bit WAV file -> its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as wav:
        wav.setparams((channels, 2, rate, 0, "NONE", ""))
        wav.writeframes(samples.astype("<i2").tobytes())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_pack(folder: Path, names: Iterable[str], seconds: float = 0.4) -> dict[str, Any]:
    """A faultless pack of one tone per name, every clip of another pitch, with the texts of today -> its manifest."""
    texts = {name: text for language in LANGUAGES for name, (text, _) in clip_texts(language).items()}
    clips: dict[str, Any] = {}
    for index, name in enumerate(names):
        files = {}
        for rate in RATES:
            digest = write_wav(folder / f"{rate}/{name}.wav", tone(rate, seconds, hz=300 + 10 * (index % 200)), rate)
            files[str(rate)] = {"file": f"{rate}/{name}.wav", "sha256": digest}
        clips[name] = {"text": texts.get(name, name.rsplit("/", 1)[-1]), "voice": "tone", "files": files}
    manifest = {"schema": 1, "voice": "tone", "rates": list(RATES), "level_dbfs": -20, "clips": clips}
    write_manifest(folder, manifest)
    return manifest


def write_manifest(folder: Path, manifest: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace_wav(folder: Path, manifest: dict[str, Any], name: str, rate: int, samples: np.ndarray, **form: int) -> None:
    """Another sound for one clip, with a manifest that knows of it."""
    entry = manifest["clips"][name]["files"][str(rate)]
    entry["sha256"] = write_wav(folder / entry["file"], samples, form.pop("written_rate", rate), **form)
    write_manifest(folder, manifest)
