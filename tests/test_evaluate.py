"""`evaluate`: known surfaces, the order of dimensions, sweeps, cells that are not finite, provenance."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import landscape as ls
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
# Multiples of ¼ are exact in float32, and so is w ± b. Diagonals and origin are on the grid, which is not square.
DYADIC = {"w": np.arange(-10, 10.1, 0.5), "b": np.arange(-6, 6.1, 0.25)}


def mesh(axes):
    """The coordinates of every cell, (len(first), len(second), …) each."""
    return dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij"), strict=True))


def test_the_risk_of_the_pair_is_its_closed_form(dtype):
    """On the whole grid: relative to itself in either precision, down to risks of 1e-7."""
    with_dtype = ls.neuron(*ls.datasets.pair())
    surface = ls.evaluate(with_dtype, ls.axes_plane(with_dtype.params, "w", "b"), DYADIC)
    expected = problems.pair_risk(**mesh(DYADIC))
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    assert surface.risk.dtype == dtype
    assert np.abs(surface.risk / expected - 1).max() < tolerance
    assert expected.min() < 1e-4


def test_axes_that_float32_rounds(dtype):
    """Positions such as 0.1 are rounded to the params' dtype: still 1e-6 of the larger of 1 and the risk."""
    with_dtype = ls.neuron(*ls.datasets.pair())
    axes = {"w": np.linspace(-10, 10, 41), "b": np.linspace(-10, 10, 37)}
    surface = ls.evaluate(with_dtype, ls.axes_plane(with_dtype.params, "w", "b"), axes)
    expected = problems.pair_risk(**mesh(axes))
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    assert (np.abs(surface.risk - expected) < tolerance * np.maximum(expected, 1)).all()
    assert np.array_equal(surface.w, axes["w"]) and np.array_equal(surface.b, axes["b"])


def test_gradient_and_hessian_of_the_pair(dtype):
    """On the whole grid, the diagonals w = ±b and the origin exactly: where autodiff of max(z, 0) is wrong."""
    pair = ls.neuron(*ls.datasets.pair())
    cells = mesh(DYADIC)
    points = {name: jnp.asarray(values.ravel(), dtype) for name, values in cells.items()}
    gradient = jax.jit(jax.vmap(jax.grad(pair.risk)))(points)
    hessian = jax.jit(jax.vmap(jax.hessian(pair.risk)))(points)
    w, b = (values.ravel() for values in cells.values())
    assert ((w == b).sum(), (w == -b).sum(), ((w == 0) & (b == 0)).sum()) == (25, 25, 1)
    dw, db = problems.pair_gradient(w, b)
    ww, wb, bb = problems.pair_hessian(w, b)
    for found, expected in ((gradient["w"], dw), (hessian["w"]["w"], ww), (hessian["b"]["b"], bb)):
        assert_close(found, expected, eps=16)  # sums of one sign: relative to themselves, in the flat tails too
    for found, expected in ((gradient["b"], db), (hessian["w"]["b"], wb), (hessian["b"]["w"], wb)):
        assert_close(found, expected, eps=4, scale=0.5)  # differences of numbers up to ½
    origin = int(np.flatnonzero((w == 0) & (b == 0))[0])
    gradient, hessian = jax.tree.map(lambda leaf: float(leaf[origin]), (gradient, hessian))
    assert gradient == {"w": -0.5, "b": 0.0}
    assert hessian == {"w": {"w": 0.25, "b": 0.0}, "b": {"w": 0.0, "b": 0.25}}


@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_quadratic_bowl_gives_its_eigenvalues_back(seed, dtype_name):
    """On eigenvector axes, ½(θ − m)ᵀH(θ − m) must become ½(λ₀a² + λ₁b²)."""
    with jax.enable_x64(dtype_name == "float64"):
        bowl = problems.quadratic(seed, [4.0, 1.0, 0.5], dtype_name)
        plane = ls.Plane(bowl.minimum, (bowl.eigenvector(0), bowl.eigenvector(1)), names=("a", "b"))
        surface = ls.evaluate(bowl.objective, plane, {"a": np.linspace(-1, 1, 5), "b": np.linspace(-2, 2, 7)})
        expected = 0.5 * (4.0 * surface.a**2 + 1.0 * surface.b**2)
        assert_close(surface.risk, expected.to_numpy(), eps=16, scale=1.0)


