"""Serving a model: one ONNX graph from samples to score, the state of many calls in plain arrays. No torch here.

A call's score is the same bits whoever shares its batch, and however many do: no operation of the graph mixes rows,
and ONNX Runtime's fp32 products sum in the same order for any number of them (tested; dynamic int8 would not).
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from models.calibration import Calibration

log = logging.getLogger(__name__)

FRAME_MS = 40  # a score for every so much audio; chunks are whole numbers of it
DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "vivavoce-1.onnx"
ANSWERS_WEIGHTS = DEFAULT_WEIGHTS.with_name("answers-1.onnx")  # what the examination judges answers with
INT8_WEIGHTS = DEFAULT_WEIGHTS.with_name("vivavoce-1-int8.onnx")  # made from them by `make int8`
# ONNX Runtime's own exceptions have no ancestor but Exception.
LOAD_FAULTS = (
    ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.ModelLoaded, ort.NoModel, ort.NoSuchFile,
    ort.NotImplemented, ort.RuntimeException, RuntimeError, ValueError,
)  # fmt: skip
Audio = NDArray[np.int16]
Scores = NDArray[np.float32]
Explanations = NDArray[np.float32]  # [B, 3 or 4]: distances to people and to the nearest fakes, 1 where the nearest mean
# agrees, and, where the model hears that, the probability that somebody speaks
State = tuple[NDArray[np.float32], ...]  # named by StreamingModel.state_names, first axis = call; may be views


@dataclass(frozen=True)
class ModelInfo:
    """What stands beside the weights, in NAME.json."""

    version: str
    rate: int  # Hz
    chunk_samples: int
    calibration: Calibration
    deepfake_llr: float  # "Deepfake-likely" at or below
    human_llr: float  # "Human-likely" at or above
    trained: bool = True
    flops_per_chunk: float = 0.0  # of its matrix products and convolutions, one call
    unfamiliar: float | None = None  # a call farther than this from people and from fakes is unlike all that is known
    doubt_human: float | None = None  # distance to fakes minus to people below which "Human-likely" deserves less trust
    doubt_fake: float | None = None  # the same above which "Deepfake-likely" does
    voice: float | None = None  # probability that somebody speaks below which a chunk is no evidence
    provenance: dict[str, Any] = field(default_factory=dict)


class StreamingModel(Protocol):
    """What the scorer needs of a model."""

    rate: int
    chunk_samples: int
    version: str
    info: ModelInfo

    def init_state(self, batch: int) -> State: ...

    def step(self, audio: Audio, state: State) -> tuple[Scores, State]: ...

    def judge(self, audio: Audio, state: State) -> tuple[Scores, Explanations | None, State]: ...


def load_info(path: Path) -> ModelInfo:
    """Read NAME.json. ValueError names the file and what is wrong with it."""
    try:
        raw = json.loads(path.read_text())
        return ModelInfo(**{**raw, "calibration": Calibration(**raw["calibration"])})
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: a model is an .onnx file and the .json of the same name") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a model: {error}") from None


@contextmanager
def draft_of(weights: Path) -> Iterator[Path]:
    """A copy of a model's file, and of what describes it, to be changed: both take the old ones' place when all went well."""
    with tempfile.TemporaryDirectory(dir=weights.parent) as folder:
        draft = Path(folder) / weights.name
        pairs = [(draft.with_suffix(end), weights.with_suffix(end)) for end in (weights.suffix, ".json")]
        for copy, kept in pairs:
            shutil.copyfile(kept, copy)
        yield draft
        for copy, kept in pairs:
            shutil.copymode(kept, copy)
            copy.replace(kept)


def save_info(info: ModelInfo, path: Path) -> None:
    raw = {**info.__dict__, "calibration": {k: getattr(info.calibration, k) for k in Calibration.__dataclass_fields__}}
    path.write_text(json.dumps(raw, indent=2) + "\n")


def load_model(path: Path | None = None, *, device: str = "cpu", threads: int = 1, chunk_ms: int | None = None) -> OnnxModel:
    """Load a model for serving; None means the weights that ship. ValueError is a sentence for the user.

    With `chunk_ms` (a multiple of 40) the model is given so much at once, else what its .json says. The scores are the
    same at the moments that both have; a longer chunk costs less and comes later.
    """
    path = path or DEFAULT_WEIGHTS
    if not path.is_file():
        raise ValueError(f"model file {path} does not exist")
    info = load_info(path.with_suffix(".json"))
    return OnnxModel(path, info if chunk_ms is None else with_chunks(info, chunk_ms), providers(device), threads)


def with_chunks(info: ModelInfo, chunk_ms: int) -> ModelInfo:
    """The same model given `chunk_ms` at once; operations are taken to grow as the chunk does."""
    samples = info.rate * chunk_ms // 1000
    flops = info.flops_per_chunk * samples / max(1, info.chunk_samples)
    return replace(info, chunk_samples=samples, flops_per_chunk=flops)


def providers(device: str) -> list[str]:
    """ONNX Runtime's execution providers for "cpu" or "cuda"; without a usable CUDA build, the CPU and a warning."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if device != "cuda":
        raise ValueError(f'device "{device}" is unknown: "cpu" or "cuda"')
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        log.warning("CUDA was asked for, but this onnxruntime has none (extra: gpu); serving on the CPU")
        return ["CPUExecutionProvider"]
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # A spinning thread burns a core that a second call could have used.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _options_for(info: ModelInfo, path: Path, threads: int) -> onnxruntime.SessionOptions:
    """With the chunk's length told, so that all that hangs on it is folded on loading. ValueError if it is impossible."""
    if info.chunk_samples < 1 or 1000 * info.chunk_samples % (FRAME_MS * info.rate):
        chunk_ms = 1000 * info.chunk_samples / info.rate
        raise ValueError(f"{path}: a chunk of {chunk_ms:g} ms is no whole number of {FRAME_MS} ms frames")
    options = session_options(threads)
    options.add_free_dimension_override_by_name("samples", info.chunk_samples)
    return options


