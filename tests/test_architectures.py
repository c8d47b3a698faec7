"""The engine against a plain loop: the same numbers, values and derivatives, on every architecture.

The reference knows nothing of the engine: params are moved leaf by leaf, `jax.grad` and `jax.hessian` differentiate the
mean loss by the two coordinates, one compiled cell after another, in float64 for both precisions.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import _cost, _trees
from landscape.surfaces import _affine
from tests.architectures import ARCHITECTURES, Model, N
from tests.closeness import assert_close

AXES = {"alpha": np.array([-0.5, 0.0, 0.25, 1.0]), "beta": np.array([-0.25, 0.0, 0.5])}  # dyadic: exact in every dtype
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # relative to the largest value on the surface


def direction(seed: int, params: Any) -> Any:
    """Normal numbers for every leaf that moves; multiples of ¼ where bfloat16 could not hold the sums."""
    generator = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        numbers = generator.normal(scale=0.7, size=leaf.shape).astype(np.float32)  # both precisions see the same
        narrow = leaf.dtype == jnp.bfloat16
        return jnp.asarray(np.clip(np.round(4 * numbers), -4, 4) / 4 if narrow else numbers, leaf.dtype)

    return jax.tree.map(draw, _trees.floating(params))


def moved(params: Any, directions: tuple[Any, Any], coordinates: Any) -> Any:
    """origin + a·u + b·v, leaf by leaf; None in a direction leaves the leaf as it is."""

    def leaf(u: Any, v: Any, start: Any) -> Any:
        if u is None:
            return start
        wide = _trees.wide(start)
        a, b = (c.astype(wide) for c in coordinates)
        return (start.astype(wide) + a * u.astype(wide) + b * v.astype(wide)).astype(start.dtype)

    return jax.tree.map(leaf, *directions, params, is_leaf=lambda node: node is None)


class Case:
    """One architecture, its objective and plane in either precision, and what a loop over cells finds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.built: dict[str, tuple[Model, ls.Objective, ls.Plane]] = {}

    def build(self, dtype: str) -> tuple[Model, ls.Objective, ls.Plane]:
        if dtype not in self.built:
            model = ARCHITECTURES[self.name](dtype)
            plane = ls.Plane(model.params, (direction(101, model.params), direction(102, model.params)))
            self.built[dtype] = model, ls.Objective(model.losses, model.data, params=model.params), plane
        return self.built[dtype]

    def evaluate(self, dtype: str, *quantities: str, **options: Any) -> Any:
        _, objective, plane = self.build(dtype)
        return ls.evaluate(objective, plane, AXES, quantities=quantities, **options)

    @functools.cached_property
    def reference(self) -> dict[str, np.ndarray]:
        """What every cell holds."""
        processor = jax.default_device(jax.devices("cpu")[0])  # whatever the tests run on
        with jax.enable_x64(True), jax.default_matmul_precision("highest"), processor:
            self.build("float64")  # not while tracing
            # Nothing is won by optimizing what runs a dozen times.
            cell = jax.jit(self.cell, compiler_options={"xla_backend_optimization_level": 0})
            cells = [cell((jnp.float64(a), jnp.float64(b))) for a in AXES["alpha"] for b in AXES["beta"]]
            stacked = jax.tree.map(lambda *values: np.stack([np.asarray(v, np.float64) for v in values]), *cells)
        shape = tuple(map(len, AXES.values()))
        return {name: values.reshape(*shape, *values.shape[1:]) for name, values in stacked.items()}

    def cell(self, coordinates: tuple[Any, Any]) -> dict[str, Any]:
        """By definition: mean loss, its standard error, gradient over all params, slope and Hessian in the plane."""
        model, _, plane = self.build("float64")

        def losses_and_weights(params: Any) -> tuple[Any, Any]:
            out = model.losses(params, model.data)
            return out if isinstance(out, tuple) else (out, jnp.ones_like(out))

        def mean(params: Any) -> Any:
            losses, weights = losses_and_weights(params)
            return jnp.sum(weights * losses) / jnp.sum(weights)

        def risk(coordinates: Any) -> Any:
            return mean(moved(model.params, plane.directions, coordinates))

        params = moved(model.params, plane.directions, coordinates)
        losses, weights = losses_and_weights(params)
        shares = jnp.square(weights) / jnp.sum(jnp.square(weights))
        n = jnp.square(jnp.sum(weights)) / jnp.sum(jnp.square(weights))  # the examples, where all weights are equal
        variance = jnp.sum(shares * jnp.square(losses - mean(params))) * n / (n - 1)
        gradient = jax.grad(lambda moving: mean(_trees.merged(moving, params)))(_trees.floating(params))
        gradient_squares = [jnp.sum(jnp.square(leaf.astype(float))) for leaf in jax.tree.leaves(gradient)]
        return {
            "risk": mean(params),
            "risk_stderr": jnp.sqrt(variance / n),
            "risk_gradient_norm": jnp.sqrt(sum(gradient_squares)),
            "slope": jnp.stack(jax.grad(risk)(coordinates)),
            "plane_hessian": jnp.stack([jnp.stack(row) for row in jax.hessian(risk)(coordinates)]),
        }

    def check(self, surface: Any, dtype: str, *variables: str) -> None:
        """Raise AssertionError unless every cell is that of the reference, relative to the largest of the surface."""
        assert surface.finite.all()
        for variable in variables:
            actual, expected = surface[variable], self.reference[variable]
            assert actual.dims[:2] == tuple(AXES) and actual.shape == expected.shape and actual.dtype == dtype
            actual = actual.to_numpy()
            if variable == "plane_hessian":  # symmetric, unless a rule contradicts itself: one order of differentiation
                actual, expected = np.triu(actual), np.triu(expected)
            largest = np.abs(expected).max()
            assert np.isfinite(expected).all() and largest > 0
            allowed = TOLERANCE[dtype]
            if self.name == "mixed_bfloat16" and variable not in ("risk", "risk_stderr"):
                allowed = 2 * float(jnp.finfo(jnp.bfloat16).eps)  # the derivative by a bfloat16 leaf is bfloat16
            error = np.abs(actual - expected).max() / largest
            assert error <= allowed, f"{variable} is off by {error:.1e} of the largest; {allowed:.1e} is allowed"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(request: pytest.FixtureRequest) -> Case:
    """Of the module, so that the tests of one architecture follow one another and share its reference."""
    return Case(request.param)


