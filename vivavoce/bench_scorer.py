"""`vivavoce bench scorer`: G.711 bytes in, scores out, on one core; beside it what that core can multiply at most."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

from connectors.g711 import MU_LAW
from engine.config import Model as ModelSettings
from engine.config import Settings
from models.runtime import StateStore
from vivavoce import bench_vad, service_model
from vivavoce.samples import sample_speech
from vivavoce.sgemm import SgemmPeak

HELP = "the scorer alone: real-time calls per core, and the share of the core's matrix peak that is"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=1024, metavar="N", help="resident calls (default 1024)")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="calls per model run (default 64)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds; the median is reported (default 15)")
    parser.add_argument("--model", metavar="FILE", default="", help="an .onnx file instead of the weights that ship")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.batch <= args.calls:
        raise ValueError(f"--batch {args.batch} must be from 1 to --calls {args.calls}")
    report = measure(args.calls, args.batch, args.rounds, args.model)
    if args.json:
        print(json.dumps(report))
    else:
        width = max(map(len, report))
        print("\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in report.items()))
    return 0


def measure(calls: int = 1024, batch: int = 64, rounds: int = 15, model_path: str = "") -> dict[str, Any]:
    """Every call advances one chunk per round; processor time of this process, matrix peak measured in between."""
    model = service_model.load(Settings(model=ModelSettings(path=model_path)))
    store, chunk_s = StateStore(model, calls), model.chunk_samples / model.rate
    speech = np.frombuffer(sample_speech(), np.uint8)
    starts = np.random.default_rng(1).integers(0, len(speech) - (rounds + 1) * model.chunk_samples, calls)
    peak = SgemmPeak()
    costs, peaks = [], []
    groups = [range(first, min(first + batch, calls)) for first in range(0, calls, batch)]
    for index in range(rounds + 1):
        packets = np.stack([speech[s + index * model.chunk_samples :][: model.chunk_samples] for s in starts])
        before = time.process_time()
        for slots in groups:
            audio = np.take(MU_LAW, packets[slots.start : slots.stop], mode="clip")
            _, _, state = model.judge(audio, store.gather(slots))
            store.scatter(slots, state)
        if index:  # the first round warms up
            costs.append(time.process_time() - before)
            peaks.append(peak.gflops())
    seconds = calls * chunk_s
    per_core = [seconds / cost for cost in costs]
    flops = model.info.flops_per_chunk / chunk_s
    median, peak_gflops = statistics.median(per_core), statistics.median(peaks)
    return {
        "calls_per_core": round(median),
        "calls_per_core_best": round(max(per_core)),
        "sgemm_share": round(median * flops / 1e9 / peak_gflops, 3),
        "peak_gflops": round(peak_gflops, 1),
        "mflop_per_audio_second": round(flops / 1e6, 1),
        "chunk_ms": round(1000 * chunk_s),
        "batch": batch,
        "resident_calls": calls,
        "state_bytes_per_call": store.bytes_per_call,
        "model": model.version,
        "rounds": rounds,
        **bench_vad.measure(MU_LAW[speech]),
    }
