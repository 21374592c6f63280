"""A neural source-filter vocoder with a harmonic and a noise branch (Wang, Takaki and Yamagishi 2019), from its weights.

A network of sines at multiples of F0, and noise, is bent into speech by dilated causal convolutions that hear the mel
spectrum. The weights are a state dict that the authors published; the network around them is written here from the
paper and from the shapes and names in the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.vocoders import RATE, Signal, fit_length, pitch

FRAME, HOP, FFT = 400, 80, 1024  # samples
BANDS, LINEAR_HZ = 79, 1000.0  # mel triangles beside the band of 0 Hz; below this frequency they are evenly spread
HARMONICS, SINE, BREATH = 8, 0.1, 0.003  # sines, amplitude of each, standard deviation of the noise in voiced parts
HARMONIC_BLOCKS, NOISE_BLOCKS = 5, 1
WIDTH = 64  # channels
PEAK = 0.5  # level at which the network is fed: that of its training speech


def mel_triangles() -> Signal:
    """[80, 513]: the bin at 0 Hz, then triangles of unit area per Hz up to half the rate."""
    top = 1127.01048 * np.log(RATE / 2 / 700 + 1)
    edges = 700 * (np.exp(np.linspace(0, top, BANDS + 2) / 1127.01048) - 1)
    straight = int((edges < LINEAR_HZ).sum())
    edges[: straight + 1] = np.linspace(0, edges[straight], straight + 1)
    hz = np.linspace(0, RATE / 2, FFT // 2 + 1)
    rise = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.zeros((BANDS + 1, FFT // 2 + 1))
    bank[0, 0] = FFT / RATE
    bank[1:] = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return bank


def mel_spectrum(signal: Signal, frames: int) -> Signal:
    """Natural log of mel magnitudes [frames, 80] every 5 ms, of samples counted as int16."""
    window = np.blackman(FRAME)
    window /= np.sqrt((window**2).sum())
    padded = np.pad(signal * 32768, (FRAME // 2, FRAME + frames * HOP))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: frames * HOP : HOP]
    magnitude = np.maximum(np.abs(np.fft.rfft(blocks * window, FFT, axis=1)), 1e-12)
    log_mel: Signal = np.log(magnitude @ mel_triangles().T + 1e-12)
    return log_mel


class SourceFilter:
    """The vocoder. ValueError when the file is not the state dict of that network."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"no vocoder weights: {path} does not exist")
        self._weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        prefix = "m_condition.l_blstm.l_blstm."
        lstm = {name.removeprefix(prefix): value for name, value in self._weights.items() if name.startswith(prefix)}
        self._lstm = torch.nn.LSTM(BANDS + 2, WIDTH // 2, bidirectional=True, batch_first=True)
        try:
            self._lstm.load_state_dict(lstm)
        except RuntimeError as error:
            raise ValueError(f"{path} does not hold this network: {error}") from None

    def __call__(self, signal: Signal, rng: np.random.Generator) -> Signal:
        peak = np.abs(signal).max() + 1e-9
        scaled = signal * (PEAK / peak)
        f0, _ = pitch(scaled)
        features = np.concatenate([mel_spectrum(scaled, len(f0)), f0[:, None]], axis=1)
        with torch.no_grad():
            made = self._synthesize(_tensor(features), np.repeat(f0, HOP), rng)
        return fit_length(made * (peak / PEAK), len(signal))

    def _synthesize(self, features: torch.Tensor, f0: Signal, rng: np.random.Generator) -> Signal:
        heard = self._condition(features)
        voiced = f0 > 0
        harmonic, noise = self._source(f0, rng), _tensor(rng.standard_normal(len(f0)) * SINE / 3)[None, None]
        for block in range(HARMONIC_BLOCKS):
            harmonic = self._block(harmonic, heard, f"m_filter.l_har_blocks.{block}.")
        for block in range(NOISE_BLOCKS):
            noise = self._block(noise, heard, f"m_filter.l_noi_blocks.{block}.")
        share = torch.sigmoid(_tensor(np.where(voiced, 5.0, -5.0)))
        loud = self._band(harmonic, "lp_v") + self._band(noise, "hp_v")
        soft = self._band(harmonic, "lp_u") + self._band(noise, "hp_u")
        made: NDArray[np.float32] = (loud * share + soft * (1 - share))[0, 0].numpy()
        return made.astype(np.float64)

    def _condition(self, features: torch.Tensor) -> torch.Tensor:
        """What the filter hears of the frames [n, 81], at the rate of samples [1, 64, 80 n]."""
        normal = (features - self._weights["input_mean"]) / self._weights["input_std"]
        hidden = self._lstm(normal[None])[0].transpose(1, 2)
        layer = "m_condition.l_conv1d."
        hidden = torch.tanh(
            functional.conv1d(hidden, self._weights[layer + "weight"], self._weights[layer + "bias"], padding=1)
        )
        smooth = hidden.repeat_interleave(HOP, dim=2)
        for name in ("l_ave2", "l_ave1"):  # moving averages over one frame, centred
            padded = functional.pad(smooth, ((HOP - 1) // 2, HOP // 2))
            smooth = functional.conv1d(padded, self._weights[f"m_condition.l_upsamp.{name}.weight"], groups=WIDTH)
        return smooth

    def _source(self, f0: Signal, rng: np.random.Generator) -> torch.Tensor:
        """Sines at the multiples of F0 [samples], merged into one signal [1, 1, samples]; noise where it is 0."""
        starts = rng.random(HARMONICS)
        starts[0] = 0.0
        turns = np.cumsum(f0 / RATE)[None] * np.arange(1, HARMONICS + 1)[:, None] + starts[:, None]
        voiced = f0 > 0
        noise = rng.standard_normal(turns.shape) * np.where(voiced, BREATH, SINE / 3)
        sines = np.sin(2 * np.pi * (turns % 1)) * SINE * voiced + noise
        weight, bias = self._weights["m_source.l_linear.weight"], self._weights["m_source.l_linear.bias"]
        return torch.tanh(weight @ _tensor(sines) + bias[:, None])[None]

    def _block(self, signal: torch.Tensor, heard: torch.Tensor, prefix: str) -> torch.Tensor:
        weights = self._weights
        hidden = torch.tanh(functional.conv1d(signal, weights[prefix + "l_ff_1.weight"][..., None]))
        layer = 0
        while (name := f"{prefix}l_convs.{layer}.weight") in weights:
            past = functional.pad(hidden, (2 * 2**layer, 0))
            hidden = hidden + torch.tanh(functional.conv1d(past, weights[name], dilation=2**layer)) + heard
            layer += 1
        hidden = hidden * weights[prefix + "scale"]
        for name in ("l_ff_2", "l_ff_3"):
            hidden = torch.tanh(functional.conv1d(hidden, weights[f"{prefix}{name}.weight"][..., None]))
        return hidden + signal

    def _band(self, signal: torch.Tensor, name: str) -> torch.Tensor:
        """One of the four fixed filters, causal."""
        taps = self._weights[f"m_filter.l_fir_{name}.weight"]
        return functional.conv1d(functional.pad(signal, (taps.shape[2] - 1, 0)), taps)


def _tensor(values: Signal) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
