"""`compare_flatness`: known changes, verdicts that hold and that do not, and what rescaling changes."""

import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.analysis.flatness import sign_test
from tests import problems
from tests.closeness import assert_close

KEY, OTHER = jax.random.key(0), jax.random.key(1)
PARAMS = {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)}


def bowl(curvature, params=PARAMS):
    """½c‖θ − θ₀‖² with its minimum at the params."""
    center = params["kernel"]
    return ls.function(lambda p: 0.5 * curvature * jnp.sum(jnp.square(p["kernel"] - center)), params)


def test_the_flatter_of_two_bowls():
    """Filter-normalized directions are orthogonal and as long as θ₀: the change is ½c‖θ₀‖² mean(α² + β²) in all."""
    found = ls.compare_flatness(bowl(1.0), bowl(100.0), key=KEY, radius=0.5, points=7)
    axis = np.linspace(-0.5, 0.5, 7)
    squares = axis[:, None] ** 2 + axis**2
    expected = 0.5 * np.sum(np.square(PARAMS["kernel"])) * squares[squares <= 0.25 + 1e-9].mean()
    np.testing.assert_allclose(found.data.a, np.full(20, expected), rtol=1e-5)
    np.testing.assert_allclose(found.data.b, np.full(20, 100 * expected), rtol=1e-5)
    assert (found.flatter, found.share, found.p_value) == ("a", 1.0, 2 / 2**20)
    text = "a is flatter than b: its risk changes less in 20 of 20 random planes (sign test, p = 1.9e-06)."
    assert str(found).startswith(text) and "up to radius 0.5" in str(found) and "no minimum" not in str(found)
    assert not found.data.a_falls.any() and not found.data.b_falls.any()
    other = ls.compare_flatness(bowl(100.0), bowl(1.0), planes=6, key=KEY, radius=0.5, points=7)
    assert (other.flatter, other.share, other.p_value) == ("b", 0.0, 2 / 2**6)
    assert str(other).startswith("b is flatter than a: its risk changes less in 6 of 6 random planes")


def slope(params):
    """1000 Σθ: falls as much as it rises."""
    return 1000 * jnp.sum(params["kernel"])


def saddle(params):
    """Curvatures of 1000 and −1000 in every filter; the mean over them is 0."""
    away = params["kernel"] - PARAMS["kernel"]
    return 1000 * jnp.sum(jnp.square(away) * jnp.array([1.0, -1.0, 1.0, -1.0])[:, None])


def cliff(params):
    """As high above the params on one side as it is below on the other."""
    return 1000 * jnp.sign(jnp.sum(params["kernel"] - PARAMS["kernel"]))


@pytest.mark.parametrize("steep", [slope, saddle, cliff])
def test_what_cancels_in_the_mean_is_not_flat(steep):
    """A plane's mean of an odd function is 0, and of opposite curvatures nearly so; the risk is far from constant."""
    found = ls.compare_flatness(ls.function(steep, PARAMS), bowl(0.02), key=KEY)
    assert (found.flatter, found.share) == ("b", 0.0)
    assert float(found.data.a.min()) > 100 > float(found.data.b.max())
    falls = int(found.data.a_falls.sum())
    assert falls >= 15 and not found.data.b_falls.any()
    assert f"a is no minimum in {falls} of 20 random planes: its risk falls below that at its params." in str(found)
    assert "b is no minimum" not in str(found)


def test_a_fall_counts_from_the_tolerance_on():
    """The bowl's minimum a little beside the params: in some plane the risk falls, by less than the tolerance."""
    center = PARAMS["kernel"]
    beside = ls.function(lambda p: jnp.sum(jnp.square(p["kernel"] - 0.9 * center)), PARAMS)
    counts = [
        int(ls.compare_flatness(beside, bowl(1.0), key=KEY, points=41, tolerance=t).data.a_falls.sum())
        for t in (1e-4, 0.5)
    ]
    assert counts[0] > 10 and counts[1] == 0


def test_surfaces_of_all_planes_are_kept():
    """For `plot.many_planes`: the dimension `plane` in front, 0 in the middle of the axes."""
    found = ls.compare_flatness(bowl(1.0), bowl(2.0), planes=6, key=KEY, points=5)
    for name, curvature in (("a", 1.0), ("b", 2.0)):
        surface = found.surfaces[name]
        assert surface.risk.dims == ("plane", "alpha", "beta") and surface.risk.shape == (6, 5, 5)
        assert surface.alpha.values.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
        assert (surface.risk[:, 2, 2] == 0).all()
        assert surface.attrs["objective_id"] == bowl(curvature).id == found.data.attrs[f"objective_{name}"]
    assert found.data.a.dims == found.data.b.dims == ("plane",)
    assert found.data.attrs["kind"] == "flatness" and found.data.attrs["radius"] == 1.0


