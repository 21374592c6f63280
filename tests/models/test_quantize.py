"""Static int8: no batch-wide scale, calls apart bit by bit, near the fp32 scores, refused where it is not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from engine.companding import MU_LAW
from models import quantize as module
from models.quantize import Streams, dev_streams, products, quantize, rows_are_apart, sha256, stream_scores
from models.runtime import DEFAULT_WEIGHTS, INT8_WEIGHTS, load_info, load_model, save_info
from tests.connectors.test_files import write_wav
from vivavoce.cli import main
from vivavoce.samples import sample_speech

Audio = np.ndarray
SPEECH = MU_LAW[np.frombuffer(sample_speech(), np.uint8)]


def streams(calls: int, seconds: int, first: int = 0) -> Audio:
    """[calls, n] of the bundled calls, each row from another second."""
    return np.stack([SPEECH[8000 * (first + row) :][: 8000 * seconds] for row in range(calls)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that ship, quantized here on a few seconds of the bundled calls."""
    out = tmp_path_factory.mktemp("int8") / "model.onnx"
    quantize(DEFAULT_WEIGHTS, out, streams(8, 6), streams(4, 6, first=20), {"calls": 8})
    return out


def weights_of(path: Path) -> dict[str, Audio]:
    return {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}


def test_it_is_near_the_fp32_scores_on_speech_that_set_no_scale(made: Path) -> None:
    audio = streams(6, 5, first=30)
    want, got = stream_scores(load_model(), audio), stream_scores(load_model(made), audio)
    assert np.abs(got - want).max() > 0
    assert np.sqrt(np.square(got - want).mean()) <= module.TOLERANCE * want.std()


@pytest.mark.parametrize("chunk_ms", [160, 320])
@pytest.mark.parametrize("size", [2, 3, 8, 33, 64, 65])
def test_a_score_is_the_same_bits_whoever_shares_the_batch(made: Path, size: int, chunk_ms: int) -> None:
    model, place = load_model(made, chunk_ms=chunk_ms), size // 2
    batch = np.random.default_rng(size).integers(-32768, 32768, (size, 10240)).astype(np.int16)
    batch[0], batch[place] = 0, SPEECH[8000:18240]
    alone = stream_scores(model, batch[place : place + 1])[0]
    assert stream_scores(model, batch)[place].tobytes() == alone.tobytes()


def test_dynamic_int8_would_be_found_out(tmp_path: Path) -> None:
    quantize_dynamic(DEFAULT_WEIGHTS, tmp_path / "m.onnx", ["Gemm", "MatMul"], weight_type=QuantType.QInt8)
    save_info(load_info(DEFAULT_WEIGHTS.with_suffix(".json")), tmp_path / "m.json")
    assert not rows_are_apart(load_model(tmp_path / "m.onnx"), streams(4, 2))


def test_the_way_a_call_is_cut_moves_a_score_by_a_trace(made: Path) -> None:
    audio = streams(4, 8, first=10)[:, :61440]
    want = stream_scores(load_model(made, chunk_ms=160), audio)
    for chunk_ms in (320, 640, 1920):
        times = chunk_ms // 160
        got = stream_scores(load_model(made, chunk_ms=chunk_ms), audio)
        assert np.abs(got - want[:, times - 1 :: times]).max() <= module.CUT_TOLERANCE * want.std()


