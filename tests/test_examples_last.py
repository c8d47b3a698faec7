"""Examples last: nothing changes but the order of axes; and where it does not pay, not even that."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from landscape.surfaces import _affine, _examples_last

SCALARS = [jax.ShapeDtypeStruct((), jnp.float32)] * 2
AT = jnp.float32(0.75), jnp.float32(-0.5)
N, HIDDEN, CLASSES = 40, 24, 5
GENERATOR = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    """Normal numbers, the same at every run."""
    return jnp.asarray(GENERATOR.normal(size=shape), jnp.float32)


X, Y = draw(N, 64), jnp.asarray(GENERATOR.integers(0, CLASSES, N), jnp.int32)
ONE_HOT = jax.nn.one_hot(Y, CLASSES)
FIRST, SECOND = ([draw(*shape) for _ in range(3)] for shape in ((64, HIDDEN), (HIDDEN, CLASSES)))


def along(terms: Any, a: Any, b: Any) -> Any:
    return terms[0] + a * terms[1] + b * terms[2]


def scores(a: Any, b: Any, nonlinearity: Callable[[Any], Any] = jnp.tanh) -> Any:
    return nonlinearity(X @ along(FIRST, a, b)) @ along(SECOND, a, b)


def arranged(f: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """(terms as hoisted, what is kept, the function of the coordinates)."""
    with jax.default_matmul_precision("highest"):
        terms, g = _affine.hoist(f, SCALARS)
        kept, h = _examples_last.arrange(terms, g, SCALARS)
    return terms, kept, lambda *at: h(kept, at)


def agree(f: Callable[..., Any]) -> None:
    """Raise unless what runs gives what was written, alone and vmapped."""
    _, _, h = arranged(f)
    cells = jnp.linspace(-1, 1, 6), jnp.linspace(2, -1, 6)
    with jax.default_matmul_precision("highest"):
        for expected, actual in ((f(*AT), h(*AT)), (jax.vmap(f)(*cells), jax.jit(jax.vmap(h))(*cells))):
            for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(actual), strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                size = float(jnp.abs(a).max())
                np.testing.assert_allclose(b, a, rtol=1e-5, atol=2e-5 * max(1.0, size))


def turned(f: Callable[..., Any]) -> bool:
    """Whether anything is kept with its examples last."""
    terms, kept, _ = arranged(f)
    return kept is not terms and any(array.ndim > 1 and array.shape[-1] == N for array in kept)


def log_likelihood(s: Any) -> Any:
    return -jax.nn.log_softmax(s)[jnp.arange(N), Y]


LOSSES: dict[str, Callable[[Any], Any]] = {
    "cross-entropy": lambda s: optax.softmax_cross_entropy_with_integer_labels(s, Y),
    "cross-entropy of one-hot labels": lambda s: optax.softmax_cross_entropy(s, ONE_HOT),
    "log likelihood": log_likelihood,
    "squares": lambda s: jnp.sum(jnp.square(s - ONE_HOT), axis=1),
    "hinge": lambda s: jnp.max(jnp.where(ONE_HOT > 0, -jnp.inf, s + 1), axis=-1) - jnp.sum(ONE_HOT * s, axis=-1),
    "accuracy": lambda s: (jnp.argmax(s, axis=-1) == Y).astype(jnp.float32),
    "mean over examples": lambda s: jnp.mean(s, axis=0),
    "scores": lambda s: s,
    "sorted scores": lambda s: jnp.sort(s, axis=1)[:, :2],
    "pairs": lambda s: jnp.einsum("ni,nj->nij", s, s),
    "in groups": lambda s: s[:, :4].reshape(N, 2, 2).sum(axis=2),
    "several at once": lambda s: (s.min(axis=1), {"a": s.T, "b": jnp.linalg.norm(s, axis=1, keepdims=True)}),
    "weights beside losses": lambda s: (jnp.square(s[:, 0]), jnp.ones(N)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_what_they_were(name):
    agree(lambda a, b: LOSSES[name](scores(a, b)))


@pytest.mark.parametrize("nonlinearity", [jax.nn.relu, jax.nn.gelu, jax.nn.silu, jax.nn.softplus, jnp.sin, jnp.abs])
def test_nonlinearities_are_entered(nonlinearity):
    """Those with a rule for derivatives too."""

    def losses(a, b):
        return LOSSES["cross-entropy"](scores(a, b, nonlinearity))

    agree(losses)
    assert turned(losses)


@given(st.permutations(range(3)), st.sampled_from([(N, 6, 4), (N, 24), (N, 2, 12), (N * 24,)]), st.integers(0, 2))
def test_axes_moved_about(order, shape, axis):
    """Whatever a model does with the axes, they are where it put them."""

    def f(a, b):
        hidden = jnp.tanh(X @ along(FIRST, a, b))
        cube = jnp.transpose(hidden.reshape(N, 6, 4), order)
        return hidden.reshape(shape).sum(axis=0), cube.max(axis=axis), hidden @ along(SECOND, a, b), hidden.sum(axis=1)

    agree(f)


def test_a_perceptron_is_turned():
    terms, kept, _ = arranged(lambda a, b: LOSSES["cross-entropy"](scores(a, b)))
    assert [t.shape for t in jax.tree.leaves(terms)[:3]] == [(N, HIDDEN)] * 3
    assert [k.shape for k in kept[:3]] == [(HIDDEN, N)] * 3


def test_a_linear_model_is_turned():
    first = [draw(64, CLASSES) for _ in range(3)]
    assert turned(lambda a, b: LOSSES["cross-entropy"](X @ along(first, a, b)))


def test_data_that_nothing_is_hoisted_of_are_turned():
    """Two inputs: products are done in every cell."""
    x, first = draw(N, 2), [draw(2, HIDDEN) for _ in range(3)]

    def f(a, b):
        return LOSSES["cross-entropy"](jnp.tanh(x @ along(first, a, b)) @ along(SECOND, a, b))

    terms, kept, _ = arranged(f)
    agree(f)
    assert (2, N) in [array.shape for array in kept]
    assert (N, 2) not in [array.shape for array in jax.tree.leaves(terms)]


def wide(a, b):
    """A second layer of many units."""
    middle = [jnp.eye(HIDDEN, 64)] * 3
    return LOSSES["cross-entropy"]((jnp.tanh(X @ along(FIRST, a, b)) @ along(middle, a, b))[:, :CLASSES])


def images(a, b):
    """A second convolution, for whose operand there is no rule."""
    x = X.reshape(N, 8, 8, 1)
    first, second = ([jnp.ones((3, 3, *c))] * 3 for c in ((1, 4), (4, CLASSES)))
    layout = ("NHWC", "HWIO", "NHWC")
    for kernels in (first, second):
        moved = jax.lax.conv_general_dilated(
            x, along(kernels, a, b), (1, 1), "SAME", None, None, layout, precision="highest"
        )
        x = 1e-3 * jnp.tanh(moved)
    return LOSSES["cross-entropy"](x.mean(axis=(1, 2)))


def gradient(a, b):
    """Products over the examples."""

    def risk(weights):
        return LOSSES["cross-entropy"](jnp.tanh(X @ weights[0]) @ weights[1]).mean()

    return jax.grad(risk)([along(FIRST, a, b), along(SECOND, a, b)])


def said(a, b):
    """Something is printed."""
    s = scores(a, b)
    jax.debug.callback(lambda: None)
    return LOSSES["cross-entropy"](s)


@pytest.mark.parametrize("f", [wide, images, gradient, said])
def test_what_would_lose_stays_as_it_is(f):
    terms, kept, _ = arranged(f)
    assert kept is terms


def test_a_surface_of_an_equinox_model():
    """Its layers are products from the left, vmapped over examples; against a loop over cells."""
    model = eqx.nn.MLP(64, CLASSES, HIDDEN, 1, jnp.tanh, key=jax.random.key(0))

    params, static = eqx.partition(model, eqx.is_array)

    def losses(params, batch):
        scores = jax.vmap(eqx.combine(params, static))(batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch[1])

    objective = ls.Objective(losses, (X, Y), params=params)
    plane = ls.Plane(params, ls.random_directions(jax.random.key(1), params, 2, filter_axis=0))
    axis = np.linspace(-1, 1, 5, dtype=np.float32)
    found = ls.evaluate(objective, plane, {name: axis for name in plane.names}, exact=True, progress=False)
    expected = [[float(losses(plane.point((a, b)), (X, Y)).mean()) for b in axis] for a in axis]
    np.testing.assert_allclose(found.risk.values, expected, rtol=1e-5)
