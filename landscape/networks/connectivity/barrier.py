"""Barriers: how far the risk rises above its ends, on the straight line between two minima or along a curve."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane
from landscape.charts.through import plane_through
from landscape.objectives import data as _data
from landscape.objectives.objective import Objective, check_objective
from landscape.surfaces.evaluate import evaluate
from landscape.surfaces.quantities import Accuracy

if TYPE_CHECKING:
    import xarray

PRECISION = "highest"  # of matrix products: JAX's default is TF32 on NVIDIA and bfloat16 on TPU
LOOKED_AT = 1024  # examples that show whether predictions decide for labels


@dataclass(frozen=True, eq=False)
class Barrier:
    """The risk along a path from t = 0 to t = 1, and how far it rises above its ends. Prints as a sentence.

    surface: Dataset over the path's coordinate (behind `split`, where there are several data), of `evaluate`: risk, and
             accuracy where the objective predicts, for `ls.plot.line`; and `excess`, the risk above the straight line
             between the risks at the ends, R(t) − [(1 − t)·R(0) + t·R(1)].
    """

    surface: xarray.Dataset

    @property
    def height(self) -> xarray.DataArray:
        """max over t of the excess, for each split: ≥ 0, since the ends count. NaN or inf where the path has one."""
        where = self._where().to_numpy()
        excess = self.surface.excess
        found = np.take_along_axis(excess.to_numpy(), where[..., None], axis=-1)[..., 0]
        return (
            excess.isel({excess.dims[-1]: 0}, drop=True)
            .copy(data=found)
            .rename("height")
            .assign_attrs(long_name="barrier of the risk", units="1")
        )

    @property
    def at(self) -> xarray.DataArray:
        """The t of that maximum, for each split; the first t whose risk is NaN, if there is one."""
        name = self.surface.excess.dims[-1]
        where = self._where()
        return (
            where.copy(data=self.surface[name].to_numpy()[where.to_numpy()])
            .rename("at")
            .assign_attrs(long_name="where the barrier is highest", units="1")
        )

    @property
    def finite(self) -> xarray.DataArray:
        """Whether the risk is finite on the whole path, for each split."""
        return np.isfinite(self.surface.risk).all(self.surface.risk.dims[-1]).rename("finite")

    def _where(self) -> xarray.DataArray:
        excess = self.surface.excess
        # NumPy's argmax takes a NaN for the maximum; xarray's leaves it out.
        return excess.isel({excess.dims[-1]: 0}, drop=True).copy(data=np.argmax(excess.to_numpy(), axis=-1))

    def __str__(self) -> str:
        return f"The barrier is {listed(self.height, self.at, self.surface.excess.dims[-1])}."

    __repr__ = __str__


def barrier(
    objective: Objective,
    a: Params,
    b: Params,
    *,
    data: Any = None,
    num_points: int = 51,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = PRECISION,
    progress: bool | None = None,
) -> Barrier:
    """The barrier on the straight line between two minima: how far the risk rises above that of its ends.

        max over t in [0, 1] of  R((1 − t)·a + t·b) − [(1 − t)·R(a) + t·R(b)]

    a, b:       params like the objective's; they are read in its dtypes, and frozen leaves are its own.
    data:       label -> data, {"train": (x, y), "test": (u, v)}: a barrier for each, as in `evaluate`.
    num_points: evenly spaced values of t, 3 or more, both ends among them; an odd number has t = ½.
    batch_size, memory, precision, progress: as in `evaluate`.

    It is that of the risk, without penalties, and it is 0 where the risk is convex, or both ends are one. Batch
    statistics belong to a point: an objective with `prepare` computes them anew for each t, and frozen ones make a
    barrier where there is none.
    Returns: a `Barrier`: height, at, surface. Where the risk is not finite on the way, neither is the height.
    Raises: ValueError or TypeError, naming the argument; ValueError where a and b are of different shapes.
    References: Entezari et al. 2022, equation 1 (arXiv:2110.06296); Frankle et al. 2020, section 2
    (arXiv:1912.05671), who take the mean of both ends instead; Jordan et al. 2023 (arXiv:2211.08403) on statistics.

        >>> import landscape as ls
        >>> wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> print(ls.barrier(wells, {"x": -1.0, "y": 0.0}, {"x": 1.0, "y": 0.0}))
        The barrier is 1 at t = 0.5.
    """
    check_objective(objective)
    ends = ends_of(objective, a, b)
    same = all(bool((u == v).all()) for u, v in zip(*map(_moving_leaves, ends), strict=True))
    line = _anywhere(ends[0]) if same else plane_through(*ends, names=("t",))
    options = {"batch_size": batch_size, "memory": memory, "precision": precision, "progress": progress}
    return _measured(objective, line, num_points, {"data": data, **options}, still=same)


def barrier_along(
    objective: Objective,
    chart: Chart,
    *,
    data: Any = None,
    num_points: int = 51,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = PRECISION,
    progress: bool | None = None,
) -> Barrier:
    """The barrier on a path, a chart with one coordinate t in [0, 1], such as a `Bezier`: as `barrier`, on the line.

        max over t in [0, 1] of  R(θ(t)) − [(1 − t)·R(θ(0)) + t·R(θ(1))]

    The other arguments, and what is returned, as in `barrier`.
    Raises: ValueError for a chart of several coordinates, and as `barrier`.

        >>> import landscape as ls
        >>> wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> detour = ls.Polygon([{"x": -1.0, "y": 0.0}, {"x": 0.0, "y": 1.0}, {"x": 1.0, "y": 0.0}])
        >>> print(ls.barrier_along(wells, detour))
        The barrier is 2 at t = 0.5.
    """
    check_objective(objective)
    _chart.check("chart", chart)
    if len(chart.names) != 1:
        raise ValueError(
            f"`chart` has the coordinates {', '.join(chart.names)}; a path has one: give a Bezier, a Polygon or a "
            "line, ls.plane_through(a, b)."
        )
    _chart.check_fits("chart", chart, objective.params)
    options = {"batch_size": batch_size, "memory": memory, "precision": precision, "progress": progress}
    return _measured(objective, chart, num_points, {"data": data, **options})


def _measured(objective: Objective, chart: Chart, num_points: int, options: Any, *, still: bool = False) -> Barrier:
    """The barrier on a chart; `still`: of a path that stays at t = 0."""
    positions = np.linspace(0, 1, _checks.count("num_points", num_points, least=3))
    quantities = ("risk", "accuracy") if _decides(objective, chart) else ("risk",)
    name = chart.names[0]
    with warnings.catch_warnings():  # where both ends are one to rounding, so are all points: no barrier is right
        warnings.filterwarnings("ignore", "a step of `axes", UserWarning)
        at = positions[:1] if still else positions
        surface = evaluate(objective, chart, {name: at}, quantities=quantities, **options)
    if still:
        surface = surface.isel({name: np.zeros(num_points, int)}).assign_coords(
            {name: surface[name].dtype.type(positions)}
        )
    risk = surface.risk.to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf − inf: it is not finite, and says so
        excess = risk - (risk[..., :1] + positions * (risk[..., -1:] - risk[..., :1]))
    said = {"long_name": "risk above the line between the ends", "units": "1"}
    return Barrier(surface.assign(excess=(surface.risk.dims, excess, said)))


def _moving_leaves(params: Params) -> list[Any]:
    return jax.tree.leaves(_trees.floating(params))


def _anywhere(params: Params) -> Plane:
    """A line through params that leads somewhere."""
    return Plane(params, (jax.tree.map(jnp.ones_like, _trees.floating(params)),), names=("t",))


def ends_of(objective: Objective, a: Params, b: Params) -> tuple[Params, Params]:
    """Both in the dtypes of the objective's params, with its frozen leaves."""
    for name, tree in (("a", a), ("b", b)):
        if jax.tree_util.all_leaves([tree]) and hasattr(tree, "params"):
            raise TypeError(f"`{name}` is {_checks.kind(tree)}; pass its params, {name}={name}.params.")
    a = _leaves.params_of("a", a)
    _leaves.moving("b", b, a, "a")

    def read(name: str, tree: Params) -> Params:
        given = _leaves.moving(name, tree, objective.params, "objective.params")
        own = _trees.floating(objective.params)
        return _trees.merged(jax.tree.map(lambda leaf, o: leaf.astype(o.dtype), given, own), objective.params)

    return read("a", a), read("b", b)


