"""Train the causal Conformer on 8 kHz speech: paired batches, telephone channels, averaged weights, checkpoints.

What a batch holds is dataset.py's, what it costs is objective.py's, which checkpoint wins is selection.py's.
"""

from __future__ import annotations

import copy
import json
import logging
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import cos, inf, isfinite, pi
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from models import torch_files
from models.channel import ChannelConfig
from models.conformer import FRAME_SAMPLES, PAIRED, ModelConfig, StreamingConformer
from models.dataset import BatchConfig, Sampler
from models.objective import Heard, LossConfig, MaskConfig, hear, loss_of, taught_loss, training_views, trunk_loss
from models.selection import Dev, DevFigures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that fixes a run. `load_config` reads it from TOML with the same names."""

    steps: int = 6000
    seed: int = 1
    optimizer: str = "muon"  # or "adamw"; Muon serves the matrices of the blocks only
    learning_rate: float = 1e-3
    warmup: int = 150  # steps
    ease: tuple[int, int] = (300, 1500)  # steps: clean channels before the first, as configured from the second
    weight_decay: float = 0.02
    average: float = 0.998  # decay of the averaged weights, which are the ones judged and shipped
    gradient_norm: float = 1.0
    judge_every: int = 500  # steps between looks at dev
    save_every: int = 250  # steps between checkpoints
    threads: int = 1
    bfloat16: bool = True  # blocks in bfloat16: 1.8 times faster on a CPU with AVX512-BF16; torch 2.13 hangs there in the
    # depthwise convolutions of a model 8, 16 or 48 wide (oneDNN's own kernel), so such a model needs false
    head_dropout: float = 0.1  # before the score; dropout inside the blocks is the model's own setting
    device: str = "cpu"
    start: str = ""  # a checkpoint whose averaged weights a new run begins with
    blend: float = 1.0  # how far from there to what was trained that which is kept lies: less forgets less (arXiv 2109.01903)
    teachers: tuple[str, ...] = ()  # checkpoints whose mean views are learned from beside the labels
    paired_teachers: tuple[str, ...] = ()  # others, whose paired view is learned from in place of theirs
    teach: float = 1.0  # weight of that
    quiet_teachers: bool = False  # they hear the crops before codec, noise and telephone, the student after
    purpose: str = "calls"  # or "answers": to tell a voice from copies of it, whoever it is; what dev says of calls does not
    # choose then, so the last weights are kept, with the views weighed as ANSWERS_MIX
    moments: tuple[float, float] = (0.0, 0.0)  # shares of what moments say of strangers and of copies in what is made of it
    waves: bool = False  # with the shapes of waves among the moments
    licence: str = ""  # of the weights, by SPDX's name; stands beside what is made of them
    model: Mapping[str, Any] = field(default_factory=lambda: {"dropout": 0.0})  # overrides of ModelConfig
    loss: LossConfig = field(default_factory=LossConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)


PURPOSES, OPTIMIZERS = ("calls", "answers"), ("muon", "adamw")
MAY_CHANGE = (  # when a run is resumed
    "model", "steps", "ease", "warmup", "threads", "device", "judge_every", "save_every", "moments", "waves",
    "licence",
)  # fmt: skip
ANSWERS_MIX = (0.2, 0.8)  # the pooled view knows recording worlds: of no use where one call's answers are judged

SECTIONS: Mapping[str, Any] = {
    "batch": BatchConfig,
    "channel": ChannelConfig,
    "loss": LossConfig,
    "mask": MaskConfig,
}
NAMES: Mapping[Any, str] = {int: "whole number", float: "finite number", bool: "boolean", str: "text"}  # of types, in messages


def load_config(path: Path | None) -> TrainConfig:
    """A TrainConfig from TOML; None gives the defaults. ValueError names a key that is unknown or has a wrong value: the
    caches that a run fills first take hours."""
    if path is None:
        return TrainConfig()
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, kind in SECTIONS.items():
        if name in table:
            table[name] = checked(kind, table[name], f"{path}: [{name}]")
    config: TrainConfig = checked(TrainConfig, table, str(path))
    _check(path, config)
    return config


def _check(path: Path, config: TrainConfig) -> None:
    """ValueError for what does not go together."""
    if config.purpose not in PURPOSES:
        raise ValueError(f"{path}: unknown purpose {config.purpose!r}; known: {', '.join(PURPOSES)}")
    if config.optimizer not in OPTIMIZERS:
        raise ValueError(f"{path}: unknown optimizer {config.optimizer!r}; known: {', '.join(OPTIMIZERS)}")
    counts = {name: getattr(config, name) for name in ("steps", "judge_every", "save_every", "threads")}
    for name, count in (counts | {"[batch] rows": config.batch.rows}).items():
        if count < 1:
            raise ValueError(f"{path}: {name} {count} must be at least 1")
    if config.paired_teachers and not config.teachers:
        raise ValueError(f"{path}: paired_teachers teach one of two views; the other needs teachers")
    if not 0 < config.blend <= 1:
        raise ValueError(f"{path}: blend {config.blend} must be above 0 and at most 1")
    if config.blend < 1 and not config.start:
        raise ValueError(f"{path}: a blend of {config.blend} needs start, the weights to blend with")
    if not config.teachers and (config.quiet_teachers or config.loss.trunk or not config.loss.labels):
        raise ValueError(f"{path}: quiet_teachers, [loss] trunk and a [loss] labels of 0 need teachers")
    if "kind" not in config.model:  # a second opinion's shape is checked where the extra that it needs is
        _try_out(shape_of(config.model, f"{path}: [model]"), f"{path}: [model]")


def _try_out(shape: ModelConfig, where: str) -> None:
    """ValueError for a shape that no model can have: one is made and hears a frame. The random state stays as it was."""
    try:
        with torch.random.fork_rng(devices=[]):
            StreamingConformer(shape)(torch.zeros(1, FRAME_SAMPLES))
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: no model has this shape ({str(error).splitlines()[0]})") from None


def checked(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass of a table's values. ValueError, beginning with `where`, names a key that is unknown or of another type."""
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}: {table!r} is no table")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    types = get_type_hints(kind)
    for key, value in table.items():
        if not _is_a(types[key], value):
            raise ValueError(f"{where}: {key} {value!r} is no {_name_of(types[key])}")
    return kind(**table)


