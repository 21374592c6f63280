"""From a torch model to the ONNX file that serves. The file is written only if both agree."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.calibration import Calibration
from models.conformer import FRAME_SAMPLES, ModelState, StreamingConformer, matrix_flops
from models.features import RATE
from models.runtime import ModelInfo, load_model, save_info

CHUNK_MS = 160
TOLERANCE = 1e-5
OPSET = 17


class ChunkStep(nn.Module):
    """What serving asks of the model: int16 chunks in, the last frame's score and embedding out, the state by name.

    What grows by a chunk's frames comes out grown; `models.runtime` cuts it.
    """

    def __init__(self, model: StreamingConformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        samples = audio.to(torch.float32) * (1 / 32768)
        scores, embedding, after = self.model.embed(samples, ModelState.of(state), last=True, grown=True)
        return (scores[:, 0], embedding[:, 0], *after.tensors().values())


def untrained_info(version: str, chunk_samples: int) -> ModelInfo:
    """Info for weights that nobody calibrated: every score counts as it is, nothing is ever accused."""
    return ModelInfo(version, RATE, chunk_samples, Calibration(1.0, 0.0, 0.0, 1.0), -1e9, 1e9, trained=False)


def export(model: StreamingConformer, path: Path, info: ModelInfo | None = None, *, chunk_ms: int = CHUNK_MS) -> float:
    """Write PATH (.onnx) and its .json; returns the greatest difference to torch. ValueError above TOLERANCE.

    The graph takes any number of frames at once; `chunk_ms` is what it is served with where nobody says otherwise.
    """
    samples = RATE * chunk_ms // 1000
    if samples < FRAME_SAMPLES or samples % FRAME_SAMPLES:
        raise ValueError(f"a chunk of {chunk_ms} ms is no whole number of {1000 * FRAME_SAMPLES // RATE} ms frames")
    info = info or untrained_info(path.stem, samples)
    info = replace(info, flops_per_chunk=matrix_flops(model.config, samples // FRAME_SAMPLES))
    model = model.eval().cpu()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        _write_graph(model, draft, samples)
        save_info(info, draft.with_suffix(".json"))
        difference = max(parity(model, draft), parity(model, draft, chunk_ms=2 * chunk_ms))
        if difference > TOLERANCE:
            raise ValueError(f"ONNX differs from torch by {difference:.2e}, more than {TOLERANCE:.0e}; nothing written")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draft.read_bytes())
    save_info(info, path.with_suffix(".json"))
    return difference


def _write_graph(model: StreamingConformer, path: Path, samples: int) -> None:
    state = model.init_state(2).tensors()
    audio = torch.zeros(2, samples, dtype=torch.int16)
    names = list(state)
    outputs = ["scores", "embedding", *(f"{name}_out" for name in names)]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constants on purpose
        torch.onnx.export(
            ChunkStep(model).eval(), (audio, *state.values()), str(path), dynamo=False, opset_version=OPSET,
            input_names=["audio", *names], output_names=outputs,
            dynamic_axes={name: {0: "calls"} for name in [*names, *outputs]} | {"audio": {0: "calls", 1: "samples"}},
        )  # fmt: skip


def parity(
    model: StreamingConformer, path: Path, *, chunks: int = 12, calls: int = 3, chunk_ms: int | None = None
) -> float:
    """Greatest difference of any score over `chunks` chunks of noise with gaps, torch on the whole signal at once."""
    served = load_model(path, chunk_ms=chunk_ms)
    rng = np.random.default_rng(7)
    level = rng.choice([0, 300, 4000], size=(calls, chunks, 1))
    audio = (rng.standard_normal((calls, chunks, served.chunk_samples)) * level).clip(-32768, 32767).astype(np.int16)
    state = served.init_state(calls)
    got = []
    for index in range(chunks):
        scores, state = served.step(audio[:, index], state)
        got.append(scores)
    with torch.no_grad():
        whole, _ = model(torch.from_numpy(audio.reshape(calls, -1)))
    per_chunk = served.chunk_samples // FRAME_SAMPLES
    want = whole[:, per_chunk - 1 :: per_chunk].numpy()
    return float(np.abs(np.stack(got, axis=1) - want).max())
