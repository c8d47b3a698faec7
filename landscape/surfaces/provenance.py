"""Where a result comes from: what was computed, with what, on what."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from importlib import metadata
from typing import Any

import jax
import numpy as np

from landscape import _backend
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.tiles.manifest import FORMAT

_noted: ContextVar[dict[str, Any] | None] = ContextVar("noted", default=None)


@contextlib.contextmanager
def noted(**attributes: Any) -> Iterator[None]:
    """What is measured inside says this too, such as which file the data are from."""
    before = _noted.set(attributes)
    try:
        yield
    finally:
        _noted.reset(before)


def describe(objective: Objective, penalties: Mapping[str, Penalty] | None) -> dict[str, Any]:
    """Provenance that surfaces and trajectories share: what was computed, with what, on what."""
    import landscape

    own = {"": objective.penalty} if penalties is None else penalties
    return {
        "format": FORMAT,
        "objective": str(objective),
        "objective_id": objective.id,
        "penalties": json.dumps({label: str(penalty) for label, penalty in own.items()}, ensure_ascii=False),
        "penalty_terms": _penalties.to_json(own),
        "reduction": objective.reduction,
        "num_examples": objective.n,
        "dtype": str(objective.dtype),
        "device": device(),
        "landscape_version": landscape.__version__,
        "jax_version": jax.__version__,
        "numpy_version": np.__version__,
        **(_noted.get() or {}),
    }


def made_with() -> dict[str, str]:
    """What bits may depend on: versions, and the kind of device."""
    import landscape

    versions = {"landscape": landscape.__version__, "JAX": jax.__version__, "jaxlib": metadata.version("jaxlib")}
    return versions | {"NumPy": np.__version__, "device": device(), "cores": cores()}


def cores() -> str:
    """How many threads XLA has on a CPU, on which last digits depend."""
    if jax.default_backend() != "cpu":
        return "any"
    return str(_backend.usable_cores())


def device() -> str:
    """The kind of the devices that JAX uses."""
    first = jax.local_devices()[0]
    return f"{first.platform}: {first.device_kind}"
