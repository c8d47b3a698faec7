"""Objectives as formulas: what is printed is what is computed."""

import re

import numpy as np
import pytest

import landscape as ls
from tests import problems


def value_of(text, w, b):
    """The number that a printed risk means: the text, read as Python."""
    text = text.replace("−", "-").replace("½", "(1/2)*")
    text = re.sub(r"\(1/(\d+)\)\(", r"(1/\1)*(", text)
    text = re.sub(r"(\d)([wb])", r"\1*\2", text)
    text = text.replace("log(1+e^(", "softplus((")
    return eval(text, {"softplus": problems.softplus, "w": w, "b": b})


@pytest.mark.parametrize(
    ("x", "y", "options"),
    [
        ([-1, 1], [0, 1], {}),
        ([-1, 1], [1, 0], {}),
        ([2], [0], {}),
        ([2], [1], {}),
        ([1, 2, 3], [0, 1, 0], {}),
        ([1, 2, -3], [0, 0, 0], {}),
        ([0, 5], [0, 1], {}),
        ([-1, 1], [0, 1], {"reduction": "sum"}),
    ],
)
def test_short_risks_are_written_out_and_right(x, y, options):
    """A neuron on up to three examples: the printed formula has the risk's value."""
    objective = ls.neuron(x, y, **options)
    name, formula = str(objective).split(" = ")
    assert name == "R(w, b)"
    for w, b in ((0.3, -0.7), (-1.25, 0.5)):
        assert value_of(formula, w, b) == pytest.approx(float(objective.risk({"w": w, "b": b})), rel=1e-6)


def test_the_pair_prints_as_in_the_books():
    """Text, LaTeX, and the objective's second line where there is a penalty."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
    risk, objective = str(pair).splitlines()
    assert risk == "R(w, b) = ½( log(1+e^(−w−b)) + log(1+e^(w−b)) − w + b )"
    assert objective == "J(w, b) = R(w, b) + 0.1·‖θ‖²,  θ = (w, b)"
    latex = pair._repr_latex_()
    assert latex.startswith(r"$\displaystyle \begin{aligned} & R(w, b) = \tfrac1{2}\Bigl( \log\bigl(1+e^{-w-b}\bigr)")
    assert latex.endswith(r"\lVert \theta\rVert_2^2 \end{aligned}$")
    assert latex.count("{") == latex.count("}")


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (
            ls.neuron(*ls.datasets.o_rings()),
            "R(w, b) = (1/n) Σᵢ [log(1+e^zᵢ) − yᵢzᵢ],  zᵢ = w·xᵢ + b, n = 23",
        ),
        (
            ls.neuron(*ls.datasets.o_rings(), bias=False, reduction="sum"),
            "R(w) = Σᵢ [log(1+e^zᵢ) − yᵢzᵢ],  zᵢ = w·xᵢ, n = 23",
        ),
        (
            ls.neuron([1, 2], [0, 1], loss="half_squared_error", activation="tanh"),
            "R(w, b) = (1/n) Σᵢ ½(tanh(zᵢ) − yᵢ)²,  zᵢ = w·xᵢ + b, n = 2",
        ),
        (
            ls.neuron([1, 2], [0, 1], weights=[1, 2]),
            "R(w, b) = Σᵢ ωᵢ [log(1+e^zᵢ) − yᵢzᵢ] / Σᵢ ωᵢ,  zᵢ = w·xᵢ + b, n = 2",
        ),
        (
            ls.neuron([1, 2], [0, 1], weights=[1, 2], reduction="sum"),
            "R(w, b) = Σᵢ ωᵢ [log(1+e^zᵢ) − yᵢzᵢ],  zᵢ = w·xᵢ + b, n = 2",
        ),
        (problems.network(0), "R(θ) = (1/n) Σᵢ lossᵢ(θ),  n = 23"),
    ],
    ids=["o_rings", "no bias, sum", "tanh", "weighted", "weighted sum", "network"],
)
def test_long_risks_are_sums(objective, text):
    """What the letters stand for follows the formula."""
    assert str(objective) == text


def test_soft_labels_are_not_written_out():
    """The short form is for labels 0 and 1 only."""
    soft = ls.neuron(np.array([1.0, 2.0], np.float32), np.array([0.25, 1.0], np.float32))
    assert "yᵢzᵢ" in str(soft)
