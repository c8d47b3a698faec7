"""`compare_flatness`: known increases, verdicts that hold and that do not, and what rescaling changes."""

import math

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
    """Filter-normalized directions are orthogonal and as long as θ₀: the increase is ½c‖θ₀‖² mean(α² + β²) in all."""
    found = ls.compare_flatness(bowl(1.0), bowl(100.0), key=KEY, radius=0.5, points=7)
    axis = np.linspace(-0.5, 0.5, 7)
    squares = axis[:, None] ** 2 + axis**2
    expected = 0.5 * np.sum(np.square(PARAMS["kernel"])) * squares[squares <= 0.25 + 1e-9].mean()
    np.testing.assert_allclose(found.data.a, np.full(20, expected), rtol=1e-5)
    np.testing.assert_allclose(found.data.b, np.full(20, 100 * expected), rtol=1e-5)
    assert (found.flatter, found.share, found.p_value) == ("a", 1.0, 2 / 2**20)
    text = "a is flatter than b: its risk increases less in 20 of 20 random planes (sign test, p = 1.9e-06)."
    assert str(found).startswith(text) and "up to radius 0.5" in str(found)
    other = ls.compare_flatness(bowl(100.0), bowl(1.0), planes=6, key=KEY, radius=0.5, points=7)
    assert (other.flatter, other.share, other.p_value) == ("b", 0.0, 2 / 2**6)
    assert str(other).startswith("b is flatter than a: its risk increases less in 6 of 6 random planes")


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
    assert str(found).startswith(f"Neither is flatter: a's risk increases less in {int(np.sum(a < b))} of 20 random")
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
