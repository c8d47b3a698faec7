"""Stochastic Lanczos quadrature: moments, degenerate operators, the distribution function, matfree's nodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matfree import decomp, funm, stochtrace
from scipy.special import ndtr

import landscape as ls
from landscape.operators import _krylov, _space, spectral_density
from tests import problems, spectra

KEY = jax.random.key(0)


def found(problem: spectra.Chosen, **options):
    settings = {"key": KEY, "num_matvecs": 10, "num_probes": 6, **options}
    return ls.spectral_density(problem.objective, problem.objective.params, **settings)


@pytest.mark.parametrize(
    "name, values",
    [
        ("zero", np.zeros(40)),
        ("identity", np.ones(40)),
        ("minus identity", -np.ones(40)),
        ("rank one", np.r_[np.zeros(39), 5.0]),
        ("two values", np.r_[np.full(20, -1.0), np.full(20, 2.0)]),
        ("three values", np.r_[np.zeros(30), np.full(6, 1.0), np.full(4, -1e-3)]),
    ],
)
def test_degenerate_operators(name, values, dtype):
    """All weight is on eigenvalues, each with its share up to the probes' spread; no NaN."""
    problem = spectra.chosen(values, dtype)
    measured = found(problem)
    eps = np.finfo(dtype).eps
    assert measured.nodes.shape == measured.weights.shape == (6, 10)
    assert np.isfinite(measured.nodes).all() and (measured.weights >= 0).all()
    np.testing.assert_allclose(measured.weights.sum(axis=1), 1, rtol=1e-12)
    assert (np.diff(measured.nodes, axis=1) >= 0).all()
    distinct = np.unique(values)
    away = np.abs(measured.nodes[..., None] - distinct).min(axis=-1)
    assert (measured.weights * (away > 50 * eps * max(problem.size, 1))).sum() <= 1e-6
    for value in distinct:
        share = (measured.weights * (np.abs(measured.nodes - value) < 1e-4)).sum(axis=1)
        part = (values == value).mean()
        error = np.sqrt(2 * part * (1 - part) / 42 / 6)  # of a random unit vector: a beta distribution
        assert abs(share.mean() - part) <= 4 * error + 1e-6
    density = measured.density()
    assert np.isfinite(density.to_array().values).all()
    np.testing.assert_allclose(np.trapezoid(density.density, density.eigenvalue), 1, atol=1e-3)


def test_digits(x64):
    """Moments within their standard errors; the distribution function beside the exact one; a density of integral 1."""
    objective, params, matrix = spectra.digits()
    values = np.linalg.eigvalsh(matrix)
    measured = ls.spectral_density(objective, params, num_matvecs=60, num_probes=10, key=KEY)
    np.testing.assert_allclose(measured.weights.sum(axis=1), 1, rtol=1e-12)
    for order in (1, 2, 3):
        mean, stderr = measured.moment(order)
        assert abs(mean - (values**order).mean()) <= 3 * stderr
    assert measured.moment(0) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    assert abs(measured.moment(1)[0] * 460 - np.trace(matrix)) <= 3 * measured.moment(1)[1] * 460
    assert abs(measured.moment(2)[0] * 460 - np.sum(matrix**2)) <= 3 * measured.moment(2)[1] * 460
    grid = np.linspace(values[0] - 0.1, values[-1] + 0.1, 300)
    density = measured.density(grid, width=0.02 * values[-1])
    exact = ndtr((grid[:, None] - values) / (0.02 * values[-1])).mean(axis=1)
    assert np.abs(density.distribution - exact).max() < 0.02
    assert (np.abs(density.distribution - exact) <= 4 * density.distribution_stderr + 1e-3).mean() > 0.95
    whole = measured.density()
    np.testing.assert_allclose(np.trapezoid(whole.density, whole.eigenvalue), 1, atol=1e-3)
    assert whole.distribution[0] < 1e-3 and whole.distribution[-1] > 1 - 1e-3
    assert whole.attrs["num_matvecs"] == 60 and whole.eigenvalue.attrs["long_name"] == "eigenvalue of the Hessian"
    np.testing.assert_allclose([measured.nodes.min(), measured.nodes.max()], values[[0, -1]], atol=1e-8)


@settings(max_examples=10)
@given(st.lists(problems.reals(-5, 5), min_size=9, max_size=9), st.integers(0, 1000))
def test_the_quadrature_of_a_probe_is_exact(values, seed):
    """vᵀBᵏv for k up to 2·num_matvecs − 1, of the very probe v: with all products, the whole measure."""
    problem = spectra.chosen(values, seed=seed)
    measured = found(problem, num_matvecs=9, num_probes=2)
    for order in range(6):
        mean = (measured.weights * measured.nodes**order).sum(axis=1)
        assert (np.abs(mean) <= problem.size**order * (1 + 1e-4) + 1e-6).all()
    away = np.abs(measured.nodes[..., None] - problem.values).min(axis=-1)
    assert (measured.weights * (away > 1e-3 * max(problem.size, 1e-3))).sum() < 1e-3


