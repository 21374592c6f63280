"""Copies and conversions by a vocoder that `vivavoce train-vocoder` made: paths `istft` and `istft-convert`, or of its kind.

A conversion puts another speaker's nearest frames in place of each frame, as kNN-VC does (Baas, "Voice conversion with
just nearest neighbors", Interspeech 2023), here with cepstra of log-mels instead of a large model's features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from models.copies import active_level
from models.neural_vocoder import LogMel, VocoderConfig
from models.vocoder_kinds import AnyVocoder, load_snapshot
from models.vocoders import RATE, Signal, Vocoder, fit_length, warp_frequency

VOICES = "voices.npz"  # beside the snapshots
LEVEL = 0.1  # active RMS that the vocoder was trained at
SPOKEN = 1 / 6  # snapshots of the first sixth of a training are left out: their words are hard to follow
NEIGHBOURS = 4
CEPSTRA = 19
VOICE_S, SHORTEST_VOICE_S, MOST_VOICES = 24.0, 12.0, 120
Frames = NDArray[np.float32]
Change = Callable[[Frames], Frames]  # of a log-mel [frames, bands]


class Voices:
    """Log-mel frames [frames, bands] of people to convert into, in a file beside the snapshots."""

    def __init__(self, frames: list[Frames]) -> None:
        self.frames = [np.asarray(voice, np.float32) for voice in frames]
        self._features = [features(voice) for voice in self.frames]
        self._means = np.stack([voice.mean(axis=0) for voice in self.frames])

    @classmethod
    def load(cls, path: Path) -> Voices:
        with np.load(path) as found:
            return cls(np.split(found["frames"], found["ends"][:-1]))

    def save(self, path: Path) -> None:
        ends = np.cumsum([len(voice) for voice in self.frames])
        np.savez_compressed(path, frames=np.concatenate(self.frames).astype(np.float16), ends=ends)

    def somebody_else(self, mel: Frames, rng: np.random.Generator) -> int:
        """A voice by lot, but not the one most like `mel`, which may be the same person's."""
        nearest = int(np.argmin(((self._means - mel.mean(axis=0)) ** 2).sum(axis=1)))
        if len(self.frames) == 1:
            return 0
        picked = int(rng.integers(len(self.frames) - 1))
        return picked + (picked >= nearest)

    def speak(self, mel: Frames, voice: int) -> Frames:
        """`mel` [frames, bands] with the mean of the nearest frames of a voice in place of each frame."""
        heard, known = features(mel), self._features[voice]
        likeness = heard @ known.T - 0.5 * (known**2).sum(axis=1)
        count = min(NEIGHBOURS, likeness.shape[1])
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        spoken: Frames = self.frames[voice][nearest].mean(axis=1)
        return spoken


def features(mel: Frames) -> Frames:
    """Cepstra and loudness of frames and of their surroundings [frames, 2 * 20], each at mean 0 and deviation 1."""
    cepstra = dct(mel, axis=1, norm="ortho")[:, : CEPSTRA + 1]
    cepstra = (cepstra - cepstra.mean(axis=0)) / (cepstra.std(axis=0) + 1e-3)
    around = gaussian_filter1d(cepstra, 3.0, axis=0)
    found: Frames = np.concatenate([cepstra, around], axis=1).astype(np.float32)
    return found


def collect_voices(clips: list[NDArray[np.int16]], speakers: list[str], shape: VocoderConfig, seed: int) -> Voices:
    """Up to 24 s of each speaker who said at least 12 s, at most 120 speakers by lot; of anybody where nobody did."""
    log_mel = LogMel(shape.fft, shape.hop, shape.bands)
    spoken: dict[str, list[NDArray[np.int16]]] = {}
    for clip, speaker in zip(clips, speakers, strict=True):
        said = spoken.setdefault(speaker, [])
        if sum(map(len, said)) < VOICE_S * RATE:
            said.append(clip)
    rng = np.random.default_rng(seed)
    enough = [name for name in sorted(spoken) if sum(map(len, spoken[name])) >= SHORTEST_VOICE_S * RATE] or sorted(spoken)
    picked = [enough[i] for i in rng.permutation(len(enough))[:MOST_VOICES]]
    with torch.inference_mode():
        return Voices([_mel(np.concatenate(spoken[name])[: int(VOICE_S * RATE)] / 32768, log_mel) for name in picked])