@pytest.mark.parametrize("order", [("w", "b"), ("b", "w")])
def test_dimensions_follow_the_order_of_the_axes(order):
    """Not that of the chart, on a grid that is not square: risk[i, j] is at (first axis[i], second axis[j])."""
    positions = {"w": np.array([-1.0, 0.5, 2.0]), "b": np.array([-3.0, 0.25, 0.5, 4.0, 6.5])}
    axes = {name: positions[name] for name in order}
    surface = ls.evaluate(PAIR, PLANE, axes, quantities=("slope",))
    assert surface.risk.dims == order
    assert surface.risk.shape == tuple(len(axis) for axis in axes.values())
    assert surface.slope.dims == (*order, "coordinate")
    cells = mesh(axes)
    assert_close(surface.risk, problems.pair_risk(**cells), eps=8)
    dw, db = problems.pair_gradient(**cells)
    assert_close(surface.slope.sel(coordinate="w"), dw, eps=16, scale=0.1)
    assert_close(surface.slope.sel(coordinate="b"), db, eps=16, scale=0.1)


def test_one_and_three_dimensions():
    """A line and a cube through the params of a neuron with two inputs, each axis of its own length, in any order."""
    x, y = problems.classification(3, 9, 2)
    objective = ls.neuron(x, y)

    def risk(w0, w1, b):
        z = w0[..., None] * x[:, 0] + w1[..., None] * x[:, 1] + b[..., None]
        return (problems.softplus(z) - y * z).mean(axis=-1)

    line = ls.evaluate(objective, ls.axes_plane(objective.params, "w[1]"), {"w[1]": [1.5, -2.0, 0.0, 8.0]})
    assert line.risk.dims == ("w[1]",)
    assert_close(line.risk, risk(np.zeros(4), line["w[1]"].to_numpy(), np.zeros(4)), eps=16)

    axes = {"b": np.array([0.0, 1.0]), "w[0]": np.array([-1.0, 0.5, 3.0]), "w[1]": np.array([-2.0, 0.0, 1.0, 5.0])}
    cube = ls.evaluate(objective, ls.axes_plane(objective.params, "w[0]", "w[1]", "b"), axes)
    assert dict(cube.risk.sizes) == {"b": 2, "w[0]": 3, "w[1]": 4}
    b, w0, w1 = np.meshgrid(*axes.values(), indexing="ij")
    assert_close(cube.risk, risk(w0, w1, b), eps=16)


def test_axes_of_any_spacing_and_order():
    """Unsorted, uneven, a single position, integers."""
    axes = {"w": np.array([7, -2, 3]), "b": [0.5]}
    surface = ls.evaluate(PAIR, PLANE, axes)
    assert surface.w.to_numpy().tolist() == [7, -2, 3] and surface.risk.shape == (3, 1)
    assert_close(surface.risk, problems.pair_risk(np.array([[7.0], [-2.0], [3.0]]), 0.5), eps=8)


def test_every_cell_is_evaluated_from_the_origin():
    """Never by walking: each cell equals one evaluation of its own point, and the params given are untouched."""
    network = problems.network(3)
    before = jax.tree.map(np.array, network.params)
    generator = np.random.default_rng(4)
    draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype)  # noqa: E731
    plane = ls.Plane(network.params, tuple(jax.tree.map(draw, network.params) for _ in range(2)))
    axes = {"alpha": np.linspace(-3, 3, 13), "beta": np.linspace(-1, 2, 7)}
    surface = ls.evaluate(network, plane, axes)
    risk = jax.jit(network.risk)
    alone = [[float(risk(plane.point(jnp.float32([a, b])))) for b in axes["beta"]] for a in axes["alpha"]]
    assert_close(surface.risk, np.array(alone), eps=16)
    assert jax.tree.all(jax.tree.map(np.array_equal, before, network.params))


SWEEP = {
    "none": ls.none(),
    "l2": ls.l2(0.1),
    "stronger": ls.l2(1.0),
    "l1": ls.l1(0.2),
    "net": ls.elastic_net(0.1, 0.3),
    "decay": ls.weight_decay(0.5),
    "mask": ls.l1(0.7, scope={"w": False, "b": True}) + ls.l2(0.1),
}
ZERO_ON_GRID = {"w": np.array([-2.0, 0.0, 0.5]), "b": np.array([-1.0, 0.0, 0.25, 3.0])}


