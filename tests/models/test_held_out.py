"""The synthesis paths kept out of training: what they keep of the original, and that training does not know them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="copy-synthesis needs the extra 'train'")

from models.copies import (
    DEV_PLAN,
    HELD_OUT,
    HELD_OUT_PLAN,
    NEURAL_CODEC,
    TRAIN_PLAN,
    active_level,
    add_copies,
    copy_speech,
    rounding_step,
)
from models.held_out import LYRA_FRAME, Lyra, aligned, cepstral, held_out_vocoders, minimum_phase
from models.store import AudioStore
from tests.models.test_copies import RATE, clips, voice


def test_no_path_that_is_held_out_is_trained_on() -> None:
    assert not set(HELD_OUT) & set(TRAIN_PLAN.minutes)
    assert set(HELD_OUT_PLAN.minutes) == set(HELD_OUT)


def test_a_path_beside_the_codec_is_unknown_to_dev_too() -> None:
    assert set(HELD_OUT) - set(DEV_PLAN.minutes) - {n for n, kind in HELD_OUT.items() if kind == NEURAL_CODEC}


def test_every_held_out_path_has_a_vocoder_or_needs_weights() -> None:
    assert set(HELD_OUT) - set(held_out_vocoders(None)) == {"hn-nsf", "lyra"}
    assert set(held_out_vocoders(None)) <= set(HELD_OUT)


def test_a_copy_keeps_length_level_and_rounding_but_not_the_samples() -> None:
    original = voice()
    made = copy_speech(original, RATE, cepstral, seed=7)
    assert made.shape == original.shape
    assert rounding_step(made) == rounding_step(original) == 64
    assert active_level(made / 32768) == pytest.approx(active_level(original / 32768), rel=0.1)
    assert np.mean(made == original) < 0.5
    np.testing.assert_array_equal(made, copy_speech(original, RATE, cepstral, seed=7))
    assert np.any(made != copy_speech(original, RATE, cepstral, seed=8))


def test_a_copy_says_the_same_at_the_same_pitch() -> None:
    original = voice(2.0, hz=150.0)
    made = copy_speech(original, RATE, cepstral, seed=3)
    loud = [np.sqrt((x[: len(x) // 800 * 800].reshape(-1, 800) / 32768.0) ** 2).mean(axis=1) for x in (original, made)]
    assert np.corrcoef(*loud)[0, 1] > 0.9
    middle = made[RATE // 2 : RATE // 2 + 4096].astype(float)
    echo = np.correlate(middle, middle, "full")[4095:]
    period = 60 + int(np.argmax(echo[60:200]))
    assert RATE / period == pytest.approx(150.0, rel=0.08)


@pytest.mark.parametrize("length", [RATE, 400, 33])
def test_silence_and_scraps_make_no_trouble(length: int) -> None:
    made = cepstral(np.random.default_rng(0).standard_normal(length) * 1e-5, np.random.default_rng(0))
    assert made.shape == (length,)
    assert np.abs(made).max() < 1e-3


def test_responses_are_minimum_phase_with_the_energy_of_a_sample() -> None:
    signal = np.random.default_rng(1).standard_normal(RATE) * 0.1
    responses = minimum_phase(signal, 100, 40)
    assert responses.shape == (100, 1024)
    energy = responses[20:80] ** 2
    assert energy.sum(axis=1).mean() == pytest.approx(0.01, rel=0.1)
    assert (energy[:, :64].sum(axis=1) / energy.sum(axis=1)).min() > 0.99  # all of it at the beginning


def test_a_codec_s_delay_is_taken_out() -> None:
    original = np.random.default_rng(2).standard_normal(4000)
    late = np.concatenate([np.zeros(120), original])
    np.testing.assert_array_equal(aligned(late, original, 640), original)


class PlainLyra(Lyra):
    """The frames around the networks, with networks that only delay by 160 samples."""

    def __init__(self) -> None:
        self._encoder = self._decoder = self
        self._rest = np.zeros(160, np.float32)
        self.depths: set[int] = set()

    def allocate_tensors(self) -> None: ...

    def reset_all_variables(self) -> None:
        self._rest[:] = 0

    def block(self, block: np.ndarray, depth: int) -> np.ndarray:
        self.depths.add(depth)
        whole = np.concatenate([self._rest, block[0]])
        self._rest = whole[LYRA_FRAME:]
        return whole[:LYRA_FRAME]


@pytest.mark.parametrize("length", [3200, 3333])
def test_frames_go_through_the_codec_in_order_at_one_depth(length: int) -> None:
    codec, original = PlainLyra(), np.random.default_rng(3).standard_normal(length)
    made = codec(original, np.random.default_rng(0))
    np.testing.assert_allclose(made, original, atol=1e-6)
    assert len(codec.depths) == 1


def test_missing_weights_are_named_by_lyra_and_skipped_by_the_list(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(FileNotFoundError, match=r"soundstream_encoder\.tflite"):
        Lyra(tmp_path)
    assert set(held_out_vocoders(tmp_path)) == set(held_out_vocoders(None))


def test_copies_of_the_held_out_plan_are_made_by_the_paths_given(tmp_path: Path) -> None:
    store = AudioStore(tmp_path / "copies")
    add_copies(store, clips(tmp_path), HELD_OUT_PLAN, None, {"cepstral": cepstral})
    assert [entry.generator for entry in store.entries] == ["copy:cepstral"] * 3
