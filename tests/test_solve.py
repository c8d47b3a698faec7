"""The convex solver: minimizers known in closed form, certificates on random problems, and flights said to be such."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from landscape.minima._linear import Linear, linear
from landscape.minima._solve import minimize
from tests import problems

IDENTITY = {"loss": "half_squared_error", "activation": "identity"}


def model(x, y, penalty=None, **options) -> Linear:
    """A neuron's, of the data in float64."""
    with jax.enable_x64(True):
        return linear(ls.neuron(np.asarray(x, float), np.asarray(y, float), penalty=penalty, **options), "test")


def residual(given: Linear, theta: np.ndarray) -> float:
    """The norm of the minimum-norm subgradient, written down anew."""
    z = given.features @ theta
    slope = problems.sigmoid(z) - given.labels if given.loss.name == "cross_entropy" else z - given.labels
    gradient = (given.weights * slope) @ given.features + 2 * given.l2 * theta
    soft = np.sign(gradient) * np.maximum(np.abs(gradient) - given.l1, 0)
    return float(np.linalg.norm(np.where(theta == 0, soft, gradient + given.l1 * np.sign(theta))))


@pytest.mark.parametrize("strength", problems.PAIR_L2)
def test_the_pair_under_l2(strength):
    found = minimize(model(*ls.datasets.pair(), ls.l2(strength)))
    assert found.converged and found.residual < 1e-15
    np.testing.assert_allclose(found.theta, [problems.PAIR_L2[strength][0], 0.0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("strength", problems.PAIR_L1)
def test_the_pair_under_l1(strength):
    found = minimize(model(*ls.datasets.pair(), ls.l1(strength)))
    wanted = problems.PAIR_L1[strength]
    assert found.converged
    np.testing.assert_allclose(found.theta, [wanted, 0.0], rtol=0, atol=1e-12)
    assert (found.theta[0] == 0) == (wanted == 0)


def test_the_o_rings_as_they_are():
    """Condition number 8e5."""
    found = minimize(model(*ls.datasets.o_rings()))
    assert found.converged and found.residual < 1e-12
    np.testing.assert_allclose(found.theta, [problems.O_RINGS.w, problems.O_RINGS.b], rtol=0, atol=1e-8)


@pytest.mark.parametrize("strength", [1e-6, 1e-10])
def test_small_strengths_are_no_flight(strength):
    """Minimizers far out on separable data are found: log((1 − λ)/λ), of gradient λ."""
    found = minimize(model(*ls.datasets.pair(), ls.l1(strength)))
    assert found.converged and not found.escaped
    np.testing.assert_allclose(found.theta[0], np.log((1 - strength) / strength), rtol=1e-6)


@pytest.mark.parametrize("start", [None, [900.0, 0.69], [-40.0, 3.0], [30.0, 0.0], [35.0, 0.7]])
@pytest.mark.parametrize(
    ("x", "y"), [([-1, 1], [0, 1]), ([1, 2, 3], [1, 1, 1]), ([0, 0, 0, 1, 2], [0, 1, 1, 1, 1])], ids=str
)
def test_an_infimum_not_attained_is_a_flight(x, y, start):
    """Separable, one class, quasi-separable: the residual is as small as wanted, and still nothing has converged."""
    found = minimize(model(x, y), None if start is None else np.array(start))
    assert not found.converged and found.escaped
    assert found.residual < 1e-12 and found.steps < 200


def test_too_few_steps_are_no_convergence():
    found = minimize(model(*ls.datasets.o_rings()), max_steps=2)
    assert not found.converged and not found.escaped
    assert found.steps == 2 and found.residual > 1e-3


def test_nan_is_told():
    broken = model(*ls.datasets.pair())
    broken = replace(broken, labels=np.array([np.nan, 1.0]))
    found = minimize(broken)
    assert not found.converged and np.isnan(found.residual)


def test_what_is_not_convex_is_refused():
    with pytest.raises(ValueError, match="not convex"):
        minimize(model([1, 2], [0, 1], loss="half_squared_error"))


def random_model(seed: int, kind: str, cross_entropy: bool, strength: float, l2: bool) -> Linear:
    """A problem of any shape; all of its parameters are penalized, so that it has a minimizer."""
    rng = np.random.default_rng(seed)
    n, p = rng.integers(2, 60), rng.integers(1, 25)
    x = rng.normal(size=(n, p))
    if kind == "duplicated":
        x[:, p // 2 :] = x[:, : p - p // 2]
    elif kind == "scaled":
        x = x * 10.0 ** rng.uniform(-6, 6, p)
    elif kind == "correlated":
        x = x @ rng.normal(size=(p, p)) + 3
    elif kind == "rounded":
        x = np.round(x)
    z = x @ rng.normal(size=p) / np.abs(x).max() + rng.normal(size=n)
    activation = {} if cross_entropy else IDENTITY
    one = model(x, (z > 0) if cross_entropy else z, bias=False, **activation)
    weights = one.weights * rng.uniform(0.5, 2, n) * rng.choice([1, 100])
    coefficients = np.full(p, strength * weights.sum() * np.abs(x).max())
    return replace(one, weights=weights, l1=coefficients, l2=coefficients * l2)


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["plain", "duplicated", "scaled", "correlated", "rounded"]),
    cross_entropy=st.booleans(),
    log_strength=st.floats(-6, 0),
    l2=st.booleans(),
    far=st.booleans(),
)
def test_certificates_of_random_problems(seed, kind, cross_entropy, log_strength, l2, far):
    problem = random_model(seed, kind, cross_entropy, 10.0**log_strength, l2)
    start = 100 * np.random.default_rng(seed).normal(size=problem.features.shape[1]) if far else None
    found = minimize(problem, start)
    size = problem.weights.sum() * np.abs(problem.features).max() * max(1.0, np.abs(problem.labels).max())
    assert found.converged and found.steps < 200
    assert residual(problem, found.theta) <= 1e-10 * size


@given(seed=st.integers(0, 10**6), l1=st.floats(0, 2), l2=st.floats(0, 2))
def test_orthonormal_designs_have_the_soft_threshold(seed, l1, l2):
    """XᵀX = n: θ = soft(Xᵀy/n, λ₁)/(1 + 2λ₂)."""
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.normal(size=(40, 7)))[0] * np.sqrt(40)
    y = rng.normal(size=40) * 3
    found = minimize(model(x, y, ls.elastic_net(l1, l2), bias=False, **IDENTITY))
    fit = x.T @ y / 40
    wanted = np.sign(fit) * np.maximum(np.abs(fit) - l1, 0) / (1 + 2 * l2)
    np.testing.assert_allclose(found.theta, wanted, rtol=0, atol=1e-11)
    assert (found.theta == 0).sum() == (np.abs(fit) <= l1).sum()


