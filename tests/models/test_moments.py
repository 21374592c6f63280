"""How a voice moves: what its sums say, the same in the graph as worked by hand, and what is learned of them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import moments, moments_fit
from models.conformer import FRAME_SAMPLES, ModelConfig, StreamingConformer
from models.explain_graph import attach as attach_explanation
from models.export import export
from models.moments import (
    AT,
    CEPSTRA,
    COARSE,
    COLUMNS,
    FEATURES,
    FORGET_S,
    LAGS,
    MOVING,
    ONE,
    SUMS,
    WIDE,
    WITH_WAVES,
    Kernel,
    Voices,
    describe,
)  # fmt: skip
from models.moments_graph import ROWS, STATE, attach
from models.runtime import OnnxModel, load_model
from models.store import AudioStore
from models.voice import Tap
from models.voice_graph import Layers
from models.voice_graph import attach as attach_voice
from models.waveform import NUMBERS, shapes
from tests.models.test_corpus import write_wav

WIDTH = 32
RNG = np.random.default_rng(2)
LAYERS = Layers(*(0.5 * RNG.standard_normal(shape).astype(np.float32) for shape in ((8, WIDTH), (8,), (1, 8), (1,))))
LAYERS = LAYERS._replace(out=LAYERS.out * 0.1, out_bias=np.ones(1, np.float32))  # most of what is heard is called a voice


def a_kernel(seed: int = 0, landmarks: int = 30, waves: bool = True) -> Kernel:
    rng = np.random.default_rng(seed)
    prior = np.abs(rng.standard_normal(WITH_WAVES if waves else SUMS)) * 0.2
    prior[AT.lag0] += 1
    prior[SUMS:] = 0  # of the average voice's waves nothing is known
    prior[ONE] = 1
    turn = rng.standard_normal((12, FEATURES + 2 * NUMBERS * waves)) * 0.02
    return Kernel(prior, turn, rng.standard_normal(12) * 0.1, rng.standard_normal((landmarks, 12)) * 0.5,
                  rng.standard_normal(landmarks), 1.0)  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StreamingConformer]:
    """A model that says whether somebody speaks."""
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("weights") / "m.onnx"
    model = StreamingConformer(ModelConfig(width=WIDTH, blocks=1, hidden=32))
    export(model, path)
    attach_voice(path, LAYERS)
    return path, model


def with_moments(bare: Path, path: Path, kernel: Kernel, chunk_ms: int | None = None) -> OnnxModel:
    path.write_bytes(bare.read_bytes())
    path.with_suffix(".json").write_text(bare.with_suffix(".json").read_text())
    attach(path, kernel)
    return load_model(path, chunk_ms=chunk_ms)


def sound(calls: int, chunks: int, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes, each call at its own level."""
    rng = np.random.default_rng(seed)
    level = rng.choice([30, 400, 3000], size=(calls, chunks, 4, 1))
    return np.asarray(rng.standard_normal((calls, chunks, 4, 320)) * level, np.int16).reshape(calls, -1)


