# ruff: noqa: E402 - the imports below need torch
"""Teachers that hear in quiet what a student hears over the telephone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from models.channel import ChannelConfig
from models.dataset import Batch, BatchConfig, Sampler
from models.objective import Heard, LossConfig, MaskConfig, hear, trunk_loss
from models.selection import Dev
from models.store import AudioStore
from models.train import TrainConfig, Trainer, frame_scorer, load_averaged, load_config
from tests.models.test_training import batch_of, config, fill

NOISE = (4000 * np.random.default_rng(7).standard_normal(16000)).astype(np.int16)
NOISY = ChannelConfig(clean=0.0, noise=1.0, snr_low_db=3, snr_high_db=6, gain_low_db=0, gain_high_db=0)
ASIDE = LossConfig(skip_s=0.2, labels=0.0, trunk=1.0)


@pytest.fixture
def store(tmp_path: Path) -> AudioStore:
    made = AudioStore(tmp_path / "cache")
    fill(made)
    return made


def sampler(store: AudioStore, channel: ChannelConfig, **batch: float) -> Sampler:
    return Sampler(store, BatchConfig(rows=8, crop_s=1.6, **batch), channel, [NOISE], [])  # type: ignore[arg-type]


def test_the_quiet_crop_is_what_went_into_the_line(store: AudioStore) -> None:
    over_line = sampler(store, NOISY).draw(np.random.default_rng(4))
    assert np.abs(over_line.audio.astype(int) - over_line.quiet).max() > 500
    clean = sampler(store, ChannelConfig(clean=1.0, gain_low_db=0, gain_high_db=0)).draw(np.random.default_rng(4))
    np.testing.assert_array_equal(clean.audio, clean.quiet)


def test_what_passed_a_codec_is_quiet_without_it(store: AudioStore) -> None:
    with store:
        for entry in list(store.entries):
            store.add(np.full(entry.length, 77, np.int16), source=entry.source, label=entry.label, generator=entry.generator,
                      repo=entry.repo, speaker=entry.speaker, coding="flat@0")  # fmt: skip
    line = replace(NOISY, noise=0.0, band=0.0, equalizer=0.0, room=0.0, g711=0.0, loss=0.0, clipping=0.0)
    batch = sampler(store, line, coded=1.0).draw(np.random.default_rng(1))
    assert (batch.audio == 77).all()
    assert not (batch.quiet == 77).all(axis=1).any()


def test_clips_played_slower_are_as_slow_in_quiet(store: AudioStore) -> None:
    line = ChannelConfig(clean=1.0, gain_low_db=0, gain_high_db=0)
    batch = sampler(store, line, speed=1.0).draw(np.random.default_rng(2))
    np.testing.assert_array_equal(batch.audio, batch.quiet)


def heard(value: float, rows: int = 2, frames: int = 50) -> Heard:
    made = [torch.randn(rows, frames, size, generator=torch.Generator().manual_seed(size)) for size in (16, 8, 2)]
    return Heard(*(part + value for part in made))


def test_a_trunk_is_content_when_it_hears_the_same() -> None:
    batch: Batch = batch_of([1, 0], [-1, -1])
    assert float(trunk_loss(heard(0.0), heard(0.0), batch, ASIDE)) == 0
    near, far = (float(trunk_loss(heard(value), heard(0.0), batch, ASIDE)) for value in (0.5, 1.0))
    assert far == pytest.approx(4 * near)
    assert far == pytest.approx(2, rel=0.1), "frames and embeddings one deviation away each"
    louder = [Heard(*(10 * part for part in one)) for one in (heard(1.0), heard(0.0))]
    assert float(trunk_loss(*louder, batch, ASIDE)) == pytest.approx(far, rel=1e-4), "whatever their scale"


def test_a_student_learns_to_hear_in_noise_what_its_teacher_hears_in_quiet(store: AudioStore, tmp_path: Path) -> None:
    Trainer(config(steps=20, learning_rate=1e-2), sampler(store, NOISY), None, tmp_path / "teacher").run()
    begin = str(tmp_path / "teacher/last.pt")
    taught = config(steps=40, learning_rate=1e-2, start=begin, teachers=(begin,), quiet_teachers=True)
    Trainer(replace(taught, loss=ASIDE), sampler(store, NOISY), None, tmp_path / "student").run()
    batch, rng = sampler(store, NOISY).draw(np.random.default_rng(99)), np.random.default_rng(0)

    def unlike(checkpoint: Path) -> float:
        wanted, got = (
            hear(load_averaged(path), torch.from_numpy(audio), None, rng, bfloat16=False)
            for path, audio in ((Path(begin), batch.quiet), (checkpoint, batch.audio))
        )
        return trunk_loss(got, wanted, batch, ASIDE).item()

    assert unlike(tmp_path / "student/last.pt") < 0.7 * unlike(Path(begin))


def test_without_labels_and_with_a_content_teacher_nothing_is_learned(store: AudioStore, tmp_path: Path) -> None:
    """Over a line that changes nothing: whatever moves the weights then is something else than the teacher."""
    still = ChannelConfig(clean=1.0, gain_low_db=0, gain_high_db=0)
    Trainer(config(steps=4), sampler(store, still), None, tmp_path / "teacher").run()
    begin = str(tmp_path / "teacher/last.pt")
    taught = config(start=begin, teachers=(begin,), teach=0.0, quiet_teachers=True, mask=MaskConfig(odds=0.0))
    trainer = Trainer(replace(taught, loss=ASIDE), sampler(store, still), None, tmp_path / "student")
    assert trainer.train_step() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("line", ["quiet_teachers = true", "[loss]\ntrunk = 1.0", "[loss]\nlabels = 0.0"])
def test_what_needs_teachers_says_so(tmp_path: Path, line: str) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"r\.toml: quiet_teachers, \[loss\] trunk and a \[loss\] labels of 0 need teachers"):
        load_config(recipe)


def test_a_trunk_is_not_taught_by_one_of_another_width(store: AudioStore, tmp_path: Path) -> None:
    narrow: TrainConfig = config(steps=2)
    Trainer(replace(narrow, model={**narrow.model, "hidden": 4}), sampler(store, NOISY), None, tmp_path / "narrow").run()
    teacher = str(tmp_path / "narrow/last.pt")
    with pytest.raises(ValueError, match=r"narrow/last\.pt is of another width"):
        Trainer(replace(config(teachers=(teacher,)), loss=ASIDE), sampler(store, NOISY), None, tmp_path / "student")


def test_what_is_kept_lies_between_where_a_run_began_and_what_it_learned(store: AudioStore, tmp_path: Path) -> None:
    first = Trainer(config(), sampler(store, NOISY), None, tmp_path / "first").run()
    second = config(start=str(first), blend=0.25, learning_rate=1e-2)
    run = Trainer(second, sampler(store, NOISY), None, tmp_path / "second").run()
    assert run.name == "best.pt"
    begun, learned, kept = (
        torch.nn.utils.parameters_to_vector(load_averaged(path).parameters()).detach()
        for path in (first, tmp_path / "second/last.pt", run)
    )
    assert (learned - begun).abs().max() > 1e-3
    torch.testing.assert_close(kept, begun + 0.25 * (learned - begun), rtol=0, atol=1e-6)


def test_a_blend_that_is_stopped_goes_on_to_the_same(store: AudioStore, tmp_path: Path) -> None:
    first = Trainer(config(), sampler(store, NOISY), None, tmp_path / "first").run()
    second = config(start=str(first), blend=0.5)
    whole = Trainer(second, sampler(store, NOISY), None, tmp_path / "whole").run()
    part = Trainer(second, sampler(store, NOISY), None, tmp_path / "part")
    while part.step < 3:
        part.train_step()
    part.save(tmp_path / "part/last.pt")
    again = Trainer(second, sampler(store, NOISY), None, tmp_path / "part").run()
    for one, other in zip(load_averaged(whole).parameters(), load_averaged(again).parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_dev_judges_what_would_be_kept(store: AudioStore, tmp_path: Path) -> None:
    first = Trainer(config(), sampler(store, NOISY), None, tmp_path / "first").run()
    clips = fill(AudioStore(tmp_path / "dev"), people=8)
    dev, seen = Dev(AudioStore(tmp_path / "dev"), clips, []), []
    judge = dev.judge
    dev.judge = lambda score, *rest: seen.append(score) or judge(score, *rest)  # type: ignore[method-assign, func-returns-value]
    run = Trainer(config(start=str(first), blend=0.5), sampler(store, NOISY), dev, tmp_path / "second").run()
    audio = np.zeros((1, 3200), np.int16)
    np.testing.assert_allclose(seen[-1](audio), frame_scorer(load_averaged(run))(audio), atol=1e-6)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("blend = 0.5", r"r\.toml: a blend of 0\.5 needs start"),
        ('start = "a.pt"\nblend = 0', "blend 0 must be above 0 and at most 1"),
    ],
)
def test_a_blend_that_cannot_be_says_so(tmp_path: Path, line: str, words: str) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=words):
        load_config(recipe)
