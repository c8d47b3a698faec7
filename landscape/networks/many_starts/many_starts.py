"""Whole populations of networks, trained from many starts at every width: how far apart do they end?

>>> import jax, numpy as np, optax, landscape as ls
>>> xor = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], "float32"), np.array([-1, 1, 1, -1], "float32")
>>> made = ls.many_starts(lambda m: ls.mlp((2, m, 1)), [1, 8], optax.sgd(0.3), xor, key=jax.random.key(0), epochs=500)
>>> (made.data.risk.median("start") < 0.01).values  # one hidden unit cannot
array([False,  True])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from landscape import _checks
from landscape._trees import Params
from landscape.analysis.descent import PRECISION, descend
from landscape.analysis.optimizers import Optimizer
from landscape.networks.many_starts import _ends
from landscape.objectives.mlp import Network
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty

if TYPE_CHECKING:
    import xarray

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
LONG_NAMES = {
    "start_risk": "training risk at the start",
    "risk": "training risk at the end",
    "objective": "objective at the end",
    "gradient_norm": "norm of the objective's gradient at the end",
    "accuracy": "training accuracy at the end",
    "test_risk": "test risk at the end",
    "test_accuracy": "test accuracy at the end",
    "finite": "whether the run is finite",
}
WORST_IS_LEAST = ("accuracy", "test_accuracy")


@dataclass(frozen=True, eq=False)
class ManyStarts:
    """What `many_starts` trained; prints as a table of the widths.

    data:       Dataset over `width` and `start`: start_risk, risk, objective, gradient_norm, finite; accuracy where the
                network decides; test_risk and test_accuracy where there are test data. `num_params` is by width.
    params:     {width: params of the ends, leaves (start, …)}.
    objectives: {width: the objective on the training data}.
    """

    data: xarray.Dataset
    params: Mapping[int, Params]
    objectives: Mapping[int, Objective]

    def quantiles(self, shares: Sequence[float] = QUARTILES) -> xarray.Dataset:
        """The distribution of each number over the starts: a Dataset over `quantile` and `width`.

        A quantile is the number of one of the starts: the first that a share of them reaches. Starts that diverged
        count as the worst of all; a quantile that falls among them is NaN.
        Raises: ValueError for shares outside [0, 1].
        """
        import xarray

        found = np.asarray(shares, float)
        if found.ndim != 1 or not found.size or not ((found >= 0) & (found <= 1)).all():
            raise ValueError(f"`shares` is {shares!r}; give numbers between 0 and 1, such as (0.25, 0.5, 0.75).")
        variables = {}
        for name, values in self.data.drop_vars(["finite", "num_params"]).items():
            worst = -np.inf if name in WORST_IS_LEAST else np.inf
            known = np.where(self.data.finite & np.isfinite(values), values, worst)
            numbers = np.quantile(known, found, axis=1, method="inverted_cdf")
            numbers = np.where(np.isfinite(numbers), numbers, np.nan).astype(values.dtype)
            variables[name] = (("quantile", "width"), numbers, values.attrs)
        coords = {"quantile": ("quantile", found, {"long_name": "share of the starts", "units": "1"})}
        return xarray.Dataset(variables, coords | {"width": self.data.width}, self.data.attrs)

    def __str__(self) -> str:
        tested = "test_risk" if "test_risk" in self.data else "risk"
        of = "test" if tested == "test_risk" else "training"
        lines = [
            f"{self.data.sizes['start']} starts a width, {self.data.attrs['epochs']} epochs of "
            f"{-(-self.data.attrs['examples'] // self.data.attrs['batch_size'])} steps",
            f"{'width':>6} {'params':>7} {'median':>10} {'quartiles of the ' + of + ' risk':>31} {'not finite':>11}",
        ]
        quantiles, lost = self.quantiles()[tested].to_numpy(), (~self.data.finite).sum("start").to_numpy()
        for i, width in enumerate(self.data.width.to_numpy()):
            _, low, middle, high, _ = (f"{value:.4g}" for value in quantiles[:, i])
            count = int(self.data.num_params[i])
            lines.append(f"{width:>6} {count:>7} {middle:>10} {low + ' to ' + high:>31} {lost[i]:>11}")
        return "\n".join(lines)

    __repr__ = __str__


def many_starts(
    network_of_width: Callable[[int], Network],
    widths: Sequence[int],
    optimizer: Optimizer,
    train: tuple[Any, Any],
    *,
    key: Array,
    epochs: int,
    num_starts: int = 200,
    batch_size: int | None = None,
    test: tuple[Any, Any] | None = None,
    penalty: Penalty | None = None,
    initializer: str = "glorot",
    memory: int | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
) -> ManyStarts:
    """Train networks of several widths, each from many random starts, and measure where they end.

    All starts of a width are one compiled program, in blocks that fit into memory. What is kept is the ends; on the way
    nothing is measured.

    network_of_width: width -> an `ls.mlp`, such as lambda m: ls.mlp((64, m, 10), output="softmax",
                      loss="cross_entropy").
    widths:           whole numbers, each once.
    optimizer:        an optax transformation or `ls.proximal_gradient(η)`, for every width. Matched by identity: keep
                      one to compile once.
    train, test:      (x, y), as `network.objective` takes them.
    key:              draws the starts (other ones at every width) and the order of the examples, which all starts of a
                      width share.
    epochs:           passes over the training data: ⌈epochs·n/batch_size⌉ steps.
    batch_size:       None for full batches: then an epoch is a step.
    initializer:      as `network.init` takes it.
    memory, progress: as in `ls.descend`; so is
    store:            a folder, with a store for each width: what is in it is not trained again.

    A start that diverges stays, with finite False: its params are the last ones before the step at which the objective
    or its gradient was not finite, and its numbers are those there.
    Returns: a `ManyStarts`.
    Raises: ValueError or TypeError, naming the argument; of a store as `ls.descend`.
    References: Choromanska, Henaff, Mathieu, Ben Arous & LeCun 2015, the experiments (arXiv:1412.0233).

        >>> import jax, numpy as np, optax, landscape as ls
        >>> x = np.linspace(-2, 2, 20, dtype="float32")
        >>> make = lambda width: ls.mlp((1, width, 1))
        >>> made = ls.many_starts(make, [2, 4], optax.adam(0.05), (x, x**2), key=jax.random.key(0), epochs=200)
        >>> dict(made.data.sizes), bool(made.data.finite.all())
        ({'width': 2, 'start': 200}, True)
    """
    widths = _checked_widths(widths)
    _checks.random_key("key", key)
    _checks.count("epochs", epochs)
    _checks.count("num_starts", num_starts)
    networks = {width: _network(network_of_width, width) for width in widths}
    train, test = _pair("train", train), None if test is None else _pair("test", test)
    key_starts, key_order = jax.random.split(key)
    objectives, params, rows = {}, {}, []
    for i, (width, network) in enumerate(networks.items()):
        objective = network.objective(*train, penalty=penalty)
        _checks.x64_matches("train", objective.data)
        starts = _drawn(network, initializer, jax.random.split(jax.random.fold_in(key_starts, i), num_starts))
        steps = -(-epochs * objective.n // (batch_size or objective.n)) if _sized(batch_size, objective.n) else epochs
        run = descend(
            objective,
            optimizer,
            starts,
            steps,
            batch_size=batch_size,
            key=jax.random.fold_in(key_order, i),
            record_every=steps,
            memory=memory,
            progress=progress,
            store=None if store is None else os.path.join(store, f"width_{width}.zarr"),
        )
        objectives[width] = objective
        params[width] = jax.tree.map(lambda leaf: leaf[:, -1], run.params)
        with jax.default_matmul_precision(PRECISION):
            rows.append(_row(network, objective, run.data, params[width], test, memory))
    return ManyStarts(_dataset(networks, objectives, rows, epochs, batch_size), params, objectives)


def _sized(batch_size: Any, n: int) -> bool:
    return batch_size is not None and 1 <= _checks.count("batch_size", batch_size) <= n


@partial(jax.jit, static_argnames=("network", "initializer"))
def _drawn(network: Network, initializer: str, keys: Array) -> Params:
    return jax.vmap(lambda key: network.init(key, initializer))(keys)


def _row(
    network: Network, objective: Objective, run: Any, params: Params, test: Any, memory: int | None
) -> dict[str, np.ndarray]:
    """What there is to say of the starts of one width: {name: (starts,)}."""
    decides = network.output == "softmax" or (network.loss == "cross_entropy" and network.sizes[-1] == 1)
    row = {name: run[name].to_numpy()[:, -1] for name in ("risk", "objective", "gradient_norm", "finite")}
    row["start_risk"] = run.risk.to_numpy()[:, 0]
    if decides:
        row["accuracy"] = _ends.measured(objective, params, memory, decides)["accuracy"]
    if test is not None:
        tested = network.objective(*test)
        found = _ends.measured(tested, params, memory, decides)
        row |= {f"test_{name}": values for name, values in found.items()}
        row["finite"] = row["finite"] & np.isfinite(row["test_risk"])
    return row


def _dataset(
    networks: Mapping[int, Network],
    objectives: Mapping[int, Objective],
    rows: list[dict[str, np.ndarray]],
    epochs: int,
    batch_size: int | None,
) -> xarray.Dataset:
    import xarray

    variables: dict[str, Any] = {
        name: (("width", "start"), np.stack([row[name] for row in rows]), {"long_name": text, "units": "1"})
        for name, text in LONG_NAMES.items()
        if name in rows[0]
    }
    counts = [sum(leaf.size for leaf in jax.tree.leaves(objective.params)) for objective in objectives.values()]
    variables["num_params"] = ("width", np.array(counts), {"long_name": "number of params", "units": "1"})
    coords = {
        "width": ("width", np.array(list(networks)), {"long_name": "width", "units": "1"}),
        "start": ("start", np.arange(len(rows[0]["risk"])), {"long_name": "start", "units": "1"}),
    }
    one = next(iter(objectives.values()))
    size = one.n if batch_size is None else batch_size
    said = {"kind": "many_starts", "epochs": epochs, "batch_size": size, "examples": one.n, "precision": PRECISION}
    return xarray.Dataset(variables, coords, said | {"networks": [str(network) for network in networks.values()]})


def _checked_widths(widths: Any) -> list[int]:
    if isinstance(widths, (str, Mapping)) or not hasattr(widths, "__iter__"):
        raise TypeError(f"`widths` is {_checks.kind(widths)}; give whole numbers, such as (4, 8, 16).")
    found = [_checks.count(f"widths[{i}]", width, unit=" units") for i, width in enumerate(widths)]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"`widths` is {found}; give at least one width, and each once.")
    return found


def _network(network_of_width: Any, width: int) -> Network:
    if not callable(network_of_width):
        raise TypeError(
            f"`network_of_width` is {_checks.kind(network_of_width)}; give a function of the width that returns a "
            "network: lambda m: ls.mlp((64, m, 10))."
        )
    network: Any = network_of_width(width)
    _checks.instance(f"network_of_width({width})", network, Network, "a network, ls.mlp((64, width, 10))")
    return network


def _pair(name: str, data: Any) -> tuple[Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        came = f"{len(data)} entries" if isinstance(data, (tuple, list)) else _checks.kind(data)
        raise TypeError(f"`{name}` is {came}; give inputs and targets, ({name}_x, {name}_y).")
    return data[0], data[1]
