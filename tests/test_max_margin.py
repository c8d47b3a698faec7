"""The largest margin: known answers, another solver's, what scaling does to it, and what is refused."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC

import landscape as ls
from landscape.minima.gradient_flow.max_margin import max_margin


def separable(seed, n, d, gap=0.1):
    """Points on both sides of a hyperplane through the origin, at least `gap` away from it, and labels."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=d)
    normal /= np.linalg.norm(normal)
    x = rng.normal(size=(n, d))
    side = np.sign(x @ normal)
    return x + gap * side[:, None] * normal, (side > 0).astype(int)


def vector(params):
    return np.concatenate([np.ravel(params["w"]), np.ravel(params["b"])]) if "b" in params else np.ravel(params["w"])


def rows_of(x, y):
    x = np.asarray(x, float).reshape(len(y), -1)
    return (2 * np.asarray(y, float) - 1)[:, None] * np.column_stack([x, np.ones(len(y))])


def assert_optimal(found, rows, residual):
    """What any maximum must satisfy, checked from the rows s·x̃ alone."""
    d, mu = vector(found.direction), found.multipliers
    assert d.dtype == np.float64 and np.linalg.norm(d) == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(found.margins, rows @ d, atol=1e-13 * np.abs(rows).max())
    assert found.margin == found.margins.min() > 0
    assert mu.min() >= 0 and mu.sum() == pytest.approx(1, abs=1e-12)
    assert set(np.flatnonzero(mu)) <= set(found.support)
    assert 0 <= found.kkt_residual <= residual
    # Any d bounds the maximum from below, any μ from above: the two meet.
    assert np.linalg.norm(mu @ rows) <= found.margin * (1 + residual) * (1 + 1e-12)
    np.testing.assert_allclose(mu @ rows, found.margin * d, atol=1e-6 * found.margin)


def test_the_pair():
    found = max_margin(ls.neuron(*ls.datasets.pair()))
    np.testing.assert_allclose(vector(found.direction), [1, 0], atol=1e-15)
    assert found.direction["w"].shape == () and found.margin == pytest.approx(1, abs=1e-15)
    assert found.support.tolist() == [0, 1]
    np.testing.assert_allclose(found.multipliers, [0.5, 0.5], atol=1e-15)
    assert str(found) == "Margin 1, with 2 of 2 examples on it (KKT residual 0.0e+00)."


def test_two_points_by_hand(x64):
    """x = −1 and 3: rows (1, −1) and (3, 1); the segment's nearest point to 0 is (6, −4)/… by projection."""
    found = max_margin(ls.neuron([-1.0, 3.0], [0, 1]))
    a, b = np.array([1.0, -1.0]), np.array([3.0, 1.0])
    share = np.clip(a @ (a - b) / ((a - b) @ (a - b)), 0, 1)
    nearest = a + share * (b - a)
    np.testing.assert_allclose(vector(found.direction), nearest / np.linalg.norm(nearest), atol=1e-15)
    assert found.margin == pytest.approx(np.linalg.norm(nearest), abs=1e-15)


def test_one_class_only():
    """Only the label 1: the hull of (x, 1) has its nearest point at x = 2."""
    found = max_margin(ls.neuron([2.0, 5.0, 3.0], [1, 1, 1]))
    np.testing.assert_allclose(vector(found.direction), np.array([2, 1]) / np.sqrt(5), atol=1e-15)
    assert found.support.tolist() == [0] and found.margin == pytest.approx(np.sqrt(5), abs=1e-14)


@pytest.mark.parametrize(("seed", "n", "d"), [(1, 20, 1), (2, 40, 2), (3, 300, 5), (4, 60, 30), (5, 10, 40)])
def test_agrees_with_a_support_vector_machine(seed, n, d, x64):
    """scikit-learn's, with the column of ones written out: mirrored data have the intercept 0 by symmetry."""
    x, y = separable(seed, n, d)
    found = max_margin(ls.neuron(x, y))
    rows = rows_of(x, y)
    assert_optimal(found, rows, 1e-11)
    mirrored, labels = np.concatenate([rows, -rows]), np.repeat([1, 0], n)
    machine = SVC(kernel="linear", C=1e10, tol=1e-10).fit(mirrored, labels)
    theirs = machine.coef_[0] / np.linalg.norm(machine.coef_[0])
    assert abs(machine.intercept_[0]) < 1e-6
    np.testing.assert_allclose(vector(found.direction), theirs, atol=1e-6)
    assert (1 - 1e-4) * found.margin < (rows @ theirs).min() <= found.margin * (1 + 1e-12)


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**20]), st.integers(2, 30), st.integers(1, 4))
def test_scaling_the_data_scales_the_margin(seed, factor, n, d):
    """Without a bias, whose column would not scale; powers of two are exact in float32."""
    x, y = separable(seed, n, d)
    x = x.astype(np.float32)
    one, other = (max_margin(ls.neuron(c * x, y, bias=False)) for c in (np.float32(1), np.float32(factor)))
    np.testing.assert_allclose(vector(one.direction), vector(other.direction), atol=1e-12)
    assert other.margin == pytest.approx(factor * one.margin, rel=1e-12)
    np.testing.assert_allclose(other.margins, factor * one.margins, rtol=1e-10)


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 4))
def test_rotations_order_and_repetition(seed, n, d):
    """The direction turns with the data; the order of the examples and copies of them change nothing."""
    x, y = separable(seed, n, d)
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    order = rng.permutation(np.concatenate([np.arange(n), rng.integers(0, n, 2 * n)]))
    with jax.enable_x64(True):
        data = ((x, y), (x @ turn.T, y), (x[order], y[order]))
        one, turned, repeated = (max_margin(ls.neuron(*pair, bias=False)) for pair in data)
    np.testing.assert_allclose(vector(turned.direction), turn @ vector(one.direction), atol=1e-9)
    np.testing.assert_allclose(vector(repeated.direction), vector(one.direction), atol=1e-9)
    np.testing.assert_allclose(repeated.margins, one.margins[order], atol=1e-9)
    assert set(order[repeated.support]) == set(one.support)
    # Every copy of an example that lies on the margin lies on it.
    assert len(repeated.support) == np.isin(order, one.support).sum()


