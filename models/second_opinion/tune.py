"""Fine-tuning: the same batches, channels, schedule and judging as the streaming model's, for one logit per window.

The head learns with the recipe's learning_rate, the backbone (if at all) with `tune_rate`, both by AdamW. Checkpoints
of a run hold what is trained and nothing of what is frozen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from models.dataset import Batch, Sampler
from models.objective import LossConfig
from models.second_opinion.backbone import read
from models.second_opinion.listen import mean_logit
from models.second_opinion.model import SecondOpinion, SslConfig
from models.selection import Dev, DevFigures
from models.train import TrainConfig, changed, check_speech, checked, dev_line, ease_at, rate_at, read_checkpoint

log = logging.getLogger(__name__)


def check(config: TrainConfig) -> SslConfig:
    """The second opinion that a recipe asks for, after a look at its backbone. ValueError says what is wrong."""
    for name in ("start", "teachers", "paired_teachers"):
        if getattr(config, name):
            raise ValueError(f"{name} is for the streaming model and does not go with [model] kind = 'ssl'")
    wanted = SslConfig.of(config.model)
    checked(SslConfig, asdict(wanted), "[model]")
    read(wanted.source)
    return wanted


def loss_of(logits: Tensor, batch: Batch, config: LossConfig) -> Tensor:
    """Scalar loss of logits [rows]: every row decides rightly, and a real clip scores above its own copy."""
    person = torch.from_numpy(batch.bonafide).to(logits.device)
    target = person * (1 - 2 * config.smoothing) + config.smoothing
    loss = F.binary_cross_entropy_with_logits(logits, target)
    real = np.nonzero((batch.pair >= 0) & (batch.bonafide > 0))[0]
    if len(real) and config.pair:
        margin = logits[torch.from_numpy(real)] - logits[torch.from_numpy(batch.pair[real])]
        loss = loss + config.pair * F.softplus(-margin).mean()
    return loss


class Tuner:
    """One run: trained weights, their running mean, optimiser and random state, all of which a checkpoint holds."""

    def __init__(self, config: TrainConfig, sampler: Sampler, dev: Dev | None, folder: Path) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.sampler, self.dev, self.folder = config, sampler, dev, folder
        self.model = SecondOpinion.from_source(SslConfig.of(config.model)).to(config.device)
        self.model.dropout.p = config.head_dropout
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.averaged = {name: p.detach().clone() for name, p in self.trained.items()}
        self.optimizer = _optimizer(self.trained, config, self.model.config.tune_rate)
        self.rng = np.random.default_rng(config.seed)
        self.step, self.best = 0, -1.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> Path:
        """Train to the end; returns the checkpoint that dev liked best (the last one without dev)."""
        if (self.folder / "last.pt").is_file():
            self.resume(self.folder / "last.pt")
        bar = tqdm(total=self.config.steps, initial=self.step, desc="train", unit="step")
        running = 0.7
        while self.step < self.config.steps:
            running += 0.02 * (self.train_step() - running)
            bar.update()
            bar.set_postfix(loss=f"{running:.3f}", refresh=False)
            last = self.step == self.config.steps
            if self.dev and (self.step % self.config.judge_every == 0 or last):
                self.judge(running)
            if self.step % self.config.save_every == 0 or last:
                self.save(self.folder / "last.pt")  # after judging, so that a resumed run knows the best so far
        bar.close()
        best = self.folder / "best.pt"
        return best if best.is_file() else self.folder / "last.pt"

    def train_step(self) -> float:
        """One batch forwards and backwards; returns its loss."""
        self.model.train()
        batch = self.sampler.draw(self.rng, ease_at(self.step, self.config.ease))
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.config) * group["share"]
        audio = torch.from_numpy(batch.audio).to(self.config.device)
        with torch.autocast(audio.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            logits = self.model(audio)
        loss = loss_of(logits, batch, self.config.loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained.values(), self.config.gradient_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, mean in self.averaged.items():
                mean.lerp_(self.trained[name], 1 - decay)
        return float(loss.detach())

    def judge(self, loss: float) -> DevFigures:
        """Look at dev with the averaged weights; keep them as best.pt when they are."""
        assert self.dev is not None
        figures = self.dev.judge(self.views)
        with (self.folder / "dev.jsonl").open("a", encoding="utf-8") as file:
            file.write(dev_line(self.step, loss, figures))
        tqdm.write(f"step {self.step} loss {loss:.3f} {figures.line()}")
        if figures.choice > self.best:
            self.best = figures.choice
            self.save(self.folder / "best.pt")
        return figures

    def views(self, audio: NDArray[np.int16]) -> NDArray[np.float32]:
        """As selection.Dev wants it: int16 [B, n] -> [B, n / 320, 2], a recording's one logit everywhere.

        The zeros that made rows of one length are cut off again.
        """
        self.model.eval()
        window = int(self.config.batch.crop_s * 8000)
        rows = [mean_logit(self.logits, np.trim_zeros(row, "b"), window)[0] or 0.0 for row in audio]
        out = np.empty((len(audio), audio.shape[1] // 320, 2), np.float32)
        out[:] = np.array(rows)[:, None, None]
        return out

    def logits(self, windows: NDArray[np.int16]) -> NDArray[np.float32]:
        """int16 [B, n] -> logits [B] by the averaged weights."""
        with torch.inference_mode():
            audio = torch.from_numpy(windows).to(self.config.device)
            found: Tensor = torch.func.functional_call(self.model, self.averaged, (audio,))
        return found.cpu().numpy()

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        torch.save(self._state(), partial)
        partial.replace(path)  # a run that is stopped here keeps the old checkpoint

    def _state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "saved": time.time(),
            "speech": self.sampler.fingerprint,
            "best": self.best,
            "trained": {name: p.detach() for name, p in self.trained.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "random": self.rng.bit_generator.state,
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if self.config.device.startswith("cuda") else [],
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. ValueError when it belongs to another model."""
        found = read_checkpoint(path)
        if found["config"]["model"] != dict(self.config.model):
            raise ValueError(f"{path} is of another [model]; train into an empty folder")
        if other := changed(found["config"], asdict(self.config)):
            raise ValueError(f"{path} was trained with another {other}; train into an empty folder")
        check_speech(path, found, self.sampler)
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(found["trained"][name])
                self.averaged[name].copy_(found["averaged"][name])
        self.optimizer.load_state_dict(found["optimizer"])
        self.rng.bit_generator.state = found["random"]
        torch.set_rng_state(found["torch_random"])
        if found["cuda_random"] and self.config.device.startswith("cuda"):
            torch.cuda.set_rng_state_all(found["cuda_random"])
        self.step, self.best = found["step"], found["best"]
        log.info("resumed at step %d", self.step)


def _optimizer(trained: Mapping[str, nn.Parameter], config: TrainConfig, tune_rate: float) -> torch.optim.Optimizer:
    """Groups for head and backbone, each with and without decay (biases, norms and the sum's weights have none)."""
    groups = []
    for below, share in ((False, 1.0), (True, tune_rate / config.learning_rate)):
        part = [p for name, p in trained.items() if name.startswith("backbone.inner.") == below]
        for params, decay in (
            ([p for p in part if p.ndim >= 2], config.weight_decay),
            ([p for p in part if p.ndim < 2], 0.0),
        ):
            groups.append({"params": params, "weight_decay": decay, "share": share})
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate, betas=(0.9, 0.98))
