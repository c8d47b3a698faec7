"""What a case of `closed_form` found, over θ (p,): not yet params."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from landscape.minima.closed_form._polynomial import Census


@dataclass(frozen=True, eq=False)
class Finding:
    """The fields of `ClosedForm`, with the point (p,) and the directions (k, p) as arrays."""

    exists: bool | None
    kind: str
    reason: str
    proved: bool
    point: np.ndarray | None = None
    directions: np.ndarray | None = None
    census: Census | None = None
