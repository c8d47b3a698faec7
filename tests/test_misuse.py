"""Plausible mistakes, and the sentence that each is answered with: the argument, what came, what to do instead."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import landscape as ls
from landscape import _checks, _trees

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": [0.0, 1.0], "b": [0.0]}
START = {"w": 0.0, "b": 0.0}
SGD = optax.sgd(0.1)
X = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


def evaluate(**change: Any) -> Any:
    return ls.evaluate(**({"objective": PAIR, "chart": PLANE, "axes": AXES} | change))


def descend(**change: Any) -> Any:
    return ls.descend(**({"objective": PAIR, "optimizers": SGD, "starts": START, "steps": 2} | change))


def squares(params: Any, batch: Any) -> Any:
    return jnp.square(batch - params["theta"])


def objective(losses: Any = squares, data: Any = X) -> ls.Objective:
    return ls.Objective(losses, data, params={"theta": 0.0})


@pytest.mark.parametrize(
    ("value", "came"),
    [(PAIR.risk, "a function"), (dict, "the class dict"), (None, "a NoneType"), ({"w": 0.0}, "a dict"), (3, "an int")],
)
@pytest.mark.parametrize(
    "call", [lambda o: evaluate(objective=o), lambda o: descend(objective=o), lambda o: ls.check_gradient(o, dict)]
)
def test_an_objective_comes_first(call, value, came):
    message = rf"`objective` is {came}; give an Objective: ls.neuron\(x, y\), ls.function\(f, params\) or ls.Objective"
    with pytest.raises(TypeError, match=message):
        call(value)


# Charts


@dataclass(frozen=True)
class Half:
    """A chart that knows no way back."""

    names: tuple[str, ...] = ("w",)

    def point(self, coordinates: Any) -> Any:
        return {"w": coordinates[0], "b": 0.0}


@dataclass(frozen=True)
class Unregistered(Half):
    """A chart that JAX takes for a leaf."""

    def coordinates(self, params: Any) -> Any:
        return params["w"][None], jnp.abs(params["b"])


@pytest.mark.parametrize(
    ("chart", "message"),
    [
        (ls.Polar, r"is the class Polar; make one: ls.Polar\(ls.axes_plane\(params, 'w', 'b'\)\)"),
        (Half(), r"is a Half without `coordinates`; a chart has names, point\(coordinates\) -> params and coordinates"),
        (
            Unregistered(),
            r"is an Unregistered, which JAX does not know as a pytree; put @ls.register_chart\(data=",
        ),
        (3, r"is an int; give a Plane, Polar or Boundary, such as ls.axes_plane"),
        (
            ls.pca([PLANE.origin, PLANE.point([1.0, 0.0]), PLANE.point([0.0, 1.0])]),
            r"is a PCA; give its plane: pca\.pla",
        ),
    ],
)
def test_what_a_chart_lacks(chart, message):
    with pytest.raises(TypeError, match=f"`chart` {message}"):
        evaluate(chart=chart)
    with pytest.raises(TypeError, match=f"`record` {message}"):
        descend(record=chart)


@pytest.mark.parametrize("chart", [PLANE, ls.Polar(PLANE), ls.Boundary(PLANE)])
@pytest.mark.parametrize(
    ("coordinates", "error", "came"),
    [
        ([1.0], ValueError, "has 1 numbers"),
        (np.zeros(3), ValueError, "has 3 numbers"),
        ({"w": 1.0, "b": 0.0}, TypeError, "is a dict"),
        (1.0, TypeError, "is a float"),
        (jnp.zeros(()), TypeError, "is an ArrayImpl"),
        ("wb", TypeError, "is a str"),
    ],
)
def test_a_point_has_a_number_for_each_name(chart, coordinates, error, came):
    names = ", ".join(chart.names)
    with pytest.raises(error, match=rf"`coordinates` {came}; give 2, in the order of the names \({names}\)"):
        chart.point(coordinates)


def test_axes_plane_takes_params_and_then_names():
    with pytest.raises(TypeError, match=r"`params` is an Objective; give its params: objective.params"):
        ls.axes_plane(PAIR, "w", "b")
    with pytest.raises(TypeError, match=r"`params` leaf 'w' is a str; parameters are numbers or arrays"):
        ls.axes_plane({"w": "0"}, "w")
    with pytest.raises(TypeError, match=r"`names` has \['w', 'b'\], a list; name each entry: axes_plane\(params, 'w'"):
        ls.axes_plane(PAIR.params, ["w", "b"])  # type: ignore[arg-type]


DIRECTION = {"w": 1.0, "b": 0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"directions": DIRECTION},
            r"`directions` is one direction \(a dict\); give a tuple .*: \(direction,\) or \(u, v",
        ),
        ({"origin": (0.0, 0.0), "directions": (1.0, 0.0)}, r"`directions` is one direction \(a tuple\); give a tuple"),
        (
            {"origin": np.zeros(2), "directions": np.ones(2)},
            r"`directions` is one direction \(a ndarray\); give",
        ),
        ({"directions": {"w": 1.0}}, "`directions` is a dict; give a tuple with one for each name"),
        ({"directions": (DIRECTION for _ in range(2))}, "`directions` is a generator; give a tuple"),
        ({"names": "alpha"}, r"`names` is the string 'alpha'; give a tuple, \('alpha',\)"),
        ({"names": "c"}, r"`names` is the string 'c'; give a tuple, \('c',\)"),
        ({"names": ("a", 3)}, r"`names` has 3, an int; names are strings, such as \('alpha', 'beta'\)"),
        ({"names": (None,)}, "`names` has None, a NoneType; names are strings"),
    ],
)
def test_planes_take_tuples(change, message):
    with pytest.raises(TypeError, match=message):
        ls.Plane(**({"origin": START, "directions": (DIRECTION,)} | change))


def test_one_direction_with_frozen_leaves_is_recognized():
    """Whole, or with None where params are frozen, as `random_directions` gives it."""
    params = {"w": jnp.ones((2, 2)), "step": jnp.asarray(3)}
    (direction,) = ls.random_directions(jax.random.key(0), params, 1)
    for alone in (direction, params):
        with pytest.raises(TypeError, match=r"`directions` is one direction \(a dict\)"):
            ls.Plane(params, alone)


# Evaluating


@dataclass
class Unhashable:
    """A quantity that is no static argument."""

    accumulate = merge = finish = None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"precision": "hihgest"},
            ValueError,
            "`precision` is 'hihgest'; it must be one of 'default', 'high', 'highest'",
        ),
        ({"precision": None}, ValueError, "`precision` is None; it must be one of 'default'"),
        ({"precision": 3}, ValueError, "`precision` is 3; it must be one of 'default'"),
        ({"quantities": None}, TypeError, "`quantities` is a NoneType; give a tuple of names and own quantities"),
        ({"quantities": Unhashable()}, TypeError, "`quantities` is an Unhashable; give a tuple of names"),
        ({"quantities": (Unhashable,)}, TypeError, "`quantities` holds <class .*Unhashable'>; give a name out of"),
        (
            {"quantities": (Unhashable(),)},
            TypeError,
            r"`quantities` is an Unhashable that cannot be hashed \(.*\); make it frozen: @dataclass\(frozen=True\)",
        ),
        ({"axes": AXES | {"w": np.nan}}, ValueError, r"`axes\['w'\]` has shape \(\)"),
        ({"axes": AXES | {"w": [0.0, np.nan]}}, ValueError, r"at index 1\. An axis has finite positions"),
        ({"penalties": [ls.l2(0.1)]}, TypeError, r"is a list; give a mapping from labels, {'λ=0.1': ls.l2\(0.1\)}"),
        ({"memory": 4}, ValueError, "`memory` is 4; it must be at least 1048576 bytes"),
        ({"memory": 2e9}, TypeError, r"`memory` is .* \(float\); it must be a whole number ≥ 1048576 bytes"),
    ],
)
def test_options_of_evaluate(change, error, message):
    with pytest.raises(error, match=message):
        evaluate(**change)


@pytest.mark.parametrize("precision", ["default", "high", "highest", "float32", "F32_F32_F32"])
def test_every_precision_that_jax_knows(precision):
    assert evaluate(precision=precision).attrs["precision"] == precision


def test_a_minimum_is_of_a_surface():
    with pytest.raises(TypeError, match=r"`surface` is a float; give the surface that ls.evaluate returned"):
        ls.minimum(1.0)


# Objectives


@dataclass
class Unfrozen:
    """Equal by value, hence without a hash."""

    scale: float = 1.0

    def __call__(self, params: Any, batch: Any = None) -> Any:
        return self.scale * (squares(params, batch) if batch is not None else params["theta"])


@dataclass(frozen=True)
class HoldsArray:
    """Frozen, but an array is not."""

    scale: Any = field(default_factory=lambda: np.ones(4, np.float32))

    def __call__(self, params: Any, batch: Any) -> Any:
        return self.scale * squares(params, batch)


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        (
            Unfrozen(),
            TypeError,
            r"`losses` is an Unfrozen that cannot be hashed .*; make it frozen: @dataclass\(frozen=T",
        ),
        (HoldsArray(), TypeError, r"`losses` is a HoldsArray that cannot .*; keep arrays and lists out of its fields"),
        (Unfrozen, TypeError, r"`losses` is the class Unfrozen; it must be a function losses\(params, batch\)"),
        (
            lambda p, x: (squares(p, x),),
            TypeError,
            r"returned a tuple of 1; wanted the losses \(4,\), or a pair \(losses",
        ),
        (lambda p, x: (squares(p, x), x, p["theta"]), TypeError, "`losses` returned a tuple of 3; wanted the losses"),
        (lambda p, x: [squares(p, x), x], TypeError, "`losses` returned a list of 2; wanted the losses"),
        (
            lambda p, x: None,
            TypeError,
            r"`losses` returned nothing \(None\): is the `return` missing\?; wanted the losses",
        ),
        (lambda p, x: squares(p, x).astype(jnp.int32), TypeError, "`losses` returned int32, whose gradient is 0"),
        (
            lambda p, x: x > p["theta"],
            TypeError,
            "`losses` returned bool, whose gradient is 0 everywhere; return float",
        ),
    ],
)
def test_what_losses_are(losses, error, message):
    with pytest.raises(error, match=message):
        objective(losses)


def test_what_functions_are():
    with pytest.raises(TypeError, match=r"`f` is an Unfrozen that cannot be hashed .*; make it frozen"):
        ls.function(Unfrozen(), {"theta": 1.0})
    with pytest.raises(TypeError, match=r"`f` is a float; it must be a function f\(params\)"):
        ls.function(3.0, {"theta": 1.0})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`f` returned int32, whose gradient is 0"):
        ls.function(lambda p: 3, {"theta": 1.0})


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            ([1.0, 2.0], [0.0, 1.0]),
            ValueError,
            r"`data '0/0'` is a single number; .*Lists are trees to JAX: make arrays",
        ),
        ([1.0, 2.0], ValueError, r"`data '0'` is a single number; .* np.asarray\(…\)"),
        ({"x": X, "name": np.array(["a"] * 4)}, TypeError, "`data 'name'` must hold numbers, got dtype <U1; encode it"),
        ("abcd", TypeError, "`data` must hold numbers, got dtype <U4"),
    ],
)
def test_data_are_arrays_of_numbers(data, error, message):
    with pytest.raises(error, match=message):
        objective(data=data)


def test_params_of_another_structure_are_laid_out():
    """Leaf by leaf; containers only where nothing else tells the two apart."""
    with pytest.raises(ValueError, match=r"wanted: b: float32\[\], w: float32\[\]\n  got:    w: float32\[\]$"):
        PAIR({"w": 0.0})
    with pytest.raises(ValueError, match=r"got:    b: float32\[\], v: float32\[\], w: str$"):
        PAIR({"b": 0.0, "v": 1.0, "w": "a"})
    assert _trees.layouts(a=[1.0], b=(1.0,)).splitlines()[1].startswith("  b: 0: float32[] in PyTreeDef")


# Descending and checking


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"batch_size": 1, "key": 0},
            TypeError,
            r"`key` is an int \(0\), not one random key; pass jax.random.key\(0\)",
        ),
        ({"batch_size": 1, "key": jax.random.split(jax.random.key(0))}, TypeError, "not one random key"),
        ({"starts": {"w": "a", "b": 0.0}}, TypeError, "`starts 'w'` must hold real numbers, got dtype <U1"),
        (
            {"starts": [START, START]},
            ValueError,
            r"(?s)`starts` must have the structure.*starts: 0/b: .*Stack a list of starts: jax.tree.map\(lambda \*leav",
        ),
        ({"starts": START | {"w": np.nan}}, ValueError, r"not finite; it is NaN\. Start from finite params"),
        ({"starts": {"w": [0.0], "b": 0.0}}, ValueError, "`starts` must have the structure"),
        (
            {"optimizers": {"look": optax.lookahead(SGD, 2, 0.5)}},
            ValueError,
            r"`optimizers` holds one that wants other params than the objective's \(.*'fast'\)\. .*; optax.lookahead",
        ),
        (
            {"optimizers": optax.sgd},
            TypeError,
            r"`optimizers` is a function; give an optax optimizer such as optax.adam",
        ),
    ],
)
def test_options_of_descend(change, error, message):
    with pytest.raises(error, match=message):
        descend(**change)


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0), np.asarray(jax.random.PRNGKey(0))])
def test_both_kinds_of_keys(key):
    assert descend(batch_size=1, key=key).data.sizes["step"] == 3


@pytest.mark.parametrize("tolerance", [None, [1e-3], "small", True, np.array([0.1])])
def test_a_tolerance_is_one_number(tolerance):
    with pytest.raises(TypeError, match="`tolerance` must be one number, got "):
        descend().steps_to(tolerance)


def test_where_a_gradient_is_checked():
    def right(params: Any) -> Any:
        return PAIR.gradient(params)

    with jax.numpy_dtype_promotion("standard"):
        check = ls.check_gradient(PAIR, right, {"w": 1.0, "b": 2.0})
    assert check.points.tolist() == [[2.0, 1.0]]
    with pytest.raises(ValueError, match="`points` is empty; give at least one, or leave it out"):
        ls.check_gradient(PAIR, right, [])
    with pytest.raises(TypeError, match="`points` is a float; give a list of params"):
        ls.check_gradient(PAIR, right, 1.0)
    with pytest.raises(ValueError, match=r"(?s)`points\[0\]` is not like the params.*point:  w: float\d\d\[\]$"):
        ls.check_gradient(PAIR, right, [{"w": 1.0}])
    with pytest.raises(ValueError, match=r"(?s)`points\[0\]` is not like the params.*w: float64\[2\]"):
        ls.check_gradient(PAIR, right, {"w": np.zeros(2), "b": np.zeros(2)})
    with pytest.raises(TypeError, match=r"`points\[0\]` must hold real numbers, got dtype <U1"):
        ls.check_gradient(PAIR, right, [{"w": "a", "b": 0.0}])


# Penalties and conversions


def test_penalties_can_be_summed():
    """`sum` starts from 0; no other number can be added."""
    assert sum([ls.l2(0.1), ls.l1(0.1)]) == ls.l2(0.1) + ls.l1(0.1)
    with pytest.raises(TypeError, match="unsupported operand"):
        1 + ls.l2(0.1)  # type: ignore[operator]


def test_strengths_and_scopes():
    with pytest.raises(TypeError, match=r"`strength` must be one number, got dict \{\}"):
        ls.l2({})  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="`scope` is 'weight'; it must be one of 'all', 'weights', or a mask: a tree of"
    ):
        PAIR.with_penalty(ls.l2(0.1, scope="weight"))


@pytest.mark.parametrize("value", ["1", [1.0, 2.0], True, {}, np.ones(1), 1j])
def test_conversions_take_one_number(value):
    with pytest.raises(TypeError, match="`sklearn_C` must be one number, got "):
        ls.strength_from(sklearn_C=value, n=3)


@pytest.mark.parametrize("scaled", [0.1, (0.1,), "ab", (0.1, "2")])
def test_a_scale_is_a_pair(scaled):
    with pytest.raises(TypeError, match=r"`scaled` is .*; give a pair \(η, c\)|`scaled\[\d\]` must be one number"):
        ls.learning_rate_from(scaled=scaled)


# bfloat16


def test_bfloat16_is_floating():
    """NumPy's own `issubdtype` says no."""
    x = jnp.asarray([-1.0, 1.0], jnp.bfloat16)
    neuron = ls.neuron(x, jnp.asarray([0.0, 1.0], jnp.bfloat16))
    assert neuron.data[0].dtype == neuron.params["w"].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="`x` holds 1 of 2 values that are not finite; the first is NaN, at index 1"):
        ls.neuron(jnp.asarray([0.0, jnp.nan], jnp.bfloat16), [0, 1])
    with pytest.raises(ValueError, match="`v` holds 1 of 1"):
        _checks.finite("v", np.array([np.inf], ml_dtypes.bfloat16))


def test_bfloat16_trajectories_are_saved(tmp_path):
    """As float32 in the store; bit for bit the same when opened."""
    params = {"w": jnp.ones((2,), jnp.bfloat16)}
    bowl = ls.function(lambda p: jnp.sum(jnp.square(p["w"].astype(jnp.float32))), params)
    run = ls.descend(bowl, SGD, params, 3)
    ls.save(run, tmp_path / "t.zarr")
    opened = ls.open_trajectory(tmp_path / "t.zarr")
    assert opened.params["w"].dtype == jnp.bfloat16
    assert np.array_equal(opened.params["w"], run.params["w"])
    assert opened.data.identical(run.data)
