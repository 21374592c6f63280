"""From the fp32 graph that serves to a static int8 one. It is written only if it keeps calls apart and its scores close.

Static: every activation's scale is a constant of the file, found by streaming speech through the fp32 graph with the
state carried as in a call. (Dynamic int8 takes one scale per batch, so that a loud call would move its neighbour's score.)

Int8 are the products that ask for it: those of the front end's linear map and of the blocks, a third of the fp32 graph's
time. Everything else stays float: the transform and the logarithm, whose range eight bits cannot hold; normalisations;
attention over its float state; the convolutions, which were not faster in int8; the head, whose sums live for seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from models.calibrate import under
from models.corpus import RATE, read_corpus, read_speech
from models.dataset import read_noises
from models.runtime import OnnxModel, load_info, load_model, save_info
from models.selection import conditions_with

Samples = NDArray[np.int16]
FLOAT_PARTS = ("head/", "explain/", "voice/", "moments/")  # names of nodes with these in them are left as they are
PERCENTILE = 99.999  # of an activation's values that lie inside its range; chosen on dev against 99.99 and the extremes
TOLERANCE = 0.1  # rms difference of scores that is still the same model, in standard deviations of the fp32 scores
CUT_TOLERANCE = 0.05  # greatest difference between two ways of cutting a call into chunks, in the same measure
BATCHES = (2, 7, 64)  # of how many calls rows are proved apart in


@dataclass(frozen=True)
class Agreement:
    """How near the int8 scores are to the fp32 ones, chunk by chunk, on streams that no scale was set on."""

    products: int  # in int8
    rms: float
    greatest: float
    spread: float  # standard deviation of the fp32 scores
    cut: float  # greatest difference to chunks four times as long: a trace of float rounding may tip an eighth bit


def quantize(source: Path, out: Path, streams: Samples, held_out: Samples, provenance: dict[str, Any]) -> Agreement:
    """Write OUT (.onnx and .json) from SOURCE's.

    `streams` [N, n] int16 set the scales, `held_out` [M, m] prove the result; both at the model's rate. ValueError when
    SOURCE has no such products, when its scores leave TOLERANCE or rows of a batch are not apart; nothing is written then.
    """
    model = load_model(source)
    nodes = products(source)
    if not nodes:
        raise ValueError(f"{source} has no fp32 products to quantize")
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        _write_graph(source, draft, Streams(model, streams), nodes)
        info = replace(model.info, version=f"{model.info.version}-int8")
        save_info(info, draft.with_suffix(".json"))
        int8 = load_model(draft)
        found = agreement(model, int8, load_model(draft, chunk_ms=4 * chunk_ms(int8)), held_out, len(nodes))
        _prove(found, int8, held_out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(draft.read_bytes())
    story = {
        **provenance, "source": source.name, "source_sha256": sha256(source), "percentile": PERCENTILE, **found.__dict__
    }  # fmt: skip
    save_info(replace(info, provenance={**info.provenance, "int8": story}), out.with_suffix(".json"))
    return found


def products(path: Path) -> list[str]:
    """Names of the fp32 products with learned weights that int8 is for."""
    graph = onnx.load(str(path)).graph
    learned = {i.name for i in graph.initializer}
    found = [n for n in graph.node if n.op_type == "Gemm" and n.input[1] in learned]
    return [n.name for n in found if not any(part in n.name for part in FLOAT_PARTS)]


def sha256(path: Path) -> str:
    """By which a test knows what a file was made from."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dev_streams(corpus: Path, calls: int, seconds: float, seed: int = 1) -> tuple[Samples, Samples]:
    """Streams to set scales on and half as many to prove them on, [calls, n] and [calls // 2, n] int16 at 8 kHz.

    Each is clips of dev one after the other, people and fakes by turns, in one of the conditions that calibration uses.
    ValueError when dev has too few clips.
    """
    clips, rng = read_corpus(corpus, ["dev"]), np.random.default_rng(seed)
    noises, _ = read_noises(corpus / "noise", hold_out=True)
    queues = [iter(rng.permutation([i for i, c in enumerate(clips) if c.bonafide == person])) for person in (True, False)]
    conditions, length, total = conditions_with(noises), round(seconds * RATE), calls + calls // 2
    streams = np.zeros((total, length), np.int16)
    for row in tqdm(range(total), desc="read dev", unit="stream"):
        parts: list[Samples] = []
        while sum(map(len, parts)) < length:
            clip = next(queues[(row + len(parts)) % 2], None)
            if clip is None:
                raise ValueError(f"dev of {corpus} has too few clips for {total} streams of {seconds:g} s")
            parts.append(read_speech(clips[clip].path))
        streams[row] = under(conditions[row % len(conditions)], np.concatenate(parts)[:length], row, noises)
    return streams[:calls], streams[calls:]