class OnnxModel:
    """A StreamingModel on ONNX Runtime. `step` may be called from several threads at once."""

    def __init__(self, path: Path, info: ModelInfo, execution: Sequence[str], threads: int) -> None:
        options = _options_for(info, path, threads)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, list(execution))
        except LOAD_FAULTS as error:
            raise ValueError(f"{path} is not a model that ONNX Runtime can load: {str(error)[:200]}") from None
        inputs = self._session.get_inputs()
        names = [i.name for i in inputs]
        outputs = [o.name for o in self._session.get_outputs()]
        extra = {name for name in ("embedding", "explanation", "voice") if name in outputs}
        outputs = [name for name in outputs if name not in extra]
        if names[:1] != ["audio"] or outputs != ["scores", *(f"{n}_out" for n in names[1:])]:
            raise ValueError(f"{path} is not a streaming model of ours: inputs {names}, outputs {outputs}")
        if inputs[0].shape[1] != info.chunk_samples:
            raise ValueError(f"{path} takes {inputs[0].shape[1]} samples at once, not {info.chunk_samples}; export it again")
        self.info = info
        self.rate, self.chunk_samples, self.version = info.rate, info.chunk_samples, info.version
        self.state_names = tuple(names[1:])
        self._shapes = tuple(tuple(i.shape[1:]) for i in inputs[1:])
        self._outputs = outputs
        self.embeds, self.explains, self.hears_voice = (name in extra for name in ("embedding", "explanation", "voice"))
        self.on_gpu = self._session.get_providers()[0].startswith("CUDA")

    def init_state(self, batch: int) -> State:
        """Zeros: the state of `batch` calls that have not begun."""
        return tuple(np.zeros((batch, *shape), np.float32) for shape in self._shapes)

    def step(self, audio: Audio, state: State) -> tuple[Scores, State]:
        """audio int16 [B, chunk_samples] -> raw scores [B] (higher = bona fide) and the state after it."""
        feeds = {"audio": audio, **dict(zip(self.state_names, state, strict=True))}
        scores, *after = self._session.run(self._outputs, feeds)
        return scores, self._cut(after)

    def judge(self, audio: Audio, state: State) -> tuple[Scores, Explanations | None, State]:
        """As `step`, with what explains the scores; None where `vivavoce explain` has not fitted the weights."""
        if not self.explains:
            scores, after = self.step(audio, state)
            return scores, None, after
        scores, found, after = self._with(("explanation", "voice") if self.hears_voice else ("explanation",), audio, state)
        return scores, np.column_stack(found), after

    def embed(self, audio: Audio, state: State) -> tuple[Scores, NDArray[np.float32], State]:
        """As `step`, with the embeddings [B, H] behind the scores. ValueError when the file does not give them."""
        if not self.embeds:
            raise ValueError(f"model {self.version} does not give its embeddings; export it again")
        scores, (embeddings,), after = self._with(("embedding",), audio, state)
        return scores, embeddings, after

    def voiced(self, audio: Audio, state: State) -> tuple[Scores, NDArray[np.float32], State]:
        """As `step`, with the probability [B] that somebody speaks. ValueError when nobody fitted that."""
        if not self.hears_voice:
            raise ValueError(f"model {self.version} does not say whether somebody speaks: vivavoce explain fit")
        scores, (voice,), after = self._with(("voice",), audio, state)
        return scores, voice, after

    def _with(self, more: Sequence[str], audio: Audio, state: State) -> tuple[Scores, list[NDArray[np.float32]], State]:
        """As `step`, with what the outputs `more` give."""
        feeds = {"audio": audio, **dict(zip(self.state_names, state, strict=True))}
        scores, *found = self._session.run([*self._outputs[:1], *more, *self._outputs[1:]], feeds)
        return scores, found[: len(more)], self._cut(found[len(more) :])

    def _cut(self, grown: Sequence[NDArray[np.float32]]) -> State:
        """What the graph gives back of the state, as views without the oldest frames where it has grown by the chunk's."""
        return tuple(rows[:, -shape[0] :] for rows, shape in zip(grown, self._shapes, strict=True))


class StateStore:
    """The state of up to `capacity` calls, one slot each, gathered and scattered per micro-batch."""

    def __init__(self, model: StreamingModel, capacity: int) -> None:
        self._arrays = model.init_state(capacity)

    @property
    def bytes_per_call(self) -> int:
        return sum(a[0].nbytes for a in self._arrays)

    def gather(self, slots: Sequence[int]) -> State:
        index = np.asarray(slots, np.intp)
        return tuple(a.take(index, axis=0) for a in self._arrays)

    def scatter(self, slots: Sequence[int], state: State) -> None:
        index = np.asarray(slots, np.intp)
        for array, rows in zip(self._arrays, state, strict=True):
            array[index] = rows

    def reset(self, slot: int) -> None:
        """A new call in an old slot."""
        for array in self._arrays:
            array[slot] = 0
