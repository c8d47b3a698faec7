"""Bad input to the operators: each message names the argument, what came, and what to do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests.architectures import ARCHITECTURES

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
NEURON = ls.neuron(X, (X[:, 0] > 0).astype("float32"))
POINT = NEURON.params
BOWL = ls.function(lambda p: jnp.sum(p["x"] ** 2), {"x": jnp.zeros(5)})
EIGEN = {"key": KEY}
NO_SPLIT = ls.Objective(lambda p, b: jnp.square(b @ p["w"] - 1), X, params={"w": jnp.zeros(2)})
PREPARED = ls.Objective(
    lambda p, b: jnp.square(b @ p["w"] - 1), X, params={"w": jnp.zeros(2)}, prepare=lambda p, batches: p
)


def one_way(kind: str) -> Any:
    model = ARCHITECTURES["custom_vjp_loss"]("float32")
    objective = ls.Objective(model.losses, model.data, params=model.params)
    return ls.curvature(objective, objective.params, kind=kind)


def prepared_split() -> Any:
    split = ls.SplitLosses(lambda p, b: b @ p["w"], lambda f, b: jnp.square(f - 1))
    objective = ls.Objective(split, X, params={"w": jnp.zeros(2)}, prepare=lambda p, batches: p)
    return ls.curvature(objective, objective.params, kind="gauss_newton")


def narrowed() -> Any:
    with jax.enable_x64(True):
        objective = ls.function(lambda p: p["x"] ** 2, {"x": jnp.zeros((), "float64")})
    return ls.curvature(objective, {"x": 1.0})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ls.curvature(X, POINT), r"`objective` is an? \w+; give an Objective"),
        (lambda: ls.kinks(X), r"`objective` is"),
        (lambda: ls.eigen_directions(X, POINT, key=KEY), r"`objective` is"),
        (lambda: ls.curvature(NEURON, {"w": np.zeros(2)}), r"`params` must have the structure"),
        (lambda: ls.curvature(NEURON, {"w": np.zeros(3), "b": 0.0}), r"`params` leaf 'w' has shape \(3,\)"),
        (lambda: ls.curvature(NEURON, {"w": np.zeros(2, complex), "b": 0.0}), r"`params` leaf 'w' is complex; split"),
        (narrowed, r"`objective` was built in float64 but JAX's x64 mode is off"),
        (lambda: ls.curvature(NEURON, POINT, kind="ggn"), r"`kind` is 'ggn'; it must be one of 'hessian', 'gauss_new"),
        (
            lambda: ls.curvature(NO_SPLIT, NO_SPLIT.params, kind="gauss_newton"),
            r'`kind` is "gauss_newton", which .*Spl',
        ),
        (prepared_split, r'`kind` is "gauss_newton", which does not take an objective that prepares'),
        (
            lambda: one_way("fisher"),
            r"`kind` is 'fisher', .* jax.custom_vjp, .*jax.custom_jvp, or take kind=\"hessian\"",
        ),
        (lambda: ls.curvature(NEURON, POINT, leaves="v"), r"`leaves` has 'v', .*; the params have b, w\. Give names"),
        (lambda: ls.curvature(NEURON, POINT, leaves=["w", 3]), r"`leaves` has 3, which names no leaf"),
        (lambda: ls.curvature(NEURON, POINT, leaves=[]), r"`leaves` is empty; name one leaf at least"),
        (lambda: ls.curvature(NEURON, POINT, leaves=3), r"`leaves` is an int; give names of leaves"),
        (lambda: ls.curvature(NEURON, POINT, batch_size=0), r"`batch_size` is 0; it must be at least 1"),
        (lambda: ls.curvature(NEURON, POINT, batch_size=2.5), r"`batch_size` is 2.5 \(float\)"),
        (lambda: ls.curvature(NEURON, POINT, memory=100), r"`memory` is 100; it must be at least 1048576 bytes"),
        (lambda: ls.curvature(PREPARED, PREPARED.params, batch_size=5), r"`batch_size` is a part of the objective"),
        (lambda: ls.curvature(NEURON, POINT)({"w": np.ones(3), "b": 1.0}), r"`vector` must be like the params"),
        (lambda: ls.curvature(NEURON, POINT)({"w": np.ones(2)}), r"`vector` must be .*\n  wanted: b.*\n  got:    w"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, 6, **EIGEN), r"`k` is 6, .* 5 eigenvalues; ask for 5 at most"),
        (
            lambda: ls.top_eigenpairs(BOWL, BOWL.params, 3, which="both", **EIGEN),
            r"`k` is 3 at each end, but the Hessian has 5 eigenvalues; ask for 2 at most",
        ),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, 0, **EIGEN), r"`k` is 0; it must be at least 1"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, 1.0, **EIGEN), r"`k` is 1.0 \(float\)"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, which="top", **EIGEN), r"`which` is 'top'; .*'smallest', 'both'"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, key=0), r"`key` is an int"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, key=jax.random.split(KEY)), r"(?s)`key` is .*not one random key"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, tolerance=0.0, **EIGEN), r"`tolerance` is 0.0; .*> 0"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, tolerance=np.nan, **EIGEN), r"`tolerance` is nan"),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, max_products=0, **EIGEN), r"`max_products` is 0; it must be"),
        (
            lambda: ls.top_eigenpairs(BOWL, BOWL.params, 2, which="both", max_products=3, **EIGEN),
            r"`max_products` is 3; 4 eigenpairs take 4 products at least",
        ),
        (lambda: ls.top_eigenpairs(BOWL, BOWL.params, block=0, **EIGEN), r"`block` is 0"),
        (lambda: ls.eigen_directions(BOWL, BOWL.params, 3, which="both", **EIGEN), r"`k` is 3; which=\"both\" .*even"),
        (lambda: ls.trace(BOWL, BOWL.params, num_probes=1, **EIGEN), r"`num_probes` is 1; it must be at least 2"),
        (lambda: ls.trace(BOWL, BOWL.params, deflate=-1, **EIGEN), r"`deflate` is -1; it must be at least 0"),
        (lambda: ls.trace(BOWL, BOWL.params, key=None), r"`key` is a NoneType"),
        (lambda: ls.diagonal(BOWL, BOWL.params, num_probes=1, **EIGEN), r"`num_probes` is 1"),
        (lambda: ls.diagonal(BOWL, BOWL.params, key="0"), r"`key` is a str"),
        (lambda: ls.spectral_density(BOWL, BOWL.params, num_matvecs=0, **EIGEN), r"`num_matvecs` is 0"),
        (lambda: ls.spectral_density(BOWL, BOWL.params, num_probes=0, **EIGEN), r"`num_probes` is 0"),
        (lambda: ls.spectral_density(BOWL, BOWL.params, key=7), r"`key` is an int"),
        (
            lambda: ls.SplitLosses(3, lambda f, b: f),
            r"`outputs` is an int; it must be a function outputs\(params, batch",
        ),
        (lambda: ls.SplitLosses(lambda p, b: p, None), r"`losses_of` is a NoneType; it must be a function losses_of"),
        (
            lambda: ls.SplitLosses(lambda p: p, lambda f, b: f),
            r"`outputs` is called as outputs\(params, batch\), but is",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_density_is_asked_on_a_grid():
    found = ls.spectral_density(BOWL, BOWL.params, num_matvecs=2, num_probes=1, key=KEY)
    for grid, width, message in (
        (np.zeros((2, 2)), None, r"`grid` has shape \(2, 2\)"),
        ([], None, r"`grid` has shape \(0,\)"),
        (["a"], None, "`grid` must hold real numbers"),
        ([0.0], -1.0, "`width` is -1.0"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            found.density(grid, width)
    with pytest.raises(ValueError, match="`order` is -1"):
        found.moment(-1)


def test_a_matrix_too_large_is_refused():
    large = ls.function(lambda p: jnp.sum(p["x"] ** 2), {"x": jnp.zeros(40_000)})
    with pytest.raises(
        ValueError, match=r"`params` has 40000 entries that move, whose Hessian takes 6 GiB. .*leaves=…"
    ):
        ls.hessian(large, large.params)


def roots(params: Any, batch: Any) -> Any:
    """√ of a number that is 0 for one example: infinite slope."""
    return jnp.sqrt(batch * params["x"][0]) + jnp.sum(params["x"] ** 2)


@pytest.mark.parametrize(
    "measure",
    [
        lambda o, **options: ls.top_eigenpairs(o, o.params, key=KEY, **options),
        lambda o, **options: ls.trace(o, o.params, key=KEY, num_probes=2, **options),
        lambda o, **options: ls.diagonal(o, o.params, key=KEY, num_probes=2, **options),
        lambda o, **options: ls.spectral_density(o, o.params, key=KEY, num_matvecs=2, **options),
    ],
)
def test_a_product_that_is_not_finite_names_the_batch(measure):
    """In memory, cut, or as batches; the matrix itself keeps its NaN."""
    numbers = np.ones(30, "float32")
    numbers[17] = 0
    whole = ls.Objective(roots, numbers, params={"x": jnp.array([1.0, 2.0, 3.0])})
    for options, where in (
        ({}, r"batch 0 \(examples 0 to 29\)"),
        ({"batch_size": 8}, r"batch 2 \(examples 16 to 23\)"),
    ):
        with pytest.raises(
            ValueError, match=rf"`objective`: a product with the Hessian is not finite on {where}\. Are "
        ):
            measure(whole, **options)
    parts = ls.Objective(roots, ls.Batches(np.split(numbers, [10, 15])), params=whole.params)
    with pytest.raises(ValueError, match=r"on batch 2 \(examples 15 to 29\)"):
        measure(parts)


def test_the_matrix_keeps_its_nan():
    objective = ls.Objective(roots, np.zeros(3, "float32"), params={"x": jnp.array([1.0, 2.0])})
    matrix = ls.hessian(objective, objective.params).values
    assert np.isnan(matrix[0, 0]) and matrix[1, 1] == 2
