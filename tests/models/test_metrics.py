"""Metrics against values worked by hand."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics
from models.metrics import Trial

scores = st.lists(st.floats(-20, 20), min_size=1, max_size=30)


def test_separated_classes_have_no_error() -> None:
    assert metrics.eer([3, 4, 5], [0, 1, 2]) == 0
    assert metrics.auroc([3, 4, 5], [0, 1, 2]) == 1
    assert metrics.min_dcf([3, 4, 5], [0, 1, 2]) == 0
    assert metrics.min_cllr([3, 4, 5], [0, 1, 2]) == pytest.approx(0, abs=1e-9)


def test_swapped_classes_are_not_silently_turned_around() -> None:
    assert metrics.eer([0, 1, 2], [3, 4, 5]) == 1
    assert metrics.auroc([0, 1, 2], [3, 4, 5]) == 0


def test_one_error_in_four_on_each_side() -> None:
    bona, fake = [1, 5, 6, 7], [0, 0.5, 0.7, 5.5]
    assert metrics.eer(bona, fake) == pytest.approx(0.25)
    assert metrics.auroc(bona, fake) == pytest.approx(14 / 16)


def test_ties_count_half() -> None:
    assert metrics.auroc([1, 1], [1, 1]) == 0.5
    assert metrics.eer([1, 1], [1, 1]) == pytest.approx(0.5)


def test_detection_cost_weighs_false_acceptance() -> None:
    # at threshold 1 nobody is rejected and one fake of four accepted: 0.5 * 0.25 / 0.5; every other costs more
    assert metrics.min_dcf([1, 5, 6, 7], [0, 0.5, 0.7, 5.5]) == pytest.approx(0.25)
    # a person below every fake is dear to keep: reject one of four (0.95 * 0.25 / 0.5) rather than accept two (0.5)
    assert metrics.min_dcf([1, 5, 6, 7], [2, 3]) == pytest.approx(0.475)


def test_actual_cost_is_at_the_bayes_threshold() -> None:
    assert metrics.bayes_threshold() == pytest.approx(-log(1.9))
    assert metrics.act_dcf([-0.7, 1.0], [-0.6, -3.0]) == pytest.approx((0.95 * 0.5 + 0.5 * 0.5) / 0.5)


def test_cllr_of_silence_is_one_bit() -> None:
    assert metrics.cllr([0, 0, 0], [0]) == pytest.approx(1)
    assert metrics.cllr([log(3)], [log(3)]) == pytest.approx((log2(4 / 3) + log2(4)) / 2)


def test_min_cllr_pools_violators() -> None:
    # scores 1 (fake), 2 (person), 3 (fake), 4 (person): 2 and 3 pool to one half, the ends are certain
    assert metrics.min_cllr([2, 4], [1, 3]) == pytest.approx(0.5)


@given(scores, scores)
def test_recalibration_never_hurts(bona: list[float], fake: list[float]) -> None:
    assert metrics.min_cllr(bona, fake) <= min(1.0, metrics.cllr(bona, fake)) + 1e-9


@given(scores, scores)
def test_rates_stay_in_range_and_order_is_all_that_counts(bona: list[float], fake: list[float]) -> None:
    assert 0 <= metrics.eer(bona, fake) <= 1
    pushed = [np.round(np.array(x), 3) * 3 + 1 for x in (bona, fake)]
    plain = [np.round(np.array(x), 3) for x in (bona, fake)]
    assert metrics.eer(*pushed) == pytest.approx(metrics.eer(*plain))


def test_det_points_run_from_accepting_all_to_rejecting_all() -> None:
    miss, accept, thresholds = metrics.det_points([2, 3], [1, 2])
    assert miss.tolist() == [0, 0, 0.5, 1]
    assert accept.tolist() == [1, 0.5, 0, 0]
    assert thresholds[-1] == np.inf


def test_threshold_for_one_per_cent() -> None:
    bona = list(range(200))
    threshold = metrics.threshold_at_fpr(bona, 0.01)
    assert metrics.false_positive_rate(bona, threshold) == pytest.approx(0.01)
    assert metrics.false_positive_rate([1, 2, 3], metrics.threshold_at_fpr([1, 2, 3], 0.01)) == 0


def test_within_repository_ignores_what_separates_repositories() -> None:
    trials = [Trial(10 + i, True, "a") for i in range(4)] + [Trial(10 + i, False, "a") for i in range(4)]
    trials += [Trial(0.0, False, "b")] * 8
    value, repositories = metrics.within_repository_auroc(trials)
    assert (value, repositories) == (0.5, 1)
    assert metrics.within_repository_auroc(trials[:3])[1] == 0


def test_false_positives_are_listed_worst_first() -> None:
    trials = [Trial(-2, True, "a"), Trial(2, True, "a"), Trial(2, True, "b"), Trial(-9, False, "c")]
    assert metrics.false_positives_by_repository(trials, -1) == [("a", 2, 1), ("b", 1, 0)]


@pytest.mark.parametrize("call", [metrics.eer, metrics.auroc, metrics.cllr, metrics.summary])
def test_an_empty_class_or_a_missing_score_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match="no spoof scores"):
        call([1], [])  # type: ignore[operator]
    with pytest.raises(ValueError, match="1 of 2 bona fide scores are not finite"):
        call([1, float("nan")], [0])  # type: ignore[operator]


def test_summary_has_every_figure() -> None:
    found = metrics.summary([1, 5, 6, 7], [0, 0.5, 0.7, 5.5])
    assert (found.bonafide, found.spoof) == (4, 4)
    assert found.eer == pytest.approx(0.25)
    assert found.caught_at_1_percent == pytest.approx(0.75)
