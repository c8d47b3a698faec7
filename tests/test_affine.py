"""The affine prefix: what is hoisted and what is not, and that nothing changes: values, gradients, Hessians."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces import _affine

SCALAR = jax.ShapeDtypeStruct((), jnp.float32)
GENERATOR = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    """Normal numbers, the same at every run."""
    return jnp.asarray(GENERATOR.normal(size=shape), jnp.float32)


X, W, U, V = draw(6, 30), draw(30, 5), draw(30, 5), draw(30, 5)
NARROW = X.astype(jnp.bfloat16)


def weights(a: Any, b: Any) -> Any:
    return W + a * U + b * V


def split(f: Any, coordinates: int = 2) -> _affine.Split:
    return _affine.split(f, [SCALAR] * coordinates)


def names(found: _affine.Split) -> list[str]:
    """What is left in every cell."""
    return [node.equation.primitive.name for node in found.rest]


def shapes(found: _affine.Split, values: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [found.program.avals[v].shape for v in values]


def agree(f: Any, at: tuple[float, ...] = (0.75, -1.5)) -> None:
    """Raise unless the finished function has f's value, gradient and Hessian."""
    coordinates = tuple(map(jnp.float32, at))
    terms, g = _affine.hoist(f, [SCALAR] * len(at))
    arguments = tuple(range(len(at)))

    largest = max(1.0, *(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(f(*coordinates))))

    def total(h: Any) -> Any:  # one number that has every entry in it, of a size at which a sine adds no error
        return lambda *c: sum(jnp.sum(jnp.sin((1 / largest) * leaf)) for leaf in jax.tree.leaves(h(*c)))

    def both(h: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return jax.jit(lambda *c: (h(*c), jax.grad(total(h), arguments)(*c), jax.hessian(total(h), arguments)(*c)))(
                *coordinates
            )

    expected, actual = both(f), both(lambda *c: g(terms, c))
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for e, a in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5 * max(1.0, float(jnp.abs(e).max())))


def test_what_is_affine_is_hoisted_whole():
    """A linear model: nothing runs in a cell but putting three arrays together."""
    found = split(lambda a, b: X @ weights(a, b) + 1.0)
    assert shapes(found, found.affine) == [(6, 5)] and not found.fixed and not found.rest
    assert found.after.operations == 2 * 2 * 6 * 5

    (at_zero, slopes), *others = found.terms()
    assert not others
    np.testing.assert_allclose(at_zero, X @ W + 1.0, rtol=1e-5, atol=1e-5)
    for slope, direction in zip(slopes, (U, V), strict=True):
        np.testing.assert_allclose(slope, X @ direction, rtol=1e-5, atol=1e-5)


LAYERS = [
    lambda a, b: jnp.tanh(X @ weights(a, b)),
    lambda a, b: jnp.max(jax.nn.relu(X @ weights(a, b)) @ weights(b, a).T, axis=1),
    lambda a, b: {"losses": jnp.tanh(X @ weights(a, b)), "scale": jnp.exp(a), "constant": jnp.ones(2)},
    lambda a, b: jnp.tanh((X @ weights(a, b))[:, ::-1][1:].reshape(-1) / 3.0 - b),
    lambda a, b: jnp.tanh(jnp.cumsum(jnp.concatenate([X @ weights(a, b), X @ V]) / 64, axis=0).sum(axis=1)),
]


@pytest.mark.parametrize("f", LAYERS)
def test_the_first_layer_is_hoisted_and_nothing_changes(f):
    """Values, gradients and Hessians to rounding, and fewer operations in a cell."""
    found = split(f)
    assert found.affine and found.after.operations < found.before.operations
    assert found.after.weighted * _affine.GAIN <= found.before.weighted
    agree(f)


NOT_AFFINE = {
    "exp of the params first": lambda a, b: X @ jnp.exp(weights(a, b)),
    "squares of the params": lambda a, b: X @ jnp.square(weights(a, b)),
    "rounding to bfloat16": lambda a, b: jnp.tanh(NARROW @ weights(a, b).astype(jnp.bfloat16)),
    "rounding there and back": lambda a, b: X @ jax.lax.reduce_precision(weights(a, b), 8, 7),
    "casting to integers": lambda a, b: jnp.tanh(X @ weights(a, b).astype(jnp.int32).astype(jnp.float32)),
    "select on a coordinate": lambda a, b: X @ jnp.where(a > b, W + a * U, W + b * V),
    "an index by a coordinate": lambda a, b: (
        X @ jax.lax.dynamic_slice(jnp.concatenate([W, U]), (a.astype(jnp.int32), jnp.int32(0)), (30, 5))
    ),
    "a product of two": lambda a, b: a * (b * (X @ W).sum()) + jnp.tanh(a),
    "a stopped gradient": lambda a, b: jnp.tanh(X @ weights(jax.lax.stop_gradient(a), jax.lax.stop_gradient(b))),
}


