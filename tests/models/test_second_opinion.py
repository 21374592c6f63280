# ruff: noqa: E402 - the imports below need the extra
"""The second opinion's front end and head, on tiny models with random weights, saved to a folder and read from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the second opinion needs the extra 'ssl'")
transformers = pytest.importorskip("transformers", reason="the second opinion needs the extra 'ssl'")

from models.second_opinion.backbone import Backbone, read, rebuilt, twice
from models.second_opinion.model import AttentivePooling, BothWays, SecondOpinion, SslConfig

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
         "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}  # fmt: skip
HEAD = {"width": 16, "blocks": 1, "heads": 2, "kernel": 5, "history": 16, "hidden": 8, "dropout": 0.0}
KINDS = {"wav2vec2": "Wav2Vec2Config", "wavlm": "WavLMConfig", "hubert": "HubertConfig"}


def tiny(folder: Path, kind: str = "wav2vec2", **changes: Any) -> Path:
    """A folder as the hub has them: config.json and random weights."""
    torch.manual_seed(3)
    config = getattr(transformers, KINDS[kind])(**{**SHAPE, **changes})
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def large(folder: Path, kind: str = "wav2vec2") -> Path:
    """The variant of the large models: layer norms before the sub-layers and in the convolutions."""
    return tiny(folder, kind, do_stable_layer_norm=True, feat_extract_norm="layer")


def noise(rows: int = 3, samples: int = 12800) -> torch.Tensor:
    return torch.randint(-9000, 9000, (rows, samples), dtype=torch.int16, generator=torch.Generator().manual_seed(1))


def opinion(folder: Path, **changes: Any) -> SecondOpinion:
    torch.manual_seed(5)
    return SecondOpinion.from_source(SslConfig(**{"source": str(folder), **HEAD, **changes})).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", [tiny, large])
def test_every_kind_gives_one_logit_per_window(tmp_path: Path, kind: str, variant: Any) -> None:
    model = opinion(variant(tmp_path, kind))
    assert model(noise()).shape == (3,)
    assert model.backbone(noise().float() / 32768).shape == (3, 79, 16)  # 20 ms frames of 1.6 s, less the window's edge


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_what_was_saved(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(3)
    saved = transformers.AutoModel.from_config(getattr(transformers, KINDS[kind])(**SHAPE))
    saved.save_pretrained(tmp_path)
    found, _ = read(str(tmp_path))
    for name, weight in saved.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], weight, rtol=0, atol=0, msg=name)


def test_a_row_does_not_hear_its_neighbours(tmp_path: Path) -> None:
    model = opinion(tiny(tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(model(noise())[1:2], model(noise()[1:2]), rtol=1e-4, atol=1e-5)


def test_twice_the_rate_is_the_same_sound() -> None:
    at8, at16 = torch.arange(1600) / 8000, torch.arange(3200) / 16000
    for hz in (200.0, 1000.0, 3400.0):
        wide = twice(torch.sin(2 * torch.pi * hz * at8)[None])[0]
        wanted = torch.sin(2 * torch.pi * hz * at16)
        assert wide.shape == (3200,)
        assert float((wide - wanted)[200:-200].abs().max()) < 1e-3


def test_upper_layers_are_dropped_and_what_is_left_is_the_same(tmp_path: Path) -> None:
    audio = noise().float() / 32768
    for variant in (tiny, large):
        source = str(variant(tmp_path / variant.__name__))
        whole, short = (Backbone(*read(source)[:1], normalise=False, layers=layers, collect="last").eval() for layers in (2, 1))
        assert (len(whole.inner.encoder.layers), len(short.inner.encoder.layers)) == (2, 1)
        with torch.no_grad():
            states = whole.inner(twice(audio), output_hidden_states=True).hidden_states
            wanted = torch.nn.functional.layer_norm(states[1], (16,))
            torch.testing.assert_close(short(audio), wanted, rtol=1e-5, atol=1e-5)
            assert not torch.allclose(short(audio), whole(audio), atol=0.01)


def test_the_sum_of_layers_is_learned_and_can_choose_one(tmp_path: Path) -> None:
    source, audio = str(large(tmp_path)), noise().float() / 32768
    summed = Backbone(read(source)[0], normalise=True, collect="sum").eval()
    assert summed.weights is not None
    assert summed.weights.shape == (3,)  # what enters the layers counts as one
    with torch.no_grad():
        even = summed(audio)
        summed.weights[2] = 50.0
        last = Backbone(read(source)[0], normalise=True, collect="last").eval()(audio)
        torch.testing.assert_close(summed(audio), last, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(even, last, atol=0.01)
    summed(audio).square().sum().backward()
    assert summed.weights.grad is not None


def test_loudness_does_not_matter_to_models_that_were_trained_so(tmp_path: Path) -> None:
    audio = noise().float() / 32768
    deaf, hearing = opinion(large(tmp_path / "a")), opinion(tiny(tmp_path / "b"))
    assert (deaf.backbone.normalise, hearing.backbone.normalise) == (True, False)
    with torch.no_grad():
        torch.testing.assert_close(deaf(audio * 0.5), deaf(audio), rtol=1e-3, atol=1e-4)


def test_the_folder_itself_says_whether_audio_is_normalised(tmp_path: Path) -> None:
    tiny(tmp_path)
    table = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16000}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(table))
    assert read(str(tmp_path))[1] is True
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**table, "sampling_rate": 8000}))
    with pytest.raises(ValueError, match="hears 8000 Hz"):
        read(str(tmp_path))


def test_a_description_rebuilds_the_shape_with_its_layers_dropped(tmp_path: Path) -> None:
    backbone = Backbone(read(str(large(tmp_path, "wavlm")))[0], normalise=True, layers=1)
    inner, normalise = rebuilt(backbone.description())
    again = Backbone(inner, normalise=normalise, layers=1)
    again.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(noise() / 32768), backbone.eval()(noise() / 32768), rtol=0, atol=0)


def test_the_head_hears_both_sides_and_no_further_than_it_may() -> None:
    from models.conformer import ModelConfig

    torch.manual_seed(0)
    block = BothWays(ModelConfig(width=16, heads=2, history=6, kernel=3, dropout=0.0)).eval()
    x = torch.randn(1, 30, 16, requires_grad=True)
    block(x)[0, 15].sum().backward()
    assert x.grad is not None
    felt = x.grad[0].abs().sum(1)
    reached = (felt > 1e-9 * felt.max()).nonzero()[:, 0].tolist()  # attention masks with UNSEEN, which is not quite nothing
    assert reached == list(range(15 - 7, 15 + 8))  # 5 frames of attention, 2 of convolution, to each side


def test_pooling_is_mean_and_deviation_when_all_frames_weigh_the_same() -> None:
    pool = AttentivePooling(4)
    for p in pool.parameters():
        torch.nn.init.zeros_(p)
    x = torch.randn(2, 500, 4)
    got = pool(x)
    torch.testing.assert_close(got[:, :4], x.mean(1))
    torch.testing.assert_close(got[:, 4:], x.std(1, correction=0), rtol=1e-3, atol=1e-3)


def test_wrong_folders_are_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    config = tiny(tmp_path / "no-weights")
    (config / "model.safetensors").unlink()
    broken = tiny(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x07" * 64)
    garbled = tiny(tmp_path / "garbled")
    (garbled / "config.json").write_text("{ no")
    other = tmp_path / "other"
    transformers.AutoModel.from_config(
        transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(other)
    for name, words in (
        ("empty", "config.json is missing"),
        ("gone", "neither a folder here nor the name of a model"),
        ("file", "neither a folder here nor the name of a model"),
        ("no-weights", "cannot be loaded: "),
        ("broken", "cannot be loaded: "),
        ("garbled", "cannot be loaded: "),
        ("other", "'bert'; known are wav2vec2, hubert, wavlm"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            read(str(tmp_path / name))
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    table = tiny(tmp_path) / "config.json"
    table.write_text(json.dumps({**json.loads(table.read_text()), "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"weights are missing, encoder\.layers\.2\."):
        read(str(tmp_path))


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    table = tiny(tmp_path) / "config.json"
    table.write_text(json.dumps({**json.loads(table.read_text()), "hidden_size": 32}))
    with pytest.raises(ValueError, match=r"cannot be loaded: the weights are not of the shape that config\.json says$"):
        read(str(tmp_path))


def test_without_a_network_a_hub_name_is_one_sentence_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"^someone/no-such-model is no folder here and not .*, and name its folder$"
    ) as caught:
        read("someone/no-such-model")
    assert "\n" not in str(caught.value)


def test_more_layers_than_there_are_and_unknown_sums_are_refused(tmp_path: Path) -> None:
    source = str(tiny(tmp_path))
    with pytest.raises(ValueError, match="layers = 3: the model has 2"):
        Backbone(read(source)[0], normalise=False, layers=3)
    with pytest.raises(ValueError, match="collect = 'mean'"):
        Backbone(read(source)[0], normalise=False, collect="mean")