def run(model: OnnxModel, audio: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Scores [calls, chunks] and the last state."""
    state, scores = model.init_state(len(audio)), []
    for start in range(0, audio.shape[1], model.chunk_samples):
        found, state = model.step(np.ascontiguousarray(audio[:, start : start + model.chunk_samples]), state)
        scores.append(found)
    return np.stack(scores, axis=1), state


def sums_by_hand(rows: np.ndarray, weight: np.ndarray, waves: np.ndarray | None = None) -> np.ndarray:
    """Of one call's rows [T, COLUMNS] and its waves' shapes [T / 4, NUMBERS]: definition by definition, row by row."""
    fade = np.exp(-0.01 / FORGET_S)
    total = np.zeros(SUMS if waves is None else WITH_WAVES)
    wide = slice(COLUMNS - WIDE, None)
    for t in range(len(rows)):
        total *= fade
        y = [np.sqrt(weight[t - k]) * rows[t - k] if t >= k else np.zeros(COLUMNS) for k in (0, *LAGS)]
        total[AT.means] += weight[t] * rows[t]
        total[AT.lag0] += y[0] * y[0]
        total[AT.lag1] += y[0] * y[1]
        total[AT.lag2] += (y[0] * y[2])[:COARSE]
        total[AT.lag4] += (y[0] * y[3])[:COARSE]
        total[AT.cross] += np.outer(y[0][wide], y[0][wide]).ravel()
        if waves is not None and t % 4 == 3:
            total[AT.waves] += 4 * weight[t] * np.concatenate([waves[t // 4], waves[t // 4] ** 2])
    return total


@pytest.mark.parametrize("with_waves", [True, False])
def test_the_graph_keeps_the_sums_of_its_bands_weighed_by_the_voice(
    bare: tuple[Path, StreamingConformer], tmp_path: Path, with_waves: bool
) -> None:
    path, torch_model = bare
    model, audio = with_moments(path, tmp_path / "m.onnx", a_kernel(waves=with_waves)), sound(3, 9)
    with torch.no_grad():
        start = torch_model.init_state(3)
        features, _, _ = torch_model.features(torch.from_numpy(audio.astype(np.float32) / 32768), start.tail, start.mean)
    inner = Tap(path)(audio) @ LAYERS.hidden.T + LAYERS.hidden_bias
    logit = (inner / (1 + np.exp(-inner))) @ LAYERS.out.T + LAYERS.out_bias
    weight = np.repeat(1 / (1 + np.exp(-logit[:, :, 0])), FRAME_SAMPLES // 80, axis=1)
    rows = features.bands.numpy() @ moments.projection()
    rows[:, :, ONE] = 1
    waves = [shapes(call / 32768) for call in audio]
    _, state = run(model, audio)
    got = dict(zip(model.state_names, state, strict=True))
    for call in range(3):
        want = sums_by_hand(rows[call], weight[call], waves[call] if with_waves else None)
        assert got[STATE][call] == pytest.approx(want, rel=1e-3, abs=1e-3)
    assert got[ROWS][:, -1] == pytest.approx(rows[:, -1] * np.sqrt(weight[:, -1:]), abs=1e-4)


@pytest.mark.parametrize("waves", [True, False])
def test_the_score_is_the_trunks_and_what_the_kernel_says(
    bare: tuple[Path, StreamingConformer], tmp_path: Path, waves: bool
) -> None:
    kernel = a_kernel(waves=waves)
    model, plain, audio = with_moments(bare[0], tmp_path / "m.onnx", kernel), load_model(bare[0]), sound(5, 7, 1)
    scores, state = run(model, audio)
    said = kernel(state[model.state_names.index(STATE)].astype(np.float64))
    assert said.std() > 0.005
    assert scores[:, -1] - run(plain, audio)[0][:, -1] == pytest.approx(said, abs=1e-4)


def test_any_cutting_gives_the_same_scores(bare: tuple[Path, StreamingConformer], tmp_path: Path) -> None:
    short = with_moments(bare[0], tmp_path / "m.onnx", a_kernel())
    audio = sound(4, 12, 2)
    long = run(load_model(tmp_path / "m.onnx", chunk_ms=480), audio)[0]
    assert run(short, audio)[0][:, 2::3] == pytest.approx(long, abs=2e-5)


@pytest.mark.parametrize("size", [2, 3, 16, 64, 65])
def test_they_are_the_same_bits_whoever_shares_the_batch(
    bare: tuple[Path, StreamingConformer], tmp_path: Path, size: int
) -> None:
    model, audio = with_moments(bare[0], tmp_path / "m.onnx", a_kernel(landmarks=1000)), sound(size, 3, size)
    together = run(model, audio)[0]
    for place in (0, size // 2, size - 1):
        assert (run(model, audio[place : place + 1])[0][0] == together[place]).all()


def test_a_second_fit_replaces_the_first_in_any_order(bare: tuple[Path, StreamingConformer], tmp_path: Path) -> None:
    path, audio = tmp_path / "m.onnx", sound(2, 5, 3)
    want = run(with_moments(bare[0], path, a_kernel(1, waves=False)), audio)[0]
    with_moments(bare[0], path, a_kernel(0))
    attach_explanation(path, np.zeros(32), np.ones(32), np.eye(2, 32), 1.0, 0.0)
    attach_voice(path, LAYERS)
    attach(path, a_kernel(1, waves=False))
    attach_voice(path, LAYERS)
    model = load_model(path)
    assert run(model, audio)[0] == pytest.approx(want, abs=1e-6)
    assert model.explains
    assert model.hears_voice
    assert model.judge(audio[:, :1280], model.init_state(2))[1] is not None


def test_rows_need_a_voice_to_be_weighed_by(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(StreamingConformer(ModelConfig(width=WIDTH, blocks=1, hidden=32)), path)
    with pytest.raises(ValueError, match=r"m\.onnx does not say whether somebody speaks"):
        attach(path, a_kernel())


def test_other_bands_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(StreamingConformer(ModelConfig(width=WIDTH, blocks=1, hidden=32, bands=24)), path)
    attach_voice(path, LAYERS)
    with pytest.raises(ValueError, match=r"m\.onnx hears 24 bands; moments are of 120"):
        attach(path, a_kernel())


def walk(rng: np.random.Generator, rows: int, keeps: float, across: float) -> np.ndarray:
    """Rows of a first-order process: each keeps `keeps` of the one before, bands share `across` of their variance."""
    noise = np.sqrt(1 - across) * rng.standard_normal((rows, moments.BANDS)) + np.sqrt(across) * rng.standard_normal((rows, 1))
    out = np.zeros_like(noise)
    for t in range(1, rows):
        out[t] = keeps * out[t - 1] + np.sqrt(1 - keeps**2) * noise[t]
    found = out @ moments.projection()
    found[:, ONE] = 1
    return found


def test_the_description_has_the_correlations_of_a_known_process() -> None:
    rows = walk(np.random.default_rng(0), 6000, 0.8, 0.5)
    sums = sums_by_hand(rows, np.ones(6000))[None]
    found = describe(sums, np.zeros(SUMS))[0]
    assert len(found) == FEATURES
    along = found[2 * COARSE + 2 * CEPSTRA : 5 * COARSE + 2 * CEPSTRA].reshape(3, COARSE).mean(axis=1)
    assert along == pytest.approx([0.8, 0.64, 0.41], abs=0.06)
    wide = 0.5 / (0.5 + 0.5 / 6)  # six bands taken together keep a sixth of what is their own
    assert found[MOVING : MOVING + WIDE * (WIDE - 1) // 2].mean() == pytest.approx(wide, abs=0.06)
    variance = 9 * (0.5 + 0.5 / 3)
    first, second = np.exp(2 * found[:COARSE].mean()), np.exp(2 * found[COARSE : 2 * COARSE].mean())
    assert first == pytest.approx(0.2 * variance, rel=0.1)  # v - c1, half the variance of the step
    assert second == pytest.approx((3 * 0.2 - (0.8 - 0.64)) * variance, rel=0.1)


def test_who_was_hardly_heard_moves_like_the_average() -> None:
    prior = sums_by_hand(walk(np.random.default_rng(1), 2000, 0.7, 0.3), np.ones(2000))
    prior = prior / prior[ONE]
    nothing = describe(np.zeros((1, SUMS)), prior)
    little = describe(sums_by_hand(walk(np.random.default_rng(2), 1, 0.1, 0.9), np.ones(1))[None], prior)
    much = describe(sums_by_hand(walk(np.random.default_rng(2), 500, 0.1, 0.9), np.ones(500))[None], prior)
    assert np.abs(little - nothing).mean() < 0.25 * np.abs(much - nothing).mean()


def voices(seed: int, count: int = 40) -> Voices:
    """People that keep .8 of a row, fakes from nowhere that keep .6, copies that keep as people do but share more."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 4  # person, fake, person, copy of that person
    process = {0: (0.8, 0.3), 1: (0.6, 0.3), 2: (0.8, 0.3), 3: (0.8, 0.6)}
    sums = np.stack([sums_by_hand(walk(rng, 150, *process[int(kind)]), np.ones(150)) for kind in kinds])
    sources = np.array([f"clip{i - (kind == 3)}" for i, kind in enumerate(kinds)])
    repos = np.array([f"r{i % 3}" for i in range(count)])
    return Voices(sums, kinds % 2 == 0, kinds == 3, sources, repos, np.zeros(count, bool))


def over_another_line(known: Voices, blur: float) -> Voices:
    """The same speech where rows hang together as `blur` has it: what a codec does to people and fakes alike."""
    rng = np.random.default_rng(99)
    sums = np.stack([sums_by_hand(walk(rng, 150, blur, 0.3), np.ones(150)) for _ in known.people])
    both = [(known, known.sums), (known, (known.sums + 2 * sums) / 3)]
    parts = {f.name: np.concatenate([getattr(v, f.name) for v, _ in both]) for f in fields(Voices) if f.name != "sums"}
    return Voices(np.concatenate([found for _, found in both]), **parts)


def test_people_are_told_the_same_over_other_lines_where_that_is_asked() -> None:
    known = over_another_line(voices(0, 80), 0.6)
    new = over_another_line(voices(1, 80), 0.6)

    def drift(steady: float) -> float:
        said = moments.fit(known, (1.0, 0.0), steady=steady)(new.sums)[new.people].reshape(2, -1)
        return float(np.abs(said[1] - said[0]).mean())

    assert drift(100.0) < 0.5 * drift(0.0)


def test_a_clips_first_seconds_are_another_piece_of_speech_than_all_of_it() -> None:
    known = over_another_line(voices(0, 40), 0.6)
    apart = replace(known, early=np.arange(80) >= 40)  # nothing is heard over two lines now
    one, other = (moments.fit(apart, (1.0, 0.0), steady=steady)(known.sums) for steady in (0.0, 100.0))
    assert one == pytest.approx(other)


@pytest.mark.parametrize(("shares", "kind"), [((1.0, 0.0), 1), ((0.0, 1.0), 3)])
def test_people_are_told_from_strangers_and_from_copies(shares: tuple[float, float], kind: int) -> None:
    kernel, new = moments.fit(voices(0, 80), shares), voices(1)
    said, kinds = kernel(new.sums), np.arange(40) % 4
    assert said[kinds % 2 == 0].min() > said[kinds == kind].max()


def test_shares_are_factors() -> None:
    known, new = voices(0), voices(1).sums
    one, other = moments.fit(known, (1.0, 0.0))(new), moments.fit(known, (0.0, 1.0))(new)
    assert moments.fit(known, (2.0, 0.5))(new) == pytest.approx(2 * one + 0.5 * other)


def test_a_fit_needs_both_classes() -> None:
    known = voices(0)
    with pytest.raises(ValueError, match="people and, beside them, fakes"):
        moments.fit(known.some(known.people), (1.0, 0.0))
    with pytest.raises(ValueError, match="people and, beside them, fakes"):
        moments.fit(replace(known, copies=np.zeros(40, bool)), (1.0, 1.0))


@pytest.mark.parametrize(("waves", "heard"), [(False, 3), (True, 4)])
def test_the_fit_hears_clips_and_copies_over_lines_by_the_graph(
    bare: tuple[Path, StreamingConformer], tmp_path: Path, waves: bool, heard: int
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(bare[0].read_bytes())
    path.with_suffix(".json").write_text(bare[0].with_suffix(".json").read_text())
    store, audio = AudioStore(tmp_path / "train"), sound(6, 30, 5)
    with store:
        for i, samples in enumerate(audio):
            person = i % 2 == 0
            label, generator = ("bonafide", "") if person else ("spoof", "g")
            fields = {"source": f"c{i}", "repo": "r", "speaker": "", "coding": ""}
            store.add(samples, label=label, generator=generator, **fields)
            store.add(samples[::-1], label=label, generator=generator, **(fields | {"coding": "x@1"}))
            if person:
                store.add(samples // 2, label="spoof", generator="copy:x", **fields)
    before = run(load_model(path), audio)[0]
    (tmp_path / "noise").mkdir()
    write_wav(tmp_path / "noise/n.wav", (900 * np.random.default_rng(0).standard_normal(32000)).astype(np.int16))
    lines = ["path,kind,split", "n.wav,car,train", "n.wav,car,train", "n.wav,rir,train"]
    (tmp_path / "noise/manifest.csv").write_text("\n".join(lines))
    found = moments_fit.fit_weights(path, store, tmp_path / "noise", (2.0, 1.0), waves=waves)
    # Of 4.8 s each: 6 clips over six lines and 3 copies over these, each at 3 s and at its end.
    most = 2 * 3 * heard
    assert found["of_copies"] in range(most // 2, most + 1)  # what is cut off by a drawn line may be too little to count
    assert found["pieces"] in range(36 + most // 2, 2 * 6 * 6 + most + 1)
    model = load_model(path)
    assert model.info.provenance["moments"] == found
    after, state = run(model, audio)
    assert np.abs(after - before)[:, -1].mean() > 0.1
    assert state[model.state_names.index(STATE)][0, ONE] > moments_fit.LEAST_ROWS


def test_a_store_without_a_voice_is_named(bare: tuple[Path, StreamingConformer], tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"empty\.i16 holds no piece of speech"):
        moments_fit.gathered(bare[0], store, [], [])
