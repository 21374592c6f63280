"""Synthesis paths that training never uses: what a copy of real speech sounds like that no model here has learned from.

Which they are stands in models.copies.HELD_OUT, next to the plan of training. As in models.vocoders, each takes float64
[n] at 16 kHz in [-1, 1] and a random generator, and returns the same length.

Paths: Griffin and Lim's phase recovery (models.vocoders), a homomorphic vocoder after Oppenheim (1969) whose
minimum-phase responses are laid down pitch period by pitch period, a neural source-filter model (models.nsf), and Lyra
V2, a streaming neural codec (SoundStream's encoder and residual quantiser, Zeghidour 2021, with a GAN decoder).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.vocoders import FRAME_MS, RATE, Signal, Vocoder, fit_length, griffin_lim, pitch

WINDOW, HOP, FFT = 512, int(RATE * FRAME_MS / 1000), 1024  # samples
LYRA_FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
NSF_FILE = "hn_nsf.pt"
LYRA_FRAME = 320  # samples in 20 ms
LYRA_DELAY = 2 * LYRA_FRAME  # samples of silence behind the clip, so that its end comes out too
LYRA_DEPTHS = (16, 30, 46)  # quantisers in use: 3.2, 6 and 9.2 kbit/s


def cepstral(signal: Signal, rng: np.random.Generator) -> Signal:
    """Cepstral envelopes as minimum-phase responses: one per pitch period where voiced, shaped noise elsewhere."""
    f0, _ = pitch(signal)
    responses = minimum_phase(signal, len(f0), int(rng.integers(28, 60)))
    breath = rng.uniform(0.05, 0.35)  # share of noise in voiced frames
    out = np.zeros(len(signal) + FFT + HOP)
    voiced = f0 > 40.0
    for start, period, frame in _periods(f0, len(signal)):
        out[start : start + FFT] += responses[frame] * np.sqrt((1 - breath) * period)
    level = np.where(voiced, np.sqrt(breath), 1.0)
    window = np.hanning(2 * HOP + 1)[:-1] / np.sqrt(0.75)  # two overlapping windows of noise keep its power
    spectra = np.fft.rfft(responses, 2 * FFT, axis=1)
    for frame, gain in enumerate(level):
        grain = np.fft.irfft(np.fft.rfft(rng.standard_normal(2 * HOP) * window, 2 * FFT) * spectra[frame], 2 * FFT)
        start = max(0, frame * HOP - HOP)
        piece = grain[: min(FFT, len(out) - start)]
        out[start : start + len(piece)] += gain * piece
    return fit_length(out, len(signal))


def minimum_phase(signal: Signal, frames: int, order: int) -> Signal:
    """Impulse responses [frames, FFT] with the energy of a sample of their frame; `order` cepstral coefficients are kept."""
    padded = np.pad(signal, (WINDOW // 2, WINDOW + frames * HOP))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    window = np.hanning(WINDOW + 1)[:-1]
    power = (blocks**2 * window).mean(axis=1) / window.mean()
    spectrum = np.abs(np.fft.rfft(blocks * window, FFT, axis=1))
    cepstrum = np.fft.irfft(np.log(spectrum + 1e-7), axis=1)
    folded = np.zeros_like(cepstrum)
    folded[:, 0], folded[:, 1:order] = cepstrum[:, 0], 2 * cepstrum[:, 1:order]
    responses = np.fft.irfft(np.exp(np.fft.rfft(folded, axis=1)), axis=1)
    energy = (responses**2).sum(axis=1)
    scaled: Signal = responses * np.sqrt(power / np.maximum(energy, 1e-20))[:, None]
    return scaled


def _periods(f0: Signal, length: int) -> list[tuple[int, float, int]]:
    """(start sample, period in samples, frame) of every pitch period in the voiced parts."""
    marks, at = [], 0.0
    while at < length:
        frame = min(int(at / HOP), len(f0) - 1)
        if f0[frame] > 40.0:
            period = RATE / f0[frame]
            marks.append((int(at), float(period), frame))
            at += period
        else:
            at = (frame + 1) * HOP if frame + 1 < len(f0) else float(length)
    return marks


class Lyra:
    """Lyra V2 at one of three bit rates, drawn per clip. Its state begins anew with every clip."""

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        for name in LYRA_FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(f"no vocoder weights: {folder / name} does not exist")
        self._encoder, self._quantiser, self._decoder = (Interpreter(str(folder / name), num_threads=1) for name in LYRA_FILES)
        self._encode = self._quantiser.get_signature_runner("encode")
        self._decode = self._quantiser.get_signature_runner("decode")

    def __call__(self, signal: Signal, rng: np.random.Generator) -> Signal:
        depth = LYRA_DEPTHS[int(rng.integers(len(LYRA_DEPTHS)))]
        for net in (self._encoder, self._decoder):
            net.allocate_tensors()
            net.reset_all_variables()
        padded = np.pad(signal, (0, LYRA_DELAY + -len(signal) % LYRA_FRAME)).astype(np.float32)
        blocks = [self.block(block, depth) for block in padded.reshape(-1, 1, LYRA_FRAME)]
        return aligned(np.concatenate(blocks).astype(np.float64), signal)

    def block(self, block: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
        """20 ms [1, 320] through encoder, quantiser and decoder: [320], later by the codec's delay."""
        features = _invoke(self._encoder, block)
        indices = self._encode(input_frames=features, num_quantizers=np.array(depth, np.int32))["output_0"]
        made: NDArray[np.float32] = _invoke(self._decoder, self._decode(encoding_indices=indices)["output_0"])[0]
        return made


def _invoke(net: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    net.set_tensor(net.get_input_details()[0]["index"], values)
    net.invoke()
    result: NDArray[np.float32] = net.get_tensor(net.get_output_details()[0]["index"])
    return result


def aligned(made: Signal, original: Signal, most: int = LYRA_DELAY) -> Signal:
    """`made` moved earlier by the delay of at most `most` samples at which it resembles `original` most; its length."""
    size = 1 << (len(made) + len(original)).bit_length()
    spectrum = np.fft.rfft(made, size) * np.conj(np.fft.rfft(original, size))
    delay = int(np.argmax(np.fft.irfft(spectrum, size)[: most + 1]))
    return fit_length(made[delay:], len(original))


def held_out_vocoders(weights: Path | None) -> dict[str, Vocoder]:
    """The paths of models.copies.HELD_OUT by name; the trained ones only where their weights are (`weights`: a folder)."""
    paths: dict[str, Vocoder] = {"griffin-lim": griffin_lim, "cepstral": cepstral}
    if weights is not None and (weights / NSF_FILE).is_file():
        from models.nsf import SourceFilter  # needs torch

        paths["hn-nsf"] = SourceFilter(weights / NSF_FILE)
    if weights is not None and all((weights / name).is_file() for name in LYRA_FILES):
        paths["lyra"] = Lyra(weights)
    return paths
