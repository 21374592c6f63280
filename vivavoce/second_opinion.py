"""The heavier second opinion, if one is asked for: the sound of a leg is kept, and heard again when it is suspected.

Whether a leg is suspected is the streaming model's to say; no tag is changed here. torch and transformers are imported
by `load` and by nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.audio import Chunker, Samples
from engine.errors import ConfigError
from engine.events import Verdict
from vivavoce.recordings import Timed

NEEDED = ("torch", "transformers", "scipy")
RATE = 8000  # Hz


class Opinion(Protocol):
    """What models.second_opinion.ship.load gives."""

    version: str

    def llr(self, samples: Samples) -> float | None:
        """Natural-log likelihood ratio of bona fide over spoof of int16 [n] at 8 kHz; None when nobody speaks."""


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--second-opinion",
        type=Path,
        metavar="CHECKPOINT",
        help="a .pt file of `vivavoce train`; adds second_llr where the tag is not Human-likely (extra: ssl)",
    )


def load(path: Path | None, device: str = "cpu") -> Opinion | None:
    """The finished second opinion in a file; None without one. ConfigError is a sentence."""
    if path is None:
        return None
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"a second opinion needs {', '.join(missing)}: install the extra with pip install 'vivavoce[ssl]'")
    from models.second_opinion.ship import load as load_file

    try:
        return load_file(path, device)
    except ValueError as error:
        raise ConfigError(str(error)) from None


class Rehearing:
    """Keeps the sound of legs while it passes (16 kB a second), and has the suspected ones heard again.

    Suspected is every leg that was not cleared. Without an opinion nothing is kept.
    """

    def __init__(self, opinion: Opinion | None) -> None:
        self.opinion = opinion
        self._kept: dict[int, list[Samples]] = {}

    def keep(self, frames: Timed, key: int = 0) -> Timed:
        """The same frames."""
        return self._passing(frames, key) if self.opinion else frames

    def _passing(self, frames: Timed, key: int) -> Timed:
        parts = self._kept[key] = []
        chunker = Chunker(RATE, RATE)  # for its resampling, which is that of the call
        for frame, now in frames:
            parts.append(chunker.resample(frame))
            yield frame, now

    def llr(self, tag: Verdict, key: int = 0) -> float | None:
        """What the second opinion says of a leg that ended with `tag`, whose sound is then forgotten.

        None when it was cleared, or when nobody spoke.
        """
        parts = self._kept.pop(key, [])
        if self.opinion is None or not parts or tag is Verdict.HUMAN_LIKELY:
            return None
        return self.opinion.llr(np.concatenate(parts))
