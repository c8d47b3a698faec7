"""Whether there is a closed form: known answers of every case, with the gradient of the objective itself as judge."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape.minima._linear import linear
from landscape.minima.closed_form import _affine_sets, _one_weight, _polynomial, _rational
from landscape.minima.closed_form.closed_form import closed_form, closed_form_table

SQUARED = {"loss": "half_squared_error"}
INVERSES = {
    "sigmoid": lambda t: np.log(t / (1 - t)),
    "tanh": np.arctanh,
    "softplus": lambda t: np.log(np.expm1(t)),
    "identity": lambda t: t,
    "relu": lambda t: t,
}


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def assert_stationary(objective, found, tolerance=1e-10):
    """The gradient is 0 at the point, and a random step along the directions changes neither it nor the objective."""
    assert largest(objective.gradient(found.point)) < tolerance
    rng = np.random.default_rng(0)
    for _ in range(3):
        moved = found.point
        for direction, step in zip(found.directions, rng.normal(size=len(found.directions)), strict=True):
            moved = jax.tree.map(lambda leaf, d, step=step: leaf + step * d, moved, direction)
        assert largest(objective.gradient(moved)) < tolerance
        np.testing.assert_allclose(objective(moved), objective(found.point), rtol=1e-10, atol=1e-20)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def assert_least_norm(found):
    """The directions are orthonormal, and orthogonal to the point."""
    if found.directions:
        basis = np.stack([flat(direction) for direction in found.directions])
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
        np.testing.assert_allclose(basis @ flat(found.point), 0, atol=1e-10 * (1 + np.linalg.norm(flat(found.point))))


@pytest.mark.parametrize("name", sorted(INVERSES))
def test_one_example_is_a_hyperplane(name, x64):
    """w·x̃ = f⁻¹(t), of dimension p − 1, with risk 0."""
    objective = ls.neuron([[2.0, -1.0, 0.5]], [0.3], activation=name, **SQUARED)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, len(found.directions)) == (True, "interpolation", True, 3)
    np.testing.assert_allclose(found.point["w"] @ [2, -1, 0.5] + found.point["b"], INVERSES[name](0.3), rtol=1e-14)
    assert float(objective.risk(found.point)) < 1e-30
    assert_stationary(objective, found)
    assert_least_norm(found)


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("sigmoid", 1.0, "label 1 is a limit of sigmoid .* vanishes only at infinity"),
        ("sigmoid", 0.0, "label 0 is a limit"),
        ("sigmoid", 1.5, r"label 1.5 lies outside the range of sigmoid, \(0, 1\)"),
        ("tanh", -1.0, "label -1 is a limit of tanh"),
        ("tanh", 2.0, r"outside the range of tanh, \(-1, 1\)"),
        ("softplus", 0.0, "label 0 is a limit of softplus"),
        ("softplus", -1.0, r"outside the range of softplus, \(0, inf\)"),
    ],
)
def test_a_label_that_no_z_reaches(name, label, reason, x64):
    """No minimizer; the gradient is not 0 anywhere, but falls along the direction that saturates."""
    objective = ls.neuron([2.0], [label], activation=name, **SQUARED)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.point) == (False, "none", True, None)
    assert re.search(reason, found.reason)
    slopes = [abs(float(objective.gradient({"w": w, "b": 0.0})["b"])) for w in (-20.0, -1.0, 0.0, 1.0, 20.0)]
    assert min(slopes) > 0 and min(slopes[0], slopes[-1]) < 1e-15


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "relu"])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_interpolation_of_independent_examples(name, m, x64):
    """An affine set of dimension p − m with zero risk."""
    rng = np.random.default_rng(m)
    objective = ls.neuron(rng.normal(size=(m, 4)), rng.uniform(0.1, 0.9, m), activation=name, **SQUARED)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, len(found.directions)) == (True, "interpolation", True, 5 - m)
    assert float(objective.risk(found.point)) < 1e-28
    assert_stationary(objective, found)
    assert_least_norm(found)


def test_soft_labels_reach_their_entropy(x64):
    labels = np.array([0.2, 0.7])
    objective = ls.neuron([[1.0, 2.0], [3.0, -1.0]], labels)
    found = closed_form(objective)
    assert found.kind == "interpolation" and len(found.directions) == 1
    entropy = -np.mean(labels * np.log(labels) + (1 - labels) * np.log(1 - labels))
    np.testing.assert_allclose(objective(found.point), entropy, rtol=1e-14)
    assert_stationary(objective, found)


def test_dependent_examples(x64):
    """Consistent: rank 2 of 3 examples. One label aside: not."""
    x, theta = np.array([[1.0, 2.0], [0.5, -1.0], [1.5, 1.0]]), np.array([0.3, -0.4])
    labels = np.tanh(x @ theta)
    objective = ls.neuron(x, labels, activation="tanh", bias=False, **SQUARED)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.directions) == (True, "interpolation", False, ())
    assert "to the rounding of the data" in found.reason
    np.testing.assert_allclose(found.point["w"], theta, rtol=1e-13)
    assert_stationary(objective, found)
    labels[2] += 1e-12
    found = closed_form(ls.neuron(x, labels, activation="tanh", bias=False, **SQUARED))
    assert found.exists is None and found.kind == "unknown"
    halves = closed_form(ls.neuron(x, np.full(3, 0.5), bias=False))
    assert halves.exists and halves.proved and largest(halves.point) == 0 and "every f⁻¹(tᵢ) is 0" in halves.reason


@pytest.mark.parametrize("shape", [(4, 3), (30, 3), (3, 8)])
@pytest.mark.parametrize("rank", [1, 2])
def test_consistent_systems_of_any_rank(shape, rank, x64):
    """Labels of a true θ, through inputs of lower rank: found, with p − rank directions; far from it, not."""
    rng = np.random.default_rng(rank)
    x = rng.integers(-3, 4, (shape[0], rank)) @ rng.integers(-3, 4, (rank, shape[1])) * 0.25
    assert np.linalg.matrix_rank(x) == rank
    labels = 1 / (1 + np.exp(-x @ rng.normal(size=shape[1]) * 0.5))
    objective = ls.neuron(x, labels, bias=False)
    found = closed_form(objective)
    assert found.exists and found.kind == "interpolation" and len(found.directions) == shape[1] - rank
    assert_stationary(objective, found)
    assert_least_norm(found)


def test_equal_inputs_count_as_one_with_their_mean_label(x64):
    """Two groups: the log odds of each, and their difference. Mirrored ones too, without a bias."""
    x, y = np.repeat([0.0, 1.0], [5, 4]), np.array([1, 0, 0, 0, 0, 1, 1, 1, 0])
    objective = ls.neuron(x, y)
    found = closed_form(objective)
    assert found.exists and found.proved and "mean of their labels" in found.reason
    np.testing.assert_allclose(found.point["b"], np.log(1 / 4), rtol=1e-14)
    np.testing.assert_allclose(found.point["w"], np.log(3) - np.log(1 / 4), rtol=1e-14)
    assert_stationary(objective, found)
    weighted = ls.neuron(x, y, weights=np.arange(1.0, 10.0))
    assert_stationary(weighted, closed_form(weighted))
    for activation, labels in (("sigmoid", [0.9, 0.3]), ("tanh", [0.5, -0.1])):
        mirrored = ls.neuron([[1.0, 2.0], [-1.0, -2.0]], labels, bias=False, activation=activation, **SQUARED)
        assert len(closed_form(mirrored).directions) == 1
        assert_stationary(mirrored, closed_form(mirrored))
    certain = closed_form(ls.neuron(x, (x > 0).astype(float)))
    assert certain.kind == "none" and certain.proved


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_normal_equations(reduction, x64):
    rng = np.random.default_rng(3)
    x, y, weights = rng.normal(size=(20, 3)), rng.normal(size=20), rng.random(20)
    options = {"activation": "identity", "weights": weights, "reduction": reduction, **SQUARED}
    objective = ls.neuron(x, y, **options)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.directions) == (True, "normal equations", True, ())
    columns = np.column_stack([x, np.ones(20)])
    theta = np.linalg.solve(columns.T @ (weights[:, None] * columns), columns.T @ (weights * y))
    np.testing.assert_allclose([*found.point["w"], found.point["b"]], theta, rtol=1e-12)
    assert_stationary(objective, found)
    ridge = objective.with_penalty(ls.weight_decay(0.3))
    found = closed_form(ridge)
    shares = weights / weights.sum() if reduction == "mean" else weights
    gram = columns.T @ (shares[:, None] * columns) + 0.3 * np.diag([1, 1, 1, 0])
    theta = np.linalg.solve(gram, columns.T @ (shares * y))
    np.testing.assert_allclose([*found.point["w"], found.point["b"]], theta, rtol=1e-12)
    assert found.kind == "ridge" and found.proved and found.directions == ()
    assert_stationary(ridge, found)


def test_singular_normal_equations(x64):
    """Columns (a, 2a, 1): infinitely many minimizers with one risk; ridge on the weights picks one."""
    a = np.array([0.1, 0.3, 0.7, 0.2])
    objective = ls.neuron(np.column_stack([a, 2 * a]), [1.0, 0.0, 2.0, 5.0], activation="identity", **SQUARED)
    found = closed_form(objective)
    assert (found.kind, found.proved, len(found.directions)) == ("normal equations", True, 1)
    np.testing.assert_allclose(abs(found.directions[0]["w"]), np.array([2, 1]) / np.sqrt(5), rtol=1e-12)
    assert_stationary(objective, found)
    assert_least_norm(found)
    ridge = objective.with_penalty(ls.weight_decay(1e-3))
    assert closed_form(ridge).directions == () and closed_form(ridge).kind == "ridge"
    assert_stationary(ridge, closed_form(ridge))
    # Only the dead direction of the bias column is left free.
    masked = ls.neuron(np.column_stack([a, 2 * a]), a, activation="identity", bias=False, **SQUARED)
    found = closed_form(masked)
    assert (found.kind, found.proved, len(found.directions)) == ("interpolation", True, 1)
    np.testing.assert_allclose(found.point["w"], [0.2, 0.4], rtol=1e-13)


def test_ranks_of_decimals_are_exact(x64):
    """0.1·0.9 = 0.3·0.3 as decimals, though not as floats; what only rounding decides is not proved."""
    x = np.array([[0.1, 0.3], [0.3, 0.9]])
    found = closed_form(ls.neuron(x, [0.2, 0.6], activation="identity", bias=False, **SQUARED))
    assert (found.kind, found.proved, len(found.directions)) == ("interpolation", True, 1)
    x[1, 1] += 1e-15
    found = closed_form(ls.neuron(x, [0.2, 0.6], activation="identity", bias=False, **SQUARED))
    assert found.exists and not found.proved and "The rank is " in found.reason and "2 exactly" in found.reason


def test_columns_of_unlike_sizes_are_told_apart(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)) * [1e-9, 1.0, 1e9]
    objective = ls.neuron(x, rng.normal(size=50), activation="identity", **SQUARED)
    found = closed_form(objective)
    assert found.directions == () and found.proved
    scaled = np.abs(objective.gradient(found.point)["w"]) / [1e-9, 1.0, 1e9]
    assert scaled.max() < 1e-10


def test_soft_thresholds(x64):
    """Orthogonal columns: each parameter by itself, against a proximal step; otherwise nothing is known."""
    x = np.array([[1.0, 1.0], [1.0, -1.0], [-2.0, 2.0], [-2.0, -2.0]])
    options = {"activation": "identity", "bias": False, **SQUARED}
    penalty = ls.elastic_net(0.4, 0.1)
    objective = ls.neuron(x, [3.0, 1.0, 0.5, -2.0], penalty=penalty, **options)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved) == (True, "threshold", True)
    assert_stationary(objective, found)
    strong = objective.with_penalty(ls.l1(5.0))
    assert largest(closed_form(strong).point) == 0
    one = ls.neuron([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], penalty=ls.l1(0.3), **options)
    assert_stationary(one, closed_form(one))
    mixed = closed_form(ls.neuron([[1.0, 2.0], [3.0, 1.0]], [1.0, 2.0], penalty=ls.l1(0.1), **options))
    assert (mixed.exists, mixed.kind, mixed.proved) == (None, "piecewise linear", False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("strength", "w"), [(0.01, 4.59511985013459), (0.1, 2.1972245773362196), (0.5, 0), (0.7, 0)])
def test_the_pair_under_l1(strength, w, bias, x64):
    """log((1 − λ)/λ) for λ < ½, and 0 exactly from there on."""
    objective = ls.neuron(*ls.datasets.pair(), penalty=ls.l1(strength), bias=bias)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.directions) == (True, "threshold", True, ())
    np.testing.assert_allclose(found.point["w"], w, rtol=1e-15)
    assert not bias or float(found.point["b"]) == 0
    assert largest(objective.gradient(found.point)) < 1e-15
    assert [point.kind for point in found.census.points] == ["minimum"]
    if w:
        assert f"log({round((1 - strength) / strength)})" in found.reason


@pytest.mark.parametrize("penalty", [ls.l2(0.1), ls.weight_decay(1e-3), ls.elastic_net(0.1, 0.1)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_pair_under_l2_is_transcendental(penalty, bias, x64):
    found = closed_form(ls.neuron(*ls.datasets.pair(), penalty=penalty, bias=bias))
    assert (found.exists, found.kind, found.proved, found.point) == (False, "transcendental", True, None)
    assert "Lindemann" in found.reason


def test_families_around_the_pair(x64):
    """x = ±c, noisy labels, weights, sums, more points: all symmetric, so that b = 0."""
    families = [
        ls.neuron([-3.0, 3.0], [0, 1], penalty=ls.l1(0.2)),
        ls.neuron([-1.0, -1, -1, 1, 1, 1], [0, 0, 1, 1, 1, 0], penalty=ls.l1(0.05)),
        ls.neuron([-1.0, 1.0], [0, 1], penalty=ls.l1(0.2), reduction="sum"),
        ls.neuron([-1.0, 1.0], [0.1, 0.9], penalty=ls.l1(0.2), weights=[2.0, 2.0]),
        ls.neuron([-2.0, -1.0, 1.0, 2.0], [0, 1, 0, 1], penalty=ls.l1(0.01)),
        ls.neuron([0.0, -1.0, 1.0], [0.5, 0, 1], penalty=ls.l1(0.1)),
        ls.neuron([-1.0, -1.0, 1.0, 1.0], [0, 1, 0, 1], penalty=ls.l2(0.1)),
    ]
    for objective in families:
        found = closed_form(objective)
        assert found.exists and found.proved and found.kind == "threshold" and float(found.point["b"]) == 0
        assert largest(objective.gradient(found.point)) < 1e-14
    for x, y, weights in (
        ([-1.0, 2.0], [0, 1], None),  # another size
        ([-1.0, 1.0], [0, 1], [1.0, 2.0]),
        ([-1.0, 1.0], [0.1, 0.8], None),
    ):
        assert closed_form(ls.neuron(x, y, weights=weights, penalty=ls.l1(0.1))).exists is None
    separable = closed_form(ls.neuron([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1]))
    assert (separable.exists, separable.kind, separable.proved) == (False, "none", True)
    assert separable.census.points == ()


def test_one_input_under_l2_is_a_multiple_of_it(x64):
    found = closed_form(ls.neuron([[1.0, 2.0]], [0.9], penalty=ls.l2(0.1)))
    assert (found.exists, found.kind, found.proved) == (False, "transcendental", True)
    assert found.reason.startswith("θ = w·x̃; w and e^w")
    half = closed_form(ls.neuron([[1.0, 2.0]], [0.5], penalty=ls.l2(0.1)))
    assert half.exists and largest(half.point) == 0
    undecided = closed_form(ls.neuron([1.0], [0.5], bias=False, penalty=ls.l2(0.1), **SQUARED))
    assert (undecided.exists, undecided.kind) == (None, "transcendental")
    assert closed_form(ls.neuron([[1.0, 2.0]], [0.9], penalty=ls.weight_decay(0.1))).kind == "unknown"


def test_the_quintic(x64):
    """Cross-entropy, x = (1, 2, 3), y = (0, 1, 0): S₅, so no expression; the census has the minimizer."""
    objective = ls.neuron([1.0, 2.0, 3.0], [0, 1, 0], bias=False)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.point) == (False, "polynomial", True, None)
    assert "4u⁵ − u⁴ + 3u³ − u² + u − 2 = 0, irreducible with the Galois group S5" in found.reason
    (minimum,) = found.census.points
    assert abs(float(objective.gradient({"w": minimum.w})["w"])) < 1e-15
    assert "Critical points (1): minimum at w = -0.300464" in str(found)


def test_auer_s_instance(x64):
    objective = ls.neuron([1.0, 30.0], [0.9, 0.1], bias=False, **SQUARED)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, found.census.degree) == (False, "polynomial", True, 92)
    np.testing.assert_allclose([p.w for p in found.census.minima], [-0.06321, 2.19723], atol=1e-5)
    for point in found.census.points:
        assert abs(float(objective.gradient({"w": point.w})["w"])) < 1e-14
    assert "the least of the minima" in found.reason and "degree 91" in found.reason


def test_solvable_polynomials(x64):
    """A rational root, a quadratic and a cubic: a point, with the expression where it is short."""
    rational = ls.neuron([1.0, 1.0, 1.0], [1, 1, 0], bias=False)
    quadratic = ls.neuron([1.0, 2.0], [0.5, 0.75], bias=False, penalty=ls.l1(0.2))
    cubic = ls.neuron([1.0, 2.0], [0.9, 0.2], bias=False)
    for objective in (rational, quadratic, cubic):
        found = closed_form(objective)
        assert found.exists and found.proved and found.directions == ()
        assert_stationary(objective, found)
    assert "solvable in radicals" in closed_form(cubic).reason
    by_hand = closed_form(ls.neuron([2.0, 2.0, 4.0], [1, 0, 0.5], bias=False))
    assert by_hand.exists and by_hand.point["w"] == 0


def test_a_limit_at_infinity_that_lies_lower(x64):
    """tanh with labels outside its range: no critical point; and one whose only minimum lies above the limit."""
    found = closed_form(ls.neuron([1.0, 2.0], [2.0, 1.5], bias=False, activation="tanh", **SQUARED))
    assert (found.exists, found.kind, found.proved) == (False, "none", True) and found.census.points == ()
    x, y, weights = [1.0, 30.0], [1.0, 0.1], [30.0, 1.0]
    objective = ls.neuron(x, y, bias=False, weights=weights, **SQUARED)
    found = closed_form(objective)
    least = min(float(objective({"w": p.w})) for p in found.census.minima)
    limit = float(objective({"w": 100.0}))
    assert (found.exists is False and found.kind == "none") == (limit < least)
    assert limit < least and len(found.census.minima) == 1


def test_two_minima_that_are_equal(monkeypatch):
    """Or a minimum that equals the limit: the digits cannot tell, and it says so."""
    objective = ls.neuron([1.0, 30.0], [0.9, 0.1], bias=False, **SQUARED)
    read = linear(objective, "closed_form")
    problem = _rational.one_weight(_rational.examples(objective.structure, read, True), read)
    census = _polynomial.census(problem)
    tied = _one_weight._expressed(problem, census, list(census.minima), "polynomial")
    assert "For one of 2 minima that are equal to 30 digits" in tied.reason and tied.exists is False
    low, _, high = census.points
    value = _polynomial.value(problem, low)
    monkeypatch.setattr(_polynomial, "value", lambda problem, point: value)
    assert _one_weight._least(problem, census) == ([low, high], True)
    middle = _polynomial._binary(value.mid())
    monkeypatch.setattr(_polynomial, "ends", lambda problem: (middle, middle))
    assert _one_weight._least(problem, census) == ([low, high], None)
    undecided = _one_weight._from_census(problem, census)
    assert undecided.exists is None and "equal to 30 digits: not decided" in undecided.reason


def test_degrees_above_the_limit(x64):
    found = closed_form(ls.neuron([1.0, 1000.0], [0.9, 0.1], bias=False, **SQUARED))
    assert (found.exists, found.kind, found.proved, found.census) == (None, "polynomial", False, None)
    assert "of degree up to 3003, above the limit of 400" in found.reason
    measured = closed_form(ls.neuron(np.random.default_rng(0).normal(size=5), [0, 1, 0, 1, 1], bias=False))
    assert measured.exists is None and "above the limit" in measured.reason


L1 = st.sampled_from([0.0, 0.05])


@settings(max_examples=16)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 4)), min_size=3, max_size=3), st.booleans(), L1)
def test_the_census_of_an_objective(data, squared, strength):
    """Every point is stationary for the objective itself, and the least minimum is what a scan finds, or lies above."""
    x, y = (np.array(column, float) for column in zip(*data, strict=True))
    with jax.enable_x64(True):
        objective = ls.neuron(x, y / 4, bias=False, penalty=ls.l1(strength), **(SQUARED if squared else {}))
        found = closed_form(objective)
        if found.census is None:
            assert found.kind in ("interpolation", "constant", "none")
            return
        for point in found.census.points:
            assert abs(float(objective.gradient({"w": point.w})["w"])) < 1e-13
        best = min((float(objective({"w": p.w})) for p in found.census.minima), default=np.inf)
    grid = np.linspace(-40, 40, 80_001)
    z = x[:, None] * grid
    if squared:
        risks = (0.5 * (scipy.special.expit(z) - y[:, None] / 4) ** 2).mean(axis=0)
    else:
        risks = (np.logaddexp(0, z) - y[:, None] / 4 * z).mean(axis=0)
    risks = risks + strength * abs(grid)
    if found.kind == "none":
        assert best > risks.min() and risks.argmin() in (*range(60_000, 80_001), *range(20_000))
    else:
        np.testing.assert_allclose(best, risks.min(), atol=1e-6)
        assert best <= risks.min() + 1e-15


def test_float32_reads_as_its_decimals():
    """Without x64 too: 0.9 is 9/10, and points are float64."""
    x, y = np.array([1.0, 30.0], np.float32), np.array([0.9, 0.1], np.float32)
    found = closed_form(ls.neuron(x, y, bias=False, **SQUARED))
    assert found.census.degree == 92 and len(found.census.points) == 3
    pair = closed_form(ls.neuron([-1.0, 1.0], [0.0, 1.0], penalty=ls.l1(0.1)))
    assert pair.point["w"].dtype == np.float64 and "log(9)" in pair.reason
    single = closed_form(ls.neuron(np.float32([2.0]), np.float32([0.3]), **SQUARED))
    label = float(np.float32(0.3))  # the point is that of the data as they are
    np.testing.assert_allclose(2 * single.point["w"] + single.point["b"], np.log(label / (1 - label)), rtol=1e-14)
    half = closed_form(ls.neuron(jnp.asarray([1.0, 2.0], "bfloat16"), jnp.asarray([0.5, 0.25], "bfloat16"), bias=False))
    assert half.census.degree == 3


def test_constant_risks(x64):
    """Inputs that are all 0: every θ is a minimizer, and a penalty's 0."""
    objective = ls.neuron([[0.0, 0.0]], [0.3], bias=False)
    found = closed_form(objective)
    assert (found.exists, found.kind, found.proved, len(found.directions)) == (True, "constant", True, 2)
    assert closed_form(objective.with_penalty(ls.l1(0.1))).directions == ()
    # One input that is 0 changes nothing.
    assert closed_form(ls.neuron([0.0, 2.0], [1.0, 0.3], bias=False)).kind == "interpolation"