@pytest.mark.parametrize("axis", [None, 0, {"ker*": (np.int64(0), -1), "*": -1}])
def test_a_verdict_is_repeated_with_what_it_says(axis):
    """Key, axes of the filters and whether vectors move are in the attributes, in what JSON holds."""
    options = {"planes": 6, "points": 3, "filter_axis": axis, "zero_vectors": False, "precision": "high"}
    pair = ls.function(slope, PARAMS), bowl(1.0)
    found = ls.compare_flatness(*pair, key=jax.random.key(5), **options)
    said = json.loads(json.dumps(found.data.attrs))
    filters = json.loads(said["filter_axis"])
    if isinstance(filters, dict):
        filters = {name: tuple(axes) if isinstance(axes, list) else axes for name, axes in filters.items()}
    assert filters == axis and said["zero_vectors"] is False and said["precision"] == "high"
    key = jax.random.wrap_key_data(np.array(said["key"], np.uint32))
    again = ls.compare_flatness(*pair, key=key, **options | {"filter_axis": filters})
    assert again.data.identical(found.data)
    assert not again.data.a.equals(ls.compare_flatness(*pair, key=KEY, **options).data.a)


def test_kernels_of_equinox_need_their_axis():
    """As in `random_directions`, to which it is passed on."""
    params = eqx.filter(eqx.nn.Linear(3, 2, key=KEY), eqx.is_inexact_array)
    objective = ls.function(lambda p: jnp.sum(jnp.square(p.weight)), params)
    with pytest.raises(ValueError, match=r"`filter_axis` is not given, and leaf 'weight' .*: pass filter_axis=0"):
        ls.compare_flatness(objective, objective, 6, key=KEY, points=3)
    assert ls.compare_flatness(objective, objective, 6, key=KEY, points=3, filter_axis=0).data.tie.all()


def losses(params, batch):
    """Squared error of a linear model of whatever layout of the inputs."""
    x, y = batch
    return jnp.square(x.reshape(len(x), -1) @ params["kernel"][:, 0] - y)


def test_data_must_be_the_same():
    """Other examples, fewer, or another order are refused; equal copies, and another layout of the inputs, are not."""
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(8, 2, 2)).astype("float32"), generator.normal(size=8).astype("float32")
    objective = ls.Objective(losses, (x, y), params=PARAMS)

    def compare(data):
        return ls.compare_flatness(objective, objective.with_data(data), planes=6, key=KEY, points=3)

    said = r"; compare on the same, such as compare_flatness\(a, b.with_data\(a.data\), key=…\)"
    with pytest.raises(ValueError, match="`a` has 8 examples and `b` 5" + said):
        compare((x[:5], y[:5]))
    different = "`a` and `b` have different data, or the same in another order or other batches"
    for other in ((x + 1, y), (x[::-1].copy(), y[::-1].copy()), ls.Batches([(x[:4], y[:4]), (x[4:], y[4:])])):
        with pytest.raises(ValueError, match=different + said):
            compare(other)
    for same in ((x.copy(), y.copy()), (x.reshape(8, 4), y), (x.reshape(8, 4) + 1, y)):
        compare(same)
    with pytest.raises(ValueError, match="`a` has 8 examples and `b` 5"):
        compare((x[:5].reshape(5, 4), y[:5]))


def test_against_itself_nothing_is_flatter():
    """Ties count for neither."""
    network = problems.network(0)
    found = ls.compare_flatness(network, network, planes=8, key=KEY, points=3)
    assert found.data.a.equals(found.data.b) and found.data.tie.all()
    assert (found.flatter, found.share, found.p_value) == (None, 0.0, 1.0)
    assert str(found).startswith("a and b are equally flat in all of 8 random planes.")


def test_where_it_depends_on_the_plane():
    """Two long valleys across each other: which is steeper depends on where the plane lies."""
    params = {"kernel": jnp.ones((3, 1))}

    def valley(axis):
        return ls.function(lambda p: jnp.square(p["kernel"][axis, 0] - 1.0), params)

    found = ls.compare_flatness(valley(0), valley(1), key=OTHER, points=5)
    assert found.flatter is None and found.p_value > 0.05 and 0.2 < found.share < 0.8
    a, b = found.data.a.to_numpy(), found.data.b.to_numpy()
    assert found.share == np.mean(a < b) and not found.data.tie.any()
    assert str(found).startswith(f"Neither is flatter: a's risk changes less in {int(np.sum(a < b))} of 20 random")
    assert "a picture of one plane shows the plane" in str(found)


