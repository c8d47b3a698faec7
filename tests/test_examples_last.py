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
from landscape._jaxprs import GROUPS, flatten, is_value, read, run
from landscape.surfaces import _affine, _examples_last
from landscape.surfaces import _examples_last_rules as _rules

SCALARS = [jax.ShapeDtypeStruct((), jnp.float32)] * 2
AT = jnp.float32(0.75), jnp.float32(-0.5)
N, HIDDEN, CLASSES = 40, 24, 5


def draw(*shape: int) -> Any:
    """Normal numbers, the same for a shape at every call."""
    return jnp.asarray(np.random.default_rng(shape).normal(size=shape), jnp.float32)


def three(*shape: int) -> Any:
    """An origin and two directions."""
    return list(draw(3, *shape))


X, Y = draw(N, 64), jnp.arange(N, dtype=jnp.int32) * 7 % CLASSES
ONE_HOT = jax.nn.one_hot(Y, CLASSES)
FIRST, SECOND = three(64, HIDDEN), three(HIDDEN, CLASSES)


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
    """Raise unless what runs, whether it pays or not, gives what was written, alone and vmapped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_examples_last, "_gain", lambda node, kept: 10**9)
        terms, kept, h = arranged(f)
    assert kept is not terms
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
    first = three(64, CLASSES)
    assert turned(lambda a, b: LOSSES["cross-entropy"](X @ along(first, a, b)))


def test_data_that_nothing_is_hoisted_of_are_turned():
    """Two inputs: products are done in every cell."""
    x, first = draw(N, 2), three(2, HIDDEN)

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


def test_a_surface_of_an_equinox_model(monkeypatch):
    """Its layers are products from the left, vmapped over examples; against a loop over cells."""
    model = eqx.nn.MLP(64, CLASSES, HIDDEN, 1, jnp.tanh, key=jax.random.key(0))

    params, static = eqx.partition(model, eqx.is_array)
    seen = []
    arrange = _examples_last.arrange
    monkeypatch.setattr(_examples_last, "arrange", lambda *a: seen.append(arrange(*a)) or seen[-1])

    def losses(params, batch):
        scores = jax.vmap(eqx.combine(params, static))(batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch[1])

    objective = ls.Objective(losses, (X, Y), params=params)
    plane = ls.Plane(params, ls.random_directions(jax.random.key(1), params, 2, filter_axis=0))
    axis = np.linspace(-1, 1, 5, dtype=np.float32)
    found = ls.evaluate(objective, plane, {name: axis for name in plane.names}, exact=True, progress=False)
    expected = [[float(losses(plane.point((a, b)), (X, Y)).mean()) for b in axis] for a in axis]
    np.testing.assert_allclose(found.risk.values, expected, rtol=1e-5)
    assert seen and all(array.shape[-1] == N for kept, _ in seen for array in kept[:3])


def test_derivatives_in_the_chart_keep_the_rules_of_nonlinearities(monkeypatch):
    """relu'(0) = 0 is relu's own rule: what is differentiated later is not arranged."""
    monkeypatch.setattr(_examples_last, "arrange", lambda *a: pytest.fail("it was arranged"))
    objective = ls.Objective(
        lambda w, x: jax.nn.relu(x @ w["w"])[:, 0],
        np.zeros((9, 64), np.float32),
        params={"w": np.ones((64, 1), np.float32)},
    )
    plane = ls.axes_plane(objective.params, "w[0,0]", "w[1,0]")
    axes = {name: np.linspace(-1, 1, 3, dtype=np.float32) for name in plane.names}
    surface = ls.evaluate(objective, plane, axes, quantities=("slope",), exact=True, progress=False)
    assert not surface.slope.values.any()


CUBE = draw(4, 3, 2)
RULED: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "clamp": (lambda x: jax.lax.clamp(-0.5, x, 0.5), (CUBE,)),
    "select_n": (lambda x: jax.lax.select_n(x.sum() > 0, x, -x), (CUBE,)),
    "add": (lambda x, y: jax.lax.add(x, y), (CUBE, draw(1, 3, 1))),
    "mul": (lambda x: x * x, (CUBE,)),
    "reduce_sum": (lambda x: [x.sum(axis=axes) for axes in (0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2))], (CUBE,)),
    "reduce_max": (lambda x: [x.max(axis=axes) for axes in (0, 1, (0, 2), (1, 2))], (CUBE,)),
    "argmax": (lambda x: [jnp.argmax(x, axis=axis) for axis in (0, 1, 2)], (CUBE,)),
    "argmin": (lambda x: jnp.argmin(x, axis=-1), (draw(5, 3),)),
    "broadcast_in_dim": (
        lambda x: [
            jax.lax.broadcast_in_dim(x, shape, places)
            for shape, places in (((4, 3, 2, 5), (0, 1, 2)), ((6, 4, 3, 2), (1, 2, 3)), ((4, 7, 3, 2), (0, 2, 3)))
        ],
        (CUBE,),
    ),
    "reshape": (lambda x: [x.reshape(shape) for shape in ((4, 6), (4, 1, 6), (4, 2, 3), (12, 2), (24,))], (CUBE,)),
    "squeeze": (lambda x: (jax.lax.squeeze(x, (1,)), jax.lax.squeeze(x, (1, 3))), (draw(4, 1, 3, 1),)),
    "transpose": (lambda x: [jnp.transpose(x, p) for p in ((0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0))], (CUBE,)),
    "dot_general": (
        lambda x, w, cube, many: (
            x @ w,
            w.T @ x.T,
            x @ w[:, 0],
            jnp.tensordot(x, many, ((1,), (0,))),
            jnp.tensordot(cube, draw(3, 2, 5), ((1, 2), (0, 1))),
            jnp.tensordot(draw(5, 2, 3), cube, ((2, 1), (1, 2))),
            jnp.matmul(x, w, precision=("highest", "default")),
            jnp.dot(x, w, preferred_element_type=jnp.float64 if jax.config.jax_enable_x64 else None),
        ),
        (draw(6, 3), draw(3, 2), CUBE, draw(3, 2, 2)),
    ),
    "gather": (
        lambda x, i: (
            jnp.take_along_axis(x, i[:, None], axis=1),
            x[jnp.arange(6), i],
            x.at[jnp.arange(6), i].get(indices_are_sorted=True, unique_indices=True, mode="clip"),
            jnp.take_along_axis(x, i[:, None] + 2, axis=1, mode="fill"),
        ),
        (draw(6, 3), jnp.arange(6) % 3),
    ),
}


@pytest.mark.parametrize("name", RULED)
def test_each_rule(name):
    """Every equation of a program on operands that are kept as its rule wants them gives what it gives as written."""
    f, arguments = RULED[name]
    with jax.default_matmul_precision("highest"):
        program = flatten(f, arguments, GROUPS)
        values, seen = program.constants | dict(zip(program.arguments, arguments, strict=True)), 0
        for node in program.nodes:
            values |= run([node], {v: values[v] for v in node.inputs if is_value(v)})
            kept = [is_value(v) and jnp.ndim(values[v]) > 1 for v in node.inputs]
            rule = _rules.rule(node, kept) if any(kept) else None
            if rule is None:
                continue
            operands = [
                _rules.moved(values[v], True) if wanted and is_value(v) else read(values, v)
                for v, wanted in zip(node.inputs, rule.wants, strict=True)
            ]
            found, expected = _rules.bind(node, rule, operands), values[node.outputs[0]]
            found = _rules.moved(found, False) if rule.gives else found
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
            seen += node.equation.primitive.name == name
        assert seen


def test_a_transposition_to_the_examples_first_is_none_at_all():
    """What is written (3, 2, n), and then (n, 3, 2), is kept as (3, 2, n): as it was."""
    (node,) = flatten(lambda x: jnp.transpose(x, (2, 0, 1)), (CUBE,), GROUPS).nodes
    rule = _rules.turned_back(node)
    assert rule is not None and rule.gives and rule.wants == (False,)
    np.testing.assert_array_equal(_rules.bind(node, rule, [CUBE]), CUBE)
    (other,) = flatten(lambda x: jnp.transpose(x, (1, 2, 0)), (CUBE,), GROUPS).nodes
    assert _rules.turned_back(other) is None


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.reshape(12, 2),  # the examples do not stay together
        lambda x: jax.lax.dot_general(x, x, (((1,), (1,)), ((0,), (0,)))),  # a product for each example
        lambda x: jnp.tensordot(x, x, ((0,), (0,))),  # over the examples
        lambda x: jax.lax.sort(x, dimension=1),
    ],
)
def test_no_rule(f):
    (*_, node) = flatten(f, (CUBE,), GROUPS).nodes
    assert _rules.rule(node, [True] * len(node.inputs)) is None
