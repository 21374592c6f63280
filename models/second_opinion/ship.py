"""One file that holds a finished second opinion: the backbone's shape, all weights, and the calibration fitted on dev."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models import calibrate, report, torch_files
from models.calibrate import Recording, Scored
from models.calibration import Calibration
from models.second_opinion.backbone import rebuilt
from models.second_opinion.listen import mean_logit
from models.second_opinion.model import SecondOpinion, SslConfig
from models.selection import conditions_with
from models.train import read_checkpoint

FORMAT = 1
Samples = NDArray[np.int16]


class Opinion:
    """A finished second opinion: recordings in, log-likelihood ratios out."""

    def __init__(self, model: SecondOpinion, window: int, calibration: Calibration, version: str, device: str = "cpu") -> None:
        self.model = model.eval().to(device)
        self.window, self.calibration, self.version, self.device = window, calibration, version, device

    def mean(self, samples: Samples) -> tuple[float | None, float]:
        """(mean logit, seconds of speech) of int16 [n] at 8 kHz; None when nobody speaks."""
        return mean_logit(self._logits, samples, self.window)

    def llr(self, samples: Samples) -> float | None:
        """Natural-log likelihood ratio of bona fide over spoof of int16 [n] at 8 kHz; None when nobody speaks."""
        mean, speech_s = self.mean(samples)
        return None if mean is None else self.calibration.llr(mean, speech_s)

    def _logits(self, windows: Samples) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: Tensor = self.model(torch.from_numpy(windows).to(self.device))
        return found.cpu().numpy()

    def save(self, path: Path, provenance: dict[str, Any]) -> None:
        table = {
            "format": FORMAT,
            "version": self.version,
            "model": asdict(self.model.config),
            "backbone": self.model.backbone.description(),
            "window": self.window,
            "calibration": asdict(self.calibration),
            "provenance": json.dumps(provenance),
            "weights": self.model.state_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(table, partial)
        partial.replace(path)


def load(path: Path, device: str = "cpu") -> Opinion:
    """A finished second opinion, read without running any code in the file. ValueError is a sentence."""
    if not path.is_file():
        raise ValueError(f"the second opinion {path} does not exist")
    found = torch_files.load(path, "second opinion")
    if found.get("format") != FORMAT or "backbone" not in found:
        raise ValueError(f"{path} is no finished second opinion: that is what `vivavoce train` writes to --out")
    try:
        inner, normalise = rebuilt(found["backbone"])
        model = SecondOpinion(SslConfig(**found["model"]), inner, normalise=normalise)
        model.load_state_dict(found["weights"])
        return Opinion(model, int(found["window"]), Calibration(**found["calibration"]), str(found["version"]), device)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not fit this version: {str(error).splitlines()[0]}") from None


def finished(checkpoint: Path, window: int, version: str, device: str = "cpu") -> Opinion:
    """The averaged weights of a run's checkpoint, not yet calibrated."""
    found = read_checkpoint(checkpoint)
    model = SecondOpinion.from_source(SslConfig.of(found["config"]["model"]))
    if unknown := model.load_state_dict(found["averaged"], strict=False).unexpected_keys:  # the rest is frozen, just read
        raise ValueError(f"{checkpoint} is of another model: {unknown[0]}")
    return Opinion(model, window, Calibration(1.0, 0.0, 0.0, 1.0), version, device)


def screen(opinion: Opinion, recordings: Sequence[Recording], noises: Sequence[Samples]) -> list[Scored]:
    """Every recording under every condition of calibrate.py. Those without speech are left out."""
    jobs = [(condition, i, r) for condition in conditions_with(noises) for i, r in enumerate(recordings)]
    out = []
    for condition, i, recording in tqdm(jobs, desc="second opinion on dev", unit="trial"):
        mean, speech_s = opinion.mean(calibrate.under(condition, recording.samples, i, noises))
        if mean is not None:
            out.append(Scored(recording, condition, mean, speech_s))
    return out


def calibrated(opinion: Opinion, trials: Sequence[Recording], noises: Sequence[Samples]) -> dict[str, Any]:
    """Fit the calibration on dev's trials, in place; returns the figures as report.py makes them."""
    scored = screen(opinion, trials, noises)
    opinion.calibration = calibrate.fit(scored, level=(0.0, 0.0))
    return report.figures(scored, opinion.calibration, calibrate.choose_thresholds(scored, opinion.calibration))