def relu_losses(params, batch):
    """Half squared error of a relu network with two layers and a bias."""
    x, y = batch
    hidden = jax.nn.relu(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    return 0.5 * jnp.sum((hidden @ params["second"]["kernel"] - y) ** 2, axis=1)


def test_rescaling_layer_by_layer_changes_nothing():
    """Dinh et al. 2017: the same function with layers times 8 and ⅛; directions of a fixed length see a difference."""
    generator = np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(generator.normal(size=shape), jnp.float32)  # noqa: E731
    params = {"first": {"kernel": draw(3, 5), "bias": draw(5)}, "second": {"kernel": draw(5, 2)}}
    network = ls.Objective(relu_losses, (draw(30, 3), draw(30, 2)), params=params)
    first, second = (
        {name: factor * leaf for name, leaf in params[layer].items()}
        for layer, factor in (("first", 8.0), ("second", 0.125))
    )
    rescaled = network.with_params({"first": first, "second": second})
    assert_close(rescaled.risk(rescaled.params), np.asarray(network.risk(network.params)), eps=8)
    found = ls.compare_flatness(network, rescaled, planes=10, key=KEY, points=5)
    np.testing.assert_allclose(found.data.a, found.data.b, rtol=1e-5)
    assert (found.flatter, found.p_value) == (None, 1.0) and found.data.tie.all()
    fixed = ls.compare_flatness(network, rescaled, planes=10, key=KEY, points=5, normalize="global")
    assert fixed.flatter is not None and not fixed.data.tie.any()


def test_cells_that_are_not_finite_are_infinitely_high():
    """The logarithm of a negative number is no reason to call a minimum flat."""
    params = {"kernel": jnp.ones((2, 1))}
    inside = ls.function(lambda p: -jnp.sum(jnp.log(p["kernel"])), params)
    found = ls.compare_flatness(inside, bowl(1.0, params), planes=6, key=KEY, points=5, radius=2.0)
    assert np.isinf(found.data.a).all() and found.flatter == "b"
    both = ls.compare_flatness(inside, inside, planes=6, key=KEY, points=5, radius=2.0)
    assert both.flatter is None and both.data.tie.all()


def test_compiled_once(compilations):
    """However many planes: other keys compile nothing."""
    network = problems.network(0)
    other = network.with_params(jax.tree.map(lambda leaf: 2 * leaf, network.params))
    ls.compare_flatness(network, other, planes=6, key=KEY, points=3)
    with compilations() as tally:
        ls.compare_flatness(network, other, planes=6, key=OTHER, points=3)
    assert tally.count == 0


def test_the_sign_test():
    """Against the binomial distribution, term by term."""
    assert sign_test(0, 0) == sign_test(3, 3) == sign_test(3, 4) == 1.0
    assert sign_test(0, 6) == sign_test(6, 0) == 2 / 64
    assert sign_test(5, 15) == 2 * sum(math.comb(20, i) for i in range(6)) / 2**20
    assert round(sign_test(5, 15), 4) == 0.0414 and sign_test(6, 14) > 0.05
    assert sign_test(1000, 1200) < 1e-4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"a": PARAMS}, TypeError, r"`a` is a dict; give an Objective: objective.with_params\(trained\)"),
        ({"b": None}, TypeError, "`b` is a NoneType; give an Objective"),
        ({"planes": 5}, ValueError, "`planes` is 5; give at least 6"),
        ({"planes": 6.5}, TypeError, "`planes` is 6.5"),
        ({"points": 4}, ValueError, "`points` is 4; give an odd number"),
        ({"points": 1}, ValueError, "`points` is 1; it must be at least 3"),
        ({"key": 0}, TypeError, r"`key` is an int \(0\), not one random key"),
        ({"radius": 0.0}, ValueError, "`radius` is 0.0; it must be a finite number > 0"),
        ({"tolerance": -1.0}, ValueError, "`tolerance` is -1.0"),
        ({"b": ls.Objective(lambda p, b: p["kernel"][0, :2], np.arange(2), params=PARAMS, reduction="sum")}, ValueError,
         '`a` has reduction="mean" and `b` "sum"; compare two means'),
        ({"a": ls.function(lambda p: jnp.log(-p["kernel"][0, 0] ** 2), PARAMS)}, ValueError,
         "`a` has a risk of nan at its own params"),
    ],
)  # fmt: skip
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        ls.compare_flatness(**({"a": bowl(1.0), "b": bowl(2.0), "key": KEY, "planes": 6, "points": 3} | change))
