"""`hessian`: the whole matrix, for small models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _trees
from landscape._trees import Params
from landscape.objectives.objective import Objective
from landscape.operators import _space
from landscape.operators.products import PRECISION, curvature

if TYPE_CHECKING:
    import xarray

COLUMNS = 32  # at a time
LARGEST = 2**32  # bytes of the matrix: beyond them one wants `top_eigenpairs`, `trace`, `spectral_density`


def hessian(
    objective: Objective,
    params: Params,
    *,
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
) -> xarray.DataArray:
    """The Hessian, Gauss–Newton or empirical Fisher matrix of an objective at params, all p×p entries.

    kind, leaves, batch_size, memory: as in `curvature`.
    Returns: a DataArray (param, param_) labeled by the entries' names, "layer1/W[0,1]"; symmetric. What is not finite
    stays as it is.
    Raises: ValueError or TypeError, naming the argument; ValueError for a matrix of more than 4 GiB.

        >>> import landscape as ls
        >>> saddle = ls.function(lambda p: p["x"] ** 2 - 3 * p["x"] * p["y"], {"x": 0.0, "y": 0.0})
        >>> matrix = ls.hessian(saddle, saddle.params)
        >>> matrix.values.tolist(), float(matrix.sel(param="x", param_="y"))
        ([[2.0, -3.0], [-3.0, 0.0]], -3.0)
    """
    import xarray

    operator = curvature(objective, params, kind=kind, leaves=leaves, batch_size=batch_size, memory=memory)
    size, dtype = operator.size, operator.dtype
    if size**2 * dtype.itemsize > LARGEST:
        raise ValueError(
            f"`params` has {size} entries that move, whose {operator.name} takes "
            f"{size**2 * dtype.itemsize / 2**30:.0f} GiB. Take some of the leaves, leaves=…, or what needs no matrix: "
            "top_eigenpairs, trace, spectral_density."
        )
    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, _trees.wide(leaf)), operator.inputs.moving)
    matrix = np.empty((size, size), dtype)
    step = _space.at_a_time(operator, memory, min(COLUMNS, size))
    with jax.default_matmul_precision(PRECISION):
        for first in range(0, size, step):
            block = _space.unit_vectors(np.arange(first, first + step) % size, wide)
            columns = np.asarray(_space.flat(operator.times(block)))
            matrix[first : first + step] = columns[: size - first]
    names = [name for names in _trees.entry_names(operator.inputs.moving).values() for name in names]
    described = {"long_name": operator.name, "units": "1"}
    labels = {"param": names, "param_": names}
    return xarray.DataArray((matrix + matrix.T) / 2, labels, ("param", "param_"), operator.program.kind, described)
