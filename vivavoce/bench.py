"""`vivavoce bench scorer|live`: the two figures this project lives by."""

from __future__ import annotations

import argparse

from vivavoce import bench_live, bench_scorer

HELP = "measure speed: the scorer alone, or live RTP calls"
_PARTS = {"scorer": bench_scorer, "live": bench_live}


def configure(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    for name, module in _PARTS.items():
        module.configure(parts.add_parser(name, help=module.HELP, description=module.HELP))


def run(args: argparse.Namespace) -> int:
    status: int = _PARTS[args.part].run(args)
    return status
