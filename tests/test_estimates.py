"""Trace and diagonal: within their standard errors of the truth, unbiased, exact where they must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matfree import stochtrace

import landscape as ls
from landscape.operators import estimates
from landscape.tiles.progress import Progress
from tests import problems, spectra

KEY = jax.random.key(0)
SPECTRA = {
    "indefinite": np.linspace(-3, 5, 40),
    "zero": np.zeros(40),
    "identity": np.ones(40),
    "rank one": np.r_[np.zeros(39), 5],
    "few large": np.r_[100.0, 90.0, 80.0, np.linspace(-1, 1, 37)],
}


def flat(tree):
    """A tree as one row."""
    return spectra.rows(jax.tree.map(lambda leaf: leaf[None], tree))[0]


def traced(problem: spectra.Chosen, **options):
    return ls.trace(problem.objective, problem.objective.params, **{"key": KEY, **options})


@pytest.mark.parametrize("deflate", [0, 8])
@pytest.mark.parametrize("name", SPECTRA)
def test_chosen_spectra(name, deflate, dtype):
    """Mean ± standard error of samples; no error for the identity, nor of what `deflate` products span."""
    problem = spectra.chosen(SPECTRA[name], dtype)
    found = traced(problem, num_probes=24, deflate=deflate)
    exact, rounding = SPECTRA[name].sum(), 100 * np.finfo(dtype).eps * problem.size
    assert abs(found.value - exact) <= 4 * found.stderr + rounding
    assert found.samples.shape == (24,)
    np.testing.assert_allclose(found.samples.mean(), found.value, atol=rounding)
    np.testing.assert_allclose(found.samples.std(ddof=1) / np.sqrt(24), found.stderr, atol=rounding)
    if name == "zero" or (not deflate and name == "identity") or (deflate and name == "rank one"):
        assert found.stderr <= rounding
    if name == "few large" and deflate:
        assert found.stderr < traced(problem, num_probes=24).stderr / 20
        assert found.exact > 250


def test_digits_are_within_three_standard_errors(x64):
    """In 100 of 100 keys but five; their mean is closer yet, with and without deflation."""
    objective, params, matrix = spectra.digits()
    exact = np.trace(matrix)
    runs = {}
    for deflate in (0, 8):
        found = [ls.trace(objective, params, key=jax.random.key(i), num_probes=16, deflate=deflate) for i in range(100)]
        away = np.array([(f.value - exact) / f.stderr for f in found])
        assert (np.abs(away) <= 3).sum() >= 95
        values = np.array([f.value for f in found])
        assert abs(values.mean() - exact) <= 3 * values.std(ddof=1) / 10  # unbiased
        runs[deflate] = np.array([f.stderr for f in found])
    assert np.median(runs[8]) < 0.7 * np.median(runs[0])


def test_the_standard_error_is_that_of_the_formula(x64):
    """The variance of zᵀBz is 2 Σ Bᵢⱼ² over i ≠ j."""
    problem = spectra.chosen(SPECTRA["indefinite"], "float64")
    found = traced(problem, num_probes=800)
    off = problem.matrix - np.diag(np.diag(problem.matrix))
    np.testing.assert_allclose(found.stderr, np.sqrt(2 * (off**2).sum() / 800), rtol=0.1)


def test_matfree_agrees(x64):
    """Its Hutchinson estimator on our product, of its own probes: within both standard errors."""
    problem = spectra.chosen(SPECTRA["indefinite"], "float64")
    found = traced(problem, num_probes=400)
    matrix = jnp.asarray(problem.matrix)
    sampler = stochtrace.sampler_signs(jnp.zeros(40), num=400)
    estimate = stochtrace.estimator_monte_carlo_mean_and_sem(stochtrace.monte_carlo_trace(), sampler=sampler)
    mean, error = estimate(lambda v: matrix @ v, KEY)
    assert abs(found.value - mean) <= 4 * np.hypot(found.stderr, error)
    np.testing.assert_allclose(found.stderr, error, rtol=0.2)


def test_everything_deflated_leaves_nothing_to_estimate():
    problem = spectra.chosen(SPECTRA["indefinite"])
    found = traced(problem, num_probes=2, deflate=1000)
    np.testing.assert_allclose([found.value, found.exact], [40, 40], rtol=1e-5)
    assert found.stderr < 1e-4


def test_the_diagonal_is_within_its_standard_error(x64):
    objective, params, matrix = spectra.digits()
    found = ls.diagonal(objective, params, key=KEY, num_probes=100)
    values, stderr = flat(found.values), flat(found.stderr)
    away = np.abs(values - np.diag(matrix))
    assert (away <= 4 * stderr + 1e-12).mean() > 0.99 and found.num_probes == 100
    off = matrix - np.diag(np.diag(matrix))
    spread = (off**2).sum(axis=1)
    moving = spread > 0  # pixels that are 0 in all digits have no curvature beside the decay
    np.testing.assert_allclose(np.median(100 * stderr[moving] ** 2 / spread[moving]), 1, rtol=0.25)


def test_the_diagonal_merges_blocks_of_probes(x64):
    """Mean and error of 8 + 8 + 3 probes are those of all 19."""
    problem = spectra.chosen(SPECTRA["indefinite"], "float64")
    found = ls.diagonal(problem.objective, problem.objective.params, key=KEY, num_probes=19)
    operator = ls.curvature(problem.objective, problem.objective.params)
    with Progress(19, "products", False) as bar:
        pairs = list(estimates._probed(operator, 19, KEY, None, None, bar))
    probes = np.concatenate([spectra.rows(probes) for probes, _ in pairs])
    samples = probes * (probes @ problem.matrix)
    values, stderr = flat(found.values), flat(found.stderr)
    np.testing.assert_allclose(values, samples.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(stderr, samples.std(axis=0, ddof=1) / np.sqrt(19), rtol=1e-10)


def test_leaves_and_the_penalty():
    """A layer's block has a trace of its own; l2(λ) adds 2λp."""
    objective = problems.network(0)
    matrix = ls.hessian(objective, objective.params).values
    inside = [name.startswith("output") for name in ls.hessian(objective, objective.params).param.values]
    found = ls.trace(objective, objective.params, key=KEY, leaves="output", num_probes=10)
    assert found.size == 10 and abs(found.value - matrix.diagonal()[inside].sum()) <= 4 * found.stderr
    plain, penalized = (
        ls.trace(o, o.params, key=KEY, num_probes=10) for o in (objective, objective.with_penalty(ls.l2(0.5)))
    )
    np.testing.assert_allclose(penalized.value - plain.value, 26, rtol=1e-4)
    np.testing.assert_allclose(penalized.stderr, plain.stderr, rtol=1e-3)


def test_sentences():
    network = ls.mlp((2, 3, 1), activation="relu")
    objective = network.objective(np.eye(2, dtype="float32"), np.ones(2, "float32"))
    found = ls.trace(objective, network.init(KEY), key=KEY, num_probes=2)
    assert str(found).startswith("Trace of the Hessian (13 params): ")
    assert "(standard error, 2 probes)\nThere are kinks (relu): this is " in str(found)


def test_a_second_call_compiles_nothing(compilations):
    first, second = (spectra.chosen(SPECTRA["indefinite"] * (1 + i), seed=i) for i in (0, 1))
    traced(first, num_probes=24, deflate=8)
    ls.diagonal(first.objective, first.objective.params, key=KEY, num_probes=24)
    penalized, key = second.objective.with_penalty(ls.l2(0.2)), jax.random.key(3)
    with compilations() as tally:
        ls.trace(penalized, second.objective.params, key=key, num_probes=24, deflate=8)
        ls.diagonal(penalized, second.objective.params, key=key, num_probes=24)
    assert tally.count == 0
