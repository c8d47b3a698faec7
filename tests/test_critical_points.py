"""`critical_points`: known censuses, what runs away, what is degenerate, and what is refused.

Every shape of the data and every size of a call, 2ᵏ starts, takes some seconds to compile, in each precision: tests
of one model share them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

import landscape as ls
from landscape.minima.critical_points.critical_points import critical_points

KEY = jax.random.key(0)


def auer(dtype="float32", units=1, **options):
    x, y = units * np.array([1, 30], dtype), np.array([0.9, 0.1], dtype)
    return ls.neuron(x, y, loss="half_squared_error", bias=False, reduction="sum", **options)


def kinds(found):
    return [str(kind) for kind in found.data.kind.to_numpy()]


def counted(found):
    """Every start once: at a point, or not."""
    given = found.data.attrs
    assert given["converged"] == int(found.data["count"].sum())
    assert given["starts"] == sum(given[name] for name in ("converged", "escaped", "on_kinks", "not_converged"))
    return given


def test_one_weight_of_auer(x64):
    """Two minima and the maximum between them, which a dense scan of the slope finds too."""
    found = critical_points(auer("float64"), {"w": np.linspace(-4, 4, 101)})
    assert kinds(found) == ["minimum", "minimum", "maximum"] and found.data.certified.all()
    np.testing.assert_allclose(found.params["w"][:2], [-0.06321, 2.19723], atol=1e-5)
    np.testing.assert_allclose(found.data.objective[:2], [0.0869, 0.4050], atol=5e-5)
    np.testing.assert_allclose(found.data.objective, found.data.risk)
    assert found.data.residual.max() < 1e-14 and found.data.radius.max() < 1e-12
    assert found.data.radius.dims == ("point", "parameter")
    given = counted(found)
    assert given["starts"] == 101 and given["escaped"] > 0 and given["not_converged"] == 0
    assert "2 minima, 1 maximum from 101 starts" in str(found) and "certified" in str(found)


def test_float32_objectives_and_other_data_compile_nothing(compilations):
    starts = {"w": np.linspace(-4, 4, 101, dtype="float32")}
    narrow = critical_points(auer(), starts)
    assert narrow.params["w"].dtype == np.float64 and narrow.data.certified.all()
    with jax.enable_x64(True):
        x, y = np.array([1, 30.0]), np.array([0.9, 0.1], "float32").astype(float)  # the same numbers
        wide = critical_points(
            ls.neuron(x, y, loss="half_squared_error", bias=False, reduction="sum"), {"w": np.linspace(-4, 4, 101)}
        )
    np.testing.assert_allclose(narrow.params["w"], wide.params["w"], rtol=1e-13)
    np.testing.assert_array_equal(narrow.data.objective, wide.data.objective)
    other = ls.neuron(
        np.float32([1, 20]), np.float32([0.8, 0.1]), loss="half_squared_error", bias=False, reduction="sum"
    )
    critical_points(auer(penalty=ls.l2(1e-3)), starts)
    with compilations() as tally:
        again = critical_points(other.with_penalty(ls.l2(1e-4)), starts)
    assert tally.count <= 1  # of starts that are left over, padded to another size
    assert len(again.data.point) > 0


def test_two_weights_of_auer(x64):
    """An instance on each axis: points are pairs of one-dimensional ones."""
    x, y = np.array([[1.0, 0], [30, 0], [0, 1], [0, 30]]), np.array([0.9, 0.1, 0.9, 0.1])
    objective = ls.neuron(x, y, loss="half_squared_error", bias=False, reduction="sum")
    axis = np.concatenate([np.linspace(-0.15, 0.3, 16), np.linspace(1.0, 3.0, 8)])
    found = critical_points(objective, {"w": np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)})
    assert sorted(kinds(found)) == ["maximum"] + 4 * ["minimum"] + 4 * ["saddle"]
    assert found.data.certified.all() and found.params["w"].shape == (9, 2)
    one = critical_points(auer("float64"), {"w": np.linspace(-4, 4, 101)})
    pairs = np.add.outer(one.data.objective.to_numpy(), one.data.objective.to_numpy())
    np.testing.assert_allclose(found.data.objective, np.sort(pairs.ravel()), rtol=1e-12)
    np.testing.assert_array_equal(found.data["index"], (found.data.eigenvalues < 0).sum("eigenvalue"))
    counted(found)


def test_the_o_rings_have_one_minimum():
    found = critical_points(ls.neuron(*ls.datasets.o_rings()), key=KEY, box={"w": (-1, 1), "b": (-40, 40)})
    assert kinds(found) == ["minimum"] and bool(found.data.certified[0])
    np.testing.assert_allclose([found.params["w"][0], found.params["b"][0]], [-0.23216274, 15.04290165], atol=5e-9)
    np.testing.assert_allclose(found.data.objective, 0.44163462364927888, rtol=1e-14)
    assert counted(found)["converged"] > 900


def test_the_pair_escapes_unless_penalized(x64):
    pair = ls.neuron(*(np.tile(part, 2) for part in ls.datasets.pair()))  # the same J, of as many examples as below
    away = critical_points(pair, key=KEY, num_starts=60)
    assert counted(away)["escaped"] == 60 and len(away.data.point) == 0 and away.params["w"].shape == (0,)
    assert "No critical points from 60 starts" in str(away)
    assert np.all(away.directions["w"] > np.abs(away.directions["b"])), "inside the cone that separates"
    np.testing.assert_allclose(np.hypot(away.directions["w"], away.directions["b"]), 1)
    assert float(away.escapes.objective.max()) < 1e-6
    found = critical_points(pair.with_penalty(ls.l2(0.1)), key=KEY, num_starts=60)
    assert kinds(found) == ["minimum"] and bool(found.data.certified[0]) and counted(found)["converged"] == 60
    np.testing.assert_allclose(found.params["w"], 1.177505264154, rtol=1e-12)
    np.testing.assert_allclose(found.params["b"], 0, atol=1e-15)
    np.testing.assert_allclose(found.data.objective, 0.407186495474, rtol=1e-11)
    np.testing.assert_allclose(found.data.risk, 0.268534630763, rtol=1e-11)


def test_saturated_starts_are_no_critical_points(x64):
    """From |z| = 745 on the gradient of a saturated unit is 0 to the last bit, and so is its Hessian."""
    found = critical_points(auer("float64"), {"w": np.repeat([-2000.0, -40.0, 800.0, 5000.0], 25)})
    assert counted(found)["escaped"] == 100 and len(found.data.point) == 0


HYPERBOLA = ls.function(lambda p: 0.5 * (p["a"] * p["b"] - 1) ** 2, {"a": 0.0, "b": 0.0})


def test_a_flat_valley_and_a_saddle():
    found = critical_points(HYPERBOLA, key=KEY, num_starts=300)
    assert counted(found)["converged"] == 300 and kinds(found)[-1] == "saddle"
    assert set(kinds(found)[:-1]) == {"degenerate"} and 2 <= len(found.data.point) - 1 <= 5
    np.testing.assert_array_equal(found.data.null, [1] * (len(found.data.point) - 1) + [0])
    np.testing.assert_allclose((found.params["a"] * found.params["b"])[:-1], 1)
    np.testing.assert_allclose([found.params["a"][-1], found.params["b"][-1]], 0, atol=1e-12)
    assert int(found.data["count"][:-1].sum()) > 100 and not found.data.certified.any()


def quadratic_losses(params, batch):
    """½(θ − 1)ᵀdiag(h)(θ − 1), h the one example."""
    return 0.5 * jnp.sum(batch[0] * jnp.square(params["u"] - 1)[None], axis=-1)


@pytest.mark.parametrize("signature", [(1, 2, 3), (-1, 2, 3), (-1, -2, 3), (-1, -2, -3), (-1, 0, 3), (0, 0, 0)])
def test_quadratics_have_their_signature(signature):
    objective = ls.Objective(quadratic_losses, (jnp.float32([signature]),), params={"u": jnp.zeros(3)})
    found = critical_points(objective, key=KEY, num_starts=16)
    null, index = signature.count(0), sum(v < 0 for v in signature)
    kind = "degenerate" if null else {0: "minimum", 3: "maximum"}.get(index, "saddle")
    assert set(kinds(found)) == {kind} and counted(found)["converged"] == 16
    assert len(found.data.point) == 1 or null
    assert set(found.data["index"].values) == {index} and set(found.data.null.values) == {null}
    np.testing.assert_allclose(found.data.eigenvalues[0], sorted(signature), atol=1e-12)
    moved = np.array(signature) != 0
    np.testing.assert_allclose(found.params["u"][:, moved], 1, rtol=1e-12)


def well(p):
    return p["x"] ** 4 / 4 - p["x"] ** 2 / 2 + p["y"] ** 2


def test_a_double_well_and_its_symmetry():
    objective = ls.function(well, {"x": 0.0, "y": 0.0})
    found = critical_points(objective, key=KEY, num_starts=100)
    assert kinds(found) == ["minimum", "minimum", "saddle"]
    np.testing.assert_allclose(found.params["x"], [-1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found.params["y"], 0, atol=1e-12)
    np.testing.assert_allclose(found.data.eigenvalues, [[2, 2], [2, 2], [-1, 2]], atol=1e-9)
    merged = critical_points(objective, key=KEY, num_starts=100, symmetry=lambda p: {"x": np.abs(p["x"]), "y": p["y"]})
    np.testing.assert_allclose(merged.params["x"], [1, 0], atol=1e-12)
    np.testing.assert_array_equal(merged.data["count"], [int(found.data["count"][:2].sum()), found.data["count"][2]])
    with pytest.raises(ValueError, match="`symmetry` changes the objective: it leads from a critical point of"):
        critical_points(objective, key=KEY, num_starts=100, symmetry=lambda p: {"x": p["x"] + 3, "y": p["y"]})
    with pytest.raises(ValueError, match="`symmetry` must return params like those it is given"):
        critical_points(objective, key=KEY, num_starts=100, symmetry=lambda p: p["x"])


def test_a_minimum_whose_hessian_vanishes():
    found = critical_points(ls.function(lambda x: (x - 1) ** 4, 0.0), np.linspace(-3, 4, 8)[:, None].ravel())
    assert set(kinds(found)) == {"degenerate"} and counted(found)["converged"] == 8
    np.testing.assert_allclose(found.params, 1, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_a_kink_is_no_minimum(bias, x64):
    """J of a relu with l2 falls from w = 0 on, and JAX's slope there is 0."""
    options = {"loss": "half_squared_error", "activation": "relu", "bias": bias, "penalty": ls.l2(0.01)}
    objective = ls.neuron([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], **options)
    starts = {"w": np.linspace(-3, 3, 41)} | ({"b": np.linspace(-1, 1, 41)} if bias else {})
    found = critical_points(objective, starts)
    assert kinds(found) == ["minimum"] and counted(found)["on_kinks"] > 0 and "ended on a kink" in str(found)
    assert float(found.params["w"][0]) > 0.5