def test_examples_of_weight_0_do_not_count(x64):
    found = closed_form(ls.neuron([1.0, 2.0, 3.0], [0, 1, 0], bias=False, weights=[1.0, 0.0, 1.0]))
    assert found.kind == "none" and found.proved


def test_what_is_not_known(x64):
    relu = closed_form(ls.neuron([1.0, 2.0, 3.0], [1.0, -1.0, 2.0], activation="relu", **SQUARED))
    assert (relu.exists, relu.kind, relu.proved, relu.point) == (None, "piecewise quadratic", False, None)
    assert "piecewise quadratic, with gradient 0 on the whole region where the unit is dead" in relu.reason
    rings = closed_form(ls.neuron(*ls.datasets.o_rings()))
    assert (rings.exists, rings.kind) == (None, "unknown") and "transcendental" in rings.reason
    assert str(rings).startswith("No closed form is known (unknown): ")


def test_too_many_numbers_to_be_read(x64, monkeypatch):
    monkeypatch.setattr("landscape.minima.closed_form._rational.ENTRIES", 5)
    found = closed_form(ls.neuron([1.0, 2.0, 3.0], [0, 1, 0]))
    assert found.exists is None and "more than 5 numbers" in found.reason
    linear = ls.neuron([1.0, 2.0, 3.0], [0, 1, 0], activation="identity", **SQUARED)
    assert closed_form(linear).exists and closed_form(linear).proved
    assert_stationary(linear, closed_form(linear))


