"""Planes: points and coordinates as inverses, off-plane residuals, dtypes, named entries, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from tests import problems
from tests.closeness import assert_close

coordinate = problems.reals(-5, 5, width=32)


def random_plane(seed: int, k: int, dtype: str = "float32") -> tuple[ls.Plane, np.ndarray, np.ndarray]:
    """A plane in network params with k random directions, and the flat origin (p,) and directions (k, p) behind it."""
    params = problems.network(seed, dtype).params
    generator = np.random.default_rng(seed + 100)
    directions = tuple(
        jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), dtype), params) for _ in range(k)
    )
    return (
        ls.Plane(params, directions, names=("a", "b", "c")[:k]),
        flat(params),
        np.stack([flat(d) for d in directions]),
    )


def flat(tree) -> np.ndarray:
    """The entries in the order of the leaves, float64."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_points_are_origin_plus_multiples_and_come_back(k, dtype):
    """θ(c) by its formula, in the origin's dtype; coordinates(θ(c)) = c with no residual."""
    plane, origin, directions = random_plane(0, k, dtype)
    wanted = np.array([0.75, -1.5, 2.25])[:k]
    point = plane.point(jnp.asarray(wanted, dtype))
    assert_close(flat(point).astype(dtype), origin + wanted @ directions, eps=4, scale=4.0)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(point))
    found, residual = plane.coordinates(point)
    assert found.shape == (k,)
    assert_close(found, wanted, eps=64, scale=1.0)
    assert float(residual) < 64 * np.finfo(dtype).eps


@pytest.mark.parametrize("k", [1, 2, 3])
def test_points_off_the_plane_are_projected(k, x64):
    """Least squares and the distance left over, against NumPy, for skew directions of unequal length."""
    plane, origin, directions = random_plane(1, k, "float64")
    off = problems.network(9, "float64").params
    expected, *_ = np.linalg.lstsq(directions.T, flat(off) - origin)
    found, residual = plane.coordinates(off)
    assert_close(found, expected, eps=1e3, scale=1.0)
    assert_close(residual, np.linalg.norm(flat(off) - origin - expected @ directions), eps=64)


@given(c=st.lists(coordinate, min_size=2, max_size=2), away=coordinate)
def test_moving_off_orthogonally_moves_no_coordinate(c, away):
    """On an axes plane the residual is exactly the distance along the entries that are not varied."""
    params = {"w": jnp.zeros(3, jnp.float32), "b": jnp.zeros((), jnp.float32)}
    plane = ls.axes_plane(params, "w[0]", "b")
    moved = {"w": jnp.asarray([c[0], away, 0.0], jnp.float32), "b": jnp.float32(c[1])}
    found, residual = plane.coordinates(moved)
    assert found.tolist() == c
    assert_close(residual, np.abs(away), eps=2)


def test_narrow_params_are_moved_in_float32_and_rounded_once():
    """bfloat16: origin + c·d is rounded at the end, not at every product and sum."""
    origin = {"w": jnp.asarray([1.0, 100.0], jnp.bfloat16), "b": jnp.asarray(0.5, jnp.float32)}
    direction = {"w": jnp.asarray([1.0, 1.0], jnp.bfloat16), "b": jnp.asarray(1.0, jnp.float32)}
    other = {"w": jnp.asarray([1.0, -1.0], jnp.bfloat16), "b": jnp.asarray(1.0, jnp.float32)}
    plane = ls.Plane(origin, (direction, other), names=("a", "b"))
    point = plane.point([jnp.float32(0.3), jnp.float32(0.01)])
    exact = np.float32(0.3) + np.array([1.01, 99.99], np.float32)
    assert point["w"].dtype == jnp.bfloat16
    assert point["w"].tolist() == jnp.asarray(exact).astype(jnp.bfloat16).tolist()
    assert point["b"].dtype == jnp.float32
    coordinates, residual = plane.coordinates(origin)
    assert coordinates.dtype == residual.dtype == jnp.float32


def test_a_plane_is_a_pytree_that_jit_rebuilds():
    """Traced arrays, static names; vmap over points."""
    plane, origin, directions = random_plane(2, 2)
    corners = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = jax.jit(lambda plane, c: jax.vmap(plane.point)(c))(plane, corners)
    assert_close(flat(jax.tree.map(lambda leaf: leaf[1], points)).astype("f4"), origin + directions[0], scale=1.0)
    assert len(jax.tree.leaves(plane)) == 3 * 4
    assert jax.tree.unflatten(jax.tree.structure(plane), jax.tree.leaves(plane)).names == plane.names


