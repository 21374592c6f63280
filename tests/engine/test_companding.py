"""What is kept of a call at a byte a sample."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.companding import MU_LAW, compress, expand


@given(st.integers(1, 32767), st.integers(0, 2**31))
def test_what_is_kept_small_comes_back_close_at_any_level(peak: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-peak, peak + 1, 200).astype(np.int16)
    back = expand(compress(samples)).astype(int)
    assert (np.abs(back - samples) <= np.maximum(6, np.abs(samples.astype(int)) / 16)).all()


def test_what_came_in_it_comes_back_as_it_was() -> None:
    assert (expand(compress(MU_LAW)) == MU_LAW).all()


def test_the_loudest_samples_there_are_do_not_turn_round() -> None:
    assert expand(compress(np.array([-32768, 32767], np.int16))).tolist() == [-32124, 32124]


def test_a_part_of_something_longer_is_the_same_part() -> None:
    samples = np.arange(-3000, 3000, dtype=np.int16)
    assert (compress(samples[1::3]) == compress(samples)[1::3]).all()
