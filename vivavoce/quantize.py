"""`vivavoce quantize`: the static int8 form of a model."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from engine.errors import ConfigError
from models.runtime import DEFAULT_WEIGHTS

LONGEST_S = 600  # of a stream: a call is not longer in what a score depends on
HELP = "make the static int8 form of a model, which is faster (extra: train)"
EPILOG = """\
The scales are constants of the file, set on dev speech that is streamed through the fp32 graph as calls are, so a call's
score never depends on the calls beside it. The file is written only if that is so, bit by bit, and if its scores stay
within a tenth of a standard deviation (rms) of the fp32 ones on streams that no scale was set on. Calibration and
thresholds are those of the fp32 model. Nothing is trained; it takes about a minute.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add("source", nargs="?", type=Path, metavar="MODEL.onnx", default=DEFAULT_WEIGHTS, help="default: the weights that ship")
    add("out", nargs="?", type=Path, metavar="OUT.onnx", help="written with its .json (default: MODEL-int8.onnx)")
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--calls", type=int, default=48, metavar="N", help="streams that the scales are set on (default: %(default)s)")
    add("--seconds", type=float, default=10.0, metavar="S", help="length of each (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    if missing := [name for name in ("onnx", "scipy") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"quantizing needs {', '.join(missing)}: install the extra with pip install 'vivavoce[train]'")
    if args.calls < 2:
        raise ValueError(f"--calls {args.calls} must be at least 2")
    if not 1 <= args.seconds <= LONGEST_S:  # nor a number that is none
        raise ValueError(f"--seconds {args.seconds:g} must be between 1 and {LONGEST_S}")
    if not args.source.is_file():
        raise ConfigError(f"model file {args.source} does not exist")
    out = args.out or args.source.with_name(f"{args.source.stem}-int8.onnx")
    if out.resolve() == args.source.resolve():
        raise ValueError(f"{out} is the fp32 model itself; name another file")
    from models.quantize import dev_streams, quantize

    streams, held_out = dev_streams(args.corpus, args.calls, args.seconds)
    found = quantize(args.source, out, streams, held_out, {"calls": args.calls, "seconds": args.seconds, "split": "dev"})
    print(f"{out}: {found.products} products in int8, {out.stat().st_size // 1000} kB; a call's score is the same in any batch")
    print(
        f"scores differ by {found.rms:.3f} rms and {found.greatest:.3f} at most, where fp32 scores vary by {found.spread:.2f}"
    )
    return 0