def test_a_sweep_equals_one_evaluation_a_penalty():
    """Values, units, objectives and gradient norms; the risk only once, without the dimension `penalty`."""
    quantities = ("gradient_norm",)
    swept = ls.evaluate(PAIR, PLANE, ZERO_ON_GRID, quantities=quantities, penalties=SWEEP)
    assert swept.penalty.values.tolist() == list(SWEEP)
    assert_close(swept.strength, np.array([0.0, 0.1, 1.0, 0.2, 0.4, 0.5, 0.8]))
    assert swept.objective.dims == ("penalty", "w", "b") and swept.risk.dims == ("w", "b")
    for label, penalty in SWEEP.items():
        alone = ls.evaluate(PAIR.with_penalty(penalty), PLANE, ZERO_ON_GRID, quantities=quantities)
        assert "penalty" not in alone.dims
        for name in ("penalty_value", "penalty_unit", "objective", "gradient_norm"):
            assert_close(swept[name].sel(penalty=label), alone[name].to_numpy(), eps=8, scale=0.1)
        assert_close(swept.risk, alone.risk.to_numpy())


# What a penalty adds up to, and its α and β: (w, b) -> Ω, (α of w and b), (β of w and b).
DEFINED = {
    "none": (lambda w, b: 0 * w, (0, 0), (0, 0)),
    "l2": (lambda w, b: 0.1 * (w**2 + b**2), (0, 0), (0.1, 0.1)),
    "stronger": (lambda w, b: w**2 + b**2, (0, 0), (1, 1)),
    "l1": (lambda w, b: 0.2 * (abs(w) + abs(b)), (0.2, 0.2), (0, 0)),
    "net": (lambda w, b: 0.1 * (abs(w) + abs(b)) + 0.3 * (w**2 + b**2), (0.1, 0.1), (0.3, 0.3)),
    "decay": (lambda w, b: 0.25 * w**2, (0, 0), (0.25, 0)),
    "mask": (lambda w, b: 0.7 * abs(b) + 0.1 * (w**2 + b**2), (0, 0.7), (0.1, 0.1)),
}


@pytest.mark.parametrize("label", SWEEP)
def test_a_sweep_against_the_definitions(label):
    """Ω, objective = risk + Ω, and the least norm over the subdifferential, kinks included, in NumPy."""
    swept = ls.evaluate(PAIR, PLANE, ZERO_ON_GRID, quantities=("gradient_norm",), penalties=SWEEP)
    one, cells = swept.sel(penalty=label), mesh(ZERO_ON_GRID)
    value, alpha, beta = DEFINED[label]
    expected = value(**cells)
    assert_close(one.penalty_value, expected, eps=8)
    assert_close(float(one.strength) * one.penalty_unit, expected, eps=8)
    assert_close(one.objective, problems.pair_risk(**cells) + expected, eps=8)
    squared = 0.0
    for theta, slope, a, c in zip(cells.values(), problems.pair_gradient(**cells), alpha, beta, strict=True):
        smooth = slope + 2 * c * theta
        least = np.sign(smooth) * np.maximum(np.abs(smooth) - a, 0)
        squared = squared + np.where(theta == 0, least, smooth + a * np.sign(theta)) ** 2
    assert_close(one.gradient_norm, np.sqrt(squared), eps=16, scale=0.1)


def test_penalties_of_none_is_the_objectives_own():
    """A mapping replaces the objective's penalty: they are not added."""
    ridge = PAIR.with_penalty(ls.l2(1.0))
    axes = {"w": [1.0], "b": [2.0]}
    risk = problems.pair_risk(1.0, 2.0)
    assert float(ls.evaluate(ridge, PLANE, axes).objective[0, 0]) == pytest.approx(risk + 5.0)
    replaced = ls.evaluate(ridge, PLANE, axes, penalties={"l1": ls.l1(1.0)})
    assert float(replaced.objective[0, 0, 0]) == pytest.approx(risk + 3.0)


def test_cells_that_are_not_finite_stay_and_are_flagged():
    """NaN where the logarithm has none, −∞ at 0, +∞ by overflow; every other cell is untouched, also those below 0."""
    objective = ls.function(lambda p: jnp.log(p["u"]) + jnp.exp(p["v"]), {"u": 1.0, "v": 0.0})
    axes = {"u": np.array([-1.0, 0.0, 0.01, 1.0]), "v": np.array([-2.0, 0.0, 1000.0])}
    surface = ls.evaluate(objective, ls.axes_plane(objective.params, "u", "v"), axes, penalties={"λ=1": ls.l2(1.0)})
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        expected = np.log(axes["u"])[:, None] + np.exp(axes["v"]).astype("f4").astype("f8")[None]
    expected[1, 2] = surface.risk[1, 2]  # −∞ + exp(1000): NaN, or −∞ where exp's last product and the sum are one
    assert not np.isfinite(expected[1, 2])
    assert_close(surface.risk, expected, scale=1.0)
    assert surface.finite.dtype == bool
    assert np.array_equal(surface.finite, np.isfinite(expected))
    assert float(surface.risk.min()) == -np.inf and float(surface.risk[2, 0]) < 0
    assert np.array_equal(np.isfinite(surface.objective[0]), np.isfinite(expected))