class Streams:
    """What ONNX Runtime's calibration reads: the inputs of every step of calls that run side by side, state carried."""

    def __init__(self, model: OnnxModel, audio: Samples) -> None:
        self._feeds = self._run(model, audio)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)

    @staticmethod
    def _run(model: OnnxModel, audio: Samples) -> Iterator[dict[str, Any]]:
        state = model.init_state(len(audio))
        for chunk in chunks_of(model, audio):
            yield {"audio": chunk, **dict(zip(model.state_names, state, strict=True))}
            _, state = model.step(chunk, state)


def chunks_of(model: OnnxModel, audio: Samples) -> Iterator[Samples]:
    """[B, n] -> [B, chunk] in order; what is left over is dropped."""
    for start in range(0, audio.shape[1] - model.chunk_samples + 1, model.chunk_samples):
        yield np.ascontiguousarray(audio[:, start : start + model.chunk_samples])


def stream_scores(model: OnnxModel, audio: Samples) -> NDArray[np.float32]:
    """[B, n] -> raw scores [B, chunks]."""
    state, scores = model.init_state(len(audio)), []
    for chunk in chunks_of(model, audio):
        got, state = model.step(chunk, state)
        scores.append(got)
    return np.stack(scores, axis=1)


def agreement(fp32: OnnxModel, int8: OnnxModel, longer: OnnxModel, audio: Samples, count: int) -> Agreement:
    """Of two models that are given the same [B, n]; `longer` is the int8 one with chunks of a multiple."""
    want, got = stream_scores(fp32, audio), stream_scores(int8, audio)
    off, times = got - want, longer.chunk_samples // int8.chunk_samples
    cut = np.abs(stream_scores(longer, audio) - got[:, times - 1 :: times]).max()
    rms, greatest = float(np.sqrt(np.square(off).mean())), float(np.abs(off).max())
    return Agreement(count, round(rms, 4), round(greatest, 4), round(float(want.std()), 4), round(float(cut), 4))


def chunk_ms(model: OnnxModel) -> int:
    return 1000 * model.chunk_samples // model.rate


def _prove(found: Agreement, int8: OnnxModel, audio: Samples) -> None:
    if not found.rms <= TOLERANCE * found.spread:
        raise ValueError(f"int8 scores differ by {found.rms:.3f} rms, {found.spread:.3f} is all they vary; nothing written")
    if not found.cut <= CUT_TOLERANCE * found.spread:
        raise ValueError(f"int8 scores change by {found.cut:.3f} with the length of chunks; nothing written")
    if not rows_are_apart(int8, audio):
        raise ValueError("a call's int8 score changes with its neighbours in the batch; nothing written")


def rows_are_apart(model: OnnxModel, audio: Samples) -> bool:
    """Whether calls score the same bits alone and in any batch, beside quiet neighbours and full-scale noise."""
    rng = np.random.default_rng(3)
    part = audio[:, : 8 * model.chunk_samples]
    for size in BATCHES:
        batch = rng.integers(-32768, 32768, (size, part.shape[1])).astype(np.int16)
        batch[::2] = part[np.arange(len(batch[::2])) % len(part)]
        batch[1::4] = 0
        together = stream_scores(model, batch)
        rows = sorted({0, size // 2, size - 1})
        if any(stream_scores(model, batch[row : row + 1])[0].tobytes() != together[row].tobytes() for row in rows):
            return False
    return True


def _write_graph(source: Path, draft: Path, streams: Streams, nodes: list[str]) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Unprepared(logging.Filter):
        """The graph comes from our own export: there are no shapes to infer and nothing to fuse beforehand."""

        def filter(self, record: logging.LogRecord) -> bool:
            return "pre-processing" not in record.getMessage()

    advice = Unprepared()
    logging.getLogger().addFilter(advice)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how its histograms come along
            quantize_static(
                str(source), str(draft), streams, quant_format=QuantFormat.QDQ, nodes_to_quantize=nodes,
                op_types_to_quantize=["Gemm"], per_channel=True, activation_type=QuantType.QUInt8,
                # Seven bits of weight: without VNNI the sums of two products would not fit into 16 bits, and the same
                # file would score otherwise on an older processor.
                weight_type=QuantType.QInt8, reduce_range=True, calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": PERCENTILE, "OpTypesToExcludeOutputQuantization": ["Gemm"]},
            )  # fmt: skip
    finally:
        logging.getLogger().removeFilter(advice)


def describe(path: Path) -> dict[str, Any]:
    """What a file's .json says of its making in int8; empty for fp32."""
    story: dict[str, Any] = load_info(path.with_suffix(".json")).provenance.get("int8", {})
    return story
