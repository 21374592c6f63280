"""The neural source-filter vocoder around made-up weights: its features, its source, its length, its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="copy-synthesis needs the extra 'train'")
pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

import torch

from models.nsf import HOP, SourceFilter, mel_spectrum, mel_triangles
from tests.models.test_copies import RATE, voice


def weights(scale: float = 0.02) -> dict[str, torch.Tensor]:
    """A state dict of the right names and shapes, small random numbers in it, the fixed filters passing all."""
    generator = torch.Generator().manual_seed(4)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    state = {"input_mean": torch.zeros(81), "input_std": torch.ones(81) * 100}
    lstm = torch.nn.LSTM(81, 32, bidirectional=True)
    state |= {f"m_condition.l_blstm.l_blstm.{n}": some(*v.shape) for n, v in lstm.state_dict().items()}
    state |= {"m_condition.l_conv1d.weight": some(64, 64, 3), "m_condition.l_conv1d.bias": some(64)}
    state |= {f"m_condition.l_upsamp.l_ave{k}.weight": torch.full((64, 1, 80), 1 / 80) for k in (1, 2)}
    state |= {"m_source.l_linear.weight": torch.eye(1, 8), "m_source.l_linear.bias": torch.zeros(1)}
    for kind, blocks, convs in (("har", 5, 10), ("noi", 1, 5)):
        for b in range(blocks):
            prefix = f"m_filter.l_{kind}_blocks.{b}."
            state |= {prefix + "scale": torch.tensor([0.1]), prefix + "l_ff_1.weight": some(64, 1)}
            state |= {f"{prefix}l_convs.{k}.weight": some(64, 64, 3) for k in range(convs)}
            state |= {prefix + "l_ff_2.weight": some(16, 64), prefix + "l_ff_3.weight": some(1, 16)}
    last = torch.zeros(1, 1, 3)
    last[..., -1] = 1  # a causal filter that changes nothing
    return state | {f"m_filter.l_fir_{name}.weight": last for name in ("lp_v", "lp_u", "hp_v", "hp_u")}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SourceFilter:
    path = tmp_path_factory.mktemp("weights") / "hn_nsf.pt"
    torch.save(weights(), path)
    return SourceFilter(path)


def test_triangles_cover_the_band_with_unit_area() -> None:
    bank = mel_triangles()
    assert bank.shape == (80, 513)
    assert bank[0].tolist() == [1024 / 16000] + [0.0] * 512
    np.testing.assert_allclose(bank[10:].sum(axis=1) * 15.625, 1, rtol=0.1)
    centres = bank[1:].argmax(axis=1) * 15.625
    assert (np.diff(centres) >= 0).all()
    low = centres[centres < 900]
    assert np.ptp(np.diff(low)) <= 2 * 15.625  # evenly spread below 1 kHz


def test_the_spectrum_is_the_log_of_magnitudes_of_int16() -> None:
    at = np.arange(RATE) / RATE
    mel = mel_spectrum(0.5 * np.sin(2 * np.pi * 1000 * at), 200)
    assert mel.shape == (200, 80)
    assert mel_triangles()[:, 64].argmax() == mel[100].argmax()  # bin 64 is 1 kHz
    louder = mel_spectrum(np.sin(2 * np.pi * 1000 * at), 200)
    assert louder[100].max() - mel[100].max() == pytest.approx(np.log(2), abs=1e-6)
    noise = np.random.default_rng(0).standard_normal(RATE) * 1000 / 32768  # white, 1000 of int16: 1000 at every frequency
    assert np.exp(2 * mel_spectrum(noise, 200)).mean(axis=0)[20:].mean() == pytest.approx((1000 / 15.625) ** 2, rel=0.25)


def test_the_source_is_a_sine_at_the_pitch_and_noise_without(network: SourceFilter) -> None:
    f0 = np.r_[np.full(RATE, 200.0), np.zeros(RATE)]
    source = network._source(f0, np.random.default_rng(0)).numpy()[0, 0]
    spectrum = np.abs(np.fft.rfft(source[:RATE] * np.hanning(RATE)))
    assert spectrum.argmax() == 200
    assert np.sqrt(2) * source[:RATE].std() == pytest.approx(0.1, rel=0.02)
    assert source[RATE:].std() == pytest.approx(0.1 / 3, rel=0.05)


def test_a_copy_has_the_length_and_follows_the_seed(network: SourceFilter) -> None:
    signal = voice(1.0)[:15000].astype(np.float64) / 32768
    made = network(signal, np.random.default_rng(1))
    assert made.shape == signal.shape
    assert np.isfinite(made).all()
    assert made.std() > 1e-3
    np.testing.assert_array_equal(made, network(signal, np.random.default_rng(1)))
    assert np.any(made != network(signal, np.random.default_rng(2)))


def test_frames_are_heard_at_the_rate_of_samples_and_glide_into_each_other(network: SourceFilter) -> None:
    frames = torch.zeros(40, 81)
    frames[20:] = 100.0
    heard = network._condition(frames)
    assert heard.shape == (1, 64, 40 * HOP)
    steps = (heard[0, :, 1:] - heard[0, :, :-1]).abs()[:, 10 * HOP : 30 * HOP]
    assert steps.max() < 0.05 * (heard.max() - heard.min())


def test_weights_that_are_not_there_or_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hn_nsf\.pt does not exist"):
        SourceFilter(tmp_path / "hn_nsf.pt")
    torch.save({"input_mean": torch.zeros(81)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="does not hold this network"):
        SourceFilter(tmp_path / "other.pt")