def test_a_kink_of_a_function_of_one_s_own(x64):
    function = ls.function(lambda p: (jax.nn.relu(p["x"]) - 1) ** 2 + 0.1 * p["x"] ** 2, {"x": 0.0})
    found = critical_points(function, {"x": np.linspace(-2, 2, 21)})
    assert kinds(found) == ["minimum"] and float(found.params["x"][0]) == pytest.approx(1 / 1.1)


def test_partitioned_models_have_leaves_that_are_none(x64):
    params = {"w": jnp.array([0.5, -0.5]), "activation": None, "b": jnp.array(0.1)}
    objective = ls.Objective(
        lambda p, batch: (jnp.tanh(batch[0] @ p["w"] + p["b"]) - batch[1]) ** 2,
        (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, -0.2])),
        params=params,
        penalty=ls.l2(0.01),
    )
    found = critical_points(objective, key=KEY, num_starts=20)
    assert kinds(found).count("minimum") == 1 and found.params["activation"] is None
    again = critical_points(objective, jax.tree.map(lambda leaf: np.resize(leaf, (20, *leaf.shape[1:])), found.params))
    np.testing.assert_allclose(again.data.objective, found.data.objective)


def test_a_dead_relu_is_degenerate(x64):
    relu = ls.neuron([1.0, 2.0, 3.0], [2.0, 4.0, 7.0], bias=False, loss="half_squared_error",
                     activation="relu")  # fmt: skip
    found = critical_points(relu, {"w": np.linspace(-5, 5, 40)})
    assert kinds(found)[0] == "minimum" and set(kinds(found)[1:]) == {"degenerate"}
    np.testing.assert_allclose(found.params["w"][0], 31 / 14, rtol=1e-12)
    assert found.data["count"].values.tolist()[0] == 20 == int(found.data["count"][1:].sum())
    assert np.all(found.params["w"][1:] < 0) and len(found.data.point) <= 6 and counted(found)["converged"] == 40


