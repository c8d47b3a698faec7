"""Charts on paper: JSON round trips, fingerprints, the protocol that users' own charts follow."""

import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape import _trees
from landscape.charts.chart import STORED_UP_TO, chart_id, check_fits, from_json, to_json
from tests import problems

PARAMS = {"w": jnp.zeros(2), "b": jnp.asarray(0.5)}
PLANE = ls.axes_plane(PARAMS, "w[0]", "b")
NARROW = {"w": jnp.asarray([0.1, 1e-3], jnp.bfloat16), "layer": {"kind": jnp.asarray([[1.0]], jnp.float16)}}
FROZEN = {
    "layer": {"w": jnp.asarray(0.5), "step": jnp.asarray(2**31 - 1)},
    "mask": jnp.asarray([True, False]),
    "rng": jax.random.key(5, impl="rbg"),
}


def same(a: ls.Chart, b: ls.Chart) -> bool:
    """Kind, names and every bit of every number."""
    leaves = zip(*(map(_trees.as_numbers, jax.tree.leaves(chart)) for chart in (a, b)), strict=True)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and np.array_equal(x, y) for x, y in leaves
    )


@pytest.mark.parametrize(
    "chart",
    [
        PLANE,
        ls.axes_plane(PARAMS, "b"),
        ls.Plane(NARROW, (jax.tree.map(jnp.ones_like, NARROW),), names=("ε",)),
        ls.Plane(jnp.asarray([1.0, 2.0]), (jnp.asarray([1.0, 1e-30]),), names=("c",)),
        ls.Plane({"kind": 1.0, "w": 2.0}, ({"kind": 0.0, "w": 1.0},), names=("c",)),
        ls.axes_plane(FROZEN, "layer/w"),
        ls.Polar(PLANE),
        ls.Boundary(PLANE),
    ],
    ids=["plane", "line", "narrow nested params", "bare array", "a leaf called kind", "frozen", "polar", "boundary"],
)
def test_json_round_trip(chart):
    """Described as text and rebuilt: bit for bit, hence with the same fingerprint."""
    text = to_json(chart)
    assert json.loads(text)["kind"] == type(chart).__name__
    assert same(from_json(text), chart)
    assert chart_id(from_json(text)) == chart_id(chart)


def test_json_round_trip_in_float64(x64):
    """All seventeen digits."""
    params = {"w": jnp.asarray(1 / 3, jnp.float64)}
    chart = ls.Plane(params, ({"w": jnp.asarray(np.pi, jnp.float64)},), names=("c",))
    assert same(from_json(to_json(chart)), chart)


