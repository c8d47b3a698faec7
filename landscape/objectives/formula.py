"""Objectives as formulas, in text, in LaTeX and for notebooks. A neuron on two or three examples is written out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np

from landscape import _html, _trees
from landscape.objectives.losses import CrossEntropy, PointwiseLoss

if TYPE_CHECKING:
    from landscape.objectives.objective import LinearModel, Objective

WRITTEN_OUT = 3  # examples


@dataclass(frozen=True)
class _Dialect:
    """How the same formula is spelled in plain text and in LaTeX."""

    theta: str
    minus: str
    fraction: str  # 1/n of a number
    mean: str  # 1/n of the letter n
    total: str
    weight: str
    over_weights: str
    log: str  # log(1 + e^(…))
    cross_entropy: str
    squared: str
    activation: str  # the attribute of Activation that spells f(z)
    z: str
    preactivation: str
    unknown: str
    function: str  # of an objective without data
    brackets: str


_TEXT = _Dialect(
    theta="θ", minus="−", fraction="(1/{})", mean="(1/n) ", total="Σᵢ ", weight="ωᵢ ", over_weights=" / Σᵢ ωᵢ",
    log="log(1+e^({}))", cross_entropy="[log(1+e^zᵢ) − yᵢzᵢ]", squared="½({} − yᵢ)²", activation="text", z="zᵢ",
    preactivation="zᵢ = w·xᵢ{}", unknown="lossᵢ(θ)", function="f(θ)", brackets="( {} )",
)  # fmt: skip
_LATEX = _Dialect(
    theta=r"\theta", minus="-", fraction=r"\tfrac1{{{}}}", mean=r"\frac1n ", total=r"\sum_i ", weight=r"\omega_i ",
    over_weights=r" \big/ \sum_i \omega_i", log=r"\log\bigl(1+e^{{{}}}\bigr)",
    cross_entropy=r"\bigl[\log(1+e^{z_i}) - y_i z_i\bigr]", squared=r"\tfrac12\bigl({} - y_i\bigr)^2",
    activation="latex", z="z_i", preactivation=r"z_i = w \cdot x_i{}", unknown=r"\ell_i(\theta)", function=r"f(\theta)",
    brackets=r"\Bigl( {} \Bigr)",
)  # fmt: skip


def text(objective: Objective) -> str:
    """J(θ) as one or two lines of plain text.

    >>> import landscape as ls
    >>> print(ls.neuron(*ls.datasets.pair()))
    R(w, b) = ½( log(1+e^(−w−b)) + log(1+e^(w−b)) − w + b )
    """
    arguments = _arguments(objective, _TEXT)
    lines = [f"R({arguments}) = {_risk(objective, _TEXT)}"]
    if objective.penalty.terms:
        lines.append(f"J({arguments}) = R({arguments}) + {objective.penalty}")
        lines[-1] += f",  θ = ({arguments})" if arguments != "θ" else ""
    return "\n".join(lines)


def latex(objective: Objective) -> str:
    """J(θ) as LaTeX, without dollar signs."""
    arguments = _arguments(objective, _LATEX)
    risk = f"R({arguments}) = {_risk(objective, _LATEX)}"
    if not objective.penalty.terms:
        return risk
    whole = f"J({arguments}) = R({arguments}) + {objective.penalty.latex()}"
    return rf"\begin{{aligned}} & {risk} \\ & {whole} \end{{aligned}}"


def card(objective: Objective) -> str:
    """The formula, the examples, the penalty and the params as HTML."""
    entries = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    facts = [] if objective.data is None else [f"{objective.n:,} examples, the {objective.reduction} of their losses"]
    facts.append(f"{entries:,} parameter{'s' * (entries != 1)}")
    return _html.card(
        "Objective",
        _html.formula(f"$\\displaystyle {latex(objective)}$", text(objective)),
        _html.note(
            *map(_html.text, facts),
            f"penalty {_html.code(objective.penalty)}" if objective.penalty.terms else "no penalty",
            f"data {_html.code(objective.data_id)}" if objective.data_id is not None else "",
        ),
        _html.leaves(objective.params),
    )


def _arguments(objective: Objective, dialect: _Dialect) -> str:
    """ "w, b" where a linear model has those params, else θ. JAX sorts keys (b, w); formulas read weights first."""
    names = sorted(_trees.named_leaves(objective.params), key=lambda name: name == "b")
    return ", ".join(names) if objective.structure is not None else dialect.theta


def _risk(objective: Objective, dialect: _Dialect) -> str:
    """The risk's formula, followed by what its letters stand for."""
    model, n = objective.structure, objective.n
    weighted = len(jax.tree.leaves(objective.data)) > 2 and model is not None
    if model is None and objective.data is None:
        return dialect.function
    if model is None:
        return _average(dialect.unknown, objective.reduction, False, dialect) + f",  n = {n}"
    if not weighted and _short(objective, model):
        return _written_out(model, objective.reduction, dialect)
    z = dialect.preactivation.format(" + b" if "b" in objective.params else "")
    average = _average(_loss(model.loss, dialect), objective.reduction, weighted, dialect)
    return f"{average},  {z}, n = {n}"


def _loss(loss: PointwiseLoss, dialect: _Dialect) -> str:
    if isinstance(loss, CrossEntropy):
        return dialect.cross_entropy
    return dialect.squared.format(getattr(loss.activation, dialect.activation).replace("z", dialect.z))


def _average(body: str, reduction: str, weighted: bool, dialect: _Dialect) -> str:
    mean = reduction == "mean"
    front = dialect.mean if mean and not weighted else ""
    back = dialect.over_weights if mean and weighted else ""
    return front + dialect.total + weighted * dialect.weight + body + back


def _short(objective: Objective, model: LinearModel) -> bool:
    scalar = all(np.ndim(leaf) == 0 for leaf in jax.tree.leaves(objective.params))
    binary = set(np.unique(np.asarray(model.labels))) <= {0.0, 1.0}
    return objective.n <= WRITTEN_OUT and scalar and binary and isinstance(model.loss, CrossEntropy)


def _written_out(model: LinearModel, reduction: str, dialect: _Dialect) -> str:
    """Σ log(1+e^(−zᵢ)) + (1 − yᵢ)zᵢ, every example in full: −log h for the ones first, −log(1 − h) for the zeros."""
    features, labels = np.asarray(model.features), np.asarray(model.labels)
    exponents = [_linear(-features[i], dialect, "") or "0" for i in np.argsort(labels == 0, kind="stable")]
    body = " + ".join(dialect.log.format(exponent) for exponent in exponents)
    rest = _linear(features[labels == 0].sum(axis=0), dialect, " ")
    if rest.startswith(dialect.minus):
        body += f" {dialect.minus} {rest.removeprefix(dialect.minus)}"
    elif rest:
        body += f" + {rest}"
    if reduction == "sum" or len(labels) == 1:
        return body
    share = "½" if len(labels) == 2 and dialect is _TEXT else dialect.fraction.format(len(labels))
    return share + dialect.brackets.format(body)


def _linear(coefficients: np.ndarray, dialect: _Dialect, space: str) -> str:
    """c₁w + c₂b without zeros and ones, such as −w+b."""
    out = ""
    for c, name in zip(coefficients, ("w", "b"), strict=False):
        if c != 0:
            sign = dialect.minus if c < 0 else "+" if out else ""
            joint = f"{space}{sign}{space}" if out else sign
            out += joint + (f"{abs(c):.6g}" if abs(c) != 1 else "") + name
    return out