@pytest.fixture
def hoisted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be hoisted is, though on models this small it seldom pays."""
    monkeypatch.setattr(_cost, "weight", lambda equation: 1e9)
    monkeypatch.setattr(_affine, "GAIN", 0.0)


def test_hoisted_values_and_derivatives_are_those_of_the_plain_loop(case, dtype, hoisted):
    """Slopes alone in float32; in float64, where nothing hides in rounding, with the Hessian in the plane."""
    more = ("slope",) if dtype == "float32" else ("slope", "plane_hessian")
    surface = case.evaluate(dtype, "risk_stderr", *more)
    assert surface.attrs["hoisted"]
    case.check(surface, dtype, "risk", "risk_stderr", *more)
    model, objective, _ = case.build(dtype)
    own = jax.jit(objective.risk)(model.params)
    assert_close(surface.risk.sel(alpha=0.0, beta=0.0), np.asarray(own), eps=4)  # the center is the model itself


def test_batches_of_any_size_give_the_same_risk(case):
    """Two of three and a short one of one, hoisted where that pays; a sequence without a token has weight 0."""
    case.check(case.evaluate("float32", batch_size=3), "float32", "risk")


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [("masked_tokens", 1), ("masked_tokens", 3), ("weight_tying", N), ("mixed_bfloat16", 3), ("frozen_leaves", 3)],
)
def test_batches_of_any_size_give_the_same_derivatives(name, batch_size):
    """Gradients over all that moves, added up over batches; of one example each, the batch of weight 0 among them."""
    case, names = Case(name), ("risk_stderr", "risk_gradient_norm", "slope", "plane_hessian")
    case.check(case.evaluate("float32", *names, batch_size=batch_size), "float32", "risk", *names)