def _is_a(wanted: Any, value: Any) -> bool:
    """Whether a value of TOML is what an annotation asks for: whole numbers do for others too, lists for tuples."""
    inner = get_args(wanted)
    if get_origin(wanted) is tuple:
        each = inner[:1] * len(value) if inner[-1] is ... and isinstance(value, list | tuple) else inner
        return isinstance(value, list | tuple) and len(value) == len(each) and all(map(_is_a, each, value))
    if get_origin(wanted) is Mapping:
        return isinstance(value, Mapping) and all(_is_a(inner[1], item) for item in value.values())
    if wanted is float:
        return type(value) in (int, float) and abs(value) < inf
    return wanted is Any or type(value) is wanted


def _name_of(wanted: Any) -> str:
    inner = get_args(wanted)
    if get_origin(wanted) is tuple:
        return f"list of {'' if inner[-1] is ... else f'{len(inner)} '}{NAMES[inner[0]]}s"
    if get_origin(wanted) is Mapping:
        return "table" if inner[1] is Any else f"table of {NAMES[inner[1]]}s"
    return NAMES[wanted]


def rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate: linear warm-up, then half a cosine down to 2 %."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + cos(pi * progress)))


def ease_at(step: int, ease: tuple[int, int]) -> float:
    """1 up to the first step of `ease`, falling evenly to 0 at the second."""
    first, last = ease
    return min(1.0, max(0.0, (last - step) / max(1, last - first)))


