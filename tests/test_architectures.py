"""The engine against a plain loop: the same numbers, values and derivatives, on every architecture.

The reference knows nothing of the engine: params are moved leaf by leaf, `jax.grad` and `jax.hessian` differentiate the
mean loss by the two coordinates, one compiled cell after another.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import _trees
from tests.architectures import ARCHITECTURES, Model, N
from tests.closeness import assert_close

AXES = {"alpha": np.array([-0.5, 0.0, 0.25, 1.0]), "beta": np.array([-0.25, 0.0, 0.5])}  # dyadic: exact in every dtype
CENTER = {"alpha": 0.0, "beta": 0.0}
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # relative to the largest value on the surface

every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def direction(seed: int, params: Any) -> Any:
    """Normal numbers for every leaf that moves; multiples of ¼ where bfloat16 could not hold the sums."""
    leaves, tree = jax.tree.flatten(_trees.floating(params))
    drawn = []
    for key, leaf in zip(jax.random.split(jax.random.key(seed), len(leaves)), leaves, strict=True):
        numbers = 0.7 * jax.random.normal(key, leaf.shape, jnp.float32)
        narrow = leaf.dtype == jnp.bfloat16
        drawn.append((jnp.clip(jnp.round(4 * numbers), -4, 4) / 4 if narrow else numbers).astype(leaf.dtype))
    return tree.unflatten(drawn)


def moved(params: Any, directions: tuple[Any, Any], coordinates: Any) -> Any:
    """origin + a·u + b·v, leaf by leaf; None in a direction leaves the leaf as it is."""

    def leaf(u: Any, v: Any, start: Any) -> Any:
        if u is None:
            return start
        wide = _trees.wide(start)
        a, b = (c.astype(wide) for c in coordinates)
        return (start.astype(wide) + a * u.astype(wide) + b * v.astype(wide)).astype(start.dtype)

    return jax.tree.map(leaf, *directions, params, is_leaf=lambda node: node is None)


def losses_and_weights(model: Model, params: Any) -> tuple[Any, Any]:
    out = model.losses(params, model.data)
    return out if isinstance(out, tuple) else (out, jnp.ones_like(out))


def mean_loss(model: Model, params: Any) -> Any:
    losses, weights = losses_and_weights(model, params)
    return jnp.sum(weights * losses) / jnp.sum(weights)


@cache
def case(name: str, dtype: str) -> tuple[Model, ls.Objective, ls.Plane]:
    model = ARCHITECTURES[name](dtype)
    directions = (direction(101, model.params), direction(102, model.params))
    return model, ls.Objective(model.losses, model.data, params=model.params), ls.Plane(model.params, directions)


@cache
def reference(name: str, dtype: str) -> dict[str, np.ndarray]:
    """What every cell should hold, from a loop over cells."""
    model, _, plane = case(name, dtype)

    def risk(coordinates: Any) -> Any:
        return mean_loss(model, moved(model.params, plane.directions, coordinates))

    def gradient_norm(params: Any) -> Any:
        gradient = jax.grad(lambda moving: mean_loss(model, _trees.merged(moving, params)))(_trees.floating(params))
        return jnp.sqrt(sum(jnp.sum(jnp.square(leaf.astype(dtype))) for leaf in jax.tree.leaves(gradient)))

    @jax.jit
    def cell(coordinates: Any) -> dict[str, Any]:
        params = moved(model.params, plane.directions, coordinates)
        losses, weights = losses_and_weights(model, params)
        average = jnp.sum(weights * losses) / jnp.sum(weights)
        squares = jnp.sum(jnp.square(weights))
        n = jnp.square(jnp.sum(weights)) / squares  # the number of examples, where all weights are equal
        variance = jnp.sum(jnp.square(weights * (losses - average))) / squares * n / (n - 1)
        return {
            "risk": average,
            "risk_stderr": jnp.sqrt(variance / n),
            "risk_gradient_norm": gradient_norm(params),
            "slope": jnp.stack(jax.grad(risk)(coordinates)),
            "plane_hessian": jnp.stack([jnp.stack(row) for row in jax.hessian(risk)(coordinates)]),
        }

    with jax.default_matmul_precision("highest"):
        rows = [[cell(tuple(jnp.asarray(c, dtype) for c in (a, b))) for b in AXES["beta"]] for a in AXES["alpha"]]
    return {
        key: np.array([[np.asarray(value[key], np.float64) for value in row] for row in rows]) for key in rows[0][0]
    }


def evaluate(name: str, dtype: str, *quantities: str, **options: Any) -> Any:
    _, objective, plane = case(name, dtype)
    return ls.evaluate(objective, plane, AXES, quantities=quantities, **options)


def assert_matches(name: str, dtype: str, surface: Any, *variables: str) -> None:
    """Every cell within the tolerance of the reference, relative to the largest of the surface."""
    assert surface.finite.all()
    for variable in variables:
        expected = reference(name, dtype)[variable]
        assert np.isfinite(expected).all() and np.abs(expected).max() > 0
        actual = surface[variable]
        assert actual.dtype == dtype and actual.dims[:2] == tuple(AXES)
        tolerance = TOLERANCE[dtype]
        if name == "mixed_bfloat16" and variable not in ("risk", "risk_stderr"):
            tolerance = 2 * float(jnp.finfo(jnp.bfloat16).eps)  # JAX rounds the derivative by a bfloat16 leaf to bfloat16
        error = np.abs(actual.to_numpy() - expected).max() / np.abs(expected).max()
        assert error <= tolerance, f"{variable} is off by {error:.1e} of the largest value; {tolerance:.1e} is allowed"


@every_architecture
def test_values_and_slopes_are_those_of_the_plain_loop(name, dtype):
    surface = evaluate(name, dtype, "risk_stderr", "slope")
    assert_matches(name, dtype, surface, "risk", "risk_stderr", "slope")
    model, objective, _ = case(name, dtype)
    center = surface.risk.sel(CENTER)
    own = jax.jit(lambda params: mean_loss(model, params))(model.params)
    assert_close(center, np.asarray(own), eps=4)
    assert_close(center, np.asarray(objective.risk(model.params)), eps=4)


@every_architecture
def test_plane_hessians_are_those_of_the_plain_loop(name, dtype):
    """Together with the slope, as one asks for them; symmetric to rounding."""
    surface = evaluate(name, dtype, "slope", "plane_hessian")
    assert surface.plane_hessian.dims == (*AXES, "coordinate", "coordinate_")
    assert_matches(name, dtype, surface, "risk", "slope", "plane_hessian")


@every_architecture
@pytest.mark.parametrize("batch_size", [1, 3, N])
def test_batches_of_any_size_give_the_same_numbers(name, batch_size):
    """Also a short last batch, one example at a time, and a batch whose weights are all 0."""
    more = () if batch_size == 1 else ("risk_stderr", "risk_gradient_norm", "slope")
    surface = evaluate(name, "float32", *more, batch_size=batch_size)
    assert_matches(name, "float32", surface, "risk", *more)


def test_the_reference_moves_what_the_plane_moves(dtype):
    """The plane's own points, at a corner of the grid, are those that the reference measures."""
    model, _, plane = case("mlp_tanh", dtype)
    corner = tuple(jnp.asarray(c, dtype) for c in (1.0, 0.5))
    assert_close(plane.point(corner), moved(model.params, plane.directions, corner), eps=2, scale=1.0)