def test_many_examples(x64):
    """n = 10⁴, p = 51: the certificate is what is tested."""
    x, y = separable(7, 10_000, 50, gap=0.01)
    assert_optimal(max_margin(ls.neuron(x, y)), rows_of(x, y), 1e-10)


@pytest.mark.parametrize("thin", [1e-3, 1e-6, 1e-9])
def test_margins_that_are_small_beside_the_data(thin, x64):
    """It comes from one small coordinate, hidden by a rotation; the residual says what rounding leaves of it."""
    rng = np.random.default_rng(3)
    x = np.column_stack([thin * (1 + rng.random(2000)), rng.normal(size=(2000, 4))])
    x @= np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = max_margin(ls.neuron(x, np.ones(2000), bias=False))
    # The hull of four standard normals is wide around 0, so the thin coordinate decides.
    assert 0.5 * thin < found.margin < 2 * thin
    assert found.kkt_residual < 1e-15 / thin


def test_examples_of_weight_0_do_not_count(x64):
    x, y, weights = [-1.0, 1.0, -0.2, 0.1], [0, 1, 0, 0], [1.0, 2.0, 0.0, 0.0]
    found = max_margin(ls.neuron(x, y, weights=weights))
    np.testing.assert_allclose(vector(found.direction), [1, 0], atol=1e-15)
    np.testing.assert_allclose(found.margins, [1, 1, np.nan, np.nan], atol=1e-15)
    assert max_margin(ls.neuron(x, [0, 1, 0.5, 0.3], weights=weights)).margin == found.margin
    assert found.support.tolist() == [0, 1] and found.multipliers[2:].tolist() == [0, 0]


def test_data_in_float32_are_taken_as_they_are():
    x, y = separable(2, 50, 3)
    narrow = x.astype(np.float32)
    found = max_margin(ls.neuron(narrow, y))
    assert_optimal(found, rows_of(narrow, y), 1e-11)


def test_penalty_and_loss_do_not_count():
    x, y = [-1, 1], [0, 1]
    for options in ({"penalty": ls.l2(1.0)}, {"loss": "half_squared_error"}):
        assert max_margin(ls.neuron(x, y, **options)).margin == pytest.approx(1, abs=1e-15)


NOT_SEPARABLE = {
    "overlapping": ([-1.0, 1.0, 0.5, -0.5], [0, 1, 0, 1]),
    "a point of both classes": ([0.0, 0.0], [0, 1]),
    "quasi-complete: the margin is 0": ([-1.0, 0.0, 0.0, 1.0], [0, 0, 1, 1]),
    "overlapping, many": (np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32), np.arange(500) % 2),
}


@pytest.mark.parametrize("case", NOT_SEPARABLE)
def test_what_no_direction_separates_is_refused(case):
    message = (
        r"`objective` has examples that no direction separates by more than rounding: .* ls\.attainment\(objective\)"
    )
    with pytest.raises(ValueError, match=message):
        max_margin(ls.neuron(*NOT_SEPARABLE[case]))


def test_an_example_at_the_origin_is_refused():
    with pytest.raises(ValueError, match="no direction separates"):
        max_margin(ls.neuron([0.0], [1], bias=False))


def test_a_margin_below_rounding_is_refused(x64):
    """Separable in exact numbers, by 1e-18 of the data's size."""
    x = np.array([-1.0, -2.0, 1.0, 2.0]) + 1e9
    with pytest.raises(ValueError, match="center and scale the inputs"):
        max_margin(ls.neuron(x, [0, 0, 1, 1]))


def test_other_labels_are_refused():
    with pytest.raises(ValueError, match=r"labels other than 0 and 1 \(1 of 3\), the first is 0.25 at index 1"):
        max_margin(ls.neuron([-1.0, 0.0, 1.0], [0, 0.25, 1]))


def test_objectives_without_structure_are_refused():
    with pytest.raises(ValueError, match=r"`objective` has no `structure`, which is what max_margin reads"):
        max_margin(ls.function(lambda p: p["w"] ** 2, {"w": 1.0}))
    with pytest.raises(TypeError, match="`objective` is a dict"):
        max_margin({})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("unit", [2.0**-660, 1.0, 2.0**660])
def test_units_change_the_margin_alone(unit, x64):
    found = max_margin(ls.neuron(unit * np.array([-1.0, 1.0]), [0, 1], bias=False))
    assert found.margin == unit and float(found.direction["w"]) == 1 and found.kkt_residual == 0


def test_a_long_row_drowns_no_short_one(x64):
    found = max_margin(ls.neuron([1e15, 1.0], [1, 1], bias=False))
    assert found.margin == 1 and found.support.tolist() == [1]