def test_what_is_separable_has_no_minimizer_and_so_no_closed_form():
    for x, y in (([1.0, 2.0, 3.0], [0, 1, 1]), ([[0.0, 1.0], [1.0, 0.5], [2.0, 3.0]], [0, 0, 1])):
        found = closed_form(ls.neuron(x, y))
        assert (found.exists, found.kind, found.proved) == (False, "none", True)
    assert "ls.attainment" in closed_form(ls.neuron([1.0, 2.0, 3.0], [0, 1, 1])).reason


def test_most_data_have_no_expression_in_radicals():
    """Beyond degree 6 cycle types say so."""
    for x, y in (([1, 2, 5], [0, 1, 0]), ([0.5, 1.3, 2.7, -0.4], [0, 1, 0, 1])):
        found = closed_form(ls.neuron(np.array(x, np.float32), y, bias=False))
        assert found.exists is False and found.proved and "is not solvable" in found.reason
        assert found.census.degree > 6 and len(found.reason) < 250


def test_the_table_is_computed():
    table = closed_form_table()
    assert table.exists.dims == ("model", "problem", "penalty") and table.exists.shape == (6, 4, 2)
    identity = table.sel(model="half_squared_error, identity")
    one = table.sel(problem="one weight, more examples", penalty="none", model="cross_entropy, sigmoid")
    assert one.group == "S5" and not (identity.group != "").any()
    assert (identity.exists == "yes").all() and bool(identity.proved.all())
    few = table.sel(penalty="none", problem=["one example", "as many examples as parameters"])
    assert (few.exists == "yes").all()
    assert (table.exists.sel(problem="one example", penalty="l2", model="cross_entropy, sigmoid")) == "no"
    more = table.exists.sel(problem="more examples than parameters").drop_sel(model="half_squared_error, identity")
    assert (more == "not known").all()


