"""Where a result comes from: what was computed, with what, on what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty


def describe(objective: Objective, penalties: Mapping[str, Penalty] | None) -> dict[str, Any]:
    """Provenance that surfaces and trajectories share: what was computed, with what, on what."""
    import landscape

    own = {"": objective.penalty} if penalties is None else penalties
    device = jax.devices()[0]
    return {
        "format": 1,
        "objective": str(objective),
        "objective_id": objective.id,
        "penalties": json.dumps({label: str(penalty) for label, penalty in own.items()}, ensure_ascii=False),
        "penalty_terms": _penalties.to_json(own),
        "reduction": objective.reduction,
        "num_examples": objective.n,
        "dtype": str(objective.dtype),
        "device": f"{device.platform}: {device.device_kind}",
        "landscape_version": landscape.__version__,
        "jax_version": jax.__version__,
        "numpy_version": np.__version__,
    }
