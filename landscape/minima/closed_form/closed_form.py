"""`closed_form`: whether the minimizer has an expression in the data, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.minima._linear import Linear, linear
from landscape.minima.attainment.attainment import attainment
from landscape.minima.closed_form import _affine_sets, _one_weight, _rational
from landscape.minima.closed_form._finding import Finding
from landscape.minima.closed_form._polynomial import Census
from landscape.objectives.activations import ACTIVATIONS
from landscape.objectives.losses import CrossEntropy
from landscape.objectives.models import neuron
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import l2, none

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """What `closed_form` found. Prints as sentences.

    exists:     True; False where there is no minimizer, or where neither w nor e^w has an expression by arithmetic and
                radicals; None where it is not known.
    point:      the minimizer of least norm, params in float64; None unless `exists`.
    directions: an orthonormal basis, each like the params, of what may be added to the point: the minimizers are an
                affine set. Empty where the minimizer is unique, or `reason` names the others.
    kind:       the case: "interpolation", "normal equations", "ridge", "threshold", "polynomial", "transcendental",
                "constant", "piecewise linear", "piecewise quadratic", "none" (no minimizer), "unknown".
    reason:     why, in a sentence.
    proved:     whether that is a proof for the data as decimals; False also where rounding decided a rank.
    census:     all critical points of one weight, or None.
    """

    exists: bool | None
    point: Params | None
    directions: tuple[Params, ...]
    kind: str
    reason: str
    proved: bool
    census: Census | None

    def __str__(self) -> str:
        verdict = {True: "A closed form exists", False: "No closed form exists", None: "No closed form is known"}
        lines = [f"{verdict[self.exists]} ({self.kind}{', proved' if self.proved else ''}): {self.reason}"]
        if self.point is not None:
            named = _trees.named_leaves(self.point).items()
            where = ", ".join(f"{name or 'params'} = {_shown(np.asarray(values))}" for name, values in named)
            count = len(self.directions)
            one = f", in an affine set of dimension {count}: the point of least norm" if count else ""
            lines.append(f"Minimizer: {where}{one}.")
        if self.census is not None:
            lines.append(f"{self.census}.")
        return "\n".join(lines)

    __repr__ = __str__


def closed_form(objective: Objective) -> ClosedForm:
    """Whether the minimizers have an expression in the data: by arithmetic, radicals, f⁻¹ or a logarithm of these.

        f(x̃ᵢ·θ) = tᵢ for all i         solvable: the affine set θ = X⁺f⁻¹(t) + null(X), where all losses are least
        half squared error, identity    (XᵀΩX + 2β)θ = XᵀΩy: normal equations, ridge; soft threshold if orthogonal
        one weight, rational data       u = e^(scale·w) is a root of a polynomial: all critical points, exactly, and
                                        the Galois group of the minimizer's factor; under l1 on each side of w = 0
        the same under l2               w and e^w are transcendental unless w = 0 (Lindemann): no closed form
        a label on the border of f's range, or outside, inputs independent: no minimizer

    objective: with a `structure` (ls.neuron has one). X has the rows x̃ᵢ (n, p), Ω the example weights. Equal inputs
               are one example with their mean label; for sigmoid and tanh an input −x̃ is x̃ with the mirrored label.

    "One weight" are also two reductions: a single input under l2 of all parameters (θ is a multiple of x̃), and
    cross-entropy of one feature and a bias if the examples stay the same under (x, y) → (−x, 1−y), such as the pair:
    b = 0.
    Ranks, labels at a limit and polynomials are decided in exact rationals. There each number is read as the shortest
    decimal that its dtype prints: 0.9 is 9/10, in float32 too. Points are computed from the data as they are, in
    float64, except where they come from a polynomial. With a degree above 400 or more than 20 000 numbers in distinct
    examples nothing is decided exactly.
    Returns: a `ClosedForm`; print it.
    Raises: TypeError unless it is an Objective; ValueError if it has no structure, if its numbers are not finite, or if
    example weights are negative or all 0.
    References: Lindemann 1882; Auer, Herbster, Warmuth 1995 (one unit with many minima). Galois groups are SymPy's,
    real roots are isolated by FLINT (arb_fmpz_poly_complex_roots).

        >>> import landscape as ls
        >>> print(ls.closed_form(ls.neuron(*ls.datasets.pair(), penalty=ls.l1(0.1))))
        A closed form exists (threshold, proved): For the minimizer w = log(9).
        Minimizer: b = 0, w = 2.1972246.
        Critical points (1): minimum at w = 2.19722; −u − 11 = 0 (w < 0), u − 9 = 0, u = e^w.
        >>> ls.closed_form(ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))).kind
        'transcendental'
    """
    read = linear(objective, "closed_form")
    _check(read)
    found = _found(objective, read)
    directions = () if found.directions is None else tuple(read.params(d) for d in found.directions)
    point = None if found.point is None else read.params(found.point)
    return ClosedForm(found.exists, point, directions, found.kind, found.reason, found.proved, found.census)


def closed_form_table() -> xarray.Dataset:
    """Which small problems have a closed form: `closed_form` of each loss and activation, run now.

    Returns a Dataset over `model` (loss and activation), `problem` (one example, as many as parameters, more; one
    weight without a bias and more examples) and `penalty` (none, l2), with `exists` ("yes", "no", "not known"), `kind`,
    `proved`, `group` (the Galois group of the minima's polynomials where it is known, else "") and `reason`. The labels
    lie inside every activation's range.

        >>> import landscape as ls
        >>> ls.closed_form_table().exists.sel(model="half_squared_error, identity", penalty="l2").values.tolist()
        ['yes', 'yes', 'yes', 'yes']
    """
    import xarray

    models = [("cross_entropy", "sigmoid"), *(("half_squared_error", name) for name in ACTIVATIONS)]
    problems = {
        "one example": (np.array([2.0]), np.array([0.7]), True),
        "as many examples as parameters": (np.array([-1.0, 2.0]), np.array([0.2, 0.7]), True),
        "more examples than parameters": (np.array([-1.0, 2.0, 3.0]), np.array([0.2, 0.7, 0.4]), True),
        "one weight, more examples": (np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.7, 0.4]), False),
    }
    penalties = {"none": none(), "l2": l2(0.1)}
    with jax.enable_x64(True):
        cells = [
            closed_form(neuron(x, y, loss=loss, activation=activation, bias=bias, penalty=penalty))
            for loss, activation in models
            for x, y, bias in problems.values()
            for penalty in penalties.values()
        ]
    dims, shape = ("model", "problem", "penalty"), (len(models), len(problems), len(penalties))
    said = {True: "yes", False: "no", None: "not known"}
    columns = {
        "exists": [said[cell.exists] for cell in cells],
        "kind": [cell.kind for cell in cells],
        "proved": [cell.proved for cell in cells],
        "group": [_groups(cell.census) for cell in cells],
        "reason": [cell.reason for cell in cells],
    }
    return xarray.Dataset(
        {name: (dims, np.array(values).reshape(shape)) for name, values in columns.items()},
        {"model": [", ".join(model) for model in models], "problem": list(problems), "penalty": list(penalties)},
    )


def _groups(census: Census | None) -> str:
    return ", ".join(sorted({point.group or "" for point in census.minima})) if census else ""


def _shown(values: np.ndarray) -> str:
    return f"{float(values):.8g}" if values.ndim == 0 else np.array2string(values, precision=8)


def _check(read: Linear) -> None:
    for name, values in (("features", read.features), ("labels", read.labels), ("weights", read.weights)):
        _checks.finite(f"objective.structure.{name}", values)
    if (read.weights < 0).any() or not (read.weights > 0).any():
        raise ValueError(
            "`objective.structure.weights` must be ≥ 0 and not all 0; drop the examples that should not count."
        )


def _found(objective: Objective, read: Linear) -> Finding:
    assert objective.structure is not None  # `linear` has read it
    data = _rational.examples(objective.structure, read, objective.reduction == "mean")
    if data is not None and not len(data.rows):
        return _affine_sets.constant(read)
    name = _rational.activation_name(read.loss)
    if name == "identity":
        return _affine_sets.quadratic(data, read)
    if data is None:
        reason = f"The distinct examples hold more than {_rational.ENTRIES} numbers, too many to be read exactly."
        return Finding(None, "unknown", reason, False)
    if not (read.l1.any() or read.l2.any()):
        found = _affine_sets.interpolation(data, read)
        if found is not None:
            return found
    problem = _rational.one_weight(data, read)
    if problem is not None:
        return _one_weight.one_weight(problem)
    return _unattained(objective, read) or _unknown(read, name)


def _unattained(objective: Objective, read: Linear) -> Finding | None:
    """Of cross-entropy: whether there is no minimizer that an expression could be of."""
    found = attainment(objective) if isinstance(read.loss, CrossEntropy) else None
    if found is None or found.attained is not False:
        return None
    reason = "There is no minimizer, as ls.attainment says: the infimum is approached at infinity."
    return Finding(False, "none", reason, found.certificate is not None and found.certificate.verify())


def _unknown(read: Linear, name: str) -> Finding:
    if name == "relu":
        reason = (
            "The risk of relu is piecewise quadratic, with gradient 0 on the whole region where the unit is dead for "
            "all examples; which piece holds the minimizer has no closed form known."
        )
        return Finding(None, "piecewise quadratic", reason, False)
    reason = "The stationarity equations are transcendental in θ, and none of the known cases applies."
    return Finding(None, "unknown", reason, False)