def test_plain_numbers_may_build_a_plane():
    """{"w": 1.0} is as good as an array."""
    plane = ls.Plane({"w": 1.0, "b": 0.0}, ({"w": 2.0, "b": 0.5},), names=("c",))
    assert {k: float(v) for k, v in plane.point([3.0]).items()} == {"w": 7.0, "b": 1.5}


@pytest.mark.parametrize(
    ("names", "point"),
    [
        (("b",), {"b": 5.0, "layer": {"kernel": [[1.0, 2.0], [3.0, 4.0]]}}),
        (("layer/kernel[0, 1]",), {"b": 9.0, "layer": {"kernel": [[1.0, 5.0], [3.0, 4.0]]}}),
        (("layer/kernel[1,1]", "b"), {"b": 6.0, "layer": {"kernel": [[1.0, 2.0], [3.0, 5.0]]}}),
        (
            ("layer/kernel[1, 1]", "b", "layer/kernel[0,0]"),
            {"b": 6.0, "layer": {"kernel": [[7.0, 2.0], [3.0, 5.0]]}},
        ),
    ],
)
def test_axes_plane_varies_the_named_entries(names, point):
    """Coordinates are the entries' values; all others keep theirs; the names stay as given."""
    params = {"layer": {"kernel": jnp.asarray([[1.0, 2.0], [3.0, 4.0]])}, "b": jnp.asarray(9.0)}
    plane = ls.axes_plane(params, *names)
    assert plane.names == names
    moved = plane.point([5.0, 6.0, 7.0][: len(names)])
    assert jax.tree.map(lambda leaf: leaf.tolist(), moved) == point


def test_axes_plane_of_a_bare_vector():
    """Params that are one array have an empty path: "[0]" names an entry."""
    plane = ls.axes_plane(jnp.asarray([1.0, 2.0]), "[1]")
    assert plane.point([7.0]).tolist() == [1.0, 7.0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "`names` is empty; name the entries to vary, out of b, w"),
        (("v",), r"`names` has 'v', which is no entry of the params \(b, w\)"),
        (("w",), r"`names` has 'w', but 'w' has shape \(3,\); name one entry of it, such as 'w\[0\]'"),
        (("w[3]",), r"`names` has 'w\[3\]', but 'w' has shape \(3,\)"),
        (("w[0, 0]",), r"`names` has 'w\[0, 0\]', but 'w' has shape \(3,\)"),
        (("b[0]",), r"`names` has 'b\[0\]', but 'b' has shape \(\); name one entry of it, such as 'b'"),
        (("w[-1]",), r"`names` has 'w\[-1\]', which is no entry"),
        (("b", "b"), r"`names` is \('b', 'b'\) for 2 directions; give each direction a name of its own"),
    ],
)
def test_axes_plane_refuses(names, message):
    with pytest.raises(ValueError, match=message):
        ls.axes_plane({"w": jnp.zeros(3), "b": jnp.zeros(())}, *names)


@pytest.mark.parametrize(
    ("directions", "names", "error", "message"),
    [
        (({"w": 1.0, "b": 0.0},), ("a", "b"), ValueError, r"`names` is \('a', 'b'\) for 1 directions"),
        ((), (), ValueError, r"`names` is \(\) for 0 directions"),
        (
            ({"w": 1.0},),
            ("a",),
            ValueError,
            r"`directions\[0\]` must match `origin` leaf for leaf: leaf 'b', of shape \(\), is missing\.$",
        ),
        (
            ({"w": np.ones(2), "b": 0.0},),
            ("a",),
            ValueError,
            r"`directions\[0\]` must match `origin` leaf for leaf: leaf 'w' is of shape \(2,\), wanted of shape \(\)",
        ),
    ],
)
def test_directions_must_fit(directions, names, error, message):
    with pytest.raises(error, match=message):
        ls.Plane({"w": 0.0, "b": 0.0}, directions, names=names)


def test_integer_origins_are_refused():
    """A Python number is a slip; an array of integers is frozen."""
    with pytest.raises(
        TypeError, match=r"`origin` leaf 'b' is 0, a Python int; parameters are floating-point: write 0.0 instead of 0"
    ):
        ls.Plane({"w": 0.0, "b": 0}, ({"w": 1.0, "b": 0.0},), names=("a",))
