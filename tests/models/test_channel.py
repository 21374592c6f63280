"""The simulated telephone: G.711 exactly, everything else by what it must do to a signal."""

from __future__ import annotations

import numpy as np
import pytest

from models.channel import CLEAN, Channel, ChannelConfig, apply, companding, draw, lose_packets, speech_level

RNG = np.random.default_rng(5)
TONE = (6000 * np.sin(2 * np.pi * 700 * np.arange(16000) / 8000)).astype(np.int16)
NOISE = (3000 * RNG.standard_normal(20000)).astype(np.int16)


def band_energy(samples: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hz = np.linspace(0, 4000, len(spectrum))
    return float(spectrum[(hz >= low) & (hz < high)].sum())


@pytest.mark.parametrize(
    ("law", "value", "after"),
    # ITU-T G.711 tables in 16-bit terms: mu-law keeps 0, its first steps are 8 wide; A-law has no zero, steps of 16
    [
        ("mu", 0, 0),
        ("mu", 4, 8),
        ("mu", 32767, 32124),
        ("mu", -32768, -32124),
        ("mu", 1000, 988),
        ("a", 0, 8),
        ("a", -1, -8),
        ("a", 32767, 32256),
        ("a", -32768, -32256),
        ("a", 1000, 1008),
    ],
)
def test_g711_known_values(law: str, value: int, after: int) -> None:
    assert companding(law)[value + 32768] == after


@pytest.mark.parametrize("law", ["mu", "a"])
def test_g711_is_a_projection_onto_255_or_256_levels(law: str) -> None:
    table = companding(law)
    assert len(np.unique(table)) == {"mu": 255, "a": 256}[law]
    np.testing.assert_array_equal(table[table.astype(int) + 32768], table)
    assert np.all(np.diff(table.astype(int)) >= 0)


def test_unknown_law_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'b'"):
        companding("b")


def test_the_clean_channel_changes_nothing() -> None:
    np.testing.assert_array_equal(apply(NOISE, CLEAN, (), ()), NOISE)


def test_the_same_draw_gives_the_same_line_and_the_same_sound() -> None:
    config = ChannelConfig(clean=0, noise=1, loss=1, room=1)
    one, two = (draw(config, np.random.default_rng(3), 1, 1) for _ in range(2))
    assert one == two
    room = np.zeros(800, np.int16)
    room[[0, 300]] = 20000, 6000
    np.testing.assert_array_equal(apply(TONE, one, [NOISE], [room]), apply(TONE, two, [NOISE], [room]))


def test_shares_are_kept() -> None:
    rng = np.random.default_rng(0)
    lines = [draw(ChannelConfig(), rng, 3, 2) for _ in range(3000)]
    untouched = sum(1 for line in lines if line == Channel(gain_db=line.gain_db))
    assert 0.33 < untouched / len(lines) < 0.42  # a third clean, and some on which no step fell
    assert {line.noise for line in lines} == {-1, 0, 1, 2}


def test_without_noise_recordings_none_is_drawn() -> None:
    line = draw(ChannelConfig(clean=0, noise=1, room=1), np.random.default_rng(0), 0, 0)
    assert (line.noise, line.room) == (-1, -1)


def test_noise_has_the_asked_ratio() -> None:
    noisy = apply(TONE, Channel(noise=0, snr_db=12.0), [NOISE], ())
    rest = noisy.astype(float) - TONE
    ratio = 20 * np.log10(speech_level(TONE.astype(np.float32)) / np.sqrt(np.mean(rest**2)))
    assert ratio == pytest.approx(12, abs=0.3)


def test_band_limits() -> None:
    limited = apply(NOISE, Channel(low_hz=300, high_hz=3400), (), ())
    assert band_energy(limited, 0, 150) < 0.01 * band_energy(NOISE, 0, 150)
    assert band_energy(limited, 3800, 4001) < 0.2 * band_energy(NOISE, 3800, 4001)
    assert band_energy(limited, 800, 2500) == pytest.approx(band_energy(NOISE, 800, 2500), rel=0.05)


def test_equaliser_lifts_its_band() -> None:
    lifted = apply(NOISE // 4, Channel(bumps=((1000.0, 0.5, 6.0),)), (), ())
    assert band_energy(lifted, 950, 1050) == pytest.approx(4 * band_energy(NOISE // 4, 950, 1050), rel=0.1)


def test_gain_saturates() -> None:
    assert apply(TONE, Channel(gain_db=30), (), ()).max() == 32767
    assert apply(TONE, Channel(gain_db=-6.0206), (), ()).max() == pytest.approx(TONE.max() / 2, abs=2)


def test_clipping_cuts_at_a_share_of_the_peak() -> None:
    assert np.abs(apply(TONE, Channel(clip=0.5), (), ())).max() == pytest.approx(np.abs(TONE).max() / 2, abs=1)


def test_lost_packets_are_whole_frames_of_zeros_in_bursts() -> None:
    loud = np.full(160 * 20000, 1000, np.int16)
    lost = lose_packets(loud, Channel(loss=0.05, burst=3.0, seed=1)).reshape(-1, 160)
    assert set(np.unique(lost.min(axis=1))) == {0, 1000}
    np.testing.assert_array_equal(lost.min(axis=1), lost.max(axis=1))
    gone = lost[:, 0] == 0
    starts = np.count_nonzero(gone[1:] & ~gone[:-1])
    assert gone.mean() == pytest.approx(0.05, rel=0.15)
    assert gone.sum() / starts == pytest.approx(3.0, rel=0.15)


def test_length_is_kept_by_every_line() -> None:
    rng = np.random.default_rng(9)
    room = np.zeros(500, np.int16)
    room[3] = 9000
    for _ in range(100):
        line = draw(ChannelConfig(clean=0.1, room=0.5), rng, 1, 1)
        assert apply(TONE[:7777], line, [NOISE], [room]).shape == (7777,)
