"""What explains a score: distances worked by hand, the same numbers from the graph, and a fit that can be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.calibration import Calibration
from models.conformer import ModelConfig, StreamingConformer
from models.corpus import Clip
from models.embeddings import Heard, hear, running
from models.explain import Statistics, fit, joined, limits_from, strangeness, unfamiliar_from
from models.explain_graph import attach
from models.export import export
from models.runtime import DEFAULT_WEIGHTS, OnnxModel, load_info, load_model

HAND = Statistics(np.zeros(2), np.array([6.0, 0.0]), np.array([[3.0, 4.0], [6.0, 0.0]]), scale=2.0, boundary=1.0)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("weights") / "m.onnx"
    export(StreamingConformer(ModelConfig(width=48, blocks=1, hidden=32)), path)
    return path


def explained(bare: Path, path: Path, seed: int = 0) -> tuple[OnnxModel, Statistics]:
    rng = np.random.default_rng(seed)
    statistics = Statistics(*(rng.standard_normal((rows, 32)).squeeze() * 0.1 for rows in (1, 1, 3)), 0.3, 0.01)
    path.write_bytes(bare.read_bytes())
    path.with_suffix(".json").write_text(bare.with_suffix(".json").read_text())
    attach(path, statistics.real, statistics.fake, statistics.clusters, statistics.scale, statistics.boundary)
    return load_model(path), statistics


def noise(calls: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((calls, 1280)) * rng.choice([30, 3000], size=(calls, 1))).astype(np.int16)


def clip(label: str) -> Clip:
    return Clip(Path("a.wav"), label)


def heard(label: str, embeddings: list[list[float]], scores: list[float], speech: list[float]) -> Heard:
    return Heard(clip(label), "g711", np.array(embeddings, np.float32), np.array(scores, np.float32), np.array(speech))


def test_distances_and_agreement_by_hand() -> None:
    embeddings, scores = np.array([[0.0, 0.0], [3.0, 0.5], [6.0, 3.0], [6.0, 3.0]]), np.array([5.0, 0.0, 0.0, 5.0])
    found = HAND.explain(embeddings, scores)
    root = np.sqrt(45) / 2
    # The second is as far from people as from fakes: the tie counts as fake, and the network says fake.
    want = [[0.0, 2.5, 1], [np.sqrt(9.25) / 2, np.sqrt(9.25) / 2, 1], [root, 1.5, 1], [root, 1.5, 0]]
    assert found == pytest.approx(np.array(want))


def test_the_graph_gives_the_same_numbers(bare: Path, tmp_path: Path) -> None:
    model, statistics = explained(bare, tmp_path / "m.onnx")
    audio = noise(9)
    scores, embeddings, _ = model.embed(audio, model.init_state(9))
    again, explanations, _ = model.judge(audio, model.init_state(9))
    assert explanations is not None
    assert (again == scores).all()
    assert explanations == pytest.approx(statistics.explain(embeddings.astype(float), scores.astype(float)), abs=1e-4)


def test_scores_and_states_are_the_same_bits_as_without(bare: Path, tmp_path: Path) -> None:
    model, plain = explained(bare, tmp_path / "m.onnx")[0], load_model(bare)
    state, other = model.init_state(5), plain.init_state(5)
    for seed in range(4):
        scores, _, state = model.judge(noise(5, seed), state)
        want, other = plain.step(noise(5, seed), other)
        assert (scores == want).all()
    assert all((a == b).all() for a, b in zip(state, other, strict=True))


@pytest.mark.parametrize("size", [2, 3, 16, 64, 65])
def test_an_explanation_is_the_same_bits_whoever_shares_the_batch(bare: Path, tmp_path: Path, size: int) -> None:
    model, _ = explained(bare, tmp_path / "m.onnx")
    audio = noise(size, size)
    _, together, _ = model.judge(audio, model.init_state(size))
    assert together is not None
    for place in (0, size // 2, size - 1):
        _, alone, _ = model.judge(audio[place : place + 1], model.init_state(1))
        assert alone is not None
        assert (alone[0] == together[place]).all()


def test_a_graph_can_be_fitted_anew(bare: Path, tmp_path: Path) -> None:
    explained(bare, tmp_path / "twice.onnx", seed=0)
    explained(bare, tmp_path / "once.onnx", seed=5)
    rng = np.random.default_rng(5)
    real, fake, clusters = (rng.standard_normal((rows, 32)).squeeze() * 0.1 for rows in (1, 1, 3))
    attach(tmp_path / "twice.onnx", real, fake, clusters, 0.3, 0.01)
    assert onnx.load(tmp_path / "twice.onnx") == onnx.load(tmp_path / "once.onnx")


def test_weights_that_nobody_fitted_explain_nothing(bare: Path) -> None:
    model = load_model(bare)
    assert not model.explains
    assert model.judge(noise(2), model.init_state(2))[1] is None


def test_means_of_another_model_are_refused(bare: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(bare.read_bytes())
    with pytest.raises(ValueError, match="embeddings of 32 numbers, the means have 2"):
        attach(path, HAND.real, HAND.fake, HAND.clusters, 1.0, 0.0)


def test_a_graph_without_embeddings_is_refused(bare: Path, tmp_path: Path) -> None:
    model = onnx.load(bare)
    del model.graph.output[1]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="does not give its embeddings"):
        attach(tmp_path / "m.onnx", HAND.real, HAND.fake, HAND.clusters, 1.0, 0.0)


def test_the_fit_by_hand() -> None:
    """People at 0 and 2, fakes at 10 and 12: means 1 and 11, everybody 1 from the own mean."""
    people = [heard("bonafide", [[x, 0.0]], [2.0], [0.1]) for x in (0.0, 2.0)]
    fakes = [heard("spoof", [[x, 0.0]], [-2.0], [0.1]) for x in (10.0, 12.0)]
    found = fit([*people, *fakes], boundary=0.5, clusters=2)
    assert found.real == pytest.approx([1.0, 0.0])
    assert found.fake == pytest.approx([11.0, 0.0])
    assert sorted(found.clusters[:, 0]) == pytest.approx([10.0, 12.0])
    assert (found.scale, found.boundary) == (pytest.approx(1.0), 0.5)
    with pytest.raises(ValueError, match="class 1 has no clips"):
        fit(people, 0.5)


def test_a_clip_counts_by_where_it_speaks() -> None:
    mixed = heard("bonafide", [[0.0], [9.0], [3.0]], [0.0, 9.0, 3.0], [0.1, 0.0, 0.1])
    assert mixed.centre == pytest.approx([1.5])
    assert mixed.score == pytest.approx(1.5, abs=0.01)
    assert running(np.array([0.0, 9.0, 3.0]), mixed.speech) == pytest.approx([0.0, 0.0, 1.5], abs=0.01)


def test_strange_is_the_farthest_a_call_ever_was_after_two_seconds() -> None:
    there_and_back = heard("bonafide", [[0, 90.0], [0, 0], [0, 20], [0, 0]], [2.0] * 4, [0.001, 2.0, 2.0, 2.0])
    far = strangeness(HAND, there_and_back)
    # After two seconds the running mean of the distances to people: (0 + 10 e^0) / (1 + e^-0.1), in units of 2.
    assert far == pytest.approx(10 / (1 + np.exp(-0.1)), rel=0.02)
    assert strangeness(HAND, heard("bonafide", [[0, 0]], [2.0], [1.9])) is None


def test_one_person_in_a_hundred_may_be_unfamiliar() -> None:
    dev = [heard("bonafide", [[-2.0 * i, 0.0]], [0.0], [2.0]) for i in range(101)]
    dev += [heard("spoof", [[-999.0, 0.0]], [0.0], [2.0])]  # fakes have no say
    assert unfamiliar_from(HAND, dev) == pytest.approx(99.0)
    assert unfamiliar_from(HAND, [heard("bonafide", [[0.0, 0.0]], [0.0], [1.0])]) is None


def test_a_verdict_is_doubted_where_the_least_of_the_right_ones_lie() -> None:
    """Right people lie at margins 0 to 2 (the cluster of fakes at 6), right fakes opposite; the others have no say."""
    statistics = Statistics(np.zeros(1), np.array([6.0]), np.array([[6.0]]), scale=1.0, boundary=0.0)
    shipped = load_info(DEFAULT_WEIGHTS.with_suffix(".json"))
    info = replace(shipped, calibration=Calibration(1, 0, 0, 1), human_llr=1, deepfake_llr=-1)
    people = [heard("bonafide", [[3 - i / 100]], [2.0], [3.0]) for i in range(101)]  # margin 2 i / 100
    fakes = [heard("spoof", [[3 + i / 100]], [-2.0], [3.0]) for i in range(101)]
    unsure, short = heard("bonafide", [[6.0]], [0.5], [3.0]), heard("bonafide", [[6.0]], [2.0], [1.0])
    without = [unsure, short, heard("spoof", [[0.0]], [2.0], [3.0])]
    limits = limits_from(statistics, [*people, *fakes, *without * 20], info)
    assert limits["doubt_human"] == pytest.approx(0.20, abs=1e-3)
    assert limits["doubt_fake"] == pytest.approx(-0.20, abs=1e-3)
    few = limits_from(statistics, [*people[:19], *fakes[:20]], info)
    assert few["doubt_human"] is None
    assert few["doubt_fake"] is not None


def test_calls_are_joined_of_one_voice_under_one_condition() -> None:
    def piece(speaker: str, condition: str, value: float) -> Heard:
        clip = Clip(Path("a.wav"), "bonafide", speaker=speaker, repo="o/r")
        ones = np.ones(32)  # 5.12 s
        return Heard(clip, condition, np.full((32, 1), value, np.float32), ones.astype(np.float32), ones)

    calls = joined([piece("a", "g711", 1), piece("b", "g711", 2), piece("a", "wideband", 3), piece("a", "g711", 4)], 10.0)
    assert [call.embeddings[[0, -1], 0].tolist() for call in calls] == [[1.0, 4.0]]
    assert len(calls[0].scores) == len(calls[0].speech) == 64
    fakes = [heard("spoof", [[1.0]] * 40, [0.0] * 40, [0.1] * 40)] * 5
    assert [len(call.scores) for call in joined(fakes, 10.0)] == [80, 80], "what is left over makes no call"


def test_the_network_decides_where_the_likelihood_ratio_is_zero() -> None:
    calibration = Calibration(0.5, -1.0, 0.4, 15.0)
    assert calibration.boundary == 2.0
    assert calibration.llr(2.0, 7.0) == 0.0
    assert Calibration(0.0, 1.0, 0.0, 1.0).boundary == 0.0


def test_hearing_clips_leaves_out_silence(bare: Path) -> None:
    clips = [Clip(Path("a.wav"), "bonafide"), Clip(Path("b.wav"), "spoof"), Clip(Path("c.wav"), "spoof")]
    from connectors.g711 import decode_mu_law
    from vivavoce.samples import sample_speech

    voice = decode_mu_law(sample_speech())[:32000]
    audio = {"a": voice, "b": np.zeros(16000, np.int16), "c": voice[:100]}
    found = list(hear(load_model(bare), clips, ["wideband", "g711"], read=lambda c: audio[c.path.stem]))
    assert [(h.clip.path.stem, h.condition) for h in found] == [("a", "wideband"), ("a", "g711")]
    assert found[0].embeddings.shape == (25, 32)
    assert found[0].scores.shape == found[0].speech.shape == (25,)