def _decides(objective: Objective, chart: Chart) -> bool:
    """Whether the objective predicts what an accuracy counts, at t = 0 on the first examples."""
    if objective.predict is None:
        return False
    preparation = objective.preparation
    batch = next(iter(_data.batches(objective.data, LOOKED_AT if preparation is None else objective.n)))
    if not isinstance(batch, (tuple, list)) or len(batch) < 2 or not hasattr(batch[1], "dtype"):
        return False
    predict = objective.predict

    @jax.jit
    def outputs(chart: Chart, batch: Any) -> Any:
        params = chart.point((jnp.zeros((), _checks.default_float()),))
        return predict(params if preparation is None else preparation(params, batch), batch[0])

    out = outputs(chart, batch)
    try:
        return not bool(jnp.isnan(Accuracy.right(out, jnp.asarray(batch[1]))).any())
    except ValueError:  # the rule's own, that shapes do not fit
        return False


def listed(height: Any, at: Any = None, name: Any = "t") -> str:
    """A barrier for each split: "1.2 at t = 0.5 (train) and 1.3 at t = 0.52 (test)"."""
    where = [""] * height.size if at is None else [f" at {name} = {t:.3g}" for t in np.ravel(at.to_numpy())]
    texts = [f"{h:.3g}{place}" for h, place in zip(np.ravel(height.to_numpy()), where, strict=True)]
    if height.ndim:
        texts = [f"{text} ({split})" for text, split in zip(texts, height.split.to_numpy(), strict=True)]
    return " and ".join(texts)
