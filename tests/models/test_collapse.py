"""Neural collapse by hand: small numbers whose answers can be worked out on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models import collapse

# Two classes on a line through (0, 0) and (4, 0), each clip one step above or below its mean.
LINE = np.array([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]])
SIDES = np.array([0, 0, 1, 1])


def test_class_means_and_a_class_nobody_is_in() -> None:
    assert collapse.class_means(LINE, SIDES, 2).tolist() == [[0.0, 0.0], [4.0, 0.0]]
    with pytest.raises(ValueError, match="class 2 has no clips"):
        collapse.class_means(LINE, SIDES, 3)


def test_spread_across_the_line_between_the_means_does_not_count() -> None:
    """The between-class covariance is diag(4, 0); its pseudo-inverse knows nothing of the second axis."""
    means = collapse.class_means(LINE, SIDES, 2)
    assert collapse.within_class(LINE, SIDES, means) == pytest.approx(0.0)


def test_spread_along_the_line_counts_over_the_distance_between_the_classes() -> None:
    """Means 0 and 4: between 4. Within: 1 in both classes. 1 / 4 over two classes."""
    x = np.array([[-1.0], [1.0], [3.0], [5.0]])
    assert collapse.within_class(x, SIDES, np.array([[0.0], [4.0]])) == pytest.approx(0.125)


def test_a_large_class_counts_as_much_as_a_small_one() -> None:
    x = np.array([[-1.0], [1.0], [-1.0], [1.0], [-1.0], [1.0], [4.0]])
    classes = np.array([0, 0, 0, 0, 0, 0, 1])
    assert collapse.within_class(x, classes, np.array([[0.0], [4.0]])) == pytest.approx(0.5 / 4 / 2)


def test_means_on_one_point_have_nothing_between_them() -> None:
    with pytest.raises(ValueError, match="same point"):
        collapse.within_class(LINE, SIDES, np.zeros((2, 2)))


def test_a_simplex_has_equal_norms_and_angles() -> None:
    triangle = np.array([[1.0, 0.0], [-0.5, math.sqrt(3) / 2], [-0.5, -math.sqrt(3) / 2]]) * 3 + 7
    assert collapse.equal_norms(triangle) == pytest.approx(0.0, abs=1e-12)
    assert collapse.equal_angles(triangle) == pytest.approx(0.0, abs=1e-12)


def test_uneven_means_by_hand() -> None:
    """Centred at 0: lengths 3, 1, 2 (mean 2, deviation sqrt(2/3)); cosines -1, -1 and 1 against -1/2."""
    means = np.array([[3.0], [-1.0], [-2.0]])
    assert collapse.equal_norms(means) == pytest.approx(math.sqrt(2 / 3) / 2)
    assert collapse.equal_angles(means) == pytest.approx((0.5 + 0.5 + 1.5) / 3)


@pytest.mark.parametrize(
    ("rows", "want"), [([[-3.0, 0.0], [3.0, 0.0]], 0.0), ([[0.0, -1.0], [0.0, 1.0]], 1.0), ([[1.0, 0.0], [-1.0, 0.0]], 2.0)]
)
def test_rows_towards_across_and_against_their_means(rows: list[list[float]], want: float) -> None:
    assert collapse.self_duality(np.array([[0.0, 0.0], [4.0, 0.0]]), np.array(rows)) == pytest.approx(want)


def test_the_share_where_the_nearest_mean_decides_as_the_network() -> None:
    found = collapse.measure(LINE, SIDES, [[-1, 0], [1, 0]], [0, 1, 1, 1])
    assert found == collapse.Collapse(0.0, 0.0, 0.0, 0.0, 0.75)


def test_the_classifiers_row_is_read_back_from_its_scores() -> None:
    x = np.random.default_rng(2).standard_normal((40, 3))
    x[:, 2] = 5.0  # nobody differs here: whatever the row says about it cannot be seen
    row = collapse.classifier_row(x, x @ np.array([2.0, -1.0, 9.0]) + 0.5)
    assert row == pytest.approx([2.0, -1.0, 0.0], abs=1e-9)


def test_k_means_finds_three_heaps() -> None:
    heaps = np.array([[0.0, 0], [0, 2], [100, 0], [100, 2], [0, 100], [0, 102]])
    centres = collapse.k_means(heaps, 3)
    assert sorted(map(tuple, centres.tolist())) == [(0.0, 1.0), (0.0, 101.0), (100.0, 1.0)]


def test_k_means_makes_no_more_clusters_than_there_are_points() -> None:
    assert sorted(collapse.k_means(np.array([[1.0], [1.0], [2.0]]), 5).ravel().tolist()) == [1.0, 2.0]
    with pytest.raises(ValueError, match="0 points"):
        collapse.k_means(np.zeros((0, 2)), 2)


def test_a_coreset_takes_people_near_their_mean_and_fakes_near_each_centre() -> None:
    people = [[0.0], [4.0], [5.0], [11.0]]  # mean 5: the nearest two are 5 and 4
    fakes = [[100.0], [101.0], [103.0], [106.0], [200.0], [202.0], [203.0], [207.0]]
    # Centres 102.5 and 203: two of each heap: 103 and 101; 203 and 202.
    x, labels = np.array(people + fakes), [True] * 4 + [False] * 8
    assert collapse.select(x, labels, 0.5, clusters=2).tolist() == [1, 2, 5, 6, 9, 10]


def test_what_the_network_got_wrong_is_taken_last() -> None:
    x, labels = np.array([[0.0], [1.0], [2.0], [50.0]]), [True] * 4
    right = [True, False, True, False]  # mean of the right ones is 1
    assert collapse.select(x, labels, 0.5, correct=right).tolist() == [0, 2]
    assert collapse.select(x, labels, 0.75, correct=right).tolist() == [0, 1, 2]


def test_all_of_it_and_shares_that_make_no_sense() -> None:
    assert collapse.select(LINE, SIDES == 0, 1.0).tolist() == [0, 1, 2, 3]
    for share in (0.0, -0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="share"):
            collapse.select(LINE, SIDES == 0, share)


def test_parts_add_up_to_the_whole() -> None:
    assert collapse.shared_out(5, np.array([10, 10, 10])) == [2, 2, 1]
    assert collapse.shared_out(3, np.array([1, 8, 1])) == [0, 3, 0]
    assert collapse.shared_out(4, np.array([0, 4])) == [0, 4]
