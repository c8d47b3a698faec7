"""One channel on one piece: the form in which it is interpolated, and how far off the interpolant is thought to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from landscape.surfaces import _chebyshev

JUDGED = 4  # degree, from which on the decay of coefficients says something
BEYOND = 2.5  # times the largest error at the checks: seldom passed elsewhere
DECADE = 10  # the greatest value over the least, from which on a logarithm may do better
ALIASED = (
    2  # times what the coefficients leave beyond the last degree: at the nodes that is taken for lower degrees too
)
FLAT = 0.8  # of coefficients at half the degree: those of a jump are ⅔ of that at three quarters
SMOOTH = 4  # the power of the degree with which coefficients decay, above which there is no kink

Form = Literal["plain", "log", "square"]


class Scale(NamedTuple):
    """A form: there, and back."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


FORMS: dict[Form, Scale] = {
    "plain": Scale(lambda v: v, lambda v: v),
    "log": Scale(np.log, np.exp),
    "square": Scale(np.square, lambda v: np.sqrt(np.maximum(v, 0))),
}


class Tail(NamedTuple):
    """Coefficients along one axis: how large they are at last, and what is left beyond."""

    last: float  # the largest norm of those of one degree, in the last quarter of the degrees
    ratio: float  # the factor from one degree to the next
    left: float  # the error; 0 where it is not known
    flat: bool  # they do not become smaller yet, as those of an oscillation of a higher degree


class Kind(NamedTuple):
    """What is special about a channel."""

    norm: bool  # its square is smooth where it is 0
    relative: bool  # its error counts relative to its value


class Interpolated(NamedTuple):
    """An interpolant of one channel."""

    error: float
    form: Form
    coefficients: np.ndarray  # (degree + 1, …)
    tails: Sequence[Tail]  # one an axis


def interpolated(values: np.ndarray, checks: np.ndarray, t: np.ndarray, kind: Kind, rounding: float) -> Interpolated:
    """The interpolant of values (degree + 1, …) at the nodes, in the form that errs least; plain where that is as good.

    checks: values (C,) at other points t (C, k) of the cube. rounding: of values, relative.
    """
    forms: list[Form] = ["plain"]
    everything = np.concatenate([values.ravel(), checks])
    if everything.min() > 0 and everything.max() > DECADE * everything.min():
        forms.append("log")
    if kind.norm and everything.min() >= 0:
        forms.append("square")
    found = [_in_form(form, values, checks, t, kind, rounding) for form in forms]
    least = min(one.error for one in found)
    return next(one for one in found if one.error <= 1.5 * least)


def _in_form(
    form: Form, values: np.ndarray, checks: np.ndarray, t: np.ndarray, kind: Kind, rounding: float
) -> Interpolated:
    there, back = FORMS[form]
    with np.errstate(over="ignore"):
        coefficients = _chebyshev.of_values(there(values), values.ndim)
        tails = [tail(slab, values.ndim) for slab in _chebyshev.slabs(coefficients, values.ndim)]
        off = np.abs(back(_chebyshev.at(coefficients, t)) - checks)
        beyond = np.abs(back(there(values) + sum(own.left for own in tails)) - values)
    floor = rounding * float(np.abs(values).max())  # which reaches all of a piece, unless it is of logarithms
    if kind.relative:
        off, beyond = off / np.abs(checks), beyond / np.abs(values)
        floor = rounding if form == "log" else floor / float(np.abs(values).min())
    error = float(max(BEYOND * off.max(initial=0.0), beyond.max(), floor))
    return Interpolated(error if np.isfinite(error) else math.inf, form, coefficients, tails)


def tail(slab: np.ndarray, k: int) -> Tail:
    """From what is left of the coefficients from each degree on, in k coordinates.

    They are continued as a geometric series, with the ratio from half the degree to the last quarter; where they decay
    like a power, that sums to about degree/power of them. In one coordinate the coefficients of a kink, which decay
    like degree⁻² and whose signs agree at the kink, are told from others, and summed as such.
    """
    degree = len(slab) - 1
    quarter = -(-degree // 4)
    half, last = float(slab[degree // 2]), float(slab[degree - quarter])
    if degree < JUDGED:
        return Tail(last, 0.0, 0.0, False)
    ratio = (last / half) ** (1 / (degree - quarter - degree // 2)) if half > 0 else 0.0
    left = last * min(ratio ** (quarter + 1) / max(1 - ratio, 1e-9), degree)
    if k == 1 and half < last * ((degree - quarter) / (degree // 2)) ** SMOOTH:
        left = max(left, last * (degree - quarter) ** 2 / degree)
    return Tail(last, ratio, ALIASED * left, last > FLAT * half)
