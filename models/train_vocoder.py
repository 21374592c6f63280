"""Train a vocoder on real speech: spectra first, then discriminators too; snapshots are kept.

An unfinished vocoder is another vocoder: every snapshot has its own faults, and copies are made by all of them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models import torch_files
from models.copies import active_level
from models.corpus import Clip, read_audio, resample
from models.neural_vocoder import VocoderConfig
from models.own_vocoder import LEVEL, VOICES, collect_voices
from models.vocoder_kinds import build_vocoder
from models.vocoder_losses import Discriminators, SpectralDistance, fooled, matching, told_apart
from models.vocoders import RATE

LIMITED_DB = -50.0  # power from 4.4 to 7 kHz against that below 4 kHz: less, and the recording came over a telephone
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class VocoderTraining:
    """Everything that fixes a run."""

    steps: int = 7000
    alone: int = 1500  # steps before the discriminators join
    seed: int = 1
    batch: int = 8
    crop_s: float = 0.64
    judged: int = 4  # crops of a batch that the discriminators look at
    learning_rate: float = 1e-3
    warmup: int = 100  # steps
    limited: float = 0.15  # share of crops from recordings without a band above 4 kHz
    adversarial: float = 0.3  # weights of the losses beside the spectral one
    matching: float = 1.0
    snapshot_every: int = 500  # steps; each is kept
    save_every: int = 250  # steps between checkpoints to resume from
    threads: int = 1
    bfloat16: bool = True
    shape: VocoderConfig = field(default_factory=VocoderConfig)

    def shortened(self, steps: int | None) -> VocoderTraining:
        if steps is None:
            return self
        part = max(1, steps // 12)
        return replace(self, steps=steps, alone=steps // 4, warmup=min(self.warmup, part), snapshot_every=part)


class Speech:
    """Real recordings at 16 kHz in memory, all at one level; crops are drawn evenly over speakers, nearly."""

    def __init__(self, clips: list[Clip], crop: int, limited: float) -> None:
        self._crop = crop
        self.clips: list[Samples] = []
        self.speakers: list[str] = []
        self.limited: list[bool] = []
        for clip in tqdm([c for c in clips if c.bonafide], desc="speech", unit="clip"):
            samples, rate = read_audio(clip.path)
            wide = resample(samples, rate, RATE).astype(np.float64) / 32768
            if len(wide) < RATE // 2 or (level := active_level(wide)) < 1e-4:
                continue
            self.clips.append(np.clip(wide * (LEVEL / level) * 32768, -32768, 32767).astype(np.int16))
            self.speakers.append(clip.speaker or clip.repo or clip.name)
            self.limited.append(band_limited(wide))
        if not self.clips:
            raise ValueError("no real speech to train a vocoder on")
        self.shares = _shares(self.clips, self.speakers, np.array(self.limited), limited)

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """[count, crop] in [-1, 1], up to 4 dB louder or softer than LEVEL."""
        rows = []
        for index in rng.choice(len(self.clips), count, p=self.shares):
            clip = self.clips[index]
            start = int(rng.integers(0, max(1, len(clip) - self._crop + 1)))
            row = clip[start : start + self._crop].astype(np.float32) / 32768 * 10 ** (rng.uniform(-4, 4) / 20)
            rows.append(np.pad(row, (0, self._crop - len(row))))
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def finished(folder: Path, config: VocoderTraining) -> bool:
    """Whether a run of this shape has nothing left to do, so that no speech need be read."""
    if not ((folder / VOICES).is_file() and (folder / "last.pt").is_file()):
        return False
    last = torch_files.load(folder / "last.pt", "checkpoint of a vocoder")
    return VocoderConfig(**last["config"]["shape"]) == config.shape and int(last["step"]) >= config.steps


def band_limited(wide: NDArray[np.float64]) -> bool:
    """Whether a recording at 16 kHz holds nothing above 4.4 kHz."""
    power = np.abs(np.fft.rfft(wide)) ** 2
    edge = len(power) / (RATE / 2)
    low, high = power[: int(4000 * edge)].sum(), power[int(4400 * edge) : int(7000 * edge)].sum()
    return bool(10 * np.log10((high + 1e-12) / (low + 1e-12)) < LIMITED_DB)


def _shares(clips: list[Samples], speakers: list[str], limited: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """How often each clip is drawn: speakers by the root of their minutes, band-limited clips `share` in all."""
    lengths = np.array([len(clip) for clip in clips], float)
    names, who = np.unique(speakers, return_inverse=True)
    spoken = np.bincount(who, lengths, len(names))
    weights = lengths / np.sqrt(spoken[who])
    if limited.any() and not limited.all():
        weights[limited] *= share / weights[limited].sum()
        weights[~limited] *= (1 - share) / weights[~limited].sum()
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


class VocoderTrainer:
    """One run; a checkpoint holds networks, optimisers and the random state, so a stopped run goes on the same."""

    def __init__(self, config: VocoderTraining, speech: Speech, folder: Path) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.speech, self.folder = config, speech, folder
        self.vocoder, self.judges = build_vocoder(config.shape), Discriminators()
        self.distance = SpectralDistance()
        self.optimizer = torch.optim.AdamW(self.vocoder.parameters(), config.learning_rate, (0.8, 0.98), weight_decay=0.01)
        self.judge_optimizer = torch.optim.AdamW(self.judges.parameters(), config.learning_rate, (0.5, 0.95))
        self.rng = np.random.default_rng(config.seed)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> list[Path]:
        """Train to the end; the snapshots, oldest first."""
        if (self.folder / "last.pt").is_file():
            self.resume(self.folder / "last.pt")
        bar = tqdm(total=self.config.steps, initial=self.step, desc="vocoder", unit="step", mininterval=2.0)
        shown = 0.0
        while self.step < self.config.steps:
            spectral = self.train_step()
            shown = shown + 0.02 * (spectral - shown) if shown else spectral
            bar.update()
            bar.set_postfix(spectral=f"{shown:.3f}", refresh=False)
            ended = self.step == self.config.steps
            if ended or self.step % self.config.snapshot_every == 0:
                self.snapshot()
            if ended or self.step % self.config.save_every == 0:
                self.save(self.folder / "last.pt")
        bar.close()
        if not (self.folder / VOICES).is_file():
            self.keep_voices(self.folder / VOICES)
        return sorted(self.folder.glob("snapshot-*.pt"))

    def train_step(self) -> float:
        """One batch; returns the spectral distance of copies and originals."""
        real = self.speech.draw(self.rng, self.config.batch)
        real = real[:, : real.shape[1] // self.config.shape.hop * self.config.shape.hop]
        self._set_rates()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            made = self.vocoder(self.vocoder.log_mel(real))
        spectral = self.distance(made, real)
        loss = spectral
        if self.step >= self.config.alone:
            loss = loss + self._judged(made[: self.config.judged], real[: self.config.judged])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.vocoder.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        return float(spectral.detach())

    def _judged(self, made: Tensor, real: Tensor) -> Tensor:
        """Train the discriminators on a batch; the vocoder's part of the dispute."""
        self.judges.requires_grad_(True)
        with self._reduced():
            known, _ = self.judges(real)
            found, _ = self.judges(made.detach())
        self.judge_optimizer.zero_grad(set_to_none=True)
        told_apart(known, found).backward()  # type: ignore[no-untyped-call]
        self.judge_optimizer.step()
        self.judges.requires_grad_(False)
        with self._reduced():
            with torch.no_grad():
                _, wanted = self.judges(real)
            scores, features = self.judges(made)
        return self.config.adversarial * fooled(scores) + self.config.matching * matching(wanted, features)

    def _reduced(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16)

    def _set_rates(self) -> None:
        """Linear warm-up, then half a cosine down to a tenth."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup))
        fall = 0.55 + 0.45 * math.cos(math.pi * min(1.0, self.step / max(1, self.config.steps)))
        for optimizer, part in ((self.optimizer, 1.0), (self.judge_optimizer, 0.3)):
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * part * warm * fall

    def snapshot(self) -> None:
        """The vocoder as it is now, to make copies with."""
        kept = {"shape": asdict(self.config.shape), "step": self.step, "vocoder": self.vocoder.state_dict()}
        _write(kept, self.folder / f"snapshot-{self.step:06}.pt")

    def keep_voices(self, path: Path) -> None:
        """Whom speech can be converted into: speakers recorded with their whole band, where there are any."""
        whole = [i for i, limited in enumerate(self.speech.limited) if not limited] or range(len(self.speech.clips))
        clips, speakers = [self.speech.clips[i] for i in whole], [self.speech.speakers[i] for i in whole]
        collect_voices(clips, speakers, self.config.shape, self.config.seed).save(path)

    def save(self, path: Path) -> None:
        kept = {
            "config": asdict(self.config),
            "step": self.step,
            "vocoder": self.vocoder.state_dict(),
            "judges": self.judges.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "judge_optimizer": self.judge_optimizer.state_dict(),
            "random": self.rng.bit_generator.state,
            "noise": torch.get_rng_state(),
        }
        _write(kept, path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. ValueError when it belongs to a vocoder of another shape."""
        found = torch_files.load(path, "checkpoint of a vocoder")
        if VocoderConfig(**found["config"]["shape"]) != self.config.shape:
            raise ValueError(f"{path} holds a vocoder of another shape; train into an empty folder")
        for name in ("vocoder", "judges", "optimizer", "judge_optimizer"):
            getattr(self, name).load_state_dict(found[name])
        self.rng.bit_generator.state = found["random"]
        torch.set_rng_state(found.get("noise", torch.get_rng_state()))  # some kinds draw within the network
        self.step = found["step"]


def _write(kept: dict[str, Any], path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(kept, partial)
    partial.replace(path)  # a run that is stopped here keeps the old file