def test_every_scale_is_a_constant_of_the_file(made: Path) -> None:
    nodes, constants = onnx.load(made).graph.node, weights_of(made)
    quantized = [n for n in nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert quantized
    assert all(name in constants for node in quantized for name in node.input[1:])
    assert not [n for n in nodes if "Dynamic" in n.op_type]


def test_the_head_and_the_front_end_stay_float(made: Path) -> None:
    nodes = onnx.load(made).graph.node
    by_output = {name: node for node in nodes for name in node.output}
    dequantized = {n.name for n in nodes for i in n.input if i in by_output and by_output[i].op_type == "DequantizeLinear"}
    assert dequantized == set(products(DEFAULT_WEIGHTS))
    assert any("front/linear" in name for name in dequantized)
    assert not any("head" in name or "features" in name for name in dequantized)


def test_state_goes_in_and_out_in_float_under_the_same_names(made: Path) -> None:
    fp32, int8 = load_model(), load_model(made)
    assert int8.state_names == fp32.state_names
    assert [(a.shape, a.dtype) for a in int8.init_state(2)] == [(a.shape, a.dtype) for a in fp32.init_state(2)]


def test_weights_have_seven_bits_so_that_no_processor_saturates(made: Path) -> None:
    stored = [value for value in weights_of(made).values() if value.dtype == np.int8 and value.ndim == 2]
    assert len(stored) == len(products(DEFAULT_WEIGHTS))
    assert max(int(np.abs(value.astype(int)).max()) for value in stored) <= 64


def test_the_description_says_what_it_was_made_from(made: Path) -> None:
    fp32, int8 = load_info(DEFAULT_WEIGHTS.with_suffix(".json")), load_info(made.with_suffix(".json"))
    assert int8.version == f"{fp32.version}-int8"
    assert (int8.calibration, int8.deepfake_llr, int8.human_llr) == (fp32.calibration, fp32.deepfake_llr, fp32.human_llr)
    assert int8.provenance["int8"]["source_sha256"] == sha256(DEFAULT_WEIGHTS)
    assert int8.provenance["int8"]["calls"] == 8


def test_calibration_reads_calls_whose_state_goes_on() -> None:
    model, audio = load_model(), streams(3, 1)
    reader, feeds = Streams(model, audio), []
    while (feed := reader.get_next()) is not None:
        feeds.append(feed)
    assert len(feeds) == 6  # whole chunks of 160 ms in a second
    assert not any(feeds[0][name].any() for name in model.state_names)
    _, after = model.step(feeds[0]["audio"], model.init_state(3))
    assert all(np.array_equal(feeds[1][name], value) for name, value in zip(model.state_names, after, strict=True))


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("TOLERANCE", 1e-6, "int8 scores differ by"),
            ("CUT_TOLERANCE", -1.0, "change with|length of chunks"),
            ("rows_are_apart", lambda *_: False, "changes with its neighbours"),
        ],
    )
    def test_what_is_not_proved_is_not_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, sentence: str
    ) -> None:
        monkeypatch.setattr(module, name, value)
        with pytest.raises(ValueError, match=sentence):
            quantize(DEFAULT_WEIGHTS, tmp_path / "m.onnx", streams(2, 1), streams(2, 2), {})
        assert not list(tmp_path.iterdir())

    def test_what_is_int8_already(self, made: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no fp32 products"):
            quantize(made, tmp_path / "m.onnx", streams(2, 1), streams(2, 2), {})


class TestCorpus:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        """Six clips of two seconds of each class."""
        rows = []
        for index in range(12):
            path = write_wav(tmp_path / f"{index}.wav", [SPEECH[index * 16000 :][:16000]], 8000)
            rows.append({"path": path.name, "label": ("bonafide", "spoof")[index % 2], "split": "dev"})
        with (tmp_path / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label", "split"])
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path

    def test_streams_are_clips_joined_and_half_as_many_are_held_out(self, corpus: Path) -> None:
        scales, held_out = dev_streams(corpus, 2, 3.0)
        assert (scales.shape, held_out.shape) == ((2, 24000), (1, 24000))
        assert scales.dtype == np.int16
        assert np.abs(scales.astype(int)).max(axis=1).min() > 0
        assert np.array_equal(dev_streams(corpus, 2, 3.0)[0], scales)

    def test_too_few_clips_are_a_sentence(self, corpus: Path) -> None:
        with pytest.raises(ValueError, match="too few clips for 30 streams of 3 s"):
            dev_streams(corpus, 20, 3.0)

    def test_the_command(self, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "small-int8.onnx"
        few = ["--corpus", str(corpus), "--calls", "2", "--seconds", "3"]
        assert main(["quantize", str(DEFAULT_WEIGHTS), str(out), *few]) == 0
        assert f"{out}: {len(products(DEFAULT_WEIGHTS))} products in int8" in capsys.readouterr().out
        assert load_model(out).version.endswith("-int8")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["gone.onnx"], "gone.onnx does not exist"),
            (["--calls", "1"], "--calls 1 must be at least 2"),
            (["--seconds", "inf"], "--seconds inf must be between 1 and 600"),
            (["--seconds", "nan"], "--seconds nan must be between 1 and 600"),
            ([str(DEFAULT_WEIGHTS), str(DEFAULT_WEIGHTS)], "is the fp32 model itself"),
            (["--corpus", "nowhere"], "no corpus here"),
        ],
    )
    def test_mistakes_are_sentences(
        self, arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = DEFAULT_WEIGHTS.read_bytes()
        assert main(["quantize", *arguments]) == 2
        assert sentence in capsys.readouterr().err
        assert DEFAULT_WEIGHTS.read_bytes() == before


def test_the_int8_file_that_ships_was_made_from_the_weights_that_ship() -> None:
    story = load_info(INT8_WEIGHTS.with_suffix(".json")).provenance["int8"]
    assert story["source_sha256"] == sha256(DEFAULT_WEIGHTS), "the weights have changed: run `make int8`"
    assert story["rms"] <= module.TOLERANCE * story["spread"]
    assert rows_are_apart(load_model(INT8_WEIGHTS), streams(4, 2))