class Trainer:
    """One run: weights, averaged weights, optimiser and random state, all of which a checkpoint holds."""

    def __init__(self, config: TrainConfig, sampler: Sampler, dev: Dev | None, folder: Path) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.sampler, self.dev, self.folder = config, sampler, dev, folder
        self.model = (begun_with(config) if config.start else StreamingConformer(shape_of(config.model))).to(config.device)
        self.teachers = _loaded(config.teachers, config.device)
        self.paired_teachers = _loaded(config.paired_teachers, config.device)
        if config.loss.trunk and _sizes(self.teachers[0]) != _sizes(self.model):
            raise ValueError(f"{config.teachers[0]} is of another width than this recipe's model, whose trunk it is to teach")
        self.model.head.dropout.p = config.head_dropout
        self.averaged = copy.deepcopy(self.model).eval()
        self.begun = copy.deepcopy(self.averaged)
        self.optimizers = _optimizers(self.model, config)
        self.rng = np.random.default_rng(config.seed)
        self.step = 0
        self.best = -1.0
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
        if self.config.blend < 1 and not best.is_file():
            self.save(best, self.kept())
        return best if best.is_file() else self.folder / "last.pt"

    def train_step(self) -> float:
        """One batch forwards and backwards; returns its loss."""
        self.model.train()
        batch = self.sampler.draw(self.rng, ease_at(self.step, self.config.ease))
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate_at(self.step, self.config)
        audio = torch.from_numpy(batch.audio).to(self.config.device)
        heard = hear(self.model, audio, self.config.mask, self.rng, bfloat16=self.config.bfloat16)
        loss = self.config.loss.labels * loss_of(heard.views, batch, self.config.loss)
        if self.teachers:
            lesson = torch.from_numpy(batch.quiet).to(self.config.device) if self.config.quiet_teachers else audio
            taught = self._taught(lesson)
            loss = loss + self.config.teach * taught_loss(heard.views, taught.views, batch, self.config.loss)
            loss = loss + self.config.loss.trunk * trunk_loss(heard, taught, batch, self.config.loss)
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    def _taught(self, audio: torch.Tensor) -> Heard:
        """What the first teacher hears in the same crops, unmasked, and the mean views of all.

        Some teach the paired view alone.
        """
        first, views = self._lesson(self.teachers, audio)
        if self.paired_teachers:
            views[:, :, PAIRED] = self._lesson(self.paired_teachers, audio)[1][:, :, PAIRED]
        return first._replace(views=views)

    def _lesson(self, teachers: Sequence[StreamingConformer], audio: torch.Tensor) -> tuple[Heard, torch.Tensor]:
        with torch.no_grad():
            heard = [hear(teacher, audio, None, self.rng, bfloat16=self.config.bfloat16) for teacher in teachers]
        return heard[0], torch.stack([each.views for each in heard]).mean(0)

    def _average(self) -> None:
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    def kept(self) -> StreamingConformer:
        """What is judged and shipped: the averaged weights, or `blend` of the way to them from where the run began."""
        if self.config.blend == 1:
            return self.averaged
        between = copy.deepcopy(self.averaged)
        with torch.no_grad():
            for mean, first in zip(between.parameters(), self.begun.parameters(), strict=True):
                mean.lerp_(first, 1 - self.config.blend)
        return between

    def judge(self, loss: float) -> DevFigures:
        """Look at dev with what would be kept; keep it as best.pt when it is."""
        assert self.dev is not None
        kept = self.kept()
        figures = self.dev.judge(frame_scorer(kept, self.config.device))
        with (self.folder / "dev.jsonl").open("a", encoding="utf-8") as file:
            file.write(dev_line(self.step, loss, figures))
        tqdm.write(f"step {self.step} loss {loss:.3f} {figures.line()}")
        answers = self.config.purpose == "answers"
        if answers or figures.choice > self.best:
            self.best = figures.choice
            kept.head.mix.copy_(torch.tensor(ANSWERS_MIX if answers else figures.mix))
            self.save(self.folder / "best.pt", kept)
        return figures

    def save(self, path: Path, kept: StreamingConformer | None = None) -> None:
        """A checkpoint; with `kept` in place of the averaged weights it is to be shipped, not resumed."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "config": asdict(self.config),
                "step": self.step,
                "best": self.best,
                "model": self.model.state_dict(),
                "averaged": (kept or self.averaged).state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "random": self.rng.bit_generator.state,
                "torch_random": torch.get_rng_state(),
                "saved": time.time(),
                "speech": self.sampler.fingerprint,
            },
            partial,
        )
        partial.replace(path)  # a run that is stopped here keeps the old checkpoint

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. ValueError when it belongs to another model."""
        found = read_checkpoint(path, self.config.device)
        if shape_of(found["config"]["model"]) != shape_of(self.config.model):
            raise ValueError(f"{path} holds a model of another shape; train into an empty folder")
        if other := changed(found["config"], asdict(self.config)):
            raise ValueError(f"{path} was trained with another {other}; train into an empty folder")
        check_speech(path, found, self.sampler)
        self.model.load_state_dict(found["model"])
        self.averaged.load_state_dict(found["averaged"])
        for optimizer, state in zip(self.optimizers, found["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.rng.bit_generator.state = found["random"]
        torch.set_rng_state(found["torch_random"].cpu())
        self.step, self.best = found["step"], found["best"]
        log.info("resumed at step %d", self.step)


def dev_line(step: int, loss: float, figures: DevFigures) -> str:
    """A look at dev as a line of dev.jsonl; null where there is no figure, which JSON has no number for."""
    found = {"step": step, "loss": round(loss, 4), "choice": figures.choice, **asdict(figures)}
    found["loss"] = found["loss"] if isfinite(loss) else None
    found["within"] = {condition: value if isfinite(value) else None for condition, value in figures.within.items()}
    return json.dumps(found, allow_nan=False) + "\n"


def check_speech(path: Path, found: Mapping[str, Any], sampler: Sampler) -> None:
    """ValueError when a run would go on with, or be taken for one of, other speech than it began with."""
    if found.get("speech", sampler.fingerprint) != sampler.fingerprint:
        raise ValueError(f"{path} was trained on other speech; train into an empty folder")


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first part of a recipe in which a run that is resumed would be another; "" without one. More steps are no other."""
    kept = (key for key in now if key in before and key not in MAY_CHANGE)
    return next((key for key in kept if json.dumps(before[key], default=list) != json.dumps(now[key], default=list)), "")


def _optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (if asked), AdamW for the rest; biases, norms and tables do not decay."""
    inner = [p for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2 and "bias" not in name]
    muon = {id(p) for p in inner} if config.optimizer == "muon" else set()
    rest = [p for p in model.parameters() if id(p) not in muon]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))]
    if muon:
        decay = config.weight_decay
        found.append(torch.optim.Muon(inner, config.learning_rate, decay, adjust_lr_fn="match_rms_adamw"))
    return found


