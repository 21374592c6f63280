"""The model's promises: causal, exact when streamed, calm about silence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.conformer import FRAME_SAMPLES, UNSEEN, Attention, ModelConfig, ModelState, StreamingConformer, matrix_flops
from models.features import HOP, LINES_HOP, LINES_TAIL, LINES_WINDOW, WINDOW, BandFeatures, LineFeatures, phases_of

SMALL = ModelConfig(width=48, blocks=2, heads=4, expansion=2, hidden=32)
LINES = replace(SMALL, lines=True)
SHAPES = {"full": ModelConfig(), "small": SMALL, "lines": LINES}


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest) -> StreamingConformer:
    torch.manual_seed(3)
    model = StreamingConformer(SHAPES[request.param]).eval()
    for parameter in model.parameters():  # biases by age and norms start at constants; nothing should hide behind that
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def speechlike(seconds: float, calls: int = 2, seed: int = 1) -> torch.Tensor:
    """Noise in bursts, with digital silence in between."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * 8000) // FRAME_SAMPLES * FRAME_SAMPLES
    level = np.repeat(rng.choice([0.0, 0.01, 0.1, 0.5], size=(calls, samples // 800 + 1)), 800, axis=1)[:, :samples]
    return torch.from_numpy((rng.standard_normal((calls, samples)) * level).clip(-1, 1).astype(np.float32))


@torch.no_grad()
def test_the_future_never_changes_the_past(model: StreamingConformer) -> None:
    audio = speechlike(6)
    other = audio.clone()
    cut = 100 * FRAME_SAMPLES
    other[:, cut:] = torch.randn_like(other[:, cut:])
    first, _ = model(audio)
    second, _ = model(other)
    frames = cut // FRAME_SAMPLES
    # The same products over the same rows; only sums over future zeros may round differently.
    assert (first[:, :frames] - second[:, :frames]).abs().max() <= 1e-6
    assert (first[:, frames:] - second[:, frames:]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_streamed_in_any_chunks_is_the_whole_file(model: StreamingConformer, seed: int) -> None:
    audio = speechlike(12, seed=seed)
    whole, after_whole = model(audio)
    rng, state, start, parts = np.random.default_rng(seed), None, 0, []
    while start < audio.shape[1]:
        size = FRAME_SAMPLES * int(rng.integers(1, 20))
        scores, state = model(audio[:, start : start + size], state)
        parts.append(scores)
        start += size
    assert (torch.cat(parts, dim=1) - whole).abs().max() <= 1e-5
    assert state is not None
    for (name, one), other in zip(state.tensors().items(), after_whole.tensors().values(), strict=True):
        assert (one - other).abs().max() <= 1e-3 * max(1.0, float(other.abs().max())), name


@torch.no_grad()
def test_unsynchronised_calls_in_one_batch_score_as_each_alone(model: StreamingConformer) -> None:
    audio = speechlike(4, calls=3)
    chunk = 4 * FRAME_SAMPLES
    states = [model.init_state(1) for _ in range(3)]
    for index, ahead in enumerate((0, 3, 7)):  # they joined the batch at different times
        for step in range(ahead):
            _, states[index] = model(audio[index : index + 1, step * chunk : (step + 1) * chunk], states[index])
    together = ModelState.of([torch.cat(parts) for parts in zip(*(s.tensors().values() for s in states), strict=True)])
    now = torch.stack([audio[i, a * chunk : (a + 1) * chunk] for i, a in enumerate((0, 3, 7))])
    batched, _ = model(now, together)
    for index in range(3):
        alone, _ = model(now[index : index + 1], states[index])
        assert (batched[index] - alone[0]).abs().max() <= 1e-6


@torch.no_grad()
@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0])
def test_silence_noise_and_clipping_give_finite_scores(model: StreamingConformer, level: float) -> None:
    audio = (torch.randn(1, 80 * FRAME_SAMPLES) * level).clamp(-1, 1)
    scores, state = model(audio)
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(part).all() for part in state.tensors().values())


@torch.no_grad()
def test_int16_and_float_audio_are_the_same(model: StreamingConformer) -> None:
    audio = (speechlike(1) * 32000).to(torch.int16)
    assert torch.equal(model(audio)[0], model(audio.to(torch.float32) / 32768)[0])


@torch.no_grad()
def test_attention_forgets_beyond_its_history() -> None:
    torch.manual_seed(0)
    model = StreamingConformer(SMALL).eval()
    state = model.init_state(1)
    assert state.blocks[1].keys.shape == (1, SMALL.history, SMALL.width // SMALL.heads)
    _, after = model(speechlike(20, calls=1), state)
    assert [part.shape for part in after.blocks[1]] == [part.shape for part in state.blocks[1]]


@torch.no_grad()
def test_what_attention_must_not_see_changes_nothing() -> None:
    """However it looks, within what queries and keys ever make of each other (+-12 in the weights that ship)."""
    torch.manual_seed(0)
    attention = Attention(SMALL).eval()
    rows, seen = torch.randn(4, SMALL.width), torch.randn(1, SMALL.history, SMALL.width // SMALL.heads)
    before, *_ = attention(rows, seen, seen, 4)
    later = rows.clone()
    later[3] = 10 * torch.randn(SMALL.width)
    older = torch.cat([30 * torch.randn(1, 1, seen.shape[2]), seen[:, 1:]], dim=1)  # none of these rows reaches so far back
    after, *_ = attention(later, older, older, 4)
    assert torch.equal(before[:3], after[:3])


def test_what_attention_must_not_see_is_no_subnormal_number() -> None:
    """ONNX Runtime takes a hundred times as long for those; scores lie between -12 and 12."""
    limits = torch.finfo(torch.float32)
    assert limits.tiny < math.exp(UNSEEN - 24)
    assert math.exp(UNSEEN + 24) < 1e-3 * limits.eps


@torch.no_grad()
def test_a_state_that_was_left_grown_is_the_same_with_the_oldest_cut_off(model: StreamingConformer) -> None:
    audio, state = speechlike(4), model.init_state(2)
    _, _, cut = model.embed(audio, state)
    _, _, grown = model.embed(audio, state, grown=True)
    for (name, one), other in zip(cut.tensors().items(), grown.tensors().values(), strict=True):
        assert other.shape[1] - one.shape[1] in (0, audio.shape[1] // FRAME_SAMPLES), name
        assert torch.equal(one, other[:, -one.shape[1] :]), name


def test_the_shape_is_about_a_million_parameters() -> None:
    count = sum(p.numel() for p in StreamingConformer().parameters())
    assert 0.7e6 < count < 1.3e6
    assert 40e6 < matrix_flops(ModelConfig(), 25) < 90e6


def test_band_energies_are_those_of_a_textbook_transform() -> None:
    features = BandFeatures(40, 2.0)
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(WINDOW + 4 * HOP).astype(np.float32)
    got = features.log_bands(phases_of(torch.from_numpy(signal)[None, :]), 5)[0].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    centres = np.linspace(60, 3950, 40)
    width = centres[1] - centres[0]
    for frame in range(5):
        power = np.abs(np.fft.rfft(signal[frame * HOP : frame * HOP + WINDOW] * window, 256)) ** 2
        bins = np.arange(129) * 31.25
        inside = (bins >= np.floor(60 / 31.25) * 31.25) & (bins <= np.ceil(3950 / 31.25) * 31.25)
        want = [(np.maximum(0, 1 - np.abs(bins - c) / width) * power * inside).sum() for c in centres]
        np.testing.assert_allclose(got[frame], np.log(np.array(want) + 1e-5), atol=2e-3)


def test_line_powers_are_those_of_a_textbook_transform() -> None:
    lines = LineFeatures(120, 120)
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(LINES_TAIL + 3 * LINES_HOP).astype(np.float32)
    phases = phases_of(torch.from_numpy(signal)[None, :])
    halved = lines.halved(phases, 3)[0].numpy()
    taps = np.zeros(11)
    taps[:5:2], taps[5], taps[6::2] = lines.taps, 0.5, lines.taps[::-1]
    np.testing.assert_allclose(halved, np.convolve(signal, taps, "valid")[::2][: len(halved)], atol=1e-5)
    power = lines.power(torch.from_numpy(halved)[None], 3)[0].numpy()
    size = LINES_WINDOW // 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)
    for frame in range(3):
        piece = halved[frame * LINES_HOP // 2 :][:size] * window
        want = [abs((piece * np.exp(-2j * np.pi * np.arange(size) * (76 + 16 * k) / 4000)).sum()) ** 2 for k in range(120)]
        np.testing.assert_allclose(power[frame], want, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("hertz", "line"), [(108, 2), (508, 27), (1500, 89)])
def test_a_tone_is_one_line(hertz: int, line: int) -> None:
    features = BandFeatures(120, 2.0, lines=True)
    tone = 0.1 * torch.sin(2 * torch.pi * hertz * torch.arange(8000) / 8000)[None]
    heard, _, _ = features(tone, torch.zeros(1, features.tail), torch.zeros(1, 121))
    assert heard.bands.shape == (1, 100, 120)
    assert heard.lines.shape == (1, 50, 120)
    assert heard.lines[0, -1].argmax() == line
    assert heard.lines[0, -1, line] - heard.lines[0, -1, line + 5] > 1.0, (
        "80 Hz away: still in the skirt of a band"
    )


@torch.no_grad()
def test_a_tone_above_two_kilohertz_is_no_line() -> None:
    lines = LineFeatures(120, 120)
    power = []
    for hertz in (500, 3500):  # the second would fold onto the first
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(LINES_TAIL + 160) / 8000)[None]
        power.append(float(lines.power(lines.halved(phases_of(tone), 1), 1).max()))
    assert power[1] < 1e-3 * power[0]


@torch.no_grad()
def test_the_last_score_alone_is_the_last_of_all(model: StreamingConformer) -> None:
    audio = speechlike(2)
    all_scores, state = model(audio)
    last, other = model(audio, last=True)
    assert last.shape == (2, 1)
    assert (last[:, 0] - all_scores[:, -1]).abs().max() <= 1e-6
    assert all((a - b).abs().max() <= 1e-4 for a, b in zip(state.tensors().values(), other.tensors().values(), strict=True))