@pytest.mark.parametrize("f", NOT_AFFINE.values(), ids=NOT_AFFINE)
def test_what_is_not_affine_is_not_hoisted(f):
    """It stays in the cell: exp(params) at the start, rounding, choices, indices."""
    assert not split(f).affine
    agree(f)


def test_what_does_not_depend_on_the_coordinates_is_computed_once():
    """A product of constants under a choice by a coordinate, or beside an index by one."""
    chosen = split(lambda a, b: jnp.where(a > b, X @ U, X @ V))
    assert not chosen.affine and shapes(chosen, chosen.fixed) == [(6, 5), (6, 5)]
    assert "dot_general" not in names(chosen)
    agree(lambda a, b: jnp.where(a > b, X @ U, X @ V))


def test_a_product_of_two_affine_operands_is_not_affine():
    """Attention's scores: both factors are hoisted, their product runs in the cell."""

    def f(a: Any, b: Any) -> Any:
        return jax.nn.softmax((X @ weights(a, b)) @ (X @ weights(b, a)).T)

    found = split(f)
    assert shapes(found, found.affine) == [(6, 5), (6, 5)] or sorted(shapes(found, found.affine)) == [(5, 6), (6, 5)]
    assert names(found).count("dot_general") == 1
    agree(f)


@pytest.mark.parametrize("group", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(jax.jit(f)))])
def test_groups_are_entered(group):
    """jit and remat only group equations."""

    def f(a: Any, b: Any) -> Any:
        return group(lambda w, x: jnp.tanh(x @ w))(weights(a, b), X)

    assert names(split(f)) == ["tanh"]
    agree(f)


def test_literals_and_constants_handed_into_a_jit():
    """A number that is written in the call is no value of the program, inside and as a result."""

    @jax.jit
    def inner(w: Any, scale: float, shift: float) -> Any:
        return jnp.tanh(scale * (X @ w) + shift), scale

    def f(a: Any, b: Any) -> Any:
        return inner(weights(a, b), 2.0, -0.5)[0], inner(weights(a, b), 1.0, 0.0), a, 3.0

    assert split(f).affine
    agree(f)


def test_rules_of_ones_own_are_kept():
    """relu'(0) = 0, as JAX defines it, where the entry of the hoisted product is 0; a custom_vjp keeps its rule."""

    def f(a: Any) -> Any:
        return jnp.sum(jax.nn.relu(X @ (a * U)))

    terms, g = _affine.hoist(f, [SCALAR])
    assert len(terms) == 1
    assert float(jax.grad(lambda a: g(terms, (a,)))(jnp.float32(0.0))) == 0.0 == float(jax.grad(f)(jnp.float32(0.0)))
    left, right = (float(jax.grad(lambda a: g(terms, (a,)))(jnp.float32(a))) for a in (-1.0, 1.0))
    np.testing.assert_allclose([left, right], [float(jax.grad(f)(jnp.float32(a))) for a in (-1.0, 1.0)], rtol=1e-5)

    @jax.custom_vjp
    def clipped(z: Any) -> Any:
        return jnp.square(z)

    clipped.defvjp(lambda z: (jnp.square(z), z), lambda z, ct: (ct * jnp.clip(z, -0.1, 0.1),))
    rule = lambda a, b: jnp.sum(clipped(X @ weights(a, b)))  # noqa: E731
    terms, g = _affine.hoist(rule, [SCALAR] * 2)
    at = (jnp.float32(0.75), jnp.float32(-1.5))
    expected, actual = jax.grad(rule, (0, 1))(*at), jax.grad(lambda *c: g(terms, c), (0, 1))(*at)
    assert terms
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_a_stopped_gradient_stays_stopped():
    """The value moves with the coordinate, the derivative is 0; also behind what was hoisted."""

    def before(a: Any, b: Any) -> Any:
        return jnp.tanh(X @ (W + jax.lax.stop_gradient(a) * U + b * V))

    def after(a: Any, b: Any) -> Any:
        return jnp.tanh(jax.lax.stop_gradient(X @ (W + a * U)) + X @ (b * V))

    for f in (before, after):
        agree(f)
        terms, g = _affine.hoist(f, [SCALAR] * 2)
        slope = jax.grad(lambda a, g=g, terms=terms: jnp.sum(g(terms, (a, jnp.float32(0.5)))))(jnp.float32(0.3))
        assert float(slope) == 0.0
    assert split(after).affine


def test_weights_used_twice():
    """Tied: once at the inputs, hoisted, and once behind the nonlinearity, where they are put together in the cell."""

    def tied(a: Any, b: Any) -> Any:
        w = weights(a, b)
        return jnp.tanh(X @ w) @ w.T

    found = split(tied)
    assert names(found).count("dot_general") == 1 and (6, 5) in shapes(found, found.affine)
    agree(tied)


