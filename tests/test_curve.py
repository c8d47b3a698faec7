"""Bézier curves and polygonal chains: their formulas, the nearest point, leaves of every kind, what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.interpolate import BPoly

import landscape as ls
from landscape.charts.chart import chart_id, from_json, to_json
from landscape.charts.curve import Bezier, Polygon
from tests import problems
from tests.closeness import assert_close

KINDS = [Bezier, Polygon]
DIM = 6
TS = np.linspace(0, 1, 13)


def corners(seed: int, count: int, dtype: str = "float32") -> np.ndarray:
    """(count, DIM) random points."""
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(dtype)


def tree(row) -> dict:
    """A point as params of several leaves, the last of them of several axes."""
    row = jnp.asarray(row)
    return {"b": row[0], "w": row[1:3], "z": {"kernel": row[3:].reshape(3, 1)}}


def flat(params) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def expected(kind, points: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """(len(ts), DIM) by SciPy and NumPy, in float64."""
    points = points.astype(np.float64)
    if kind is Bezier:
        return BPoly(points[:, None], [0, 1])(ts)
    return np.stack([np.interp(ts, np.linspace(0, 1, len(points)), column) for column in points.T], axis=-1)


def walked(curve, ts) -> np.ndarray:
    """(len(ts), DIM), in one compiled call."""
    points = many(curve, jnp.asarray(ts, np.promote_types(jnp.float32, jax.tree.leaves(curve)[0].dtype)))
    return np.concatenate([np.asarray(leaf).reshape(len(ts), -1) for leaf in jax.tree.leaves(points)], axis=1)


@jax.jit
def many(curve, ts):
    return jax.vmap(lambda t: curve.point((t,)))(ts)


@jax.jit
def compiled(curve, params):
    return curve.coordinates(params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 5])
def test_points_are_those_of_the_formula(kind, count, dtype):
    """Against SciPy's Bernstein polynomials and NumPy's interpolation; both ends bit by bit, in the params' dtype."""
    points = corners(count, count, dtype)
    curve = kind([tree(p) for p in points])
    found = walked(curve, TS)
    assert found.dtype == dtype
    assert_close(found, expected(kind, points, TS), eps=4 * count, scale=np.abs(points).max())
    assert np.array_equal(found[0], points[0]) and np.array_equal(found[-1], points[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_two_points_are_the_line_through_them(kind):
    a, b = map(tree, corners(0, 2))
    assert_close(walked(kind([a, b]), TS), walked(ls.plane_through(a, b), TS), eps=4, scale=2.0)


def test_a_polygon_stands_on_its_corners_and_goes_on_beyond_its_ends():
    points = corners(1, 5)
    chain = Polygon([tree(p) for p in points])
    assert np.array_equal(walked(chain, np.linspace(0, 1, 5)), points)
    assert_close(flat(chain.point([-0.25])), 2 * points[0] - points[1], eps=4, scale=4.0)
    assert_close(flat(chain.point([1.25])), 2 * points[-1] - points[-2], eps=4, scale=4.0)


@pytest.mark.parametrize("kind", KINDS)
@example(seed=0, count=5, t=0.4921875)  # a cell edge before a corner: f′ jumps back to − in the same cell
@given(seed=st.integers(0, 9), count=st.sampled_from([2, 5]), t=problems.reals(0, 1))
def test_a_point_of_the_curve_is_found_again(kind, seed, count, t):
    """t → θ(t) → t, and no residual, to rounding; a curve may cross itself, hence the residual decides."""
    with jax.enable_x64(True):
        curve = kind([tree(p) for p in corners(seed, count, "float64")])
        there = jax.tree.map(lambda leaf: leaf[0], many(curve, jnp.asarray([t])))
        found, residual = compiled(curve, there)
        assert found.shape == (1,) and float(residual) <= 1e-13
        assert float(found[0]) == pytest.approx(t, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 30), count=st.sampled_from([2, 5]), far=st.sampled_from([0.1, 1.0, 30.0]))
def test_no_point_of_the_curve_is_nearer(kind, seed, count, far):
    """Against 4001 points of the curve; 0 ≤ t ≤ 1, also for params far off, in the two precisions."""
    points = corners(seed, count)
    target = (points.mean(0) + far * corners(seed + 1000, 1)[0]).astype(np.float32)
    curve = kind([tree(p) for p in points])
    (t,), residual = compiled(curve, tree(target))
    distances = np.linalg.norm(expected(kind, points, np.linspace(0, 1, 4001)) - target, axis=1)
    assert 0 <= float(t) <= 1
    assert float(residual) <= distances.min() * (1 + 1e-5) + 1e-6
    own = np.linalg.norm(expected(kind, points, np.array([float(t)]))[0] - target)
    assert float(residual) == pytest.approx(own, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_points_known_by_hand(kind):
    """The roof (0, 0), (1, 2), (2, 0): under its ridge, beside its ends, and far to the side, where t stays in [0, 1].

    Straight above the middle the nearest point of both is the middle; from below, both ends are equally near.
    """
    roof = kind([{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 0.0}])
    height = 1.0 if kind is Bezier else 2.0
    for (x, y), (t, residual) in {
        (1.0, 5.0): (0.5, 5.0 - height),
        (-3.0, -4.0): (0.0, 5.0),
        (5.0, -4.0): (1.0, 5.0),
        (1.0, height): (0.5, 0.0),
    }.items():
        found, off = compiled(roof, {"x": x, "y": y})
        assert float(found[0]) == pytest.approx(t, abs=1e-6)
        assert float(off) == pytest.approx(residual, abs=1e-6)
    found, off = compiled(roof, {"x": 1.0, "y": -5.0})
    assert float(found[0]) in (0.0, 1.0) and float(off) == pytest.approx(np.sqrt(26), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_no_square_under_or_overflows(scale):
    points = corners(3, 3) * np.float32(scale)
    curve = Bezier([tree(p) for p in points])
    (t,), residual = compiled(curve, curve.point([0.3]))
    assert float(t) == pytest.approx(0.3, abs=1e-5) and float(residual) < 1e-5 * scale


def test_three_control_points_span_the_plane_of_the_curve():
    a, bend, b = map(tree, corners(4, 3))
    plane, curve = ls.plane_through(a, b, bend), Bezier([a, bend, b])
    residuals = jax.vmap(lambda p: plane.coordinates(p)[1])(many(curve, jnp.asarray(TS, jnp.float32)))
    assert float(residuals.max()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_and_frozen_leaves(kind):
    """bfloat16 stays bfloat16, rounded once; integers and keys are those of the first point."""
    first = {"w": jnp.asarray([1.0, 2.0], jnp.bfloat16), "n": jnp.asarray(3), "rng": jax.random.key(5)}
    last = {"w": jnp.asarray([2.0, -2.0], jnp.bfloat16), "n": jnp.asarray(4), "rng": jax.random.key(6)}
    curve = kind([first, {"w": np.asarray([1.5, 100.0], np.float32), "n": None, "rng": None}, last])
    point = curve.point([0.3])
    points = np.array([[1, 2], [1.5, 100], [2, -2]], np.float32)
    assert point["w"].dtype == jnp.bfloat16 and int(point["n"]) == 3
    assert jax.random.key_data(point["rng"]).tolist() == jax.random.key_data(first["rng"]).tolist()
    assert point["w"].tolist() == jnp.asarray(expected(kind, points, 0.3), jnp.bfloat16).tolist()
    (t,), residual = compiled(curve, point)
    assert t.dtype == jnp.float32 and float(t) == pytest.approx(0.3, abs=0.01) and float(residual) < 0.3
    assert jax.tree.structure(curve.points[1]) == jax.tree.structure(first)


@pytest.mark.parametrize("kind", KINDS)
def test_json_round_trip_and_fingerprint(kind):
    """Stored with a surface bit by bit; another kind, name or number is another chart."""
    points = [tree(p) for p in corners(5, 3)]
    curve = kind(points)
    again = from_json(to_json(curve))
    assert type(again) is kind and again.names == ("t",)
    assert np.array_equal(walked(again, TS), walked(curve, TS))
    other = Bezier if kind is Polygon else Polygon
    charts = [curve, other(points), kind(points, names=("s",)), kind(points[::-1])]
    assert chart_id(again) == chart_id(curve) and len({chart_id(chart) for chart in charts}) == 4
    assert str(curve).startswith(f"{kind.__name__}(t) of 3 points\n  in b: float32[]")


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_and_runs_on_a_curve(kind, compilations):
    """Risk and slope dR/dt at every t; runs are seen on it; a rebuilt curve compiles nothing."""
    pair = ls.neuron(*ls.datasets.pair())
    points = [{"w": 0.0, "b": 1.0}, {"w": 2.0, "b": 3.0}, {"w": 4.0, "b": -1.0}]
    curve = kind(points)
    ts = np.linspace(0.05, 0.95, 9)
    surface = ls.evaluate(pair, curve, {"t": ts}, quantities=("slope",))
    w, b = expected(kind, np.array([[p["w"], p["b"]] for p in points]), ts).T
    assert_close(surface.risk, problems.pair_risk(w, b), eps=16)
    step = 1e-6
    ahead, behind = (expected(kind, np.array([[p["w"], p["b"]] for p in points]), ts + h).T for h in (step, -step))
    slope = (problems.pair_risk(*ahead) - problems.pair_risk(*behind)) / (2 * step)
    inside = np.abs(ts - 0.5) > 0.01  # the chain has a corner there
    np.testing.assert_allclose(surface.slope[inside, 0], slope[inside], atol=2e-6)
    run = ls.trajectory(pair, [curve.point([t]) for t in ts])
    seen = run.on(surface)
    np.testing.assert_allclose(seen.t, ts, atol=1e-6)
    assert float(seen.residual.max()) < 1e-6
    with compilations() as tally:
        ls.evaluate(pair, kind([{"w": 1.0, "b": 1.0}, *points[1:]]), {"t": ts}, quantities=("slope",))
    assert tally.count == 0


def test_nan_is_not_mistaken_for_an_end():
    curve = Bezier([tree(p) for p in corners(6, 3)])
    (t,), residual = compiled(curve, tree(np.full(DIM, np.nan, np.float32)))
    assert np.isnan(float(t)) and np.isnan(float(residual))


ZERO, ONE = {"w": 0.0, "b": 0.0}, {"w": 1.0, "b": 0.0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("points", "names", "error", "message"),
    [
        (ZERO, ("t",), TypeError, r"`points` is a dict; give a list of params: "),
        ([ZERO], ("t",), ValueError, r"`points` holds 1 of them; a curve has 2 or more "),
        ([ZERO, {"w": jnp.ones(2), "b": 0.0}], ("t",), ValueError, r"`points\[1\]` must match `points\[0\]` leaf"),
        ([ZERO, {"w": 1.0}], ("t",), ValueError, r"`points\[1\]` must match .* leaf 'b', of shape \(\), is missing"),
        ([ZERO, {"w": 1, "b": "x"}], ("t",), TypeError, r"`points\[1\]` leaf 'b' is a str; give real numbers"),
        ([{"w": 1, "b": 0.0}, ONE], ("t",), TypeError, r"`points\[0\]` leaf 'w' is 1, a Python int"),
        (
            [ZERO, {"w": np.nan, "b": 0.0}],
            ("t",),
            ValueError,
            r"`points\[1\] 'w'` holds 1 of 1 values .* finite params",
        ),
        ([ZERO, ONE], "t", TypeError, r"`names` is 't'; give a tuple with the coordinate's name, \('t',\)"),
        ([ZERO, ONE], ("s", "t"), ValueError, r"`names` is \('s', 't'\); a curve has one coordinate"),
        ([ZERO, ZERO], ("t",), ValueError, r"equal, so that the .* goes nowhere"),
    ],
)
def test_bad_points_are_named(kind, points, names, error, message):
    with pytest.raises(error, match=message):
        kind(points, names)


def test_equal_points_and_other_params_are_refused():
    with pytest.raises(ValueError, match=r"`points\[1\]` and `points\[2\]` are equal, .* leave one out"):
        Polygon([ZERO, ONE, ONE])
    assert len(Bezier([ZERO, ONE, ONE]).points) == 3  # a double control point is none the worse
    with pytest.raises(ValueError, match=r"`params` must match `points\[0\]` leaf for leaf: leaf 'w' is of shape"):
        Bezier([ZERO, ONE]).coordinates({"w": jnp.ones(3), "b": 0.0})
    with pytest.raises(ValueError, match=r"`coordinates` has 2 numbers; give 1"):
        Bezier([ZERO, ONE]).point([0.0, 1.0])