def frame_scorer(model: StreamingConformer, device: str = "cpu") -> Any:
    """int16 [B, n] -> views [B, n / 320, 2], as selection.Dev wants it."""

    def score(audio: NDArray[np.int16]) -> NDArray[np.float32]:
        model.eval()
        with torch.inference_mode():
            samples = torch.from_numpy(np.ascontiguousarray(audio)).to(device)
            views = training_views(model, samples, None, np.random.default_rng(0), bfloat16=False)
        out: NDArray[np.float32] = views.float().cpu().numpy()
        return out

    return score


def shape_of(model: Mapping[str, Any], where: str = "[model]") -> ModelConfig:
    """The shape that a recipe or a checkpoint names. TOML has lists where a dataclass has tuples; both are one shape.
    ValueError, beginning with `where`, names a key that no shape has."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in model.items()}
    shape: ModelConfig = checked(ModelConfig, values, where)
    return shape


def begun_with(config: TrainConfig) -> StreamingConformer:
    """The averaged weights of `config.start`; a model with lines may begin with one without, and does not hear them at first.
    ValueError when they are of another shape than the recipe's model."""
    start, wanted = load_averaged(Path(config.start)), shape_of(config.model)
    if start.config == wanted:
        return start
    if replace(start.config, lines=True) != wanted:
        raise ValueError(f"{config.start} holds a model of another shape than this recipe's")
    model = StreamingConformer(wanted)
    model.load_state_dict(start.state_dict(), strict=False)
    assert model.front.lines is not None
    nn.init.zeros_(model.front.lines.weight)
    return model


def read_checkpoint(path: Path, device: str = "cpu") -> dict[str, Any]:
    """What a run saved. ValueError is a sentence."""
    found = torch_files.load(path, "checkpoint", device)
    config = found.get("config")
    if not (isinstance(config, dict) and isinstance(config.get("model"), dict) and "averaged" in found):
        raise ValueError(f"{path} is no checkpoint of `vivavoce train`: RUN/best.pt and RUN/last.pt are some")
    return found


def licence_of(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """What its recipe named, for what is made of the weights; empty where it named none."""
    named = checkpoint["config"].get("licence")  # runs from before it could be named have no such key
    return {"licence": str(named)} if named else {}


def load_averaged(path: Path) -> StreamingConformer:
    """The averaged weights of a checkpoint, in evaluation mode, on the CPU. ValueError when it holds no such model."""
    found = read_checkpoint(path)
    model = StreamingConformer(shape_of(found["config"]["model"], f"{path}: [model]"))
    try:
        model.load_state_dict(found["averaged"])
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path} does not fit this version: {str(error).splitlines()[0]}") from None
    return model.eval()


def _loaded(paths: Sequence[str], device: str) -> list[StreamingConformer]:
    return [load_averaged(Path(path)).to(device) for path in paths]


def _sizes(model: StreamingConformer) -> tuple[int, int]:
    """Of frames and of embeddings."""
    return model.config.width, model.config.hidden


def average_checkpoints(paths: Sequence[Path]) -> StreamingConformer:
    """One model with the mean of the averaged weights of several checkpoints of the same shape."""
    models = [load_averaged(path) for path in paths]
    mean = models[0]
    with torch.no_grad():
        for name, parameter in mean.named_parameters():
            others = [dict(m.named_parameters())[name] for m in models]
            parameter.copy_(torch.stack([o.detach() for o in others]).mean(0))
    return mean


def shortened(config: TrainConfig, steps: int | None) -> TrainConfig:
    """The recipe with so many steps. Fewer than it has shorten warm-up and ease too, or training would end in them."""
    if steps is None:
        return config
    if steps < 1:
        raise ValueError(f"--steps {steps} must be at least 1")
    share = min(1.0, steps / config.steps)
    ease = (round(config.ease[0] * share), round(config.ease[1] * share))
    return replace(config, steps=steps, ease=ease, warmup=min(config.warmup, max(1, steps // 10)))
