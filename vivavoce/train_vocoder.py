"""`vivavoce train-vocoder`: a vocoder of our own, whose copies of real speech the detector learns from."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

from engine.errors import ConfigError
from vivavoce.train import default_folder

HELP = "train a vocoder whose copies the detector learns from (extra: train)"
KINDS = ("istft", "waves", "tokens", "harmonics")  # of models/vocoder_kinds.py, which needs torch
RUN = "runs/vocoder"
EPILOG = """\
A small vocoder learns from the real speech of split train, in half an hour on one core: istft is a Vocos, which tells a
spectrum; waves a HiFi-GAN, which makes the samples; harmonics one that is given the pitch, as in voice changers; tokens
hears only a few bits of every 20 ms, as a language model of speech does. RUN keeps a snapshot every 500 steps, each of
which is a vocoder with faults of its own, and voices to convert into. `vivavoce train --own-vocoder RUN` makes copies with
them. A run that was stopped goes on where it was.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--corpus", type=Path, default=default_folder("corpus"), metavar="DIR",
        help="corpus folder with manifest.csv (default: %(default)s)",
    )  # fmt: skip
    add(
        "--more", type=Path, action="append", default=[], metavar="DIR",
        help="a further folder of real speech with a manifest (see data worlds); may be repeated",
    )  # fmt: skip
    add(
        "--run", type=Path, default=None, metavar="DIR",
        help=f"snapshots, voices and the checkpoint (default: {RUN}, of another kind than {KINDS[0]} {RUN}-KIND)",
    )  # fmt: skip
    add("--kind", choices=KINDS, default=KINDS[0], help="kind of vocoder (default: %(default)s)")
    add("--steps", type=int, default=None, metavar="N", help="training steps (default: 7000)")
    add("--seed", type=int, default=1, metavar="N", help="random seed (default: %(default)s)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    if missing := [name for name in ("torch", "scipy", "pyworld") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"this needs {', '.join(missing)}: install the extra with pip install 'vivavoce[train]'")
    if args.steps is not None and args.steps < 1:
        raise ValueError(f"--steps {args.steps} must be at least 1")
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    from models.corpus import read_corpus
    from models.train_vocoder import Speech, VocoderTrainer, VocoderTraining, finished
    from models.vocoder_kinds import SHAPES
    from models.vocoders import RATE

    config = VocoderTraining(seed=args.seed, threads=args.threads, shape=SHAPES[args.kind]).shortened(args.steps)
    folder = args.run or Path(RUN if args.kind == KINDS[0] else f"{RUN}-{args.kind}")
    if finished(folder, config):
        print(f"{folder}: finished before")
        return 0
    clips = [clip for folder in (args.corpus, *args.more) for clip in read_corpus(folder, ["train"])]
    speech = Speech(clips, int(config.crop_s * RATE), config.limited)
    snapshots = VocoderTrainer(config, speech, folder).run()
    print(f"{folder}: {len(snapshots)} snapshots")
    return 0
