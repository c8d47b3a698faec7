"""Planes: points and coordinates as inverses, residuals, dtypes, named entries, frozen leaves, what spans none."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from landscape import _trees
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


@pytest.mark.parametrize("k", [1, 2, 3])
def test_names_are_as_many_as_the_directions(k):
    """alpha, beta and gamma, unless they are given; of more directions one must say."""
    vectors = tuple(np.eye(4)[: k + 1])
    plane = ls.Plane(np.zeros(4), vectors[:k])
    assert plane.names == ("alpha", "beta", "gamma")[:k]
    assert jax.tree.unflatten(*jax.tree.flatten(plane)[::-1]).names == plane.names
    assert ls.Plane(np.zeros(4), vectors[:k], names=list("abc")[:k]).names == tuple("abc")[:k]
    if k == 3:
        with pytest.raises(ValueError, match=r"`names` is \('alpha', 'beta', 'gamma'\) for 4 directions; give each"):
            ls.Plane(np.zeros(4), vectors)


def test_integer_origins_are_refused():
    """A Python number is a slip; an array of integers is frozen."""
    with pytest.raises(
        TypeError, match=r"`origin` leaf 'b' is 0, a Python int; parameters are floating-point: write 0.0 instead of 0"
    ):
        ls.Plane({"w": 0.0, "b": 0}, ({"w": 1.0, "b": 0.0},), names=("a",))


# What is frozen


def frozen_params():
    """A float leaf among integers, booleans and a random key."""
    return {
        "w": jnp.asarray([1.0, 2.0]),
        "step": jnp.asarray(5),
        "mask": np.array([True, False]),
        "rng": jax.random.key(3),
    }


@pytest.mark.parametrize("masked", [True, False], ids=["None in the directions", "the full structure"])
def test_frozen_leaves_stay(masked):
    """Points have them as they are; coordinates ignore them, whatever the directions hold there."""
    params = frozen_params()
    direction = params | {"w": jnp.asarray([0.0, 2.0])}
    plane = ls.Plane(params, (_trees.floating(direction) if masked else direction,), names=("c",))
    assert plane.directions[0]["step"] is plane.directions[0]["rng"] is None
    point = jax.jit(lambda plane, c: plane.point((c,)))(plane, jnp.float32(1.5))
    assert point["w"].tolist() == [1.0, 5.0]
    for name in ("step", "mask", "rng"):
        assert point[name].dtype == params[name].dtype and np.all(point[name] == params[name])
    moved = point | {"step": jnp.asarray(9), "rng": jax.random.key(4)}
    for whole in (moved, _trees.floating(moved)):
        coordinates, residual = plane.coordinates(whole)
        assert coordinates.tolist() == [1.5] and float(residual) == 0.0


def test_charts_print_their_coordinates_and_params():
    """A few leaves of many, and no numbers; users read it in messages."""
    few = ls.axes_plane({"w": 1.0, "b": jnp.ones(2)}, "w", "b[0]")
    assert repr(few) == "Plane(w, b[0])\n  in b: float32[2], w: float32[]"
    assert repr(ls.Polar(few)) == f"Polar(log_scale, angle) of {few!r}"
    assert repr(ls.Boundary(few)) == f"Boundary(threshold, w) of {few!r}"
    many = {f"layer {i}": jnp.ones((50, 50)) for i in range(9)}
    text = repr(ls.Plane(many, (many,), names=("c",)))
    assert text.startswith("Plane(c)\n  in layer 0: float32[50, 50], ") and text.endswith(" and 6 more")
    traced = jax.make_jaxpr(lambda x: repr(ls.Plane({"w": x}, ({"w": x},), names=("c",))) and x)
    assert len(text) < 120 and traced(1.0)


def test_equinox_models_are_planes():
    """The array half of a model, frozen leaves included, and its None leaves."""
    model = (eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0)), jnp.asarray(3))
    params, static = eqx.partition(model, eqx.is_array)
    direction, _ = eqx.partition(jax.tree.map(jnp.ones_like, params), eqx.is_inexact_array)
    plane = ls.Plane(params, (direction,), names=("c",))
    moved, count = eqx.combine(plane.point([0.5]), static)
    assert int(count) == 3
    np.testing.assert_allclose(moved.layers[0].bias, model[0].layers[0].bias + 0.5, rtol=1e-6)
    assert_close(plane.coordinates(plane.point([0.5]))[0], np.array([0.5]), eps=16)


def test_axes_planes_leave_frozen_leaves_alone():
    plane = ls.axes_plane(frozen_params(), "w[1]")
    assert plane.point([7.0])["w"].tolist() == [1.0, 7.0] and int(plane.point([7.0])["step"]) == 5
    with pytest.raises(ValueError, match=r"`names` has 'step', but 'step' is int32 and frozen; name what can move"):
        ls.axes_plane(frozen_params(), "step")
    with pytest.raises(ValueError, match=r"`names` is empty; name the entries to vary, out of w\."):
        ls.axes_plane(frozen_params())


# What spans no plane

ORIGIN = {"w": jnp.zeros(3), "b": jnp.zeros(())}


def along(*w: float, b: float = 0.0) -> dict:
    return {"w": jnp.asarray(w), "b": jnp.asarray(b)}


X, Y = along(1.0, 0.0, 0.0, b=1.0), along(0.0, 2.0, 0.0)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (
            (X, along(0.0, 0.0, 0.0)),
            r"`directions\[1\]` \('v'\) is zero: its coordinate would move nothing. Leave it out",
        ),
        ((X, X), r"`directions\[0\]` \('u'\) and `directions\[1\]` \('v'\) are parallel, \|cos\| = 1.0000000"),
        ((X, along(-0.3, 0.0, 0.0, b=-0.3)), r"`directions\[0\]` \('u'\) and `directions\[1\]` \('v'\) are parallel"),
        ((X, Y, along(0.0, 1.0 / 3, 0.0)), r"`directions\[1\]` \('v'\) and `directions\[2\]` \('t'\) are parallel"),
        (
            (X, Y, along(0.1, 0.7, 0.0, b=0.1)),
            r"`directions\[2\]` \('t'\) is a combination of the directions before it: .* of its norm is left over",
        ),
        (
            (along(1.0, np.nan, 0.0),),
            r"`directions\[0\] 'w'` holds 1 of 3 values that are not finite; the first is NaN, at",
        ),
        (
            (X, along(1.0, 0.0, 0.0, b=np.inf)),
            r"`directions\[1\] 'b'` holds 1 of 1 values that are not finite; it is infin",
        ),
    ],
)
def test_directions_that_span_no_plane(directions, message):
    """Zero, parallel, dependent or not finite: which."""
    with pytest.raises(ValueError, match=message):
        ls.Plane(ORIGIN, directions, names=("u", "v", "t")[: len(directions)])


def test_origins_are_finite():
    with pytest.raises(
        ValueError, match=r"`origin 'w'` holds 2 of 3 values that are not finite; the first is NaN, at ind"
    ):
        ls.Plane(ORIGIN | {"w": jnp.asarray([0.0, np.nan, np.inf])}, (X,), names=("c",))
    with pytest.raises(ValueError, match=r"`origin` holds 1 of 1 values that are not finite; it is NaN"):
        ls.Plane(jnp.asarray(np.nan), (jnp.asarray(1.0),), names=("c",))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_parallel_is_told_from_nearly_parallel(scale, dtype):
    """Rounding of a multiple is parallel, at any scale; an angle of a thousand rounding units is not."""
    u, v = np.random.default_rng(0).normal(size=(2, 500))
    angle = 1e3 * np.finfo(dtype).eps
    params = {"w": jnp.zeros(500, dtype)}

    def plane(second):
        both = ({"w": jnp.asarray(scale * u, dtype)}, {"w": jnp.asarray(second, dtype)})
        return ls.Plane(params, both)

    with pytest.raises(ValueError, match="are parallel"):
        plane(-scale * u / 3)
    assert plane(scale * (u + angle * v)).names == ("alpha", "beta")
    assert plane(1e-4 * scale * v).names == ("alpha", "beta")


def test_rounding_is_that_of_the_stored_numbers():
    """A third of a direction in bfloat16 is off by 10⁻³: the same direction all the same."""
    u = jnp.asarray(np.random.default_rng(0).normal(size=500), jnp.bfloat16)
    with pytest.raises(ValueError, match="are parallel"):
        ls.Plane({"w": jnp.zeros(500, jnp.bfloat16)}, ({"w": u}, {"w": u / 3}))


def test_traced_directions_are_not_looked_at():
    """Inside jit a plane may be built of anything; dependent directions have no coordinates."""

    @jax.jit
    def there(u, v):
        return ls.Plane(ORIGIN, (u, v)).coordinates(along(1.0, 1.0, 0.0, b=1.0))[0]

    assert_close(there(X, Y), np.array([1.0, 0.5]), eps=4)
    for scale in (1.0, -3.0, 1e-3):
        assert np.isnan(there(X, jax.tree.map(lambda leaf, scale=scale: scale * leaf, X))).all()


def test_a_misfit_names_its_leaf_and_not_the_model():
    """One of 200 leaves; three of them at most, and the rest counted; containers where only those differ."""
    origin = {f"layer{i}": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)} for i in range(100)}
    wrong = origin | {"layer7": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(3)}}
    with pytest.raises(ValueError) as caught:
        ls.Plane(origin, (origin, wrong))
    found = "leaf 'layer7/kernel' is of shape (3, 2), wanted of shape (2, 3)."
    assert str(caught.value) == f"`directions[1]` must match `origin` leaf for leaf: {found}"
    few = {name: origin[name] for name in list(origin)[:50]}
    with pytest.raises(ValueError, match=r"leaf 'layer50/bias', of shape \(3,\), is missing; .*; and 97 more\.$"):
        ls.Plane(origin, (few,), names=("c",))
    with pytest.raises(ValueError, match=r"leaf 'more' is not wanted\.$"):
        ls.Plane(origin, (origin | {"more": jnp.ones(1)},), names=("c",))
    with pytest.raises(ValueError, match=r"leaf for leaf: it holds a list where a tuple is wanted\.$"):
        ls.Plane({"w": (1.0, 2.0)}, ({"w": [1.0, 2.0]},), names=("c",))
    with pytest.raises(
        ValueError, match=r"`params` must match `origin` leaf for leaf: leaf 'w' is of shape \(2,\), wanted"
    ):
        ls.Plane(ORIGIN, (X,), names=("c",)).coordinates({"w": jnp.zeros(2), "b": 0.0})


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (
            {"w": 0.0, "f": jnp.tanh},
            r"`origin` leaf 'f' is .*; parameters are numbers or arrays: split a model with equinox",
        ),
        ({"w": jnp.zeros(2, complex)}, "`origin` leaf 'w' is complex64; split it into a real and an imaginary part"),
        ({"w": jnp.zeros(2, int)}, "`origin` has no floating-point leaf, so nothing moves"),
    ],
)
def test_what_an_origin_is(origin, message):
    with pytest.raises(TypeError, match=message):
        ls.Plane(origin, (origin,), names=("c",))


def test_directions_are_numbers():
    with pytest.raises(TypeError, match=r"`directions\[0\]` leaf 'w' is a str; give real numbers"):
        ls.Plane({"w": 0.0}, ({"w": "1"},), names=("c",))
    with pytest.raises(TypeError, match=r"`directions\[0\]` leaf 'w' is of dtype key<fry>; give real numbers"):
        ls.Plane({"w": 0.0}, ({"w": jax.random.key(0)},), names=("c",))
    whole = ls.Plane({"w": jnp.zeros(2)}, ({"w": np.array([0, 2])},), names=("c",))  # integers are numbers too
    assert whole.point([1.5])["w"].tolist() == [0.0, 3.0] and float(whole.coordinates({"w": np.ones(2)})[0][0]) == 0.5


def test_dtypes_of_origin_and_directions_may_differ(x64):
    """Sums run in the origin's wide dtype."""
    for first, second in (("float32", "float64"), ("float64", "float32"), ("bfloat16", "float64")):
        plane = ls.Plane({"w": jnp.ones(3, first)}, ({"w": jnp.asarray([0.0, 1.0, 2.0], second)},), names=("c",))
        point = plane.point([2.0])
        assert point["w"].dtype == first and point["w"].tolist() == [1.0, 3.0, 5.0]
        assert plane.coordinates(point)[0].tolist() == [2.0]


def test_many_leaves_compile_in_seconds():
    """XLA would fuse sums over leaves into every leaf, and compile for minutes at 200 of them (see `_trees.total`)."""
    params = {str(i): jnp.full((3, 2 + i % 3), float(i)) for i in range(60)}
    draw = np.random.default_rng(0).normal
    u, v = (jax.tree.map(lambda leaf: jnp.asarray(draw(size=leaf.shape), leaf.dtype), params) for _ in range(2))
    plane = ls.Plane(params, (u, v))
    coordinates, residual = jax.jit(lambda plane, p: plane.coordinates(p))(plane, plane.point([0.5, -2.0]))
    assert_close(coordinates, np.array([0.5, -2.0]), eps=256)
    assert float(residual) < 1e-3
