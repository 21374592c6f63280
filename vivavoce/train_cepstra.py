"""Train challenges/cepstra.npz: what a clean wideband recording's cepstrum was, from its telephone form.

Every recording of the corpus's train split that was made at 16 kHz or more is heard twice: by pocketsphinx's own front
end, which gives the target, and through a telephone channel with noise. `python -m vivavoce.train_cepstra CORPUS OUT.npz` makes
the file again (extras train and examine); an hour of recordings takes some minutes of one core.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train,examine", "torch", "scipy", "pocketsphinx")

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from challenges.cepstra import CEPSTRA, log_bands, stacked
from models.channel import Channel, apply
from models.corpus import Clip, read_audio, read_corpus, read_speech
from models.manifests import read_table
from vivavoce.cli import alone

SEED = 20261121
CLIPS = 700
SNR_DB = ((40.0, 40.0), (8.0, 30.0), (8.0, 18.0))  # each clip is heard once in each range
NOT_NOISE = frozenset({"rir", "device_ir", "voice_nonspeech", "phone_dial", "radio", "music"})
NOT_FOR_TRAINING = ("fsdd", "tess")  # speakers the recogniser is measured with
Floats = NDArray[np.float32]


def wideband(clips: list[Clip]) -> list[Clip]:
    """English recordings of people with all of the band that the recogniser hears, in a random order."""
    fit = [
        clip
        for clip in clips
        if clip.bonafide and clip.language == "en" and clip.orig_sr >= 16000 and clip.duration_s > 2.0
        and "mp3" not in clip.orig_codec and not clip.speaker.startswith(NOT_FOR_TRAINING)
    ]  # fmt: skip
    order = np.random.default_rng(SEED).permutation(len(fit))
    return [fit[i] for i in order[:CLIPS]]


def read_noises(folder: Path, split: str) -> list[NDArray[np.int16]]:
    """The background noises of one split."""
    table = read_table(folder / "manifest.csv", ("path", "split", "kind"))[1]
    rows = [row for row, _ in table if row["split"] == split and row["kind"] not in NOT_NOISE]
    return [read_speech(folder / row["path"]) for row in rows]


class FrontEnd:
    """pocketsphinx's own features of a recording at 16 kHz, by way of the files it can be told to write."""

    def __init__(self, folder: Path) -> None:
        from pocketsphinx import Config, Decoder  # an extra

        self._folder = folder
        self._decoder = Decoder(Config(lm=None, loglevel="FATAL", samprate=16000, mfclogdir=str(folder)))
        self._decoder.add_fsg("none", self._decoder.create_fsg("none", 0, 1, [(0, 0, 0.5, "a"), (0, 1, 0.5)]))
        self._decoder.activate_search("none")

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        """Cepstra [frames, 13], zero on average."""
        self._decoder.start_utt()
        self._decoder.process_raw(samples.astype("<i2").tobytes(), no_search=True, full_utt=True)
        self._decoder.end_utt()
        (written,) = self._folder.glob("*.mfc")
        cepstra = np.frombuffer(written.read_bytes()[4:], ">f4").reshape(-1, CEPSTRA)
        written.unlink()
        centred: Floats = (cepstra - cepstra.mean(axis=0)).astype(np.float32)
        return centred


def pairs(clips: list[Clip], noises: list[NDArray[np.int16]]) -> Iterator[tuple[Floats, Floats]]:
    """(telephone bands [frames, inputs], wideband cepstra [frames, 13]), three times per clip."""
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        front_end = FrontEnd(Path(folder))
        for clip in clips:
            wide, rate = read_audio(clip.path)
            if rate != 16000:
                continue
            target, narrow = front_end(wide), read_speech(clip.path)
            for low, high in SNR_DB:
                channel = Channel(
                    noise=int(rng.integers(len(noises))), noise_at=float(rng.random()), snr_db=float(rng.uniform(low, high)),
                    low_hz=float(rng.choice([0, 150, 250])), high_hz=float(rng.choice([3400, 3700, 4000])), law="mu",
                )  # fmt: skip
                bands = stacked(log_bands(apply(narrow, channel, noises, [])))
                frames = min(len(bands), len(target))
                yield bands[:frames], target[:frames]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vivavoce.train_cepstra", description="train challenges/cepstra.npz")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    args = parser.parse_args()
    write(args.corpus, args.out)


def write(corpus: Path, out: Path) -> None:
    from models.mapping import train  # extra: train

    clips = wideband(read_corpus(corpus, ["train"]))
    found = list(pairs(clips, read_noises(corpus / "noise", "train")))
    print(f"{len(clips)} recordings, {sum(len(bands) for bands, _ in found):,} frames", file=sys.stderr)
    inputs, targets = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.savez_compressed(out, **train(inputs, targets))


if __name__ == "__main__":
    sys.exit(alone("vivavoce.train_cepstra", main))
