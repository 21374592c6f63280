"""Ways to make speech again from an analysis of it, for copies of real recordings.

A copy shares words, speaker, microphone and room with its original, so only the synthesis tells the two apart. Each
path takes float64 [n] at 16 kHz in [-1, 1], a random generator for its settings, and returns the same length.

Paths: WORLD (Morise 2016), an LPC source-filter vocoder, a sinusoidal model, magnitude smoothing in mel bands,
Griffin and Lim's phase recovery (1984), HiFi-GAN V3 (Kong 2020) from a TFLite file, and what is trained here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, zoom
from scipy.signal import istft, resample_poly, stft

with warnings.catch_warnings():  # pyworld still asks for pkg_resources
    warnings.simplefilter("ignore")
    import pyworld

RATE = 16000  # Hz, analysis and synthesis rate of every path but HiFi-GAN
FRAME_MS = 5.0
Signal = NDArray[np.float64]
Vocoder = Callable[[Signal, np.random.Generator], Signal]


def pitch(signal: Signal) -> tuple[Signal, Signal]:
    """F0 in Hz per 5 ms frame (0 = unvoiced) and the frame times in s."""
    f0, times = pyworld.dio(signal, RATE, frame_period=FRAME_MS)
    return pyworld.stonemask(signal, f0, times, RATE), times


def fit_length(signal: Signal, length: int) -> Signal:
    return np.pad(signal[:length], (0, max(0, length - len(signal))))


def world(signal: Signal, rng: np.random.Generator) -> Signal:
    """WORLD analysis and synthesis; two times in three with changed pitch, formants or smoothness."""
    f0, times = pitch(signal)
    envelope = pyworld.cheaptrick(signal, f0, times, RATE)
    aperiodicity = pyworld.d4c(signal, f0, times, RATE)
    if rng.random() < 0.4:  # conversion: another pitch, another vocal tract
        f0 = f0 * 2.0 ** rng.uniform(-0.5, 0.5)
        envelope = warp_frequency(envelope, rng.uniform(0.85, 1.18))
    if rng.random() < 0.4:  # acoustic models smooth over frequency
        envelope = np.exp(gaussian_filter1d(np.log(envelope), rng.uniform(1, 5), axis=1))
    if rng.random() < 0.3:  # ... and over time
        envelope = np.exp(gaussian_filter1d(np.log(envelope), rng.uniform(0.5, 3), axis=0))
    if rng.random() < 0.3:  # ... and over pitch
        voiced = f0 > 0
        f0[voiced] = gaussian_filter1d(f0[voiced], rng.uniform(2, 10)) if voiced.any() else 0.0
    if rng.random() < 0.4:
        aperiodicity = np.clip(aperiodicity ** rng.uniform(0.5, 2.0), 1e-6, 1.0)
    return fit_length(pyworld.synthesize(f0, envelope, aperiodicity, RATE, FRAME_MS), len(signal))


def warp_frequency(envelope: Signal, factor: float) -> Signal:
    """Spectral envelopes [frames, bins] with formants moved up by `factor`."""
    bins = np.arange(envelope.shape[1])
    source = np.clip(bins / factor, 0, len(bins) - 1)
    low = np.floor(source).astype(int)
    high = np.minimum(low + 1, len(bins) - 1)
    part = source - low
    warped: Signal = np.ascontiguousarray(envelope[:, low] * (1 - part) + envelope[:, high] * part)
    return warped


def _stft(signal: Signal, size: int, hop: int) -> NDArray[np.complex128]:
    spectrum: NDArray[np.complex128] = stft(signal, RATE, nperseg=size, noverlap=size - hop)[2]
    return spectrum


def _istft(spectrum: NDArray[np.complex128], size: int, hop: int, length: int) -> Signal:
    return fit_length(istft(spectrum, RATE, nperseg=size, noverlap=size - hop)[1], length)


def pulses(f0: Signal, length: int, rng: np.random.Generator, mix: float) -> Signal:
    """Excitation: one pulse per period where voiced, noise elsewhere, `mix` of noise in voiced parts."""
    at = np.linspace(0, len(f0) - 1, length)
    track = np.interp(at, np.arange(len(f0)), f0)
    voiced = track > 40.0
    phase = np.cumsum(np.where(voiced, track, 0.0)) / RATE
    marks = np.diff(np.floor(phase), prepend=0.0) > 0
    period = RATE / np.where(voiced, track, 100.0)
    noise = rng.standard_normal(length)
    tonal: Signal = np.where(marks, np.sqrt(period), 0.0)
    mixed: Signal = np.where(voiced, np.sqrt(1 - mix) * tonal + np.sqrt(mix) * noise, noise)
    return mixed


def lpc(signal: Signal, rng: np.random.Generator) -> Signal:
    """All-pole envelope per frame, excited by pulses and noise; the shape of many low-rate speech coders."""
    size, hop, order = 512, 128, int(rng.integers(14, 32))
    spectrum = _stft(signal, size, hop)
    power = np.abs(spectrum) ** 2 + 1e-10
    correlation = np.fft.irfft(power, axis=0)[: order + 1].T
    correlation[:, 0] *= 1.0001
    envelope = _all_pole(correlation, size)
    excitation = pulses(pitch(signal)[0], len(signal), rng, rng.uniform(0.0, 0.5))
    driven = _stft(excitation, size, hop)
    level = np.abs(driven).mean(axis=0, keepdims=True) + 1e-9
    gain = np.sqrt(power.mean(axis=0, keepdims=True) / (envelope.mean(axis=0, keepdims=True) + 1e-12))
    return _istft(driven / level * np.sqrt(envelope) * gain, size, hop, len(signal))


def _all_pole(correlation: Signal, size: int) -> Signal:
    """Power spectra [size/2+1, frames] of the LPC filters of autocorrelations [frames, order+1]."""
    order = correlation.shape[1] - 1
    lags = np.abs(np.arange(order)[:, None] - np.arange(order)[None, :])
    toeplitz = correlation[:, lags] + 1e-9 * np.eye(order)
    taps = np.linalg.solve(toeplitz, correlation[:, 1:, None])[..., 0]
    error = np.maximum(correlation[:, 0] - (taps * correlation[:, 1:]).sum(axis=1), 1e-12)
    response = np.fft.rfft(np.concatenate([np.ones((len(taps), 1)), -taps], axis=1), size, axis=1)
    envelope: Signal = (error[:, None] / (np.abs(response) ** 2 + 1e-9)).T
    return envelope


def sinusoidal(signal: Signal, rng: np.random.Generator) -> Signal:
    """Harmonics of F0 with interpolated amplitudes and fresh phases, plus shaped noise."""
    size, hop = 512, 80
    f0, _ = pitch(signal)
    magnitude = np.abs(_stft(signal, size, hop))
    frames = np.linspace(0, len(f0) - 1, magnitude.shape[1])
    f0 = np.interp(frames, np.arange(len(f0)), f0)
    envelope = gaussian_filter1d(magnitude, rng.uniform(1.5, 4.0), axis=0)
    tonal = _harmonics(envelope, f0, hop, len(signal), rng)
    noise = _stft(rng.standard_normal(len(signal)), size, hop)
    width = min(noise.shape[1], envelope.shape[1])
    breath = np.where(f0[:width] > 40, rng.uniform(0.05, 0.4), 1.0)
    band = np.linspace(0.3, 1.0, envelope.shape[0])[:, None] ** np.where(f0[:width] > 40, 1.5, 0.0)
    shaped = noise[:, :width] / (np.abs(noise).mean() + 1e-9) * envelope[:, :width] * breath * band
    return tonal + _istft(shaped, size, hop, len(signal))


def _harmonics(envelope: Signal, f0: Signal, hop: int, length: int, rng: np.random.Generator) -> Signal:
    at = np.arange(length) / hop
    frames = np.arange(len(f0))
    track = np.interp(at, frames, np.where(f0 > 40, f0, 0.0))
    gate = np.interp(at, frames, (f0 > 40).astype(float))
    phase = 2 * np.pi * np.cumsum(track) / RATE
    out = np.zeros(length)
    top = 4400.0  # Hz: the detector hears to 4 kHz
    for k in range(1, int(top / 60.0) + 1):
        used = (f0 > 40) & (k * f0 < top)
        if not used.any():
            break
        bins = np.clip(np.rint(k * f0 * 512 / RATE).astype(int), 0, envelope.shape[0] - 1)
        amplitude = np.where(used, envelope[bins, np.minimum(frames, envelope.shape[1] - 1)], 0.0) * 2
        out += np.interp(at, frames, amplitude) * np.cos(k * phase + rng.uniform(0, 2 * np.pi))
    gated: Signal = out * gate
    return gated


def mel_bank(bands: int, bins: int, rate: float, top: float) -> Signal:
    """Triangles of equal area on Slaney's mel scale [bands, bins], `bins` from 0 to rate/2, up to `top` Hz."""

    def to_mel(hz: Signal) -> Signal:
        return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))

    def to_hz(mel: Signal) -> Signal:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(mel, 15) - 15)))

    edges = to_hz(np.linspace(0.0, float(to_mel(np.array(top))), bands + 2))
    at = np.linspace(0, rate / 2, bins)
    rise = (at[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - at[None]) / (edges[2:] - edges[1:-1])[:, None]
    bank: Signal = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return bank


def mel_smooth(signal: Signal, rng: np.random.Generator) -> Signal:
    """Magnitudes pressed through mel bands and back, with the original phase or a blurred one."""
    size, hop = 1024, 256
    spectrum = _stft(signal, size, hop)
    bank = mel_bank(int(rng.integers(40, 90)), spectrum.shape[0], RATE, 8000.0)
    magnitude = np.maximum(np.linalg.pinv(bank) @ (bank @ np.abs(spectrum)), 1e-8)
    if rng.random() < 0.5:
        magnitude = np.exp(gaussian_filter1d(np.log(magnitude), rng.uniform(0.3, 1.2), axis=1))
    phase = np.angle(spectrum) + rng.uniform(0, 0.9) * rng.standard_normal(spectrum.shape)
    mixed = magnitude * np.exp(1j * phase)
    for _ in range(int(rng.integers(0, 3))):  # a few rounds make phase agree with magnitude again
        again = _stft(_istft(mixed, size, hop, len(signal)), size, hop)[:, : mixed.shape[1]]
        mixed = magnitude * np.exp(1j * np.angle(again))
    return _istft(mixed, size, hop, len(signal))


def griffin_lim(signal: Signal, rng: np.random.Generator) -> Signal:
    """Log-mel to waveform by Griffin and Lim's iteration with momentum, from random phase."""
    size, hop = 1024, 256
    spectrum = _stft(signal, size, hop)
    bank = mel_bank(80, spectrum.shape[0], RATE, 8000.0)
    magnitude = np.maximum(np.linalg.pinv(bank) @ (bank @ np.abs(spectrum)), 0.0)
    phase = np.exp(2j * np.pi * rng.random(spectrum.shape))
    before = np.zeros_like(spectrum)
    for _ in range(32):
        again = _stft(_istft(magnitude * phase, size, hop, len(signal)), size, hop)[:, : magnitude.shape[1]]
        step = again - 0.5 * before
        phase, before = step / (np.abs(step) + 1e-12), again
    return _istft(magnitude * phase, size, hop, len(signal))


class HifiGan:
    """HiFi-GAN V3 at 22.05 kHz from a TFLite file. Four times in ten the mel is warped first: a voice conversion."""

    rate = 22050

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        if not path.is_file():
            raise FileNotFoundError(f"no vocoder weights: {path} does not exist")
        self._net: Any = Interpreter(str(path), num_threads=1)
        self._bank = mel_bank(80, 513, self.rate, 8000.0)
        self._window = np.hanning(1025)[:-1]

    def __call__(self, signal: Signal, rng: np.random.Generator) -> Signal:
        peak = np.abs(signal).max() + 1e-9
        wide = resample_poly(signal * (0.95 / peak), 441, 320)
        mel = self.mel(wide)
        if rng.random() < 0.4:
            mel = np.log(np.maximum(warp_frequency(np.exp(mel).T, rng.uniform(0.88, 1.14)).T, 1e-5))
        out = resample_poly(self.synthesize(mel), 320, 441) * (peak / 0.95)
        return fit_length(out.astype(np.float64), len(signal))

    def convert(self, signal: Signal, rng: np.random.Generator) -> Signal:
        """The voice of somebody else: pitch and formants moved, mel smoothed as acoustic models do, then the vocoder."""
        peak = np.abs(signal).max() + 1e-9
        up = int(rng.integers(380, 520))  # of 441: played faster or slower, which moves pitch and formants together
        mel = self.mel(resample_poly(signal * (0.95 / peak), up, 320))
        frames = max(2, round(mel.shape[1] * 441 / up))
        mel = zoom(mel, (1.0, frames / mel.shape[1]), order=1)  # the old tempo again
        mel = gaussian_filter1d(mel, rng.uniform(0.01, 1.2), axis=1)
        mel = gaussian_filter1d(mel, rng.uniform(0.01, 0.8), axis=0)
        out = resample_poly(self.synthesize(mel), 320, 441) * (peak / 0.95)
        return fit_length(out.astype(np.float64), len(signal))

    def mel(self, wide: Signal) -> Signal:
        """Natural log of mel magnitudes [80, frames]: FFT 1024, hop 256, reflect padding of 384, no centring."""
        padded = np.pad(wide, 384, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256]
        magnitude = np.sqrt(np.abs(np.fft.rfft(frames * self._window, axis=1)) ** 2 + 1e-9)
        log_mel: Signal = np.log(np.maximum(self._bank @ magnitude.T, 1e-5))
        return log_mel

    def synthesize(self, mel: Signal) -> Signal:
        """Wave [256 * frames] at 22.05 kHz."""
        self._net.resize_tensor_input(self._net.get_input_details()[0]["index"], [1, *mel.shape])
        self._net.allocate_tensors()
        self._net.set_tensor(self._net.get_input_details()[0]["index"], mel[None].astype(np.float32))
        self._net.invoke()
        wave: Signal = self._net.get_tensor(self._net.get_output_details()[0]["index"]).reshape(-1)
        return wave


def vocoders(weights: Path | None, own: Sequence[Path] = ()) -> dict[str, Vocoder]:
    """All paths by name; HiFi-GAN only where its weights are (`weights` is the folder of shared vocoders), those trained
    here (own_vocoder.py) only where their snapshots are (`own`, the folders of these runs). ValueError: two of one kind."""
    paths: dict[str, Vocoder] = {
        "world": world,
        "lpc": lpc,
        "sinusoidal": sinusoidal,
        "mel-smooth": mel_smooth,
        "griffin-lim": griffin_lim,
    }
    if weights is not None:
        hifigan = HifiGan(weights / "hifigan_v3_fp16.tflite")
        paths |= {"hifigan": hifigan, "hifigan-convert": hifigan.convert}
    for folder in own:
        from models.own_vocoder import OwnVocoder  # needs torch

        found = OwnVocoder(folder).paths()
        if twice := sorted(paths.keys() & found.keys()):
            raise ValueError(f"{folder}: there is a vocoder of kind {twice[0]} already")
        paths |= found
    return paths