def test_a_gradient_that_is_not_finite_is_flagged_too():
    """√u at 0 has the value 0 and an infinite slope."""
    objective = ls.function(lambda p: jnp.sqrt(p["u"]), {"u": 1.0})
    line = {"u": np.array([0.0, 1.0])}
    plane = ls.axes_plane(objective.params, "u")
    assert ls.evaluate(objective, plane, line).finite.values.tolist() == [True, True]
    surface = ls.evaluate(objective, plane, line, quantities=("gradient_norm",))
    assert surface.finite.values.tolist() == [False, True]
    assert surface.risk.values.tolist() == [0.0, 1.0]


def test_a_step_below_the_resolution_of_a_leaf_warns():
    """A step of 1e-4 at 1e6 in float32: neighboring cells are the same point."""
    objective = ls.function(lambda p: p["u"] ** 2, {"u": 1e6})
    plane = ls.Plane({"u": 1e6}, ({"u": 1.0},), names=("c",))
    with pytest.warns(
        UserWarning, match=r"a step of `axes\['c'\]` moves the leaf 'u' by 1.0e-04, below the resolution"
    ):
        ls.evaluate(objective, plane, {"c": np.arange(5) * 1e-4})
    ls.evaluate(objective, plane, {"c": np.arange(5) * 1.0})


def test_a_large_entry_that_does_not_move_is_no_reason_to_warn():
    """Only the entries that an axis moves decide whether its steps are lost."""
    objective = ls.function(lambda p: p["w"][0] ** 2, {"w": jnp.asarray([0.0, 1e8])})
    surface = ls.evaluate(objective, ls.axes_plane(objective.params, "w[0]"), {"w[0]": np.arange(4.0)})
    assert surface.risk.values.tolist() == [0.0, 1.0, 4.0, 9.0]


def test_provenance():
    """Attributes are JSON: what was computed, on what, and how; every variable and axis has a name and a unit."""
    surface = ls.evaluate(PAIR, PLANE, {"w": [0.0, 1.0], "b": [0.0]}, penalties={"λ=0.1": ls.l2(0.1)})
    attributes = json.loads(json.dumps(surface.attrs))
    assert (attributes["kind"], attributes["format"]) == ("surface", 2)
    assert (attributes["objective"], attributes["objective_id"]) == (str(PAIR), PAIR.id)
    assert json.loads(attributes["penalties"]) == {"λ=0.1": "0.1·‖θ‖²"}
    assert json.loads(attributes["chart"])["kind"] == "Plane"
    assert (attributes["dtype"], attributes["precision"], attributes["num_examples"]) == ("float32", "highest", 2)
    assert (attributes["landscape_version"], attributes["jax_version"]) == (ls.__version__, jax.__version__)
    assert attributes["wall_seconds"] > 0 and attributes["device"].startswith(jax.default_backend())
    for name in surface.variables:
        if name != "penalty":
            assert surface[name].attrs["long_name"] and surface[name].attrs["units"] == "1", name
    own = ls.evaluate(PAIR.with_penalty(ls.l1(0.5)), PLANE, {"w": [0.0, 1.0], "b": [0.0]})
    assert json.loads(own.attrs["penalties"]) == {"": "0.5·‖θ‖₁"}
    assert isinstance(surface, xr.Dataset)


def test_surfaces_that_are_finite_nowhere_are_warned_of():
    """Labels beyond the classes give NaN everywhere, as do params that are; the surface is returned all the same."""
    nowhere = ls.function(lambda p: jnp.log(-1 - jnp.square(p["u"])), {"u": 1.0})
    with pytest.warns(UserWarning, match="objective, risk finite at none of the cells: are labels within the classes"):
        found = ls.evaluate(nowhere, ls.axes_plane(nowhere.params, "u"), {"u": [0.0, 1.0]})
    assert np.isnan(found.risk).all() and not found.finite.any()


def test_steps_along_a_direction_that_hardly_moves_a_leaf(x64):
    """1e-60 is no float32; the leaf has its own precision."""
    objective = ls.function(lambda p: jnp.square(p["w"]) + p["b"], {"w": 0.0, "b": 0.0})
    plane = ls.Plane(objective.params, ({"w": 1.0, "b": 1e-60},), names=("c",))
    assert ls.evaluate(objective, plane, {"c": [0.0, 2.0]}).risk.values.tolist() == [0.0, 4.0]