def test_matfree_finds_the_same_nodes(x64):
    """Its tridiagonalization of the same operator, from the same vectors; and its estimate of tr exp(B)."""
    problem = spectra.chosen(np.linspace(-1, 2, 40), "float64")
    matrix = jnp.asarray(problem.matrix)
    operator = ls.curvature(problem.objective, problem.objective.params)
    start = _space.begin(operator.inputs.moving, 10, 1, jax.random.fold_in(KEY, 0))
    first = _krylov.shaped(jax.tree.map(lambda leaf: leaf[:1], start.basis), start.phases)
    vector = jnp.asarray(spectra.rows(first)[0])
    result = decomp.tridiag_sym(10, materialize=True)(lambda v: matrix @ v, vector)
    theirs = np.linalg.eigh(np.asarray(result.J_small))
    (state,) = spectral_density._lanczos(operator, KEY, 0, 1, 10)
    ours = _krylov.ritz(state, 1, 40)
    np.testing.assert_allclose(ours.values, theirs[0], atol=1e-10)
    np.testing.assert_allclose(ours.vectors[0] ** 2, theirs[1][0] ** 2, atol=1e-10)
    measured = found(problem, num_probes=30)
    samples = (measured.weights * np.exp(measured.nodes)).sum(axis=1) * 40
    integrand = funm.monte_carlo_funm_sym(funm.dense_funm_sym_eigh(jnp.exp), decomp.tridiag_sym(10, materialize=True))
    sampler = stochtrace.sampler_signs(jnp.zeros(40), num=30)
    other, error = stochtrace.estimator_monte_carlo_mean_and_sem(integrand, sampler=sampler)(lambda v: matrix @ v, KEY)
    own = samples.std(ddof=1) / np.sqrt(30)
    exact = np.exp(problem.values).sum()
    assert abs(samples.mean() - exact) <= 4 * own and abs(other - exact) <= 4 * error


def test_few_params_and_one_probe():
    saddle = ls.function(lambda p: p["x"] ** 2 - 3 * p["y"] ** 2, {"x": 0.0, "y": 0.0})
    measured = ls.spectral_density(saddle, saddle.params, num_probes=1, key=KEY)
    assert measured.nodes.shape == (1, 2)
    np.testing.assert_allclose(measured.nodes, [[-6, 2]], rtol=1e-5)
    mean, stderr = measured.moment(1)
    assert np.isfinite(mean) and np.isnan(stderr)
    at = measured.density(np.array([0.5]), width=0.1)
    assert at.density.shape == (1,) and np.isnan(at.density_stderr).all() and np.isfinite(at.distribution).all()
    one = ls.function(lambda p: 2 * p["x"] ** 2, {"x": 0.0})
    assert ls.spectral_density(one, one.params, num_probes=2, key=KEY).nodes.tolist() == [[4.0], [4.0]]


def test_batches_give_the_same():
    problem = spectra.chosen(np.linspace(-1, 2, 40))
    parts = [tuple(np.asarray(leaf)[i : i + 17] for leaf in problem.objective.data) for i in (0, 17, 34)]
    batched = ls.Objective(spectra.losses, ls.Batches(parts), params=problem.objective.params, reduction="sum")
    there = ls.spectral_density(batched, batched.params, num_matvecs=10, num_probes=6, key=KEY)
    here = found(problem)
    np.testing.assert_allclose(there.nodes, here.nodes, atol=1e-4)
    np.testing.assert_allclose(there.moment(2), here.moment(2), rtol=1e-4)


def test_probes_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    problem = spectra.chosen(np.linspace(-1, 2, 40))
    whole = found(problem)
    for together in (4, 2):  # 4 + 2, and 2 + 2 + 2
        monkeypatch.setattr("landscape.operators.spectral_density._together", lambda *_, n=together: n)
        np.testing.assert_allclose(found(problem).nodes, whole.nodes, atol=1e-5)


def test_a_second_call_compiles_nothing(compilations):
    first, second = (spectra.chosen(np.linspace(-1, 2 + i, 40), seed=i) for i in (0, 1))
    found(first)
    penalized, key = second.objective.with_penalty(ls.l2(0.2)), jax.random.key(3)
    with compilations() as tally:
        ls.spectral_density(penalized, second.objective.params, num_matvecs=10, num_probes=6, key=key)
    assert tally.count == 0


def test_sentences():
    network = ls.mlp((2, 3, 1), activation="relu")
    objective = network.objective(np.eye(2, dtype="float32"), np.ones(2, "float32"))
    text = str(ls.spectral_density(objective, network.init(KEY), num_matvecs=3, num_probes=2, key=KEY))
    assert text.startswith("Spectral density of the Hessian (13 params) from 2 probes of 3 products: eigenvalues from ")
    assert "kinks (relu)" in text
