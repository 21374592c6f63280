"""What a call says that holds nothing but noise: `python -m vivavoce.measure_noise CORPUS` prints one JSON object.

Every noise of the corpus's folder `noise`, half a minute over G.711 at two levels, and tones of the telephone network,
each as a call of its own through what serves: voice activity detection, model, policy. A verdict on any of them would
be about nobody. Noises that were kept out of training are counted apart.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train", "scipy")

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import webrtcvad
from tqdm import tqdm

from engine.audio import AudioFrame, Samples
from engine.call import Call, CallConfig, CallInfo
from engine.config import load_settings
from engine.offline import Job, screen
from models.channel import G711, apply
from models.corpus import RATE, read_speech
from models.manifests import read_table
from models.runtime import StateStore
from vivavoce import service_model
from vivavoce.cli import alone

SECONDS = 30
PACKET = 160  # samples
LANES = 16  # calls side by side
LEVELS_DB = (-30.0, -45.0)  # RMS, dBFS
HOLD_OUT = 5  # of train's noises every fifth is kept for dev, as models.dataset.read_noises has it
TONES = {  # name -> (frequencies in Hz, seconds on, seconds of a period): ITU-T E.180 and North America's precise tones
    "ringing, North America": ((440, 480), 2.0, 6.0),
    "ringing, Europe": ((425,), 1.0, 5.0),
    "ringing, United Kingdom": ((400, 450), 0.4, 1.0),
    "busy, North America": ((480, 620), 0.5, 1.0),
    "busy, Europe": ((425,), 0.5, 1.0),
    "dial tone, North America": ((350, 440), 1.0, 1.0),
    "key 1": ((697, 1209), 0.1, 0.5),
}


def noises(corpus: Path) -> Iterator[tuple[str, str, Samples]]:
    """(kind, "train" or "kept out", int16 at 8 kHz) of every noise of the corpus, and the tones."""
    trained = 0
    for row, _ in read_table(corpus / "noise" / "manifest.csv", ("path", "split", "kind"))[1]:
        if row["kind"] in ("rir", "device_ir"):
            continue
        known = row["split"] == "train" and trained % HOLD_OUT != 0
        trained += row["split"] == "train"
        yield row["kind"], "train" if known else "kept out", read_speech(corpus / "noise" / row["path"])
    yield from ((name, "tones", sound) for name, sound in tones())


def tones() -> Iterator[tuple[str, Samples]]:
    """(name, int16 at 8 kHz) of TONES, most of which train's made noise holds too."""
    at = np.arange(SECONDS * RATE) / RATE
    for name, (frequencies, on, period) in TONES.items():
        sound = np.sum([np.sin(2 * np.pi * f * at) for f in frequencies], axis=0) * (at % period < on)
        yield name, (sound * 8000).astype(np.int16)


def job(kind: str, group: str, sound: Samples, level_db: float, config: CallConfig, vad_mode: int) -> Job:
    """A call that hears SECONDS of this, over G.711."""
    long = np.resize(sound, SECONDS * RATE).astype(np.float64)
    gain = 10 ** (level_db / 20) * 32768 / max(1.0, float(np.sqrt((long**2).mean())))
    heard = apply(np.clip(np.rint(long * gain), -32768, 32767).astype(np.int16), G711, (), ())
    call = Call(CallInfo("noise"), config, webrtcvad.Vad(vad_mode).is_speech, 0.0)
    starts = range(0, len(heard), PACKET)
    frames = ((AudioFrame(heard[at : at + PACKET], RATE, at), (at + PACKET) / RATE) for at in starts)
    return Job(call, frames, lambda tag: None, key=(kind, group, level_db))


def measure_noise(corpus: Path, model_file: str | None = None) -> dict[str, Any]:
    """How such calls stand at their end, by group, and which had a verdict. FileNotFoundError without the noises."""
    settings = load_settings(None, os.environ, [f"model.path={model_file}"] if model_file else [])
    model = service_model.load(settings)
    config = service_model.call_config(settings, model.info)
    jobs = (
        job(kind, group, sound, level, config, settings.calls.vad_mode)
        for kind, group, sound in tqdm(list(noises(corpus)), desc="noises", unit="noise", file=sys.stderr)
        for level in LEVELS_DB
    )
    ends: dict[str, Counter[str]] = {}
    verdicts = []
    for done in screen(jobs, model, StateStore(model, LANES), LANES):
        (kind, group, level), tag = done.key, str(done.call.state)
        ends.setdefault(group, Counter())[tag] += 1
        if tag in ("deepfake-likely", "human-likely"):
            seconds = round(done.call.net_speech_s, 1)
            verdicts.append({"kind": kind, "group": group, "dbfs": level, "tag": tag, "net_speech_s": seconds})
    return {"model": model.version, "seconds": SECONDS, "ends": {g: dict(c) for g, c in ends.items()}, "verdicts": verdicts}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vivavoce.measure_noise", description="what is said of noise alone")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="with noises in its folder `noise`")
    parser.add_argument("model", nargs="?", metavar="FILE", help="an .onnx file (default: the weights that ship)")
    args = parser.parse_args()
    print(json.dumps(measure_noise(args.corpus, args.model), indent=1))


if __name__ == "__main__":
    sys.exit(alone("vivavoce.measure_noise", main))