@pytest.mark.parametrize("offset", [0.0, 1e2, 2000.0, 1e4, 1e5])
def test_features_far_from_zero(offset, x64):
    """A strictly convex J has one minimizer wherever its features lie: the slope is that of centered ones."""
    x, y = offset + np.array([-1.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    found = critical_points(ls.neuron(x, y), key=KEY, num_starts=40)
    assert kinds(found) == ["minimum"] and found.data.certified.all()
    np.testing.assert_allclose(found.data.objective, 0.5013430274622772, rtol=1e-9)
    np.testing.assert_allclose(found.params["w"], 1.46586925, rtol=1e-8)
    assert counted(found)["converged"] >= 30 and found.data.sizes["parameter"] == 2


@pytest.mark.parametrize("offset", [1e8, 1e12, 1e20])
def test_no_point_is_made_up_where_rounding_decides(offset, x64):
    x, y = offset + np.array([-1.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    found = critical_points(ls.neuron(x, y), key=KEY, num_starts=40)
    counted(found)
    for point in range(found.data.sizes["point"]):  # at 1e20 the features are equal, and every w has its b
        assert found.data.objective[point] == pytest.approx(0.50134303 if offset < 1e20 else np.log(2), rel=1e-6)


def test_a_function_of_ill_condition_makes_up_no_points(x64):
    """Without `structure` nothing says how to change coordinates."""
    x, y = 1e4 + np.array([-1.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    bare = ls.neuron(x, y)
    bare = ls.Objective(bare.losses, bare.data, params=bare.params)
    assert bare.structure is None
    for value in critical_points(bare, key=KEY, num_starts=40).data.objective.values:
        assert value == pytest.approx(0.50134303, rel=1e-8)


@pytest.mark.parametrize("power", [-20, 7, 30])
def test_units_of_the_features_change_nothing(power, x64):
    """A power of two rounds nothing: with the starts of the same outputs the points are the same."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=6), rng.random(6)
    starts = {"w": 3 * rng.normal(size=80), "b": 3 * rng.normal(size=80)}
    options = {"loss": "half_squared_error", "activation": "tanh"}
    found = critical_points(ls.neuron(x, y, **options), starts)
    units = 2.0**power
    again = critical_points(ls.neuron(units * x, y, **options), {"w": starts["w"] / units, "b": starts["b"]})
    assert kinds(found) == kinds(again) and len(kinds(found)) > 0
    np.testing.assert_allclose(again.params["w"] * units, found.params["w"], rtol=1e-9)
    np.testing.assert_array_equal(again.data["count"], found.data["count"])
    np.testing.assert_array_equal(again.data.certified, found.data.certified)


@pytest.mark.parametrize("factor", [1e6, 1e15])
def test_units_saturated_at_any_z_have_escaped(factor, x64):
    found = critical_points(auer("float64", units=factor), key=KEY, num_starts=100)
    assert kinds(found) == [] and counted(found)["escaped"] == 100


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_certified_points_are_zeros(seed):
    """SciPy, started from each, stays."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=6), rng.random(6)
    with jax.enable_x64(True):
        objective = ls.neuron(x, y, loss="half_squared_error", activation="tanh", penalty=ls.l2(0.001))
        found = critical_points(objective, key=KEY, num_starts=128)
    rows = np.stack([x, np.ones(6)], axis=1)

    def gradient(theta):
        f = np.tanh(rows @ theta)
        return ((f - y) * (1 - f**2)) @ rows / 6 + 0.002 * theta

    counted(found)
    points = np.stack([found.params["w"], found.params["b"]], axis=1)[found.data.certified.values]
    assert len(points) > 0 and (found.data.kind == "minimum").any()
    for point in points:
        again = root(gradient, point, tol=1e-14).x
        np.testing.assert_allclose(again, point, rtol=1e-10, atol=1e-10)


def test_indices_tell_of_points_that_no_start_reached(x64):
    """Of a J that grows in all directions their signs add up to 1: between two minima there is a saddle."""
    rng = np.random.default_rng(11)
    x, y = 3 * rng.normal(size=6), rng.random(6)
    objective = ls.neuron(x, y, loss="half_squared_error", activation="tanh", penalty=ls.l2(1e-5))
    found = critical_points(objective, key=KEY, num_starts=128, box=(-20, 20))
    assert kinds(found) == ["minimum", "minimum"] and found.data.attrs["missing"] == 1
    assert "At least 1 more exist" in str(found)
    a, b = (np.array([found.params[name][i] for name in ("w", "b")]) for i in (0, 1))
    between = a + np.linspace(0, 1, 101)[:, None] * (b - a)
    again = critical_points(objective, {"w": between[:, 0], "b": between[:, 1]})
    assert sorted(kinds(again)) == ["minimum", "minimum", "saddle"] and again.data.attrs["missing"] == 0
    assert "more exist" not in str(again)
    assert "missing" not in critical_points(objective.with_penalty(None), key=KEY, num_starts=128).data.attrs
    assert "missing" not in critical_points(objective, key=KEY, num_starts=128, certify=False).data.attrs


def test_points_of_several_objectives_join(x64):
    found = [
        critical_points(auer("float64", penalty=ls.l2(s)), {"w": np.linspace(-4, 4, 101)}).data for s in (1e-4, 1e-3)
    ]
    joined = xarray.concat(found, "strength", join="outer", combine_attrs="drop")
    assert joined.coefficient.sizes == {"strength": 2, "point": 3, "parameter": 1}
    np.testing.assert_array_equal(joined.coefficient[1, :, 0], found[1].coefficient[:, 0])
    assert joined.parameter.item() == "w"


def test_a_minimum_whose_hessian_vanishes_in_one_direction(x64):
    """½(ab − 1)² + ½(a² + b²): of Newton's steps along the quartic valley there are as many as rounding lets see."""
    found = critical_points(HYPERBOLA.with_penalty(ls.l2(0.5)), key=KEY, num_starts=300)
    assert kinds(found) == ["degenerate"] and counted(found)["converged"] == 300
    assert int(found.data.null[0]) == 1 and np.abs(found.data.coefficient[0]).max() < 1e-5


def test_starts_and_boxes():
    objective = HYPERBOLA
    one = critical_points(objective, {"a": 0.0, "b": 0.0})
    assert one.data.attrs["starts"] == 1 and kinds(one) == ["saddle"]
    with pytest.raises(TypeError, match="`starts` or `key` is needed, one of them; neither is given"):
        critical_points(objective)
    with pytest.raises(TypeError, match="`starts` or `key` is needed, one of them; both are given"):
        critical_points(objective, {"a": 0.1, "b": 0.1}, key=KEY)
    with pytest.raises(TypeError, match="`box` is given beside `starts`"):
        critical_points(objective, {"a": 0.1, "b": 0.1}, box=(0, 1))
    with pytest.raises(ValueError, match="`starts` must have the shapes of the objective's params"):
        critical_points(objective, {"a": np.ones((3, 2)), "b": np.ones(3)})
    with pytest.raises(ValueError, match="`starts` must have the structure"):
        critical_points(objective, {"a": np.ones(3)})
    with pytest.raises(TypeError, match="`key` is"):
        critical_points(objective, key=3)
    with pytest.raises(ValueError, match="`num_starts` is 0"):
        critical_points(objective, key=KEY, num_starts=0)
    with pytest.raises(ValueError, match="`box` names 'c'; the params have a, b"):
        critical_points(objective, key=KEY, box={"a": (0, 1), "c": (0, 1)})
    with pytest.raises(ValueError, match="`box` says nothing of 'b'"):
        critical_points(objective, key=KEY, box={"a": (0, 1)})
    with pytest.raises(ValueError, match=r"`box` has \(1, 0\) for 'a'; give two finite numbers"):
        critical_points(objective, key=KEY, box=(1, 0))
    with pytest.raises(ValueError, match="`tolerance` is -1"):
        critical_points(objective, key=KEY, tolerance=-1)


def test_boxes_bound_the_starts():
    from landscape.minima.critical_points import _starts

    with jax.enable_x64(True):
        moving = {"b": np.zeros(()), "w": np.zeros(2)}
        drawn = _starts.starts(None, moving, moving, KEY, 500, {"w": (-1, 1), "w[1]": (5, 6), "b": (2, 3)})
    assert drawn["w"].shape == (500, 2) and drawn["b"].shape == (500,) and drawn["w"].dtype == np.float64
    for values, (low, high) in ((drawn["w"][:, 0], (-1, 1)), (drawn["w"][:, 1], (5, 6)), (drawn["b"], (2, 3))):
        assert low <= values.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < values.max() <= high


def test_what_is_refused():
    pair = ls.neuron(*ls.datasets.pair())
    with pytest.raises(TypeError, match="`objective` is a dict"):
        critical_points({}, key=KEY)
    with pytest.raises(ValueError, match=r"l1 has kinks .* ls\.penalty_path"):
        critical_points(pair.with_penalty(ls.l1(0.1)), key=KEY)
    wide = ls.function(lambda p: jnp.sum(p**2), jnp.zeros(201))
    with pytest.raises(ValueError, match=r"`objective` has 201 parameters; .* at most 200"):
        critical_points(wide, key=KEY)
    batches = pair.with_data(ls.Batches([(np.float32([-1, 1]), np.float32([0, 1]))]))
    with pytest.raises(ValueError, match="`objective` reads its data from disk or batch by batch"):
        critical_points(batches, key=KEY)
    with pytest.raises(TypeError, match="`symmetry` is an int; give a function"):
        critical_points(pair, key=KEY, symmetry=3)
    rounded = ls.function(lambda p: jnp.square(p.astype(jnp.float32)), 0.0)
    with pytest.raises(ValueError, match="`objective` computes its losses in float32"):
        critical_points(rounded, key=KEY)
