"""Serving: ONNX equals torch, calls do not see each other, bad files are sentences."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.calibration import Calibration
from models.conformer import ModelConfig, StreamingConformer
from models.export import export, parity
from models.runtime import DEFAULT_WEIGHTS, ModelInfo, OnnxModel, StateStore, load_info, load_model, providers, save_info

Audio = np.ndarray


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return load_model()


def noise(calls: int, chunks: int, seed: int = 0) -> Audio:
    rng = np.random.default_rng(seed)
    level = rng.choice([0, 50, 2000, 20000], size=(calls, chunks, 1))
    return (rng.standard_normal((calls, chunks, 1280)) * level).clip(-32768, 32767).astype(np.int16)


def alone(model: OnnxModel, audio: Audio) -> list[float]:
    """The scores of one call that shares its batch with nobody."""
    state, scores = model.init_state(1), []
    for chunk in audio:
        got, state = model.step(chunk[None, :], state)
        scores.append(float(got[0]))
    return scores


def scores_of(model: OnnxModel, audio: Audio, chunk: int) -> Audio:
    """Scores [B, chunks] of whole signals [B, n], side by side."""
    state, scores = model.init_state(len(audio)), []
    for start in range(0, audio.shape[1] - chunk + 1, chunk):
        got, state = model.step(np.ascontiguousarray(audio[:, start : start + chunk]), state)
        scores.append(got)
    return np.stack(scores, axis=1)


@pytest.mark.parametrize("lines", [False, True])
def test_onnx_is_torch(tmp_path: Path, lines: bool) -> None:
    torch.manual_seed(1)
    net = StreamingConformer(ModelConfig(width=96, blocks=2, lines=lines)).eval()
    path = tmp_path / "m.onnx"
    assert export(net, path) <= 1e-5
    assert parity(net, path, chunks=40) <= 1e-5


def test_longer_chunks_come_from_the_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = StreamingConformer(ModelConfig(width=48, blocks=1)).eval()
    export(net, tmp_path / "long.onnx", chunk_ms=320)
    assert load_model(tmp_path / "long.onnx").chunk_samples == 2560
    assert load_model(tmp_path / "long.onnx", chunk_ms=160).chunk_samples == 1280
    for chunk_ms in (100, 0, -40):
        with pytest.raises(ValueError, match=f"a chunk of {chunk_ms} ms is no whole number of 40 ms frames"):
            export(net, tmp_path / "odd.onnx", chunk_ms=chunk_ms)


def test_an_export_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.export.parity", lambda *_, **__: 1e-3)
    with pytest.raises(ValueError, match="nothing written"):
        export(StreamingConformer(ModelConfig(width=48, blocks=1)), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("chunk_ms", [40, 80, 320, 640])
def test_one_file_gives_the_same_scores_at_the_same_moments_for_any_chunk(model: OnnxModel, chunk_ms: int) -> None:
    other = load_model(chunk_ms=chunk_ms)
    audio = noise(3, 16, seed=4).reshape(3, -1)
    (short, chunk), (long, multiple) = sorted([(model, 1280), (other, chunk_ms * 8)], key=lambda pair: pair[1])
    want, got = scores_of(short, audio, chunk), scores_of(long, audio, multiple)
    assert got.shape[1] == audio.shape[1] // multiple
    # Variances are means of squares less squared means, in single precision; scores are about 2 apart.
    assert np.abs(got - want[:, multiple // chunk - 1 :: multiple // chunk]).max() <= 5e-4


def test_the_state_of_a_call_is_the_same_size_for_any_chunk(model: OnnxModel) -> None:
    longer = load_model(chunk_ms=320)
    assert [a.shape for a in longer.init_state(2)] == [a.shape for a in model.init_state(2)]
    assert longer.info.flops_per_chunk == 2 * model.info.flops_per_chunk
    assert longer.info.calibration == model.info.calibration


@pytest.mark.parametrize("chunk_ms", [0, 30, 100])
def test_a_chunk_that_is_no_whole_number_of_frames_is_a_sentence(chunk_ms: int) -> None:
    with pytest.raises(ValueError, match=rf"a chunk of {chunk_ms} ms is no whole number of 40 ms frames"):
        load_model(chunk_ms=chunk_ms)


@pytest.mark.parametrize("chunk_ms", [160, 320])
@pytest.mark.parametrize("size", [2, 3, 7, 8, 33, 64, 65])
def test_a_score_is_the_same_bits_whoever_shares_the_batch(size: int, chunk_ms: int) -> None:
    model = load_model(chunk_ms=chunk_ms)
    audio = noise(size, 10, seed=size).reshape(size, -1, chunk_ms * 8)[:, :5]
    place = size // 2
    want = alone(model, audio[place])
    state, got = model.init_state(size), []
    for chunk in range(5):
        scores, state = model.step(np.ascontiguousarray(audio[:, chunk]), state)
        got.append(float(scores[place]))
    assert got == want


def test_calls_that_come_and_go_score_as_each_alone(model: OnnxModel) -> None:
    """Every step takes another random set of calls at another place in the batch; the states live in a store."""
    audio, store = noise(20, 6, seed=3), StateStore(model, 32)
    slots = np.random.default_rng(0).permutation(32)[:20]
    done, got, rng = [0] * 20, [[] for _ in range(20)], np.random.default_rng(1)
    while min(done) < 6:
        ready = [c for c in rng.permutation(20)[: rng.integers(1, 20)] if done[c] < 6]
        if not ready:
            continue
        chunks = np.stack([audio[c, done[c]] for c in ready])
        scores, state = model.step(chunks, store.gather([slots[c] for c in ready]))
        store.scatter([slots[c] for c in ready], state)
        for call, score in zip(ready, scores, strict=True):
            got[call].append(float(score))
            done[call] += 1
    for call in range(20):
        assert got[call] == alone(model, audio[call])


def test_a_reset_slot_is_a_new_call(model: OnnxModel) -> None:
    store, audio = StateStore(model, 2), noise(1, 2)
    first, state = model.step(audio[:, 0], store.gather([1]))
    store.scatter([1], state)
    store.reset(1)
    again, _ = model.step(audio[:, 0], store.gather([1]))
    assert first[0] == again[0]


def test_steps_from_several_threads_do_not_mix(model: OnnxModel) -> None:
    audio = noise(4, 8)
    want = [alone(model, a) for a in audio]
    got: dict[int, list[float]] = {}
    threads = [threading.Thread(target=lambda i=i: got.update({i: alone(model, audio[i])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[i] for i in range(4)] == want


def test_the_state_of_a_call_is_small(model: OnnxModel) -> None:
    assert StateStore(model, 1).bytes_per_call < 100_000
    assert DEFAULT_WEIGHTS.stat().st_size < 8 << 20


def test_the_shipped_weights_are_trained_and_calibrated(model: OnnxModel) -> None:
    assert model.info.trained
    assert model.info.deepfake_llr < 0 < model.info.human_llr
    assert model.info.flops_per_chunk > 1e6


def test_info_survives_being_written(tmp_path: Path) -> None:
    info = ModelInfo("v", 8000, 1280, Calibration(0.5, 0.1, 0.4, 20.0), -2.0, 1.0, provenance={"seed": 3})
    save_info(info, tmp_path / "v.json")
    assert load_info(tmp_path / "v.json") == info


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"gone\.onnx does not exist"):
            load_model(tmp_path / "gone.onnx")

    def test_not_onnx(self, tmp_path: Path) -> None:
        (tmp_path / "bad.onnx").write_bytes(b"hello" * 100)
        (tmp_path / "bad.json").write_text(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
        with pytest.raises(ValueError, match=r"bad\.onnx is not a model that ONNX Runtime can load"):
            load_model(tmp_path / "bad.onnx")

    def test_without_description(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(DEFAULT_WEIGHTS.read_bytes())
        with pytest.raises(ValueError, match=r"m\.json is missing"):
            load_model(tmp_path / "m.onnx")

    @pytest.mark.parametrize("text", ["", "[]", '{"version": "x"}', "{"])
    def test_broken_description(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "m.onnx").write_bytes(DEFAULT_WEIGHTS.read_bytes())
        (tmp_path / "m.json").write_text(text)
        with pytest.raises(ValueError, match=r"m\.json does not describe a model"):
            load_model(tmp_path / "m.onnx")

    def test_a_graph_of_one_length_takes_no_other(self, tmp_path: Path) -> None:
        graph = onnx.load(DEFAULT_WEIGHTS)
        graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1280
        onnx.save(graph, tmp_path / "m.onnx")
        (tmp_path / "m.json").write_text(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
        assert load_model(tmp_path / "m.onnx", chunk_ms=160).chunk_samples == 1280
        with pytest.raises(ValueError, match=r"takes 1280 samples at once, not 2560; export it again"):
            load_model(tmp_path / "m.onnx", chunk_ms=320)

    @pytest.mark.parametrize("samples", [0, 1000, -1280])
    def test_a_description_with_an_impossible_chunk(self, tmp_path: Path, samples: int) -> None:
        (tmp_path / "m.onnx").write_bytes(DEFAULT_WEIGHTS.read_bytes())
        raw = json.loads(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
        (tmp_path / "m.json").write_text(json.dumps({**raw, "chunk_samples": samples}))
        with pytest.raises(ValueError, match="no whole number of 40 ms frames"):
            load_model(tmp_path / "m.onnx")

    def test_unknown_device(self) -> None:
        with pytest.raises(ValueError, match='device "tpu" is unknown'):
            providers("tpu")

    def test_cuda_without_cuda_warns_and_serves(self, caplog: pytest.LogCaptureFixture) -> None:
        assert providers("cuda")[-1] == "CPUExecutionProvider"


@pytest.mark.parametrize(("speech", "want"), [(0.0, 0.0), (1.0, 1.1), (4.0, 2.2), (16.0, 4.4), (100.0, 4.4)])
def test_evidence_grows_with_speech_up_to_the_cap(speech: float, want: float) -> None:
    assert Calibration(0.5, 0.1, 0.5, 16.0).llr(2.0, speech) == pytest.approx(want)
