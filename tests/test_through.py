"""Lines and planes through parameter sets: they hold them, without distortion; equal and collinear sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close


def sets(dtype: str = "float32", count: int = 3):
    """Parameter sets of one network."""
    return [problems.network(seed, dtype).params for seed in range(count)]


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def test_a_plane_passes_through_all_three(dtype):
    """a = (0, 0), b = (1, 0), c where the plane says that it is; none is off it."""
    a, b, c = sets(dtype)
    plane = ls.plane_through(a, b, c)
    assert plane.names == ("alpha", "beta")
    where = [plane.coordinates(p) for p in (a, b, c)]
    assert_close(where[0][0], np.zeros(2), eps=8, scale=1.0)
    assert_close(where[1][0], np.array([1.0, 0.0]), eps=32, scale=1.0)
    for (coordinates, residual), p in zip(where, (a, b, c), strict=True):
        assert float(residual) < 64 * np.finfo(dtype).eps
        assert_close(flat(plane.point(coordinates)).astype(dtype), flat(p), eps=64, scale=1.0)


def test_distances_are_true():
    """The directions are orthogonal and as long as b − a, so that distances on the picture are distances in params."""
    a, b, c = sets()
    plane = ls.plane_through(a, b, c, names=("x", "y"))
    u, v = map(flat, plane.directions)
    length = np.linalg.norm(flat(b) - flat(a))
    assert_close(np.linalg.norm([u, v], axis=1).astype("f4"), np.full(2, length), eps=16)
    assert abs(u @ v) < 1e-6 * length**2
    (x, y), _ = plane.coordinates(c)
    assert float(y) > 0
    assert_close(jnp.hypot(x, y) * length, np.linalg.norm(flat(c) - flat(a)), eps=32)
    assert_close(jnp.hypot(x - 1, y) * length, np.linalg.norm(flat(c) - flat(b)), eps=32)


def test_a_line_passes_through_both(dtype):
    a, b = sets(dtype, 2)
    line = ls.plane_through(a, b)
    assert line.names == ("alpha",)
    assert_close(flat(line.point([1.0])).astype(dtype), flat(b), eps=4, scale=1.0)
    coordinates, residual = line.coordinates(jax.tree.map(lambda p, q: (p + q) / 2, a, b))
    assert_close(coordinates, np.array([0.5]), eps=16)
    assert float(residual) < 64 * np.finfo(dtype).eps


def test_narrow_and_frozen_leaves():
    """bfloat16 sets are met exactly; what is frozen is that of `a`."""
    draw = np.random.default_rng(0).normal
    a, b, c = ({"w": jnp.asarray(draw(size=9), jnp.bfloat16), "step": jnp.asarray(i)} for i in range(3))
    plane = ls.plane_through(a, b, c)
    assert plane.directions[0]["w"].dtype == jnp.float32 and plane.directions[0]["step"] is None
    for params in (a, b, c):
        point = plane.point(plane.coordinates(params)[0])
        assert point["w"].tolist() == params["w"].tolist() and int(point["step"]) == 0


def test_initial_to_final_is_evaluated():
    """The ends of the line have the risks of the sets."""
    objective = problems.network(0)
    a, b = sets(count=2)
    surface = ls.evaluate(objective, ls.plane_through(a, b, names=("t",)), {"t": [0.0, 0.5, 1.0]})
    assert_close(surface.risk[::2], np.array([objective.risk(a), objective.risk(b)]), eps=16)


A, B = {"w": np.array([1.0, 2.0, 3.0]), "b": 0.5}, {"w": np.array([0.0, 1.0, 5.0]), "b": -1.5}


def between(share: float):
    return jax.tree.map(lambda p, q: p + share * (q - p), A, B)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((A, A), ValueError, "`a` and `b` are equal; give parameter sets that differ"),
        ((A, A, B), ValueError, "`a` and `b` are equal"),
        ((A, B, A), ValueError, "`a` and `c` are equal"),
        ((A, B, B), ValueError, "`b` and `c` are equal"),
        ((A, B, between(1 / 3)), ValueError, r"`a`, `b` and `c` lie on one line: c = a \+ 0.3333·\(b − a\)\. Give a"),
        ((A, B, between(-7.0)), ValueError, r"c = a \+ -7·\(b − a\).*: ls.plane_through\(a, b\)"),
        (
            (A, B | {"w": np.ones(2)}),
            ValueError,
            r"`b` must match `a` leaf for leaf: leaf 'w' is of shape \(2,\), wanted",
        ),
        ((A, B, {"w": A["w"]}), ValueError, r"`c` must match `a` leaf for leaf: leaf 'b', of shape \(\), is missing"),
        ((A, B, B | {"b": np.nan}), ValueError, "`c 'b'` holds 1 of 1 values that are not finite; it is NaN"),
        ((A | {"w": np.array([1.0, np.inf, 0.0])}, B), ValueError, "`a 'w'` holds 1 of 3 values that are not finite"),
        ((A, B | {"b": "x"}), TypeError, "`b` leaf 'b' is a str; give real numbers"),
        (({"w": 1}, {"w": 2.0}), TypeError, "`a` leaf 'w' is 1, a Python int"),
    ],
)
def test_degenerate_sets_are_named(given, error, message):
    with pytest.raises(error, match=message):
        ls.plane_through(*given)


def test_sets_that_are_nearly_on_a_line_are_not_refused():
    """A height of 10⁻⁴ of the distance is geometry, not rounding."""
    c = jax.tree.map(lambda p, off: p + 1e-4 * off, between(0.5), {"w": np.array([0.0, 2.0, 0.0]), "b": 0.0})
    plane = ls.plane_through(A, B, c)
    assert float(plane.coordinates(c)[1]) < 1e-6
    assert 1e-5 < float(plane.coordinates(c)[0][1]) < 1e-3


def test_inside_jit():
    """Traced sets are not looked at."""
    a, b, c = sets()
    there = jax.jit(lambda *given: ls.plane_through(*given).coordinates(given[2])[0])(a, b, c)
    assert_close(there, np.asarray(ls.plane_through(a, b, c).coordinates(c)[0]), eps=64)
