"""Average precision, intervals, alarms per hour and times to detect, against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import detection

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=20)


def test_average_precision_of_a_ranking_worked_by_hand() -> None:
    # from the lowest score: fake (1 of 1), person, fake (2 of 3), person; each fake is half of the recall
    assert detection.average_precision([1.0, 3.0], [0.0, 2.0]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_average_precision_ends_are_one_and_the_share_of_spoofs() -> None:
    assert detection.average_precision([5, 6, 7], [1, 2]) == 1
    assert detection.average_precision([1, 1, 1], [1]) == pytest.approx(0.25)  # all found at once
    assert detection.average_precision([0, 0, 0], [1]) == pytest.approx(0.25)  # found last


def test_average_precision_without_people_is_one_and_without_spoofs_refused() -> None:
    assert detection.average_precision([], [1, 2]) == 1
    with pytest.raises(ValueError, match="no spoof scores"):
        detection.average_precision([1], [])


@settings(deadline=None)  # a busy machine is no failure
@given(scores, scores)
def test_average_precision_is_the_sum_over_a_sorted_list(bona: list[int], fake: list[int]) -> None:
    expected, before = 0.0, 0
    for threshold in sorted({*bona, *fake}):
        found = sum(v <= threshold for v in fake)
        expected += (found - before) / len(fake) * (found / (found + sum(v <= threshold for v in bona)))
        before = found
    assert detection.average_precision(bona, fake) == pytest.approx(expected)


def test_the_mean_over_generators_weighs_each_the_same() -> None:
    found = detection.mean_average_precision([1.0, 3.0], {"a": [0.0, 2.0], "b": [4.0]})
    assert found.mean == pytest.approx((5 / 6 + 1 / 3) / 2)
    assert found.chance == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert found.generators == 2
    with pytest.raises(ValueError, match="no generators"):
        detection.mean_average_precision([1.0], {})


def test_wilson_interval_of_one_in_ten() -> None:
    # Newcombe 1998: centre (0.1 + 0.19207) / 1.38415, half width 1.95996 * sqrt(0.009 + 0.0096036) / 1.38415
    low, high = detection.wilson(1, 10)
    assert low == pytest.approx(0.01788, abs=2e-5)
    assert high == pytest.approx(0.40415, abs=2e-5)


def test_wilson_interval_at_the_ends() -> None:
    assert detection.wilson(0, 0) == (0.0, 1.0)
    low, high = detection.wilson(0, 10)
    assert low == 0
    assert high == pytest.approx(3.841459 / (10 + 3.841459))
    assert detection.wilson(10, 10) == (pytest.approx(1 - high), 1.0)


def test_poisson_interval_is_near_the_exact_one() -> None:
    # exact (Garwood): 0 -> 0 to 3.689, 3 -> 0.619 to 8.767, 10 -> 4.795 to 18.39
    assert detection.poisson(0) == (0.0, pytest.approx(3.689, abs=0.03))
    assert detection.poisson(3) == (pytest.approx(0.619, abs=0.02), pytest.approx(8.767, abs=0.01))
    assert detection.poisson(10) == (pytest.approx(4.795, abs=0.01), pytest.approx(18.39, abs=0.01))


def test_alarms_are_per_hour_of_speech() -> None:
    found = detection.alarms_per_hour(3, 5400.0)
    assert found is not None
    assert (found.alarms, found.hours, found.per_hour) == (3, 1.5, 2.0)
    assert found.low == pytest.approx(detection.poisson(3)[0] / 1.5)
    assert found.high == pytest.approx(detection.poisson(3)[1] / 1.5)
    assert detection.alarms_per_hour(0, 0.0) is None


def test_times_count_short_and_undetected_spoofs_in_the_share() -> None:
    found = detection.times_to_detect([2.4, None, 4.0, 9.5, None], [3.0, 1.5, 6.0, 12.0, 8.0])
    assert found is not None
    assert (found.spoofs, found.detected, found.median_s) == (5, 3, 4.0)
    assert found.by == {2.0: 0.0, 4.0: pytest.approx(2 / 5), 8.0: pytest.approx(2 / 5)}
    assert found.long_enough == {2.0: 4, 4.0: 3, 8.0: 2}


def test_times_of_nothing_detected_and_of_nothing_at_all() -> None:
    found = detection.times_to_detect([None, None], [5.0, 5.0])
    assert found is not None
    assert (found.detected, found.median_s, found.by[8.0]) == (0, None, 0.0)
    assert detection.times_to_detect([], []) is None
    with pytest.raises(ValueError, match="1 times of detection for 2 spoofs"):
        detection.times_to_detect([None], [1.0, 2.0])


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 40), st.integers(1, 40))
def test_a_share_lies_in_its_interval(hits: int, more: int) -> None:
    low, high = detection.wilson(hits, hits + more)
    assert 0 <= low <= hits / (hits + more) <= high <= 1
    assert np.isfinite([low, high]).all()