def test_what_cannot_be_described_is_left_out():
    """Large charts, and params that are no nested dictionaries, are recognized by fingerprint only."""
    large = {"w": jnp.ones(STORED_UP_TO // 2 + 1)}
    assert to_json(ls.Plane(large, (large,), names=("c",))) == ""
    listed, other = [jnp.ones(()), jnp.ones(())], [jnp.ones(()), jnp.zeros(())]
    assert to_json(ls.Plane(listed, (listed,), names=("c",))) == ""
    assert to_json(ls.Polar(ls.Plane(listed, (listed, other), names=("c", "d")))) == ""
    assert len(chart_id(ls.Plane(listed, (listed,), names=("c",)))) == 16


def test_the_fingerprint_is_of_kind_names_and_numbers():
    """A rebuilt chart has the same one; another name, number, dtype or kind another one."""
    again = ls.axes_plane(PARAMS, "w[0]", "b")
    moved = ls.axes_plane(PARAMS | {"w": jnp.asarray([0.0, 1.0])}, "w[0]", "b")
    wider = ls.axes_plane(jax.tree.map(lambda leaf: leaf.astype(jnp.float16), PARAMS), "w[0]", "b")
    renamed = ls.Plane(PLANE.origin, PLANE.directions, names=("u", "v"))
    swapped = ls.axes_plane(PARAMS, "b", "w[0]")
    charts = [PLANE, moved, wider, renamed, swapped, ls.Polar(PLANE), ls.Boundary(PLANE)]
    assert chart_id(again) == chart_id(PLANE)
    assert len({chart_id(chart) for chart in charts}) == len(charts)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Circle:
    """A user's own chart: one coordinate, the angle on a circle of radius r."""

    radius: jax.Array

    @property
    def names(self):
        return ("turn",)

    def point(self, coordinates):
        (turn,) = coordinates
        return {"w": self.radius * jnp.cos(turn), "b": self.radius * jnp.sin(turn)}

    def coordinates(self, params):
        turn = jnp.arctan2(params["b"], params["w"])
        return turn[None], jnp.abs(jnp.hypot(params["w"], params["b"]) - self.radius)


def test_a_users_own_chart_is_measured_and_walked_on():
    """Names, point and coordinates are all it takes: surfaces, slopes and trajectories on it."""
    pair = ls.neuron(*ls.datasets.pair())
    chart = Circle(jnp.asarray(2.0))
    assert isinstance(chart, ls.Chart) and not isinstance(PARAMS, ls.Chart)
    turns = np.linspace(-1, 1, 9)
    surface = ls.evaluate(pair, chart, {"turn": turns}, quantities=("slope",))
    w, b = 2 * np.cos(turns), 2 * np.sin(turns)
    np.testing.assert_allclose(surface.risk, problems.pair_risk(w, b), rtol=1e-6)
    dw, db = problems.pair_gradient(w, b)
    np.testing.assert_allclose(surface.slope[:, 0], w * db - b * dw, atol=1e-6)
    assert surface.attrs["chart"] == "" and len(surface.attrs["chart_id"]) == 16


@ls.register_chart(data=("center", "radius"), static=("names",))
@dataclass(frozen=True)
class Ring:
    """A circle in two entries of a leaf, with a check that traced numbers would fail."""

    center: jax.Array
    radius: float
    names: tuple[str, ...] = ("turn",)

    def __post_init__(self):
        if not self.radius > 0:
            raise ValueError("no circle")

    def point(self, coordinates):
        (turn,) = coordinates
        return {"w": self.center + self.radius * jnp.stack([jnp.cos(turn), jnp.sin(turn)])}

    def coordinates(self, params):
        x, y = params["w"] - self.center
        return jnp.arctan2(y, x)[None], jnp.abs(jnp.hypot(x, y) - self.radius)


def test_a_registered_chart_is_rebuilt_without_its_constructor(compilations):
    """Measured and walked on; another radius is the same code; known by its fingerprint, not stored."""
    bowl = ls.function(lambda p: jnp.sum(jnp.square(p["w"])), {"w": jnp.asarray([3.0, 1.0])})
    turns = np.linspace(-3, 3, 7)
    center = jnp.asarray([1.0, 0.0])
    for radius in (2.0, 0.5):
        with compilations() as tally:
            ring = Ring(center, radius)
            surface = ls.evaluate(bowl, ring, {"turn": turns})
        np.testing.assert_allclose(surface.risk, 1 + radius**2 + 2 * radius * np.cos(turns), rtol=1e-5)
    assert tally.count == 0
    assert surface.attrs["chart"] == "" and surface.attrs["chart_id"] == chart_id(Ring(center, 0.5))
    seen = ls.descend(bowl, optax.sgd(0.1), {"w": np.array([1.0, 2.0], np.float32)}, 2).on(ring)
    assert float(seen.turn[0]) == pytest.approx(np.pi / 2) and float(seen.residual[0]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="no circle"):
        Ring(center, 0.0)


def test_what_can_be_registered():
    @dataclass(frozen=True)
    class Line:
        start: float
        names: tuple[str, ...]

    message = r"`Line` is a dataclass with the fields start, names; register .* data= \(start\) or in static= \(\)"
    with pytest.raises(TypeError, match=message):
        ls.register_chart(data=("start",))(Line)
    with pytest.raises(TypeError, match="`object` is no dataclass; register a frozen dataclass"):
        ls.register_chart(data=())(object)


def test_fingerprints_of_frozen_leaves_and_functions():
    """A key counts; where a function lies in memory does not."""
    chart = ls.axes_plane(FROZEN, "layer/w")
    other = ls.axes_plane(FROZEN | {"rng": jax.random.key(6, impl="rbg")}, "layer/w")
    assert chart_id(chart) == chart_id(ls.axes_plane(FROZEN, "layer/w")) != chart_id(other)

    def chart_of(activation):
        leaf = jax.tree_util.Partial(activation, jnp.asarray(1.0))
        return ls.Plane(leaf, (leaf,), names=("c",))

    def activation(scale):
        return scale

    first = chart_id(chart_of(activation))

    def activation(scale):
        return scale

    assert chart_id(chart_of(activation)) == first


def test_charts_of_other_frozen_leaves_do_not_fit():
    """Which leaf, not the whole model; charts of the same ones do."""
    check_fits("chart", ls.axes_plane(FROZEN, "layer/w"), FROZEN)
    with pytest.raises(
        ValueError, match=r"objective's: leaf 'rng' is key<rbg>\[\], wanted key<fry>\[\]\. Build it from"
    ):
        check_fits("chart", ls.axes_plane(FROZEN, "layer/w"), FROZEN | {"rng": jax.random.key(0)})
    with pytest.raises(ValueError, match=r"objective's: leaf 'mask' is not wanted\. Build it from `objective.params`"):
        check_fits("chart", ls.axes_plane(FROZEN, "layer/w"), {name: FROZEN[name] for name in ("layer", "rng")})


def test_a_fingerprint_is_that_of_the_arrays_now():
    """It is remembered as long as the chart holds the same ones: a dictionary can be changed, NumPy's arrays too."""
    plane = ls.axes_plane({"w": 1.0, "b": 2.0}, "w")
    before = chart_id(plane)
    assert chart_id(plane) == before
    plane.origin["b"] = jnp.asarray(7.0)
    assert chart_id(plane) != before
    changeable = jax.tree.map(np.array, plane)
    first = chart_id(changeable)
    changeable.origin["b"] += 1
    assert chart_id(changeable) != first
