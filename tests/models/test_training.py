# ruff: noqa: E402 - the imports below need torch
"""Batches, objective, resuming, selection and calibration, on a made-up corpus small enough for a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from models.calibrate import Recording, Scored, choose_thresholds, fit, joined_calls, prefixes, running_level
from models.calibration import Calibration
from models.channel import ChannelConfig
from models.conformer import PAIRED, POOLED, ModelConfig, StreamingConformer
from models.corpus import Clip
from models.dataset import FRAME, SPEEDS, Batch, BatchConfig, Sampler, cut, resampled, speech_frames
from models.features import Features
from models.objective import LossConfig, MaskConfig, band_masks, frame_weights, loss_of, masked, taught_loss, training_views
from models.selection import Dev, speech_mean
from models.store import AudioStore
from models.train import TrainConfig, Trainer, ease_at, frame_scorer, load_averaged, load_config, rate_at, shortened

TINY = {"bands": 24, "channels": (4, 4), "width": 16, "blocks": 1, "heads": 2, "expansion": 2, "history": 16,
        "kernel": 5, "hidden": 8, "dropout": 0.0}  # fmt: skip


def fill(store: AudioStore, people: int = 6) -> list[Clip]:
    """People hum low, fakes and copies hum high; two repositories."""
    rng = np.random.default_rng(1)
    clips = []
    with store:
        for i in range(people):
            for label, generator, hz in (("bonafide", "", 300), ("spoof", f"g{i % 2}", 1500)):
                clip = Clip(
                    Path(f"{i}{label}.wav"), label, "dev", generator=generator, repo=f"r{i % 2}", speaker=f"s{i}"
                )
                clips.append(clip)
                store.add(hum(hz, rng), source=clip.name, label=label, generator=generator, repo=clip.repo,
                          speaker=clip.speaker, coding="")  # fmt: skip
                if label == "bonafide":
                    store.add(hum(1500, rng), source=clip.name, label="spoof", generator="copy:lpc", repo=clip.repo,
                              speaker=clip.speaker, coding="")  # fmt: skip
    return clips


def hum(hz: float, rng: np.random.Generator, seconds: float = 2.5) -> np.ndarray:
    at = np.arange(int(seconds * 8000)) / 8000
    return (6000 * np.sin(2 * np.pi * hz * at) + 60 * rng.standard_normal(len(at))).astype(np.int16)


@pytest.fixture
def store(tmp_path: Path) -> AudioStore:
    made = AudioStore(tmp_path / "cache")
    fill(made)
    return made


def sampler(store: AudioStore, **batch: float) -> Sampler:
    config = BatchConfig(rows=8, crop_s=1.6, **batch)  # type: ignore[arg-type]
    return Sampler(store, config, ChannelConfig(clean=1.0, gain_low_db=0, gain_high_db=0), [], [])


def config(**changes: object) -> TrainConfig:
    base = TrainConfig(steps=6, warmup=2, save_every=3, judge_every=6, model=TINY, bfloat16=False, average=0.5)
    return replace(base, loss=LossConfig(skip_s=0.2), **changes)  # type: ignore[arg-type]


def test_a_batch_is_balanced_and_fixed_by_its_seed(store: AudioStore) -> None:
    one, two = (sampler(store).draw(np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.audio, two.audio)
    assert one.audio.shape == (8, 12800)
    assert one.audio.dtype == np.int16
    assert one.speech.shape == (8, 40)
    assert one.bonafide.sum() == 4


def test_copy_pairs_point_at_each_other(store: AudioStore) -> None:
    batch = sampler(store, copy_pairs=1.0).draw(np.random.default_rng(0))
    assert np.all(batch.pair[batch.pair] == np.arange(8))
    assert np.all(batch.bonafide + batch.bonafide[batch.pair] == 1)
    lonely = sampler(store, copy_pairs=0.0).draw(np.random.default_rng(0))
    assert np.all(lonely.pair == -1)


def test_one_class_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both bona fide and spoof"):
        sampler(AudioStore(tmp_path / "empty"))


def test_short_clips_are_repeated_and_long_ones_cut() -> None:
    assert len(cut(np.ones(100, np.int16), 12800, 0.9)) == 12800
    ramp = np.arange(20000, dtype=np.int16)
    assert cut(ramp, 12800, 0.0)[0] == 0
    assert cut(ramp, 12800, 1.0)[-1] == 19999


def test_speech_frames_tell_sound_from_silence() -> None:
    samples = np.concatenate([np.zeros(FRAME * 3), 5000 * np.ones(FRAME * 7)]).astype(np.int16)
    assert speech_frames(samples).tolist() == [0] * 3 + [1] * 7
    assert speech_frames(np.zeros(FRAME * 2, np.int16)).sum() == 0


def batch_of(bonafide: list[float], pair: list[int], frames: int = 50) -> Batch:
    rows = len(bonafide)
    return Batch(
        np.zeros((rows, frames * FRAME), np.int16),
        np.zeros((rows, frames * FRAME), np.int16),
        np.array(bonafide, np.float32),
        np.ones((rows, frames), np.float32),
        np.array(pair),
        np.array(pair) >= 0,
    )


def views_of(scores: list[float]) -> torch.Tensor:
    """Both views say the same in every frame."""
    return torch.tensor(scores)[:, None, None].expand(len(scores), 50, 2)


def test_the_loss_likes_right_scores_and_real_above_copy() -> None:
    batch = batch_of([1, 0], [1, 0])
    right, level = views_of([2.0, -2.0]), views_of([0.0, 0.0])
    assert loss_of(right, batch, LossConfig()) < loss_of(level, batch, LossConfig())
    assert loss_of(level, batch, LossConfig()) < loss_of(-right, batch, LossConfig())
    gap = loss_of(-right, batch, LossConfig()) - loss_of(-right, batch, LossConfig(pair=0.0))
    assert float(gap) == pytest.approx(0.3 * np.log1p(np.exp(4.0)), rel=1e-4)


def test_copies_teach_the_paired_view_and_strangers_the_pooled() -> None:
    views = views_of([0.0, 0.0]).clone().requires_grad_()
    loss_of(views, batch_of([1, 0], [1, 0]), LossConfig()).backward()
    assert views.grad is not None
    assert float(views.grad[:, :, 0].abs().sum()) == 0 < float(views.grad[:, :, 1].abs().sum())
    views.grad = None
    loss_of(views, batch_of([1, 0], [-1, -1]), LossConfig()).backward()
    assert float(views.grad[:, :, 1].abs().sum()) == 0 < float(views.grad[:, :, 0].abs().sum())


def test_a_teacher_teaches_both_views_and_is_content_when_it_is_matched() -> None:
    batch, taught = batch_of([1, 0], [-1, -1]), views_of([1.5, -1.0])
    views = views_of([0.0, 0.0]).clone().requires_grad_()
    taught_loss(views, taught, batch, LossConfig()).backward()
    assert views.grad is not None
    assert (views.grad.abs().sum(dim=(0, 1)) > 0).all()
    same = taught.clone().requires_grad_()
    taught_loss(same, taught, batch, LossConfig()).backward()
    assert same.grad is not None
    assert float(same.grad.abs().max()) < 1e-7


def test_a_shared_repository_teaches_both_views() -> None:
    views = views_of([0.0, 0.0]).clone().requires_grad_()
    batch = replace(batch_of([1, 0], [-1, -1]), shared=np.array([True, True]))
    loss_of(views, batch, LossConfig()).backward()
    assert views.grad is not None
    assert (views.grad.abs().sum(dim=(0, 1)) > 0).all()


@pytest.mark.parametrize(("up", "down"), SPEEDS)
def test_a_change_of_speed_moves_pitch_and_length_alike(up: int, down: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(25600) / 8000)).astype(np.int16)
    slower = resampled(tone, up, down)
    assert abs(len(slower) - 25600 * up / down) <= 1
    peak = np.abs(np.fft.rfft(slower[1000:9000] * np.hanning(8000))).argmax()
    assert abs(peak - 500 * down / up) <= 1


def test_early_frames_and_silence_do_not_decide() -> None:
    speech = torch.ones(1, 50)
    speech[0, 40:] = 0
    weight = frame_weights(speech, 0.8)[0]
    assert weight[:20].sum() == 0
    assert weight[39] > weight[21] > 0.5
    assert weight[45] < 0.06


def test_the_training_pass_is_the_models_own_forward() -> None:
    model = StreamingConformer(ModelConfig(**TINY)).eval()  # type: ignore[arg-type]
    audio = torch.randint(-8000, 8000, (3, 12800), dtype=torch.int16)
    rng = np.random.default_rng(0)
    got = training_views(model, audio, None, rng, bfloat16=False)
    torch.testing.assert_close((got * model.head.mix).sum(2), model(audio)[0], rtol=0, atol=1e-6)
    masked = training_views(model, audio, MaskConfig(odds=1.0, bands=12), rng, bfloat16=False)
    assert not torch.allclose(masked, got)


def test_masks_cover_one_run_of_bands() -> None:
    masks = band_masks(200, 24, MaskConfig(odds=0.5, bands=6), np.random.default_rng(0))
    gone = (masks == 0).sum(axis=2)[:, 0]
    assert 0.35 < (gone > 0).mean() < 0.65
    assert gone.max() == 6


def test_the_rate_rises_then_falls() -> None:
    c = TrainConfig(steps=100, warmup=10, learning_rate=1.0)
    rates = [rate_at(step, c) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.03


def test_training_begins_gently() -> None:
    assert [ease_at(step, (300, 1500)) for step in (0, 300, 900, 1500, 9000)] == [1, 1, 0.5, 0, 0]


def test_kinds_of_copies_are_weighed(store: AudioStore) -> None:
    with store:
        store.add(np.ones(20000, np.int16), source="dev/bonafide/0bonafide", label="spoof", generator="copy:world",
                  repo="r0", speaker="s0", coding="")  # fmt: skip
    real = next(e for e in store.entries if e.source == "dev/bonafide/0bonafide" and not e.generator)
    taken = [
        sampler(store, paths={"world": 0.0})._draw_copy(real, np.random.default_rng(i)).generator for i in range(20)
    ]
    assert set(taken) == {"copy:lpc"}


def test_a_run_stopped_and_resumed_is_the_run_never_stopped(store: AudioStore, tmp_path: Path) -> None:
    whole = Trainer(config(), sampler(store), None, tmp_path / "whole")
    whole.run()
    first = Trainer(config(), sampler(store), None, tmp_path / "parts")
    for _ in range(3):
        first.train_step()
    first.save(tmp_path / "parts/last.pt")
    second = Trainer(config(), sampler(store), None, tmp_path / "parts")
    second.run()
    for a, b in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_checkpoint_of_another_shape_is_refused(store: AudioStore, tmp_path: Path) -> None:
    Trainer(config(), sampler(store), None, tmp_path / "run").save(tmp_path / "run/last.pt")
    other = config(model={**TINY, "width": 32})
    with pytest.raises(ValueError, match="another shape"):
        Trainer(other, sampler(store), None, tmp_path / "run").run()
    with pytest.raises(ValueError, match="another shape than this recipe's"):
        Trainer(replace(other, start=str(tmp_path / "run/last.pt")), sampler(store), None, tmp_path / "other")


def test_a_model_with_lines_begins_as_the_one_without(store: AudioStore, tmp_path: Path) -> None:
    lines = {**TINY, "lines": True}
    Trainer(config(), sampler(store), None, tmp_path / "run").save(tmp_path / "run/last.pt")
    start = str(tmp_path / "run/last.pt")
    model = Trainer(config(start=start, model=lines), sampler(store), None, tmp_path / "more").model.eval()
    audio = torch.randn(2, 20 * FRAME) * 0.1
    with torch.no_grad():
        torch.testing.assert_close(model(audio)[0], load_averaged(tmp_path / "run/last.pt")(audio)[0])
    with pytest.raises(ValueError, match="another shape than this recipe's"):
        Trainer(config(start=start, model={**lines, "width": 32}), sampler(store), None, tmp_path / "other")
    Trainer(config(model=lines), sampler(store), None, tmp_path / "heard").save(tmp_path / "heard/last.pt")
    with pytest.raises(ValueError, match="another shape than this recipe's"):
        Trainer(config(start=str(tmp_path / "heard/last.pt")), sampler(store), None, tmp_path / "deaf")


def test_lines_are_masked_apart_from_bands_and_at_times_whole() -> None:
    heard = Features(torch.ones(400, 8, 120), torch.ones(400, 4, 120))
    bands, lines = masked(heard, MaskConfig(odds=0.5, bands=10, lines=0.25), np.random.default_rng(0))
    assert lines is not None
    silent = (lines == 0).all(2).all(1)
    assert 0.18 < silent.float().mean() < 0.32
    assert not (bands == 0).all(2).any()
    some = [((part == 0).any(2).any(1) & ~silent).float().mean() for part in (bands, lines)]
    assert all(0.25 < share < 0.55 for share in some)
    assert masked(Features(torch.ones(4, 8, 120), None), MaskConfig(), np.random.default_rng(0)).lines is None


def test_a_shape_of_lists_is_the_shape_of_tuples(store: AudioStore, tmp_path: Path) -> None:
    """A recipe has lists; checkpoints of earlier code have tuples, or leave out what is the default."""
    tuples, lists = {**TINY, "channels": (4, 4)}, {**TINY, "channels": [4, 4], "memory_s": 6.0}
    Trainer(config(model=tuples), sampler(store), None, tmp_path / "run").run()
    resumed = Trainer(config(model=lists), sampler(store), None, tmp_path / "run")
    resumed.run()
    assert resumed.step == 6
    assert load_averaged(tmp_path / "run/last.pt").config == ModelConfig(**TINY)  # type: ignore[arg-type]


def test_a_resumed_run_knows_the_best_so_far(store: AudioStore, tmp_path: Path) -> None:
    """Stopped after a look at dev, a worse checkpoint later must not pass for the best one."""
    clips = fill(AudioStore(tmp_path / "dev"), people=8)
    dev = Dev(AudioStore(tmp_path / "dev"), clips, [])
    first = Trainer(config(steps=3, judge_every=3), sampler(store), dev, tmp_path / "run")
    first.run()
    second = Trainer(config(steps=3, judge_every=3), sampler(store), dev, tmp_path / "run")
    second.run()
    assert second.best == first.best > 0


def test_fewer_steps_than_the_recipe_has_shorten_what_comes_before() -> None:
    recipe = TrainConfig(steps=4000, warmup=150, ease=(100, 1000))
    short = shortened(recipe, 1200)
    assert (short.steps, short.warmup, short.ease) == (1200, 120, (30, 300))
    assert shortened(recipe, 8000).ease == (100, 1000)
    assert shortened(recipe, None) == recipe
    with pytest.raises(ValueError, match="--steps 0 must be at least 1"):
        shortened(recipe, 0)


def test_training_learns_what_there_is_to_learn(store: AudioStore, tmp_path: Path) -> None:
    clips = fill(AudioStore(tmp_path / "dev"), people=8)
    dev = Dev(AudioStore(tmp_path / "dev"), clips, [])
    c = config(steps=60, judge_every=60, learning_rate=1e-2)
    best = Trainer(c, sampler(store), dev, tmp_path / "run").run()
    assert best.name == "best.pt"
    figures = dev.judge(frame_scorer(load_averaged(best)))
    assert figures.eer["g711"] == 0
    assert figures.within["g711"] == 1
    assert figures.copies == {"lpc": 1.0}
    assert figures.choice == 1.0
    assert (tmp_path / "run/dev.jsonl").read_text().count("\n") == 1


def test_configs_come_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("steps = 7\n[batch]\nrows = 4\n[channel]\nclean = 0.5\n[model]\nwidth = 96\n")
    got = load_config(path)
    assert (got.steps, got.batch.rows, got.channel.clean, got.model) == (7, 4, 0.5, {"width": 96})
    path.write_text("[batch]\nrow = 4\n")
    with pytest.raises(ValueError, match=r"\[batch\]: unknown key 'row'"):
        load_config(path)
    path.write_text('purpose = "answer"\n')
    with pytest.raises(ValueError, match="unknown purpose 'answer'; known: calls, answers"):
        load_config(path)
    assert load_config(None) == TrainConfig()


def test_scores_are_averaged_over_speech() -> None:
    scores = np.array([9, 1, 3], np.float32)
    assert speech_mean(scores, np.array([0, 1, 1], np.float32)) == pytest.approx(2, abs=0.02)


def test_the_running_mean_forgets() -> None:
    speech = np.full(1000, 0.16)
    scores = np.concatenate([np.full(500, -1.0), np.full(500, 1.0)]).astype(np.float32)
    assert running_level(scores, speech, 0.0, 0.0) > 0.9
    assert running_level(scores[:3], speech[:3] * [0, 1, 1], 0.0, 0.0) == pytest.approx(-1)
    assert running_level(scores, speech * 0, 1.0, 2.0) == 0.0


def test_trials_are_prefixes_and_joined_calls() -> None:
    whole = [Recording(np.full(8000 * 3, i, np.int16), True, "clip") for i in range(5)]
    spans = [r.span for r in prefixes(whole)]
    assert spans.count("clip") == spans.count("1") == spans.count("2") == 5
    calls = joined_calls(whole, ["ann", "ann", "bob", "ann", "ann"], 10)
    assert [(r.span, len(r.samples)) for r in calls] == [("10", 96000)]


def made_up(separation: float, growth: float, seed: int = 2) -> list[Scored]:
    rng = np.random.default_rng(seed)
    out = []
    for span, seconds in (("2", 2.0), ("clip", 5.0), ("10", 10.0)):
        for person in (True, False):
            for _ in range(300):
                spread = 1 / np.sqrt(seconds**growth)
                mean = (separation if person else -separation) + spread * rng.standard_normal()
                out.append(Scored(Recording(np.zeros(0, np.int16), person, span), "g711", float(mean), seconds))
    return out


def test_calibration_finds_the_likelihood_ratio() -> None:
    # two normals at +-m with variance v: LLR = 2 m x / v; with v = 1/sqrt(seconds) ... growth of one half
    fitted = fit(made_up(0.5, 0.5))
    at_five = fitted.llr(0.4, 5.0)
    assert at_five == pytest.approx(2 * 0.5 * 0.4 * 5**0.5, rel=0.25)
    assert fitted.growth > 0.2
    assert abs(fitted.llr(0.0, 5.0)) < 0.3


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_keep_their_promise(seed: int) -> None:
    """Of each kind of trial; at or below one a call is Deepfake-likely, at or above the other Human-likely."""
    scored = made_up(0.5, 0.5, seed)
    calibration = fit(scored)
    found = choose_thresholds(scored, calibration)
    for span in ("clip", "10"):
        people = [calibration.llr(s.level, s.speech_s) for s in scored if s.recording.bonafide and s.recording.span == span]
        assert np.mean(np.array(people) <= found.deepfake_llr) <= 0.01
    fakes = [calibration.llr(s.level, s.speech_s) for s in scored if not s.recording.bonafide and s.speech_s >= 3]
    assert np.mean(np.array(fakes) >= found.human_llr) <= 0.1
    assert found.human_llr > found.deepfake_llr
    with pytest.raises(ValueError, match="3 s of speech"):
        choose_thresholds([s for s in scored if s.speech_s < 3], calibration)


def test_nothing_to_calibrate_on() -> None:
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit([])
    assert Calibration(1, 0, 0.5, 4).llr(1.0, 100.0) == 2


def test_a_run_may_begin_with_a_checkpoint_and_learn_from_others(store: AudioStore, tmp_path: Path) -> None:
    teacher = Trainer(config(), sampler(store), None, tmp_path / "teacher").run()
    taught = config(steps=2, start=str(teacher), teachers=(str(teacher), str(teacher)))
    trainer = Trainer(taught, sampler(store), None, tmp_path / "student")
    for a, b in zip(trainer.model.parameters(), load_averaged(teacher).parameters(), strict=True):
        assert torch.equal(a, b)
    assert trainer.train_step() > 0
    assert all(p.grad is None for t in trainer.teachers for p in t.parameters())


def test_another_teacher_may_teach_the_view_of_copies(store: AudioStore, tmp_path: Path) -> None:
    one, other = (Trainer(config(seed=seed), sampler(store), None, tmp_path / str(seed)).run() for seed in (1, 2))
    both = Trainer(config(teachers=(str(one),), paired_teachers=(str(other),)), sampler(store), None, tmp_path / "student")
    audio = torch.from_numpy(both.sampler.draw(np.random.default_rng(0)).audio)
    alone = {path: both._lesson([load_averaged(path)], audio)[1] for path in (one, other)}
    taught = both._taught(audio).views
    assert torch.equal(taught[:, :, POOLED], alone[one][:, :, POOLED])
    assert torch.equal(taught[:, :, PAIRED], alone[other][:, :, PAIRED])
    assert not torch.allclose(alone[one], alone[other])
    assert both.train_step() > 0


def test_a_teacher_of_one_view_needs_one_of_the_other(tmp_path: Path) -> None:
    recipe = tmp_path / "alone.toml"
    recipe.write_text('paired_teachers = ["runs/a/best.pt"]\n')
    with pytest.raises(ValueError, match=r"alone\.toml: paired_teachers teach one of two views"):
        load_config(recipe)


FOLDER = Path(__file__).parents[2] / "models" / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.toml") if path.stem != "second-opinion")  # it has tests of its own


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_ship_can_be_read(path: Path) -> None:
    found = load_config(path)
    assert ModelConfig(**found.model).width == 96  # type: ignore[arg-type]
    assert len(found.teachers) == {"teacher-4": 3, "student": 2, "telephone": 1, "both": 1, "answers": 1}.get(path.stem, 0)


@pytest.mark.parametrize("change", [{"seed": 99}, {"purpose": "answers"}, {"learning_rate": 1.0}], ids=str)
def test_a_run_goes_on_by_its_own_recipe_only(store: AudioStore, tmp_path: Path, change: dict[str, object]) -> None:
    Trainer(config(), sampler(store), None, tmp_path / "run").save(tmp_path / "run/last.pt")
    with pytest.raises(ValueError, match=f"was trained with another {next(iter(change))}; train into an empty folder"):
        Trainer(replace(config(), **change), sampler(store), None, tmp_path / "run").run()
    Trainer(replace(config(), judge_every=7), sampler(store), None, tmp_path / "run").resume(tmp_path / "run/last.pt")
