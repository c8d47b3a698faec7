"""The verdicts of `attainment`, and what is found in parameters as a vector θ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landscape.minima.attainment._certificates import Certificate

UNIQUE = "unique minimizer"
AFFINE = "affine set of minimizers"
CONVEX = "convex set of minimizers"
SEVERAL = "several minimizers"
OPEN = "attained, uniqueness not decided"
AT_INFINITY = "approached at infinity"
UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Finding:
    """An `Attainment` before it is dressed in params: see there."""

    verdict: str
    explanation: str
    infimum: float = math.nan
    separation: str | None = None
    theta: np.ndarray | None = None  # (p,)
    directions: np.ndarray | tuple[()] = ()  # (k, p)
    direction: np.ndarray | None = None  # (p,)
    margins: np.ndarray | None = None  # (n,) of the examples that count
    certificate: Certificate | None = None
    converged: bool = True
    residual: float = math.nan