def test_duplicates_share_without_a_penalty():
    """From 0 the Newton steps stay orthogonal to the null space: each copy gets half."""
    x, y = problems.classification(1, 80, 3)
    double = minimize(model(np.c_[x, x], y))
    once = minimize(model(x, y))
    assert double.converged
    np.testing.assert_allclose(double.theta, np.r_[once.theta[:3] / 2, once.theta[:3] / 2, once.theta[3]], rtol=1e-9)


def test_a_zero_column_changes_nothing():
    x, y = problems.classification(2, 80, 3)
    found = minimize(model(np.c_[x, 0 * y], y))
    np.testing.assert_allclose(np.delete(found.theta, 3), minimize(model(x, y)).theta, rtol=1e-10)
    assert found.theta[3] == 0


def test_least_squares():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 4)) * [1, 1e3, 1e-3, 1], rng.normal(size=50)
    wanted = np.linalg.lstsq(np.c_[x, np.ones(50)], y, rcond=None)[0]
    np.testing.assert_allclose(minimize(model(x, y, **IDENTITY)).theta, wanted, rtol=1e-10)


@pytest.mark.parametrize("offset", [0, 1e2, 2000, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("options", [{}, IDENTITY], ids=["cross_entropy", "squares"])
def test_offsets_cost_no_digits(offset, options):
    """Shifted inputs have the same least risk, where a bias takes the shift up; the shift itself is exact here."""
    x, y = np.array([-1.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    at_home, away = (minimize(model(x + shift, y, **options)) for shift in (0.0, offset))
    assert away.converged
    np.testing.assert_allclose(away.value, at_home.value, rtol=1e-13)
    np.testing.assert_allclose(away.theta[0], at_home.theta[0], rtol=1e-11)
    penalized = (minimize(model(x + shift, y, ls.l1(0.02, scope="weights"), **options)) for shift in (0.0, offset))
    at_home, away = penalized
    assert at_home.converged and away.converged
    np.testing.assert_allclose(away.theta[0], at_home.theta[0], rtol=1e-11)


@given(st.integers(0, 10**6), st.lists(st.integers(-300, 300), min_size=3, max_size=3))
def test_units_change_nothing(seed, exponents):
    """Features in other powers of two: the same least risk, and θ in units of its own."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 3)), rng.integers(0, 2, 12)
    units = 2.0 ** np.array(exponents)
    plain, other = minimize(model(x, y, bias=False)), minimize(model(x * units, y, bias=False))
    assert plain.converged == other.converged
    if plain.converged:
        np.testing.assert_allclose(other.value, plain.value, rtol=1e-12)
        np.testing.assert_allclose(other.theta * units, plain.theta, rtol=1e-8, atol=1e-10)


def test_nearly_dependent_columns():
    """One that differs from another by 1e-10 of it, beside the two combined by hand."""
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=40), rng.normal(size=40), rng.integers(0, 2, 40)
    near = a + 2.0**-33 * b
    apart = (near - a) * 2.0**33
    found, wanted = (minimize(model(np.stack([a, other], axis=1), y)) for other in (near, apart))
    assert found.converged and wanted.converged
    np.testing.assert_allclose(found.value, wanted.value, rtol=1e-9)
