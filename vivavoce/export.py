"""`vivavoce export`: a training checkpoint to the ONNX file that serves."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path

from engine.errors import ConfigError

HELP = "turn a training checkpoint into the ONNX file that serves (extra: train)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "The file is written only if ONNX and torch agree within 1e-5 on every score."
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a .pt file of `vivavoce train`")
    parser.add_argument("out", type=Path, metavar="OUT.onnx", help="written with its .json beside it")
    parser.add_argument("--chunk-ms", type=int, default=160, metavar="MS", help="a multiple of 40 (default: 160 ms)")


def run(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("exporting needs torch: install the extra with pip install 'vivavoce[train]'")
    from models.runtime import FRAME_MS

    if args.chunk_ms <= 0 or args.chunk_ms % FRAME_MS:
        raise ConfigError(f"--chunk-ms {args.chunk_ms} is no positive multiple of {FRAME_MS}")
    if not args.checkpoint.is_file():
        raise ConfigError(f"checkpoint {args.checkpoint} does not exist")
    from models.export import export, untrained_info
    from models.features import RATE
    from models.train import licence_of, load_averaged, read_checkpoint

    info = untrained_info(args.out.stem, RATE * args.chunk_ms // 1000)
    info = replace(info, provenance=licence_of(read_checkpoint(args.checkpoint)))
    difference = export(load_averaged(args.checkpoint), args.out, info, chunk_ms=args.chunk_ms)
    print(f"{args.out}: agrees with torch within {difference:.1e}; uncalibrated until `vivavoce train` fits it")
    return 0
