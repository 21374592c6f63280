"""`vivavoce train`: one command from a corpus to weights that serve."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import replace
from pathlib import Path

from engine.errors import ConfigError

HELP = "train the detector from a corpus (extra: train)"
NEEDED = ("torch", "onnx", "scipy", "pyworld")
EPILOG = """\
Stages, each resumed where an earlier run stopped: bring the corpus to 8 kHz; copy its real speech with vocoders;
run everything through speech codecs; train with random telephone channels; choose a checkpoint on dev; export to
ONNX, proved equal to torch; calibrate and set thresholds on dev. Figures end in RUN/dev_figures.md.
A CONFIG with `[model] kind = "ssl"` fine-tunes a second opinion instead (extra: ssl; one .pt file is written).
"""


def default_folder(name: str) -> Path:
    return Path("..") / "shared" / name


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add("config", nargs="?", type=Path, metavar="CONFIG", help="TOML with training settings (default: built in)")
    add(
        "--corpus",
        type=Path,
        default=default_folder("corpus"),
        metavar="DIR",
        help="corpus folder with manifest.csv (default: %(default)s)",
    )
    add(
        "--vocoders",
        type=Path,
        default=default_folder("vocoders"),
        metavar="DIR",
        help="trained vocoders for copies; skipped if absent (default: %(default)s)",
    )
    add(
        "--own-vocoder", type=Path, action="append", default=[], metavar="DIR",
        help="folder of vivavoce train-vocoder, for copies; may be repeated (default: every runs/vocoder* that there is)",
    )  # fmt: skip
    add(
        "--run",
        type=Path,
        default=Path("runs/train"),
        metavar="DIR",
        help="checkpoints and logs (default: %(default)s)",
    )
    add(
        "--cache",
        type=Path,
        default=Path("runs/cache"),
        metavar="DIR",
        help="8 kHz audio, about 2 GB (default: %(default)s)",
    )
    add(
        "--out", type=Path, default=None, metavar="FILE", help="weights to write, .onnx (default: RUN/NAME-of-run.onnx)"
    )
    add("--manifest", type=Path, default=None, metavar="FILE", help="train on these clips of the corpus only (see data select)")
    add(
        "--more", type=Path, action="append", default=[], metavar="DIR",
        help="a further folder of real speech with a manifest (see data worlds); may be repeated",
    )  # fmt: skip
    add("--steps", type=int, default=None, metavar="N", help="training steps, overrides CONFIG (default: 6000)")
    add("--seed", type=int, default=None, metavar="N", help="random seed, overrides CONFIG (default: 1)")
    add("--device", default=None, metavar="NAME", help="cpu or cuda, overrides CONFIG (default: cpu)")
    add("--threads", type=int, default=None, metavar="N", help="CPU threads, overrides CONFIG (default: 1)")


def run(args: argparse.Namespace) -> int:
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"training needs {', '.join(missing)}: install the extra with pip install 'vivavoce[train]'")
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads or 1))
    from models.recipe import Places, from_corpus, wants_second_opinion
    from models.report import as_text
    from models.train import load_config, shortened

    config = shortened(load_config(args.config), args.steps)
    chosen = {name: getattr(args, name) for name in ("seed", "device", "threads") if getattr(args, name) is not None}
    vocoders = args.vocoders if (args.vocoders / "hifigan_v3_fp16.tflite").is_file() else None
    own = args.own_vocoder or sorted({snapshot.parent for snapshot in Path("runs").glob("vocoder*/snapshot-*.pt")})
    heavier = wants_second_opinion(config)
    if heavier and importlib.util.find_spec("transformers") is None:
        raise ConfigError("this recipe needs transformers: install the extra with pip install 'vivavoce[train,ssl]'")
    weights = args.out or args.run / f"{args.run.name}{'.pt' if heavier else '.onnx'}"
    places = Places(args.corpus, vocoders, args.run, args.cache, weights, tuple(args.more), args.manifest, tuple(own))
    found = from_corpus(places, replace(config, **chosen))
    print(as_text(found))
    print(f"weights: {weights}" + ("" if heavier else f" and {weights.with_suffix('.json')}"))
    return 0
