"""`verify`: every quantity that is built in, and surfaces of several data. Its command is tested in test_cli."""

import numpy as np
import optax
import pytest

import landscape as ls
from landscape.surfaces.verify import unchecked, verify

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(5, 2)).astype("float32"), np.array([0, 2, 1, 2, 0])
PARAMS = {"kernel": GENERATOR.normal(size=(2, 3)).astype("float32")}
SPLITS = {"train": (X[:3], Y[:3]), "test": (X[3:], Y[3:])}
PLANE = ls.axes_plane(PARAMS, "kernel[0, 0]", "kernel[1, 2]")
AXES = {name: np.linspace(-1, 1, size) for name, size in zip(PLANE.names, (3, 2), strict=True)}
EVERY = ("risk_stderr", "accuracy", "gradient_norm", "slope", "plane_hessian")


def predict(params, x):
    return x @ params["kernel"]


def losses(params, batch):
    return optax.softmax_cross_entropy_with_integer_labels(predict(params, batch[0]), batch[1])


OBJECTIVE = ls.Objective(losses, SPLITS["train"], params=PARAMS, predict=predict)


def measured(quantities=("accuracy",), **options):
    return ls.evaluate(OBJECTIVE, PLANE, AXES, quantities=quantities, **options)


def test_every_built_in_quantity_is_recomputed():
    """Each entry of the Hessian by the names of its coordinates; a wrong one is found, and no other."""
    surface = measured(EVERY)
    w, b = PLANE.names
    numbers = verify(surface, OBJECTIVE)
    assert all(number.agrees for number in numbers)
    assert {number.variable for number in numbers} == {
        *("risk", "objective", "penalty_value", "penalty_unit", "finite", "risk_stderr", "accuracy"),
        *("risk_gradient_norm", "gradient_norm", f"slope[{w}]", f"slope[{b}]"),
        *(f"plane_hessian[{row}, {column}]" for row in (w, b) for column in (w, b)),
    }
    for variable, entry, name in (
        ("plane_hessian", {"coordinate": w, "coordinate_": b}, f"plane_hessian[{w}, {b}]"),
        ("slope", {"coordinate": b}, f"slope[{b}]"),
        ("accuracy", {}, "accuracy"),
    ):
        wrong = surface.copy(deep=True)
        wrong[variable].loc[entry] += 0.01
        assert {n.variable for n in verify(wrong, OBJECTIVE) if not n.agrees} == {name}


def test_a_chosen_coordinate_and_another_order_of_dimensions():
    """As `sel` and `transpose` leave a surface."""
    w, b = PLANE.names
    numbers = verify(measured(EVERY).sel(coordinate=b).transpose(), OBJECTIVE)
    assert all(number.agrees for number in numbers)
    assert {n.variable for n in numbers if n.variable.startswith(("slope", "plane"))} == {
        *("slope", f"plane_hessian[{w}]", f"plane_hessian[{b}]")
    }


@pytest.mark.parametrize("penalties", [None, {"none": ls.none(), "l2": ls.l2(0.1)}])
def test_the_split_of_the_objective_is_recomputed(penalties):
    """By its fingerprint; the others are said to be unchecked, and a wrong one is not noticed."""
    surface = measured(data=SPLITS, penalties=penalties)
    for label, other in (("train", "test"), ("test", "train")):
        objective = OBJECTIVE.with_data(SPLITS[label])
        numbers = verify(surface, objective)
        assert all(n.agrees for n in numbers) and {n.penalty for n in numbers} >= set(penalties or [""])
        assert unchecked(surface, objective) == [f"the split '{other}', of other data"]
        assert all(n.agrees for n in verify(surface.sel(split=label), objective))
        assert unchecked(surface.sel(split=label), objective) == []
        wrong = surface.copy(deep=True)
        wrong.risk.loc[{"split": label}] += 0.01
        assert not all(n.agrees for n in verify(wrong, objective))
        assert all(n.agrees for n in verify(wrong, OBJECTIVE.with_data(SPLITS[other])))


def test_data_of_no_split_are_refused():
    """Which there are, and how to choose one; what differs is said of the chosen one alone."""
    surface, other = measured(data=SPLITS), OBJECTIVE.with_data((X[:4], Y[:4]))
    for same in (True, False):
        with pytest.raises(ValueError, match=r"splits 'train' \(\w{16}\), 'test' .*surface.sel\(split='train'\)"):
            verify(surface, other, same_objective=same)
    message = r"the one given is \w{16}. What differs: examples: 2 there, 4 here\.$"
    with pytest.raises(ValueError, match=message):
        verify(surface.sel(split="test"), other)
    with pytest.raises(ValueError, match=message):
        verify(surface.isel(split=[1]), other)
    numbers = verify(surface.sel(split="test"), other, same_objective=False)
    assert not all(n.agrees for n in numbers if n.variable == "risk")
