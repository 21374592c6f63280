"""`vivavoce evaluate-challenges`: the examination against simulated callers, and what its verifiers tell apart."""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from challenges.catalogue import LINES, by_line, by_name, pool
from engine.config import Examination, Settings, load_settings
from vivavoce import service_model
from vivavoce.judging import available

HELP = "play attacks against the examination: how calls end, what verifiers tell apart (extra: train)"
PARTS = ("calls", "compliance")
CHOICES = ("honest", "refuser", "silent", "late", "replayer", "converter", "neural-converter", "muter", "mixer")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The corpus is a folder with manifest.csv, challenge/manifest.csv (path, split, activity, speaker) and\n"
        "noise/manifest.csv. Every call runs through the objects of a live one in media time, over G.711 with noise:\n"
        "plain speech, a question, the answer, perhaps a second question, plain speech again. Answers are recordings of\n"
        "the activity where there are any, else plain speech brought into that manner; recordings of another split are\n"
        "used where the chosen one has none. No recording says the drawn words: where a caller would, espeak-ng says them\n"
        "to the recogniser, in the manner asked, through the caller's converter and line; other answers are read as they are.\n"
        "Honest, refuser, silent and late are people in their own voice; the others are attacks."
    )
    add = parser.add_argument
    add("--corpus", type=Path, default=Path("..") / "shared" / "corpus", metavar="DIR", help="default: %(default)s")
    add("--split", default="dev", choices=("train", "dev", "eval"), help="people of this split (default: dev)")
    add("--people", type=int, default=8, metavar="N", help="so many of them, drawn at random (default: %(default)s)")
    add("--part", action="append", choices=PARTS, help="may be repeated (default: both)")
    add("--caller", action="append", choices=CHOICES, help="may be repeated (default: all)")
    add(
        "--challenge",
        action="append",
        metavar="NAME",
        help="only this; may be repeated (default: the line's pool, of compliance all)",
    )
    add("--line", default="narrowband", metavar="LINE", help=f"one of {', '.join(LINES)} (default: %(default)s)")
    add("--snr", type=float, default=15.0, metavar="DB", help="of the noise on the line (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="everything drawn hangs on it (default: %(default)s)")
    add(
        "--vocoders",
        type=Path,
        default=Path("..") / "shared" / "vocoders",
        metavar="DIR",
        help="of neural-converter (%(default)s)",
    )
    add("--model", type=Path, metavar="FILE", help="an .onnx file instead of the weights that ship")
    add("--prompts", type=Path, metavar="DIR", help="a prompt pack that speaks the questions (default: 2.5 s of silence)")
    add("--record", type=Path, metavar="DIR", help="keep every call as a WAV to listen to, both sides mixed")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if args.people < 1:
        raise ValueError(f"--people {args.people} must be at least 1")
    keys = [by_name(name).key for name in args.challenge or ()]
    line = by_line(args.line)
    for key in keys:
        if not by_name(key).carried_by(line):
            raise ValueError(f"a {args.line} line does not carry the challenge {key}: see --line")
    if not available():
        raise ValueError("answers cannot be measured: pip install 'vivavoce[examine]'")
    found = _measure(args, keys)
    print(json.dumps(found, indent=1) if args.json else _text(found))
    return 0


def _measure(args: argparse.Namespace, keys: Sequence[str]) -> dict[str, Any]:
    try:
        from vivavoce import caller_stock, challenge_trials, compliance_trials
        from vivavoce.manners import world_pitch

        world_pitch(np.zeros(1600))
    except ImportError as error:
        raise ValueError(f"simulated callers need the extra: pip install 'vivavoce[train]' ({error})") from None
    parts = args.part or PARTS
    rules = _rules(args, load_settings(None, os.environ, [f"model.path={args.model}"] if args.model else []))
    rng = random.Random(f"{args.seed}/people")
    people = caller_stock.read_people(args.corpus, args.split, args.people, rng)
    stock = caller_stock.read_stock(args.corpus, args.split, args.vocoders)
    noises = caller_stock.read_noises(args.corpus / "noise") or [_hiss(args.seed)]
    report: dict[str, Any] = {
        "split": args.split,
        "people": len(people),
        "line": args.line,
        "snr_db": args.snr,
        "seed": args.seed,
    }
    if "compliance" in parts:
        everybody = [*people, *caller_stock.read_recorded(args.corpus, stock)]
        report["compliance"] = compliance_trials.measure_all(everybody, stock, noises, args.snr, args.seed, keys)
    if "calls" in parts:
        names = args.caller or [name for name in CHOICES if name != "neural-converter" or stock.neural is not None]
        keys = keys or [challenge.key for challenge in pool(by_line(args.line))]
        if args.record is not None:
            args.record.mkdir(parents=True, exist_ok=True)
        trials = challenge_trials.rehearse_all(
            people, stock, keys, names, rules, noises, args.snr, args.seed, args.record
        )
        report["callers"] = challenge_trials.figures(list(trials))
    return report


def _rules(args: argparse.Namespace, settings: Settings) -> Any:
    """What a service with these settings would judge by, asking by itself."""
    from vivavoce import caller_words
    from vivavoce.examiner import examination_config, load_pack
    from vivavoce.rehearsal import Rules
    from vivavoce.service_examination import judges

    model = service_model.load(settings)
    config = service_model.call_config(settings, model.info)
    examination = replace(examination_config(settings.examination, config.policy.deepfake_llr), mode="automatic")
    say = caller_words.said if caller_words.available() else None
    judged_by = judges(settings, model)
    if say is None:
        judged_by = replace(judged_by, words=None)
    pack = load_pack(Examination(prompts=str(args.prompts))) if args.prompts else None
    return Rules(config, examination, judged_by, model, by_line(args.line), settings.calls.vad_mode, pack=pack, say=say)


def _hiss(seed: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (np.random.default_rng(seed).standard_normal(80_000) * 1000).astype(np.int16)


def _text(report: dict[str, Any]) -> str:
    from vivavoce import challenge_trials, compliance_trials

    lines = [
        f"{report['people']} people of {report['split']}, G.711 mu-law with noise at {report['snr_db']:g} dB, "
        f"seed {report['seed']}"
    ]
    if "compliance" in report:
        lines += ["", *compliance_trials.table(report["compliance"])]
    if "callers" in report:
        lines += ["", *challenge_trials.table(report["callers"])]
    return "\n".join(lines)