def _mel(signal: Signal, log_mel: LogMel) -> Frames:
    found: Frames = log_mel(torch.from_numpy(signal.astype(np.float32))[None])[0].T.numpy()
    return found


class OwnVocoder:
    """The snapshots of a folder as two paths. FileNotFoundError when there are none."""

    def __init__(self, folder: Path) -> None:
        found = sorted(folder.glob("snapshot-*.pt"))
        if not found:
            raise FileNotFoundError(f"no vocoder here: {folder} holds no snapshot-*.pt (vivavoce train-vocoder makes them)")
        last = _step(found[-1])
        self.snapshots = [load_snapshot(path) for path in found if _step(path) >= SPOKEN * last]
        self.voices = Voices.load(folder / VOICES) if (folder / VOICES).is_file() else None
        self.kind = self.snapshots[0].config.kind

    def paths(self) -> dict[str, Vocoder]:
        """By name; no conversion where no voices were kept."""
        found: dict[str, Vocoder] = {self.kind: self.copy}
        if self.voices is not None:
            found[f"{self.kind}-convert"] = self.convert
        return found

    def copy(self, signal: Signal, rng: np.random.Generator) -> Signal:
        """The same voice again, by one of the snapshots, from a mel that an acoustic model might have given."""
        vocoder = self._any(rng)
        return self._through(vocoder, signal, lambda mel: disturbed(mel, rng), rng)

    def convert(self, signal: Signal, rng: np.random.Generator) -> Signal:
        """Somebody else's voice saying the same."""
        vocoder, voices = self._any(rng), self.voices
        assert voices is not None

        def converted(mel: Frames) -> Frames:
            spoken = voices.speak(mel, voices.somebody_else(mel, rng))
            spoken = gaussian_filter1d(spoken, rng.uniform(0.4, 1.5), axis=0)
            return warped(spoken, rng.uniform(0.92, 1.1)) if rng.random() < 0.3 else spoken

        return self._through(vocoder, signal, converted, rng, octaves=0.5)

    def _any(self, rng: np.random.Generator) -> AnyVocoder:
        return self.snapshots[int(rng.integers(len(self.snapshots)))]

    def _through(
        self, vocoder: AnyVocoder, signal: Signal, change: Change, rng: np.random.Generator, octaves: float = 0.0
    ) -> Signal:
        """`octaves`: how far up or down F0 is moved at most, for the kind that is given it."""
        level = max(active_level(signal), 1e-6)
        hop, bands = vocoder.config.hop, vocoder.config.bands
        padded = np.pad(signal, (0, -len(signal) % hop)) * (LEVEL / level)
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            rows = _mel(padded, vocoder.log_mel)
            mel, track = change(rows[:, :bands]), rows[:, bands:]
            if track.size:
                torch.manual_seed(int(rng.integers(2**31)))  # its breath is noise
                mel = np.concatenate([mel, track * 2 ** rng.uniform(-octaves, octaves)], axis=1)
            wave = vocoder(torch.from_numpy(np.ascontiguousarray(mel.T, np.float32))[None])[0].numpy()
        return fit_length(wave.astype(np.float64) * (level / LEVEL), len(signal))


def disturbed(mel: Frames, rng: np.random.Generator) -> Frames:
    """A mel [frames, bands], now and then smoothed over time or frequency, made uneven, or with formants moved."""
    if rng.random() < 0.35:
        mel = gaussian_filter1d(mel, rng.uniform(0.3, 1.5), axis=0)
    if rng.random() < 0.35:
        mel = gaussian_filter1d(mel, rng.uniform(0.3, 1.2), axis=1)
    if rng.random() < 0.2:
        mel = mel + rng.uniform(0.03, 0.15) * rng.standard_normal(mel.shape).astype(np.float32)
    return warped(mel, rng.uniform(0.92, 1.1)) if rng.random() < 0.2 else mel


def warped(mel: Frames, factor: float) -> Frames:
    """Formants of a log-mel [frames, bands] moved up by `factor` in bands."""
    moved: Frames = np.log(np.maximum(warp_frequency(np.exp(mel.astype(np.float64)), factor), 1e-5)).astype(np.float32)
    return moved


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("snapshot-"))
