"""Made-up voices at 8 kHz: enough of one for a pitch detector, with every cue set by hand."""

from __future__ import annotations

import numpy as np

RATE = 8000


def voice(
    seconds: float = 3.0, hz: float = 120.0, *, wobble: float = 0.12, syllables: float = 4.0, glide_st: float = 0.0,
    seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Harmonics under two formants, swelling once per syllable; `glide_st` is how far the last half second rises."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    f0 = hz * (1 + wobble * np.sin(2 * np.pi * 1.7 * at + rng.uniform(0, 6)))
    f0 = f0 * 2 ** (glide_st / 12 * np.clip((at - seconds + 0.7) / 0.5, 0, 1))
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    tone = sum(np.exp(-(((k * hz - 600) / 500) ** 2)) * np.cos(k * phase) for k in range(1, 25) if k * hz < 3600)
    swell = np.maximum(np.sin(np.pi * syllables * at), 0) if syllables else np.ones_like(at)
    return on_a_line(tone * swell, rng)


def whisper(seconds: float = 3.0, *, syllables: float = 4.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    return on_a_line(rng.standard_normal(len(at)) * np.abs(np.sin(np.pi * syllables * at / 2)) ** 2, rng)


def claps(times: tuple[float, ...] = (0.3, 0.8, 1.4), seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.where(at >= t, np.exp(-(at - t) * 60), 0) for t in times)
    return on_a_line(sound * rng.standard_normal(len(at)), rng, level=9000)


def on_a_line(sound: np.ndarray, rng: np.random.Generator, *, level: float = 5000) -> np.ndarray:
    """Half a second of the line's noise on each side."""
    scaled = sound / max(np.abs(sound).max(), 1e-9) * level
    padded = np.concatenate([np.zeros(RATE // 2), scaled, np.zeros(RATE // 2)])
    return np.clip(padded + rng.standard_normal(len(padded)) * 20, -32768, 32767).astype(np.int16)
