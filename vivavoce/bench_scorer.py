"""`vivavoce bench scorer`: G.711 bytes in, scores out, on one core; beside it what that core can multiply at most.

Another form, file or chunk than what serves by default is measured in turns with that, round by round: a ratio inside one
run holds where the machine's other work moves both figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.companding import MU_LAW
from engine.config import Model as ModelSettings
from engine.config import Settings
from models.runtime import OnnxModel, StateStore
from vivavoce import bench_vad, service_model
from vivavoce.samples import sample_speech
from vivavoce.sgemm import SgemmPeak

HELP = "the scorer alone: real-time calls per core, and the share of the core's matrix peak that is"
FORMS = ("fp32", "int8")
SPEECH = np.frombuffer(sample_speech(), np.uint8)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--calls", type=int, default=1024, metavar="N", help="resident calls (default 1024)")
    add("--batch", type=int, default=64, metavar="N", help="calls per model run (default 64)")
    add("--rounds", type=int, default=15, metavar="N", help="rounds; the median is reported (default 15)")
    add("--model", metavar="FORM|FILE", default="fp32", help="fp32 or int8 of the weights that ship, or an .onnx file")
    add("--chunk-ms", type=int, choices=(160, 320), default=160, help="audio scored at once (default 160)")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.batch <= args.calls:
        raise ValueError(f"--batch {args.batch} must be from 1 to --calls {args.calls}")
    report = measure(args.calls, args.batch, args.rounds, args.model, args.chunk_ms)
    if args.json:
        print(json.dumps(report))
    else:
        width = max(map(len, report))
        print("\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in report.items()))
    return 0


@dataclass
class Contender:
    """A model with the state of `calls` calls, and what its rounds cost."""

    model: OnnxModel
    calls: int
    batch: int
    per_core: list[float] = field(default_factory=list)  # real-time calls per core, a round each

    def __post_init__(self) -> None:
        self.store = StateStore(self.model, self.calls)

    def play(self, starts: NDArray[np.intp], index: int) -> None:
        """Every call advances one chunk; processor time of this process. The first round warms up."""
        size = self.model.chunk_samples
        packets = np.stack([SPEECH[s + index * size :][:size] for s in starts])
        before = time.process_time()
        for first in range(0, self.calls, self.batch):
            slots = range(first, min(first + self.batch, self.calls))
            audio = np.take(MU_LAW, packets[slots.start : slots.stop], mode="clip")
            _, _, state = self.model.judge(audio, self.store.gather(slots))
            self.store.scatter(slots, state)
        if index:
            self.per_core.append(self.calls * size / self.model.rate / (time.process_time() - before))


def measure(calls: int = 1024, batch: int = 64, rounds: int = 15, name: str = "fp32", chunk_ms: int = 160) -> dict[str, Any]:
    """Rounds of the model, in turns with the default one where it is another; the matrix peak is measured in between."""
    asked = Contender(load(name, chunk_ms), calls, batch)
    usual = asked if (name, chunk_ms) == ("fp32", 160) else Contender(load("fp32", 160), calls, batch)
    longest = (rounds + 1) * asked.model.chunk_samples
    if longest >= len(SPEECH):
        raise ValueError(f"--rounds {rounds} of {chunk_ms} ms are more than the {len(SPEECH) // 8000} s of sample speech")
    starts = np.random.default_rng(1).integers(0, len(SPEECH) - longest, calls, np.intp)
    peak, peaks = SgemmPeak(), []
    for index in range(rounds + 1):
        for contender in (asked,) if asked is usual else (asked, usual):
            contender.play(starts, index)
        peaks.append(peak.gflops())
    report = figures(asked, statistics.median(peaks[1:]))
    if asked is not usual:
        ratios = [mine / theirs for mine, theirs in zip(asked.per_core, usual.per_core, strict=True)]
        report["fp32_160_ms_calls_per_core"] = round(statistics.median(usual.per_core))
        report["times_fp32_160_ms"] = round(statistics.median(ratios), 3)
    return {**report, **bench_vad.measure(MU_LAW[SPEECH])}


def load(name: str, chunk_ms: int) -> OnnxModel:
    """A form of the weights that ship, or a file."""
    chosen = {"form": name} if name in FORMS else {"path": name}
    return service_model.load(Settings(model=msgspec.convert({**chosen, "chunk_ms": chunk_ms}, ModelSettings)))


def figures(found: Contender, peak_gflops: float) -> dict[str, Any]:
    model = found.model
    chunk_s = model.chunk_samples / model.rate
    flops, median = model.info.flops_per_chunk / chunk_s, statistics.median(found.per_core)
    return {
        "calls_per_core": round(median),
        "calls_per_core_best": round(max(found.per_core)),
        "sgemm_share": round(median * flops / 1e9 / peak_gflops, 3),
        "peak_gflops": round(peak_gflops, 1),
        "mflop_per_audio_second": round(flops / 1e6, 1),
        "chunk_ms": round(1000 * chunk_s),
        "batch": found.batch,
        "resident_calls": found.calls,
        "state_bytes_per_call": found.store.bytes_per_call,
        "model": model.version,
        "rounds": len(found.per_core),
    }
