"""The telephone, simulated on 8 kHz speech: band limits, equalisation, noise, gain, clipping, G.711, lost packets.

A channel is drawn once (`draw`) as plain numbers and then applied (`apply`), so that a real clip and its copy can pass
the very same one, and a seed fixes everything. Both classes draw from the same distribution. Speech codecs that cost
time are in transcode.py and cached instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
RATE = 8000
PACKET = 160  # samples in 20 ms, the unit in which telephone audio is lost


@dataclass(frozen=True)
class ChannelConfig:
    """Odds of each step for the share of clips that is not left `clean`. Light by default."""

    clean: float = 0.33
    noise: float = 0.4
    snr_low_db: float = 8.0
    snr_high_db: float = 30.0
    room: float = 0.08
    band: float = 0.35
    equalizer: float = 0.35
    g711: float = 0.5
    loss: float = 0.15
    clipping: float = 0.05
    gain_low_db: float = -18.0  # the level is drawn for every clip, clean ones too
    gain_high_db: float = 4.0


OTHER_LINES = ChannelConfig(  # what another microphone, room and network would have made of a recording
    clean=0.0, noise=0.5, room=0.25, band=0.5, equalizer=0.8, g711=0.7, loss=0.2, clipping=0.1, gain_low_db=-24.0,
    gain_high_db=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """One drawn telephone line. Defaults change nothing."""

    gain_db: float = 0.0
    low_hz: float = 0.0
    high_hz: float = 4000.0
    bumps: tuple[tuple[float, float, float], ...] = ()  # equaliser: centre Hz, width in octaves, dB
    noise: int = -1  # index into the noises given to `apply`; -1 none
    noise_at: float = 0.0  # where in it to begin, 0-1
    snr_db: float = 100.0
    room: int = -1  # index into the room responses
    clip: float = 1.0  # samples beyond this share of the peak are cut
    law: str = ""  # "mu", "a" or "" (no G.711)
    loss: float = 0.0  # share of packets lost
    burst: float = 1.0  # mean length of a loss, packets
    seed: int = 0


CLEAN = Channel()
G711 = Channel(law="mu")


def draw(config: ChannelConfig, rng: np.random.Generator, noises: int, rooms: int) -> Channel:
    """A random line; `noises` and `rooms` are how many recordings of each there are to choose from."""
    gain = float(rng.uniform(config.gain_low_db, config.gain_high_db))
    if rng.random() < config.clean:
        return Channel(gain_db=gain)

    def chance(odds: float) -> bool:
        return bool(rng.random() < odds)

    band, noisy = chance(config.band), noises > 0 and chance(config.noise)
    lossy = chance(config.loss)
    return Channel(
        gain_db=gain,
        low_hz=float(rng.uniform(50, 320)) if band else 0.0,
        high_hz=float(rng.uniform(3300, 3900)) if band else 4000.0,
        bumps=_draw_bumps(rng) if chance(config.equalizer) else (),
        noise=int(rng.integers(noises)) if noisy else -1,
        noise_at=float(rng.random()),
        snr_db=float(rng.uniform(config.snr_low_db, config.snr_high_db)),
        room=int(rng.integers(rooms)) if rooms > 0 and chance(config.room) else -1,
        clip=float(rng.uniform(0.3, 0.8)) if chance(config.clipping) else 1.0,
        law=("mu", "a")[int(rng.integers(2))] if chance(config.g711) else "",
        loss=float(rng.uniform(0.01, 0.08)) if lossy else 0.0,
        burst=float(rng.uniform(1.0, 3.0)),
        seed=int(rng.integers(2**31)),
    )


def _draw_bumps(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    return tuple(
        (float(np.exp(rng.uniform(np.log(150), np.log(3600)))), float(rng.uniform(0.5, 2.0)), float(rng.uniform(-6, 6)))
        for _ in range(int(rng.integers(1, 4)))
    )


def apply(samples: Samples, channel: Channel, noises: Sequence[Samples], rooms: Sequence[Samples]) -> Samples:
    """int16 [n] at 8 kHz through the line, same length. The level is set last but for G.711 and loss, as on a phone."""
    signal = samples.astype(np.float32)
    if channel.room >= 0:
        signal = _convolve(signal, rooms[channel.room])
    if channel.noise >= 0:
        signal = signal + _noise(signal, noises[channel.noise], channel)
    if channel.bumps or channel.low_hz > 0 or channel.high_hz < 4000:
        signal = _filter(signal, channel)
    if channel.clip < 1:
        peak = float(np.abs(signal).max()) * channel.clip
        signal = np.clip(signal, -peak, peak)
    signal = signal * 10 ** (channel.gain_db / 20)
    pcm: Samples = np.clip(np.rint(signal), -32768, 32767).astype(np.int16)
    if channel.law:
        pcm = companding(channel.law)[pcm.astype(np.int32) + 32768]
    if channel.loss > 0:
        pcm = lose_packets(pcm, channel)
    return pcm


def _filter(signal: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(signal)
    hz = np.linspace(0, RATE / 2, len(spectrum), dtype=np.float32)
    decibels = np.zeros_like(hz)
    for centre, width, amount in channel.bumps:
        decibels += amount * np.exp(-0.5 * (np.log2(np.maximum(hz, 20) / centre) / width) ** 2)
    if channel.low_hz > 0:
        decibels -= 10 * np.log10(1 + (channel.low_hz / np.maximum(hz, 1)) ** 8)
    if channel.high_hz < 4000:
        decibels -= 10 * np.log10(1 + (hz / channel.high_hz) ** 40)
    filtered: NDArray[np.float32] = np.fft.irfft(spectrum * 10 ** (decibels / 20), len(signal)).astype(np.float32)
    return filtered


def _noise(signal: NDArray[np.float32], noise: Samples, channel: Channel) -> NDArray[np.float32]:
    start = int(channel.noise_at * len(noise))
    piece = np.resize(np.roll(noise, -start)[: len(signal)], len(signal)).astype(np.float32)
    return piece * (speech_level(signal) / (float(np.sqrt(np.mean(piece**2))) + 1e-3) / 10 ** (channel.snr_db / 20))


def speech_level(signal: NDArray[np.float32]) -> float:
    """RMS over the 20 ms blocks within 20 dB of the loudest."""
    blocks = np.resize(signal, max(1, len(signal) // PACKET) * PACKET).reshape(-1, PACKET)
    power = (blocks**2).mean(axis=1)
    return float(np.sqrt(power[power >= power.max() / 100].mean()))


def _convolve(signal: NDArray[np.float32], room: Samples) -> NDArray[np.float32]:
    response = room.astype(np.float32)[int(np.argmax(np.abs(room))) :][: RATE // 2]
    size = len(signal) + len(response)
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(response, size), size)[: len(signal)]
    level = speech_level(signal) / (speech_level(wet.astype(np.float32)) + 1e-6)
    return (wet * level).astype(np.float32)


def lose_packets(samples: Samples, channel: Channel) -> Samples:
    """Zeros where packets are lost, in bursts (two-state Markov chain), as the receiver's gap frames look."""
    rng = np.random.default_rng(channel.seed)
    packets = -(-len(samples) // PACKET)
    leave = 1 / max(1.0, channel.burst)
    enter = channel.loss * leave / max(1e-6, 1 - channel.loss)
    chances = rng.random(packets)
    lost, state = np.zeros(packets, dtype=bool), False
    for i, chance in enumerate(chances):
        state = bool(chance >= leave) if state else bool(chance < enter)
        lost[i] = state
    gaps: Samples = np.where(np.repeat(lost, PACKET)[: len(samples)], 0, samples).astype(np.int16)
    return gaps


@cache
def companding(law: str) -> Samples:
    """What each int16 becomes after G.711 and back: table [65536], index sample + 32768. law is "mu" or "a"."""
    values = np.arange(-32768, 32768)
    if law == "mu":
        return _mu_law(values)
    if law == "a":
        return _a_law(values)
    raise ValueError(f"G.711 has the laws 'mu' and 'a', not {law!r}")


def _mu_law(values: NDArray[np.int64]) -> Samples:
    """G.711 mu-law in 16-bit terms: bias 132, eight segments of sixteen steps."""
    magnitude = np.minimum(np.abs(values), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(int) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    level = (((mantissa << 3) + 132) << exponent) - 132
    table: Samples = np.where(values < 0, -level, level).astype(np.int16)
    return table


def _a_law(values: NDArray[np.int64]) -> Samples:
    """G.711 A-law in 16-bit terms (13 bits used)."""
    magnitude = np.minimum(np.where(values < 0, -values - 1, values), 32767) >> 3
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(int) - 4, 1)
    mantissa = (magnitude >> exponent) & 15
    small = magnitude < 32
    level = np.where(small, ((magnitude >> 1) << 1) + 1, ((mantissa << 1) + 33) << (exponent - 1)) << 3
    table: Samples = np.where(values < 0, -level, level).astype(np.int16)
    return table
