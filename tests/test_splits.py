"""Training and test surfaces in one call: `data` as a mapping of splits."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests import problems

X, Y = problems.classification(11, 19, 2)
DATA = {"train": (X[:12], Y[:12]), "test": (X[12:], Y[12:])}
AXES = {"w[0]": np.array([-1.0, 0.0, 2.0]), "b": np.array([-0.5, 0.5])}
QUANTITIES = ("risk_stderr", "gradient_norm", "slope", "plane_hessian", "accuracy")
OBJECTIVE = ls.neuron(*DATA["train"], penalty=ls.l2(0.1))
PLANE = ls.axes_plane(OBJECTIVE.params, "w[0]", "b")


def surface(objective: ls.Objective = OBJECTIVE, **options: Any) -> Any:
    return ls.evaluate(objective, PLANE, AXES, quantities=QUANTITIES, **options)


@pytest.mark.parametrize("sweep", [None, {"λ=0.1": ls.l2(0.1), "λ=1": ls.l1(1.0)}])
def test_splits_are_their_own_surfaces_side_by_side(sweep):
    """Every variable equals that of an evaluation on its data alone; what needs no data has no split."""
    both = surface(data=DATA, penalties=sweep)
    alone = {label: surface(OBJECTIVE.with_data(part), penalties=sweep) for label, part in DATA.items()}
    assert both.split.values.tolist() == ["train", "test"] and set(both.data_vars) == set(alone["train"].data_vars)
    for label, single in alone.items():
        for name in single.data_vars:
            one = both[name] if name.startswith("penalty_") else both[name].sel(split=label)
            assert one.dims == single[name].dims
            assert np.array_equal(one, single[name], equal_nan=name != "finite"), name
            assert one.attrs == single[name].attrs
    assert not np.allclose(both.risk[0], both.risk[1])


def test_dimensions_of_splits():
    """penalty, split, axes, and what a quantity adds; in this order."""
    both = surface(data=DATA, penalties={"λ=0.1": ls.l2(0.1), "λ=1": ls.l2(1.0)})
    grid = ("w[0]", "b")
    assert both.risk.dims == both.accuracy.dims == both.finite.dims == ("split", *grid)
    assert both.objective.dims == both.gradient_norm.dims == ("penalty", "split", *grid)
    assert both.slope.dims == ("split", *grid, "coordinate")
    assert both.plane_hessian.dims == ("split", *grid, "coordinate", "coordinate_")
    assert both.penalty_value.dims == both.penalty_unit.dims == ("penalty", *grid)
    assert both.risk.shape == (2, 3, 2) and both.strength.values.tolist() == [0.1, 1.0]
    plain = ls.evaluate(OBJECTIVE, PLANE, AXES, data=DATA)
    assert plain.objective.dims == ("split", *grid) and plain.penalty_value.dims == grid


def test_splits_of_their_own_length_and_kind():
    """Batches beside arrays, one split alone, any labels; whose data they were is in the attributes."""
    batches = [(X[12:15], Y[12:15]), (X[15:], Y[15:])]
    both = ls.evaluate(OBJECTIVE, PLANE, AXES, data={"a": DATA["train"], "b": ls.Batches(batches)})
    np.testing.assert_allclose(both.risk, surface(data=DATA).risk, rtol=1e-5)
    assert both.attrs["num_examples"] == [12, 7]
    ids = json.loads(both.attrs["objective_ids"])
    assert ids["a"] == OBJECTIVE.id != ids["b"] and list(ids) == ["a", "b"]
    one = ls.evaluate(OBJECTIVE, PLANE, AXES, data={"all": DATA["train"]})
    assert one.risk.dims == ("split", "w[0]", "b") and one.sizes["split"] == 1


def test_the_objectives_own_data_play_no_part():
    """They are replaced: not read, not a split."""
    spoiled = ls.neuron(np.full((5, 2), 9.0, np.float32), np.ones(5, np.float32), penalty=ls.l2(0.1))
    assert np.array_equal(surface(spoiled, data=DATA).risk, surface(data=DATA).risk)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (DATA["test"], TypeError, r"`data` is a tuple; give a mapping from labels, .*train"),
        ({}, ValueError, "`data` is an empty mapping; give at least one entry"),
        ({0: DATA["test"]}, TypeError, r"`data` has the label 0 \(int\); labels are strings"),
        ({"train": (X[:0], Y[:0])}, ValueError, "`data '0'` has no examples"),
        ({"train": (X, Y[:3])}, ValueError, "`data` has leaves of different length"),
        ({"train": (X, np.where(Y > 0, np.nan, Y))}, ValueError, "`data '1'` holds .* values that are not finite"),
        ({"train": iter([DATA["test"]])}, TypeError, "`data` is a list_iterator, which is exhausted after one"),
    ],
)
def test_data_that_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(OBJECTIVE, PLANE, AXES, data=data)


def test_a_split_that_does_not_fit_the_losses():
    """The error is JAX's own about shapes, out of the losses."""
    with pytest.raises(TypeError):
        ls.evaluate(OBJECTIVE, PLANE, AXES, data={"train": DATA["train"], "test": (jnp.ones((4, 5)), jnp.ones(4))})


def test_integers_are_labels_of_a_neuron_too():
    """As `neuron` itself takes them: derivatives are those of the same numbers as floats."""
    x, y = ls.datasets.pair()
    pair = ls.neuron(x, y)
    plane, axes = ls.axes_plane(pair.params, "w", "b"), {"w": [0.0, 1.0], "b": [0.5]}
    found = ls.evaluate(pair, plane, axes, quantities=("slope",), data={"all": (x, y)})
    assert x.dtype.kind == y.dtype.kind == "i"
    assert np.array_equal(found.slope[0], ls.evaluate(pair, plane, axes, quantities=("slope",)).slope)