def test_it_prints_as_sentences(x64):
    found = closed_form(ls.neuron([[1.0, 2.0]], [0.5], bias=False))
    assert str(found) == (
        "A closed form exists (interpolation, proved): σ(x̃ᵢ·θ) = yᵢ has solutions for all i (the inputs are "
        "independent), and there the loss of every input is least.\n"
        "Minimizer: w = [0. 0.], in an affine set of dimension 1: the point of least norm."
    )
    assert repr(found) == str(found)


def test_null_spaces():
    """Of chosen rank, whatever the sizes of rows and columns."""
    rng = np.random.default_rng(1)
    for rank in range(5):
        matrix = rng.normal(size=(7, rank)) @ rng.normal(size=(rank, 4)) * 10.0 ** rng.integers(-8, 8, (7, 1))
        basis = _affine_sets.null_space(matrix)
        assert basis.shape == (4 - min(rank, 4), 4)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-14)
        np.testing.assert_allclose(
            matrix @ basis.T / (np.linalg.norm(matrix, axis=1, keepdims=True) + 1e-300), 0, atol=1e-14
        )


def test_bad_input(x64):
    bowl = ls.function(lambda p: p["u"] ** 2, {"u": 1.0})
    with pytest.raises(ValueError, match=r"`objective` has no `structure`, which is what closed_form reads"):
        closed_form(bowl)
    with pytest.raises(TypeError, match="`objective` is a function"):
        closed_form(lambda p: p)
    neuron = ls.neuron([1.0, 2.0], [0.0, 1.0])
    for field, values, message in (
        ("features", [[1.0, 1.0], [np.nan, 1.0]], r"`objective.structure.features` holds 1 of 4 values .* not finite"),
        ("labels", [0.0, np.inf], r"`objective.structure.labels` holds 1 of 2 values .* not finite"),
        ("weights", [-1.0, 3.0], r"`objective.structure.weights` must be ≥ 0 and not all 0"),
    ):
        structure = dataclasses.replace(neuron.structure, **{field: jnp.asarray(values)})
        broken = dataclasses.replace(neuron, structure=structure)
        with pytest.raises(ValueError, match=message):
            closed_form(broken)


@pytest.mark.parametrize("unit", [2.0**-660, 2.0**-10, 2.0**660])
def test_units_change_nothing_but_the_point(unit, x64):
    """Of all features, or of one of two orthogonal ones under l1."""
    rows, y = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([0.3, 0.6])
    for options in ({}, {"activation": "identity", **SQUARED}):
        plain, other = (closed_form(ls.neuron(u * rows, y, bias=False, **options)) for u in (1.0, unit))
        assert (other.kind, other.exists) == (plain.kind, plain.exists) == ("interpolation", True)
        np.testing.assert_allclose(other.point["w"] * unit, plain.point["w"], rtol=1e-12)
    penalty = ls.l1(0.1, scope={"w": np.array([True, False])})
    features = np.array([[1.0, 0.0], [0.0, unit]])
    found = closed_form(ls.neuron(features, [1.0, 2.0], bias=False, activation="identity", penalty=penalty, **SQUARED))
    np.testing.assert_allclose(found.point["w"] * [1, unit], [0.8, 2.0], rtol=1e-15)
    assert found.proved and found.directions == ()
