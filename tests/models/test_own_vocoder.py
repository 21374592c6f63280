"""A vocoder trained here: seeded, resumed as if never stopped, and copies and conversions by its snapshots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from models.copies import DEV_PLAN, MORE_PLAN, TRAIN_PLAN, active_level, copy_speech, rounding_step
from models.corpus import Clip
from models.harmonic_vocoder import BREATH, HARMONICS, VOICED, PitchedMel, excitation, loudness
from models.neural_vocoder import VocoderConfig
from models.own_vocoder import OwnVocoder, Voices, disturbed, features
from models.token_vocoder import TokenVocoder, quantised
from models.train_vocoder import Speech, VocoderTrainer, VocoderTraining, band_limited, finished
from models.vocoder_kinds import KINDS, SHAPES, build_vocoder, load_snapshot
from models.vocoders import vocoders
from tests.models.test_copies import RATE, voice
from tests.models.test_corpus import write_wav
from vivavoce.cli import main
from vivavoce.train_vocoder import KINDS as OFFERED

TINY = VocoderTraining(
    steps=6, alone=2, batch=2, crop_s=0.24, judged=1, warmup=1, snapshot_every=2, save_every=2, bfloat16=False,
    shape=VocoderConfig(width=16, hidden=16, blocks=1),
)  # fmt: skip


PATHS = [name for kind in KINDS for name in (kind, f"{kind}-convert")]
SMALL = {kind: replace(shape, width=16, hidden=16, blocks=1) for kind, shape in SHAPES.items()}


def clips(folder: Path) -> list[Clip]:
    found = []
    for number, hz in enumerate((90, 140, 210)):
        path = folder / f"s{number}.wav"
        write_wav(path, voice(2.0, hz, number))
        found.append(Clip(path, "bonafide", "train", speaker=f"s{number}", duration_s=2.0))
    return [*found, Clip(folder / "absent.wav", "spoof", "train")]


def speech(folder: Path) -> Speech:
    return Speech(clips(folder), int(TINY.crop_s * RATE), TINY.limited)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of six steps."""
    folder = tmp_path_factory.mktemp("vocoder")
    VocoderTrainer(TINY, speech(folder), folder / "run").run()
    return folder / "run"