def test_gathers_loops_and_branches():
    """Rows of an affine table are affine; a loop, or a branch by a coordinate, runs in the cell."""
    rows = jnp.asarray([0, 3, 3, 29])

    def gathered(a: Any, b: Any) -> Any:
        return jnp.tanh(weights(a, b)[rows])

    assert names(split(gathered)) == ["tanh"]
    agree(gathered)

    def looped(a: Any, b: Any) -> Any:
        first = X @ weights(a, b)
        out, _ = jax.lax.scan(lambda h, x: (jnp.tanh(h + x / 16), None), jnp.zeros(5), first)
        return jax.lax.cond(a > 0, jnp.sin, jnp.cos, out)

    assert "dot_general" not in names(split(looped)) and "scan" in names(split(looped))
    agree(looped)


def test_nothing_is_hoisted_where_it_does_not_pay():
    """One product an example is as cheap as putting it together from three arrays; and so the function is itself."""
    x = draw(40)
    neuron = lambda w, b: jnp.tanh(x * w + b)  # noqa: E731
    found = split(neuron)
    assert not found.hoisted and found.before == found.after
    terms, g = _affine.hoist(neuron, [SCALAR] * 2)
    assert terms == []
    assert np.array_equal(g(terms, (0.5, 1.0)), neuron(0.5, 1.0))
    many = ls.neuron(np.asarray(x), np.asarray(x > 0, np.float32))
    surface = ls.evaluate(many, ls.axes_plane(many.params, "w", "b"), {"w": [0.0, 1.0], "b": [0.0]})
    assert surface.attrs["hoisted"] is False


def test_narrow_leaves_are_hoisted_where_they_are_widened_first():
    """bfloat16 weights that a chart moves in float32 are rounded: not affine. Widening is exact: it is."""
    start, along = U.astype(jnp.bfloat16), V.astype(jnp.bfloat16)

    def widened(a: Any) -> Any:
        return jnp.tanh(X @ (start.astype(jnp.float32) + a * along.astype(jnp.float32)))

    def rounded(a: Any) -> Any:
        moved = (start.astype(jnp.float32) + a * along.astype(jnp.float32)).astype(jnp.bfloat16)
        return jnp.tanh(X @ moved.astype(jnp.float32))

    assert split(widened, 1).affine and not split(rounded, 1).affine
    agree(widened, (0.3,))
    terms, g = _affine.hoist(rounded, [SCALAR])
    assert np.array_equal(jax.jit(lambda a: g(terms, (a,)))(0.3), jax.jit(rounded)(0.3))


def test_inside_jit_and_vmap():
    """Terms from traced arrays, cells mapped over: as the engine uses it."""

    @jax.jit
    def cells(x: Any, grid: Any) -> Any:
        terms, g = _affine.hoist(lambda a, b: jnp.tanh(x @ weights(a, b)).sum(), [SCALAR] * 2)
        assert terms
        return jax.vmap(lambda at: g(terms, tuple(at)))(grid)

    grid = draw(3, 2)
    np.testing.assert_allclose(
        cells(X, grid), [jnp.tanh(X @ weights(a, b)).sum() for a, b in grid], rtol=1e-5, atol=1e-4
    )


def test_arrays_that_are_cut_apart_or_stacked():
    """Several layers packed into one array, an ensemble: their products are hoisted all the same."""
    cut = split(lambda a, b: sum(jnp.tanh(X @ part).sum() for part in jnp.split(weights(a, b), [2], axis=1)))
    assert sorted(shapes(cut, cut.affine)) == [(6, 2), (6, 3)] and "dot_general" not in names(cut)
    stacked = split(lambda a, b: jnp.tanh(X @ jnp.stack([weights(a, b), 2 * weights(b, a)])))
    assert shapes(stacked, stacked.affine) == [(2, 6, 5)] and "dot_general" not in names(stacked)


def test_what_has_an_effect_runs_in_the_cells_alone():
    """Not once more at coordinates 0 where terms are computed, which would also differentiate it."""
    seen: list[float] = []

    def f(a: Any, b: Any) -> Any:
        jax.debug.callback(lambda a: seen.append(float(a)), a)
        shift = jax.experimental.io_callback(lambda: np.float32(1.0), jax.ShapeDtypeStruct((), jnp.float32))
        return jnp.tanh(X @ weights(a, b) + shift).sum()

    terms, g = _affine.hoist(f, [SCALAR] * 2)
    assert terms and seen == []
    expected = jnp.tanh(X @ weights(0.5, 0.25) + 1.0).sum()
    np.testing.assert_allclose(g(terms, (jnp.float32(0.5), jnp.float32(0.25))), expected, rtol=1e-5)
    jax.effects_barrier()
    assert seen == [0.5]
