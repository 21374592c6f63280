"""`vivavoce explain fit`: put into a model's file what explains its scores, and whether somebody speaks."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from models.runtime import DEFAULT_WEIGHTS

HELP = "fit what explains scores into a model's file (extra: train)"


LIMITS = {
    "unfamiliar": "unfamiliar above",
    "doubt_human": "Human-likely doubted below",
    "doubt_fake": "Deepfake-likely doubted above",
}  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    sub = commands.add_parser(
        "fit",
        help="means and clusters from train, the threshold of the unfamiliar from dev; what is a voice and what is none",
        description="Fit class means and clusters of fakes on train, and on dev the distance beyond which a voice is unlike\n"
        "all that is known (1 % of people) and the distances at which a verdict deserves less trust (10 % of right ones).\n"
        "And on train what tells a voice from noises, coughs and telephone tones that a voice activity detector takes for\n"
        "speech, on dev below what probability a chunk of sound is no evidence (5 % of chunks of people's speech).\n"
        "Written into the .onnx and the .json beside it, in place of an earlier fit. Scores stay the same.\n"
        "`vivavoce train` does this itself; an int8 file is to be made after it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = sub.add_argument
    add("--model", type=Path, default=DEFAULT_WEIGHTS, metavar="FILE", help="an .onnx file (default: the weights that ship)")
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--clusters", type=int, default=8, metavar="N", help="clusters of fakes (default: 8)")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if missing := [name for name in ("onnx", "scipy") if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"fitting needs {', '.join(missing)}: install the extra with pip install 'vivavoce[train]'")
    if args.clusters < 1:
        raise ValueError(f"--clusters {args.clusters} must be at least 1")
    from models import explain, voice

    found = explain.fit_weights(args.model, args.corpus, args.clusters)
    found["voice"] = voice.fit_weights(args.model, args.corpus)
    print(json.dumps(found, indent=1) if args.json else table(found, args.model))
    return 0


def table(found: dict[str, Any], weights: Path) -> str:
    """What was found, for a person."""
    limits = [f"{text} {'-' if found[name] is None else f'{found[name]:.2f}'}" for name, text in LIMITS.items()]
    lines = [f"{weights}: {found['clusters']} clusters of fakes; {', '.join(limits)}", ""]
    lines.append(f"{'dev':12}{'to people':>12}{'to fakes':>12}{'mean agrees':>14}{'unfamiliar':>12}")
    for name in ("bona fide", "spoof"):
        row = found[name]
        far = "-" if row["unfamiliar"] is None else f"{100 * row['unfamiliar']:.1f} %"
        lines.append(f"{name:12}{row['d_real']:12.2f}{row['d_fake']:12.2f}{100 * row['agrees']:12.1f} %{far:>12}")
    heard = found["voice"]
    kept = "-" if heard["noise_kept"] is None else f"{100 * heard['noise_kept']:.1f} %"
    lines += ["", f"a voice from {heard['limit']} on: {100 * heard['people_lost']:.1f} % of people's and "
              f"{100 * heard['fakes_lost']:.1f} % of fakes' speech lost, {kept} of noise kept"]  # fmt: skip
    return "\n".join(lines)
