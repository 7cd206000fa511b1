"""Clouds that show no shape are refused, and doubtful ones are named, at any scale."""

from __future__ import annotations

import numpy as np
import pytest

from csgnn_dgl.datasets.shapes import center_and_scale
from csgnn_dgl.datasets.shapes.checks import check_digits, check_points, cloud_notes, scale_exponent
from csgnn_dgl.errors import DataError


@pytest.fixture
def cloud() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 3))


@pytest.mark.parametrize("exponent", [-1000, -500, -100, 0, 100, 500, 1000])
def test_scale_changes_no_bit(cloud: np.ndarray, exponent: int) -> None:
    np.testing.assert_array_equal(
        center_and_scale(np.ldexp(cloud, exponent)), center_and_scale(cloud)
    )


@pytest.mark.parametrize("scale", [1e-321, 1e-310, 1e-200, 1e200, 1e306])
def test_tiny_and_huge_clouds_keep_their_shape(cloud: np.ndarray, scale: float) -> None:
    # Near 1e-321, numbers are multiples of 5e-324.
    tolerance = 1e-12 + 1e-323 / scale
    np.testing.assert_allclose(
        center_and_scale(cloud * scale), center_and_scale(cloud), atol=tolerance
    )


def test_the_plain_formula_would_not(cloud: np.ndarray) -> None:
    huge = cloud * 1e200
    with np.errstate(all="ignore"):
        plain = (huge - huge.mean(axis=0)) / np.linalg.norm(huge, axis=1).max()
    assert not plain.any(), "this is what became all zeros"


@pytest.mark.parametrize("far", [1e4, 1e30, 1e155, 1e200, 1e308])
@pytest.mark.parametrize("axis", [0, 2])
def test_one_absurd_coordinate_is_refused(cloud: np.ndarray, far: float, axis: int) -> None:
    cloud[7, axis] = far
    with pytest.raises(DataError, match=r"a: 1 of 200 points lie more than 1000 times") as caught:
        check_points(cloud, "a")
    assert f"({far:.3g} against 2." in str(caught.value)
    with pytest.raises(DataError, match="more than 1000 times"):
        center_and_scale(cloud)


def test_an_outlier_is_said_with_evidence(cloud: np.ndarray) -> None:
    assert cloud_notes(cloud[None], ("a",)) == []
    cloud[7, 1] = 100
    check_points(cloud, "a")
    (note,) = cloud_notes(np.stack([cloud, cloud]), ("a", "b"))
    assert note.startswith("a: 1 of 200 points lie more than 10 times as far from the middle")
    assert "(100 against 2.6" in note
    assert "and 1 other clouds" in note


def test_real_proportions_are_not_doubtful(cloud: np.ndarray) -> None:
    for stretch in ((1, 1e-3, 1e-3), (1, 1, 1e-6), (1, 1, 0)):
        assert cloud_notes((cloud * stretch)[None], ("a",)) == []
    two = np.vstack([cloud * 0.01, cloud * 0.01 + 100])
    assert cloud_notes(two[None], ("a",)) == []


def test_not_a_number_and_equal_points(cloud: np.ndarray) -> None:
    check_points(np.stack([cloud, cloud]), "a")
    bad = np.stack([cloud, cloud])
    bad[1, 3, 2] = np.inf
    with pytest.raises(DataError, match="a: 1 points have NaN or infinite"):
        check_points(bad, "a")
    bad[1] = 3
    with pytest.raises(DataError, match="a, cloud 1: all 200 points are equal"):
        check_points(bad, "a")
    # All but one point at one place: nothing but an outlier is left.
    most = np.ones((50, 3))
    most[0] = 2
    with pytest.raises(DataError, match="1 of 50 points lie more than"):
        check_points(most, "a")


def test_digits_lost_far_from_the_origin(cloud: np.ndarray) -> None:
    far = (cloud + 5e7).astype(np.float32)
    with pytest.raises(DataError, match=r"8 wide and 5e\+07 away from the origin, where flo"):
        check_digits(far, "a")
    check_digits(cloud[:0], "a")
    check_digits(cloud + 5e7, "a")
    check_digits((cloud + 5e3).astype(np.float32), "a")
    with pytest.raises(DataError, match="where float64 numbers are steps"):
        center_and_scale(cloud + 5e15)


def test_exponents() -> None:
    assert scale_exponent(np.array([[0.0, -8.0, 1.0]])) == 4
    assert scale_exponent(np.zeros((2, 3))) == 0
