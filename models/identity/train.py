"""Train the student on a teacher's vectors: `python -m models.identity.train CORPUS CACHE BEGIN TEACHER OUT` (extra: train).

Every window of 1.6 s, through a random telephone line, is to land where the teacher put the whole clean clip
(made fit for telling people apart, `space.py`); and crops of one person are to stay together (additive angular margin).
CACHE is the detector's 8 kHz cache of `train` and `dev`, BEGIN an unpacked Resemblyzer wheel, TEACHER what teacher.py
wrote. Stops after some minutes of processor time; resumes.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train", "torch", "scipy")

import argparse
import json
import time
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.channel import ChannelConfig, apply, draw
from models.dataset import read_noises
from models.identity.data import Item, dev_sides, load_items
from models.identity.embed import WINDOW, Samples, windows
from models.identity.net import VoiceNet, aim, pretrained
from models.identity.trials import Side, figures, pairs

LINE = ChannelConfig(clean=0.2, noise=0.5, snr_low_db=6.0, g711=0.6, band=0.4, room=0.15, loss=0.1)


@dataclass(frozen=True)
class TrainConfig:
    rows: int = 48
    rate: float = 6e-4
    decay: float = 0.02
    margin: float = 0.2
    scale: float = 24.0
    people: float = 0.15  # weight of the margin loss
    relations: float = 4.0  # weight of the pairwise similarities
    average: float = 0.995  # of the weights, per step


class Batches:
    """Random crops with what they should become."""

    def __init__(self, items: list[Item], corpus: Path, config: TrainConfig, seed: int) -> None:
        self._items, self._config, self._rng = items, config, np.random.default_rng(seed)
        self._noises, self._rooms = read_noises(corpus / "noise", hold_out=False)
        group = np.unique([item.group for item in items], return_inverse=True)[1]
        weight = np.bincount(group)[group] ** -0.5  # between equal groups and equal clips
        self._odds = weight / weight.sum()

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Audio float [B, n], targets [B, d], people [B] (-1: nobody in particular)."""
        c, rng = self._config, self._rng
        size = WINDOW
        chosen = [self._items[i] for i in rng.choice(len(self._items), c.rows, p=self._odds)]
        audio = np.stack([self._crop(item, size) for item in chosen])
        targets = torch.from_numpy(np.stack([item.target for item in chosen]))
        return torch.from_numpy(audio).float(), targets, torch.tensor([item.person for item in chosen])

    def _crop(self, item: Item, size: int) -> Samples:
        rng = self._rng
        whole = item.variants[int(rng.integers(len(item.variants))) if rng.random() < 0.5 else 0]
        if len(whole) < size:
            whole = np.tile(whole, -(-size // len(whole)))
        start = int(rng.integers(len(whole) - size + 1))
        line = draw(LINE, rng, len(self._noises), len(self._rooms))
        return apply(whole[start : start + size], line, self._noises, self._rooms)


class Objective(nn.Module):
    """Cosine to the teacher, likeness of the batch's similarities, and angular margin over people."""

    def __init__(self, centres: Tensor, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.centres = nn.Parameter(centres)

    def forward(self, vectors: Tensor, targets: Tensor, people: Tensor) -> Tensor:
        near = (1 - (vectors * targets).sum(1)).mean()
        alike = ((vectors @ vectors.T - targets @ targets.T) ** 2).mean()
        known = people >= 0
        loss = near + self.config.relations * alike
        if bool(known.any()):
            loss = loss + self.config.people * self._margin(vectors[known], people[known])
        return loss

    def _margin(self, vectors: Tensor, people: Tensor) -> Tensor:
        """Deng et al., ArcFace, 2019."""
        cosine = vectors @ F.normalize(self.centres, dim=1).T
        own = cosine.gather(1, people[:, None]).clamp(-0.999, 0.999)
        harder = torch.cos(torch.acos(own) + self.config.margin)
        return F.cross_entropy(self.config.scale * cosine.scatter(1, people[:, None], harder), people)


@torch.no_grad()
def embed_sides(net: VoiceNet, sides: list[Side]) -> NDArray[np.float64]:
    """Unit vectors [sides, d]."""
    net.eval()
    vectors = torch.stack([net(torch.from_numpy(windows(side.samples)).float()).mean(0) for side in sides])
    return F.normalize(vectors, dim=-1).double().numpy()


def check(net: VoiceNet, sides: list[Side]) -> dict[str, float | int]:
    vectors, of = embed_sides(net, sides), pairs(sides)
    return figures((vectors[of.first] * vectors[of.second]).sum(1), of)


def centres(items: list[Item]) -> Tensor:
    """Where the teacher puts every person: [people, d]."""
    index = torch.tensor([item.person for item in items])
    targets = torch.from_numpy(np.stack([item.target for item in items]))
    return torch.stack([targets[index == who].mean(0) for who in range(int(index.max()) + 1)])


@torch.no_grad()
def point(net: VoiceNet, items: list[Item], batches: Batches, rounds: int = 16) -> None:
    """Begin with a `vector` layer that is right on average."""
    drawn = [batches.draw() for _ in range(rounds)]
    aim(net, torch.cat([net.encoded(net.features(audio)) for audio, _, _ in drawn]), torch.cat([t for _, t, _ in drawn]))


class Run:
    """Weights, their running average, optimiser and clock; saved and found again in one file."""

    def __init__(self, net: VoiceNet, out: Path, items: list[Item], config: TrainConfig, minutes: float) -> None:
        self.path, self.config, self.budget_s = out / "run.pt", config, minutes * 60
        self.net, self.mean = net, deepcopy(net)
        self.objective = Objective(centres(items), config)
        parameters = [*self.net.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.decay)
        self.spent_s, self.steps, self.best = 0.0, 0, float("inf")
        if self.path.is_file():
            self._resume(torch.load(self.path, weights_only=True))

    def _resume(self, saved: dict[str, object]) -> None:
        for name in ("net", "mean", "objective", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.spent_s, self.steps, self.best = (float(saved[k]) for k in ("spent_s", "steps", "best"))  # type: ignore[arg-type, assignment]

    def save(self) -> None:
        state = {name: getattr(self, name).state_dict() for name in ("net", "mean", "objective", "optimizer")}
        torch.save(state | {"spent_s": self.spent_s, "steps": self.steps, "best": self.best}, self.path)

    def step(self, batch: tuple[Tensor, Tensor, Tensor]) -> float:
        began = time.process_time()
        audio, targets, people = batch
        done = self.spent_s / max(self.budget_s, 1e-9)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate * min(1.0, (self.steps + 1) / 100) * (0.5 + 0.5 * cos(pi * min(1.0, done)) + 1e-3)
        self.net.train()
        with torch.no_grad():
            mel = self.net.features(audio)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = self.net.encoded(mel)
        vectors = F.normalize(self.net.vector(encoded.float()), dim=-1)
        loss: Tensor = self.objective(vectors, targets, people)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self._average()
        self.steps += 1
        self.spent_s += time.process_time() - began
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.config.average, (1 + self.steps) / (10 + self.steps))
        for slow, fast in zip(self.mean.state_dict().values(), self.net.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - keep)


def train(run: Run, batches: Batches, dev: list[Side], out: Path, every_s: float = 75) -> None:
    """Until its processor time is spent; `out/best.pt` is the average with the least EER on dev."""
    losses: list[float] = []
    if not run.steps:
        judge(run, dev, out, losses)  # what it begins with is the first to beat
    since = run.spent_s
    while run.spent_s < run.budget_s:
        losses.append(run.step(batches.draw()))
        if run.spent_s - since >= every_s or run.spent_s >= run.budget_s:
            judge(run, dev, out, losses)
            since = run.spent_s
            losses.clear()


def judge(run: Run, dev: list[Side], out: Path, losses: list[float]) -> None:
    """Measure on dev, log, and keep the weights if they are the best yet."""
    found = check(run.mean, dev)
    cost = found["eer_capped"] + found["eer_capped_same_repository"]
    loss = round(float(np.mean(losses)), 4) if losses else None
    line = {"minutes": round(run.spent_s / 60, 1), "steps": run.steps, "loss": loss} | found
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(line, flush=True)
    if cost <= run.best:
        run.best = cost
        torch.save(run.mean.state_dict(), out / "best.pt")
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "cache", "begin", "teacher", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, default=15, help="processor time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    config = TrainConfig()
    items = load_items(args.corpus, args.cache, args.teacher)
    print(f"{len(items)} clips, {max(i.person for i in items) + 1} people and speeds", flush=True)
    net = pretrained(args.begin, len(items[0].target))
    point(net, items, Batches(items, args.corpus, config, args.seed))
    run = Run(net, args.out, items, config, args.minutes)
    train(run, Batches(items, args.corpus, config, args.seed + run.steps), dev_sides(args.corpus, args.cache), args.out)


if __name__ == "__main__":
    main()