@pytest.fixture(scope="module")
def runs(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A finished run of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    heard = speech(tmp_path_factory.mktemp("speech"))
    for kind in KINDS.keys() - {"istft"}:
        VocoderTrainer(replace(TINY, shape=SMALL[kind]), heard, folder / kind).run()
    return [run, *folder.iterdir()]


def weights(path: Path) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(load_snapshot(path).parameters()).detach()


def test_a_run_keeps_every_snapshot_and_they_differ(run: Path) -> None:
    names = [f"snapshot-{step:06}.pt" for step in (2, 4, 6)]
    assert sorted(path.name for path in run.iterdir()) == ["last.pt", *names, "voices.npz"]
    early, late = weights(run / names[0]), weights(run / names[-1])
    assert float((early - late).abs().max()) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_ends_the_same(runs: list[Path], tmp_path: Path, kind: str) -> None:
    """Also over the step at which the discriminators join, and where the network itself draws numbers."""
    heard, config = speech(tmp_path), replace(TINY, shape=TINY.shape if kind == "istft" else SMALL[kind])
    for steps in (2, 4, 6):
        trainer = VocoderTrainer(config, heard, tmp_path / "run")
        if steps > 2:
            trainer.resume(tmp_path / "run/last.pt")
        while trainer.step < steps:
            trainer.train_step()
        trainer.save(tmp_path / "run/last.pt")
    whole = next(load_snapshot(run / "snapshot-000006.pt") for run in runs if OwnVocoder(run).kind == kind)
    for name, made in trainer.vocoder.state_dict().items():
        torch.testing.assert_close(made, whole.state_dict()[name], rtol=0, atol=0)


def test_another_seed_is_another_vocoder(run: Path, tmp_path: Path) -> None:
    VocoderTrainer(replace(TINY, seed=2), speech(tmp_path), tmp_path / "run").run()
    difference = weights(tmp_path / "run/snapshot-000006.pt") - weights(run / "snapshot-000006.pt")
    assert float(difference.abs().max()) > 1e-3


def test_another_shape_is_not_gone_on_with(run: Path, tmp_path: Path) -> None:
    other = VocoderTrainer(replace(TINY, shape=VocoderConfig(width=8, hidden=8, blocks=1)), speech(tmp_path), tmp_path / "run")
    with pytest.raises(ValueError, match="another shape"):
        other.resume(run / "last.pt")


def test_finished_only_with_all_steps_and_voices(run: Path, tmp_path: Path) -> None:
    assert finished(run, TINY)
    assert not finished(run, replace(TINY, steps=7))
    assert not finished(run, replace(TINY, shape=SMALL["waves"])), "another kind is another run"
    assert not finished(tmp_path, TINY)


def test_training_brings_copies_nearer(tmp_path: Path) -> None:
    config = replace(TINY, steps=40, alone=40, snapshot_every=40, save_every=40)
    trainer = VocoderTrainer(config, speech(tmp_path), tmp_path / "run")
    distances = [trainer.train_step() for _ in range(40)]
    assert np.mean(distances[-5:]) < 0.8 * np.mean(distances[:5])


@pytest.mark.parametrize("path", PATHS)
def test_a_copy_keeps_length_level_and_rounding_but_not_the_samples(runs: list[Path], path: str) -> None:
    original = voice(1.237)  # no whole number of frames
    vocoder = vocoders(None, runs)[path]
    made = copy_speech(original, RATE, vocoder, seed=7)
    assert made.shape == original.shape
    assert rounding_step(made) == rounding_step(original) == 64
    assert active_level(made / 32768) == pytest.approx(active_level(original / 32768), rel=0.1)
    assert np.mean(made == original) < 0.5
    np.testing.assert_array_equal(made, copy_speech(original, RATE, vocoders(None, runs)[path], seed=7))
    assert not np.array_equal(made, copy_speech(original, RATE, vocoder, seed=8))


@pytest.mark.parametrize("path", PATHS)
def test_silence_and_scraps_make_no_trouble(runs: list[Path], path: str) -> None:
    vocoder = vocoders(None, runs)[path]
    assert np.abs(copy_speech(np.zeros(RATE, np.int16), RATE, vocoder, seed=0)).max() < 256
    assert len(vocoder(np.full(50, 0.1), np.random.default_rng(0))) == 50


def test_copies_come_from_several_snapshots_but_not_the_first(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.own_vocoder.SPOKEN", 0.5)
    own = OwnVocoder(run)
    assert len(own.snapshots) == 2
    rng = np.random.default_rng(0)
    assert {id(own._any(rng)) for _ in range(20)} == {id(snapshot) for snapshot in own.snapshots}


def test_without_voices_there_is_no_conversion_and_without_snapshots_nothing(run: Path, tmp_path: Path) -> None:
    (tmp_path / "snapshot-000006.pt").write_bytes((run / "snapshot-000006.pt").read_bytes())
    assert set(vocoders(None, [tmp_path])) - set(vocoders(None)) == {"istft"}
    assert set(vocoders(None, [run])) - set(vocoders(None)) == {"istft", "istft-convert"}
    with pytest.raises(FileNotFoundError, match=r"no snapshot-\*\.pt"):
        vocoders(None, [tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="of kind istft already"):
        vocoders(None, [run, tmp_path])


def test_a_conversion_speaks_with_the_other_voice_only() -> None:
    rng = np.random.default_rng(0)
    mel = rng.normal(-3, 1, (60, 80)).astype(np.float32)
    voices = Voices([rng.normal(5, 0.1, (3, 80)), mel, rng.normal(-6, 1, (50, 80))])
    assert voices.speak(mel, 0).min() > 4, "fewer frames than neighbours are no trouble"
    assert {voices.somebody_else(mel, rng) for _ in range(40)} == {0, 2}, "never the voice most like the speaker's own"
    mean = voices.speak(mel, 2)
    nearest = np.argsort(((features(mel)[7] - features(voices.frames[2])) ** 2).sum(axis=1))[:4]
    np.testing.assert_allclose(mean[7], voices.frames[2][nearest].mean(axis=0), rtol=1e-5)


def test_voices_are_kept_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    voices = Voices([rng.normal(-3, 1, (n, 80)) for n in (5, 9)])
    voices.save(tmp_path / "voices.npz")
    again = Voices.load(tmp_path / "voices.npz")
    assert [len(frames) for frames in again.frames] == [5, 9]
    for before, after in zip(voices.frames, again.frames, strict=True):
        np.testing.assert_allclose(before, after, atol=0.01)


def test_a_disturbed_mel_is_near_the_undisturbed() -> None:
    mel = np.linspace(-6, -1, 80, dtype=np.float32) + np.zeros((40, 1), np.float32)
    made = [disturbed(mel, np.random.default_rng(seed)) for seed in range(20)]
    assert all(one.shape == mel.shape and np.abs(one - mel).mean() < 0.6 for one in made)
    assert any(np.array_equal(one, mel) for one in made)
    assert len({one.tobytes() for one in made}) > 8


def test_what_came_over_a_telephone_is_told_and_drawn_less_often(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE)
    spectrum = np.fft.rfft(noise)
    spectrum[int(len(spectrum) * 3800 / 8000) :] = 0
    narrow = np.fft.irfft(spectrum)
    assert band_limited(narrow)
    assert not band_limited(noise)
    found = []
    for number, wave in enumerate((noise, narrow)):
        write_wav(tmp_path / f"n{number}.wav", (wave * 3000).astype(np.int16))
        found.append(Clip(tmp_path / f"n{number}.wav", "bonafide", "train", speaker=str(number)))
    heard = Speech(found, 1600, 0.15)
    assert heard.limited == [False, True]
    np.testing.assert_allclose(heard.shares, [0.85, 0.15])


def test_speech_is_heard_at_one_level_and_padded(tmp_path: Path) -> None:
    write_wav(tmp_path / "quiet.wav", (voice(1.0) // 8).astype(np.int16))
    heard = Speech([Clip(tmp_path / "quiet.wav", "bonafide", "train")], 2 * RATE, 0.15)
    assert active_level(heard.clips[0] / 32768) == pytest.approx(0.1, rel=0.02)
    drawn = heard.draw(np.random.default_rng(0), 3)
    assert drawn.shape == (3, 2 * RATE)
    assert not drawn[:, RATE:].any()
    with pytest.raises(ValueError, match="no real speech"):
        Speech([Clip(tmp_path / "quiet.wav", "spoof", "train")], RATE, 0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_gives_a_hop_per_frame(kind: str) -> None:
    network = build_vocoder(SMALL[kind]).eval()
    hop = network.config.hop
    for frames in (10, 11):
        mel = network.log_mel(torch.zeros(2, frames * hop))
        assert mel.shape == (2, 81 if kind == "harmonics" else 80, frames + 1)
        assert network(mel).shape == (2, frames * hop)


def test_what_no_network_is_made_of() -> None:
    with pytest.raises(ValueError, match="'magic'; one of istft, waves, tokens, harmonics"):
        build_vocoder(VocoderConfig("magic"))
    with pytest.raises(ValueError, match=r"\(5, 5\) make 25 samples a frame, the hop is 200"):
        build_vocoder(replace(SHAPES["waves"], strides=(5, 5)))


def test_a_snapshot_from_before_there_were_kinds_is_read(run: Path, tmp_path: Path) -> None:
    found = torch.load(run / "snapshot-000006.pt", weights_only=False)
    for later in ("kind", "strides", "kernels", "token", "levels"):
        del found["shape"][later]
    torch.save(found, tmp_path / "snapshot-000006.pt")
    assert load_snapshot(tmp_path / "snapshot-000006.pt").config == TINY.shape


def test_a_token_says_no_more_than_its_steps() -> None:
    x = torch.linspace(-4, 4, 101, requires_grad=True)
    made = quantised(x, 7)
    assert sorted(set((made.detach() * 3).round(decimals=4).tolist())) == [-3, -2, -1, 0, 1, 2, 3]
    made.sum().backward()
    assert x.grad is not None
    assert bool((x.grad > 0).all()), "the gradient passes as if nothing had been rounded"


def test_tokens_hide_small_changes_of_a_mel() -> None:
    """Two mels that pack to the same tokens come out as the same sound."""
    network = build_vocoder(SMALL["tokens"]).eval()
    assert isinstance(network, TokenVocoder)
    mel = torch.randn(1, 80, 12, generator=torch.Generator().manual_seed(0)) - 4
    with torch.no_grad():
        torch.testing.assert_close(network.retold(mel), network.retold(mel + 1e-6), rtol=0, atol=0)
        assert not torch.equal(network.retold(mel), network.retold(mel + 3.0 * torch.randn_like(mel)))


def test_training_plans_have_the_copies_and_conversions_of_every_kind() -> None:
    for plan in (TRAIN_PLAN, MORE_PLAN):
        assert set(PATHS) <= set(plan.minutes)
    assert {"istft", "istft-convert"} <= set(DEV_PLAN.minutes)


def test_the_command_trains_and_then_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "a.wav", voice(1.5))
    (tmp_path / "manifest.csv").write_text("path,split,label\na.wav,train,bonafide\n")
    command = ["train-vocoder", "--corpus", str(tmp_path), "--run", str(tmp_path / "run"), "--steps", "2"]
    assert main(command) == 0
    assert "2 snapshots" in capsys.readouterr().out
    assert main(command) == 0
    assert "finished before" in capsys.readouterr().out
    assert main([*command[:-1], "0"]) == 2


def test_the_command_trains_the_kind_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wav(tmp_path / "a.wav", voice(1.5))
    (tmp_path / "manifest.csv").write_text("path,split,label\na.wav,train,bonafide\n")
    monkeypatch.chdir(tmp_path)
    assert main(["train-vocoder", "--corpus", str(tmp_path), "--steps", "1", "--kind", "waves"]) == 0
    assert load_snapshot(tmp_path / "runs/vocoder-waves/snapshot-000001.pt").config == SHAPES["waves"]


def test_the_source_has_the_harmonics_of_its_pitch_and_noise_elsewhere() -> None:
    torch.manual_seed(0)
    made = excitation(torch.tensor([[200.0] * 50 + [0.0] * 50]), 160)
    assert made.shape == (1, HARMONICS + 1, 100 * 160)
    spectrum = torch.fft.rfft(made[0, :HARMONICS, : RATE // 2].double()).abs()
    assert [2 * int(row.argmax()) for row in spectrum] == [200 * (k + 1) for k in range(HARMONICS)]
    assert not made[0, :HARMONICS, RATE // 2 :].any(), "no sine where nothing is voiced"
    quiet, loud = made[0, HARMONICS].split(RATE // 2)
    assert float(loud.std() / quiet.std()) == pytest.approx(VOICED / BREATH, rel=0.05)
    high = excitation(torch.tensor([[3000.0] * 10]), 160)
    assert not high[0, 2:HARMONICS].any(), "harmonics above half the rate would fold back"


def test_a_pitched_mel_ends_with_the_pitch() -> None:
    steady = voice(1.0, 140, 3) / 32768
    rows = PitchedMel(1024, 160, 80)(torch.from_numpy(steady.astype(np.float32))[None])
    assert rows.shape == (1, 81, 101)
    voiced = rows[0, -1][rows[0, -1] > 0]
    assert len(voiced) > 40
    assert float(voiced.median()) == pytest.approx(140, rel=0.05)


def test_the_command_offers_every_kind() -> None:
    assert OFFERED == tuple(KINDS) == tuple(SHAPES)
    assert all(shape.kind == kind for kind, shape in SHAPES.items())


def test_the_source_is_as_loud_as_the_voice() -> None:
    mel = PitchedMel(1024, 160, 80)(torch.randn(1, 3200, generator=torch.Generator().manual_seed(0)) * 0.1)[:, :-1]
    assert loudness(mel + np.log(2.0)) == pytest.approx(2 * loudness(mel))
    assert 0.1 < float(loudness(mel).mean()) < 10
