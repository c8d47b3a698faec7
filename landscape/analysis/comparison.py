"""`compare_optimizers`: how often and how fast optimizers reach known minima, from many starts."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _contestants, _tuning
from landscape.analysis._contestants import Contestant
from landscape.analysis.descent import descend
from landscape.analysis.optimizers import Optimizer
from landscape.objectives.problems import Problem
from landscape.surfaces.provenance import device, made_with
from landscape.tiles.progress import Progress

if TYPE_CHECKING:
    import xarray

LEARNING_RATES = tuple(float(f"{rate:.3g}") for rate in np.geomspace(1e-4, 1, 9))  # two a decade
NEVER = "–"
LONG_NAMES = {
    "steps_to": "steps to the tolerance",
    "success": "whether the run came within the tolerance",
    "diverged": "whether the run diverged",
    "final_gap": "objective less the least value, after the last step",
    "least_gap": "objective less the least value, the least of all steps",
    "minimum": "index of the minimizer that was reached",
    "learning_rate": "learning rate",
    "at_edge": "whether the learning rate is the least or greatest tried",
    "tuning_success": "share of the other starts that came within the tolerance",
    "tuning_cost": "mean steps of the other starts, twice all steps without success",
    "value": "least value of the objective",
    "threshold": "gap that counts as success",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare_optimizers` found. Prints as a table.

    data:       Dataset over `problem`, `optimizer` and `start`:
                `steps_to`, the first step within the tolerance, NaN where there is none; `success`, whether there is
                one; `diverged`, whether the run ended non-finite, or higher than it began by more than the threshold;
                `final_gap` and `least_gap`, the objective less the least value after the last step, and at best;
                `minimum`, the index in the problem's `minimizers` of the one nearest to the params at `steps_to`, −1
                without success and where not all minimizers are known.
                Over `problem` and `optimizer`: `learning_rate`, NaN where it was not tuned, and `at_edge`, whether it
                is the least or greatest that was tried. Over `rate` too, the learning rates tried: `tuning_success`
                and `tuning_cost`. Over `problem`: `value`, the least value, and `threshold`.
    optimizers: problem -> label -> the optimizer that ran, with the chosen learning rate: to run it again.
    """

    data: xarray.Dataset
    optimizers: Mapping[str, Mapping[str, Optimizer]]

    def summary(self) -> xarray.Dataset:
        """Over `problem` and `optimizer`: `success_rate` and `diverged_rate`, shares of the starts; `median_steps`,
        the median over all starts, those without success as ∞: ∞ where they are more than half; `learning_rate`."""
        data = self.data
        told = {"success_rate": data.success.mean("start"), "diverged_rate": data.diverged.mean("start")}
        told["median_steps"] = data.steps_to.fillna(np.inf).median("start")
        names = {
            "success_rate": "share of starts that came within the tolerance",
            "diverged_rate": "share of starts that diverged",
            "median_steps": "median steps",
        }
        told = {name: array.assign_attrs(long_name=names[name], units="1") for name, array in told.items()}
        return data[["learning_rate", "at_edge"]].assign(told)

    def table(self) -> str:
        """A line a problem, two columns an optimizer: the share of starts with success, and the median of steps."""
        told = self.summary()
        rows = [["", *map(str, told.optimizer.to_numpy())]]
        for i, problem in enumerate(map(str, told.problem.to_numpy())):
            at = told.isel(problem=i)
            each = zip(at.success_rate.to_numpy(), at.median_steps.to_numpy(), strict=True)
            rows.append([problem, *(f"{100 * share:.0f} % {_count(steps):>6}" for share, steps in each)])
        return _aligned(rows)

    def rates(self) -> str:
        """A line a problem, a column an optimizer: the learning rates that were chosen; ! at an edge of the grid."""
        told = self.summary()
        tuned = [i for i in range(told.sizes["optimizer"]) if told.learning_rate[:, i].notnull().any()]
        told = told.isel(optimizer=tuned)
        rows = [["", *map(str, told.optimizer.to_numpy())]]
        for i, problem in enumerate(map(str, told.problem.to_numpy())):
            each = zip(told.learning_rate[i].to_numpy(), told.at_edge[i].to_numpy(), strict=True)
            rows.append([problem, *(_rate(*one) for one in each)])
        return _aligned(rows)

    def __str__(self) -> str:
        given, data = self.data.attrs, self.data
        lines = [
            f"Share of {data.sizes['start']} starts within {given['tolerance']:g}·max(1, |least value|) of the least "
            f"value in {given['steps']} steps, and the median of steps over all starts:",
            self.table(),
        ]
        if data.learning_rate.notnull().any():
            lines += ["Learning rates, chosen by other starts (! at an edge of those tried: try more):", self.rates()]
        diverged = data.diverged.sum("start")
        pairs = [(i, j) for i, j in np.argwhere(diverged.to_numpy() > 0)]
        told = [f"{data.optimizer[j].item()} on {data.problem[i].item()} ({int(diverged[i, j])})" for i, j in pairs]
        lines += [f"Diverged: {', '.join(told)}"] if told else []
        lines += [
            f"`value` of {problem!r} is not the least: a run came {-gap:.3g} below it"
            for problem, gap in _refuted(data).items()
        ]
        return "\n".join(lines)

    __repr__ = __str__


def _count(steps: float) -> str:
    return f"{steps:.0f}" if np.isfinite(steps) else NEVER


def _rate(rate: float, at_edge: bool) -> str:
    return f"{rate:.3g}{'!' if at_edge else ''}" if np.isfinite(rate) else NEVER


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def _refuted(data: xarray.Dataset) -> dict[str, float]:
    """The problems below whose least value a run came, by more than the threshold, and how far."""
    least = data.least_gap.min(("optimizer", "start")).to_numpy()
    below = least < -data.threshold.to_numpy()
    return {str(data.problem[i].item()): float(least[i]) for i in np.flatnonzero(below)}


def compare_optimizers(
    problems: Problem | Mapping[str, Problem],
    optimizers: Mapping[str, Contestant | Mapping[str, Contestant]],
    *,
    key: Array,
    num_starts: int = 100,
    steps: int = 1000,
    tolerance: float = 1e-4,
    learning_rates: Sequence[float] = LEARNING_RATES,
    progress: bool | None = None,
) -> Comparison:
    """Run optimizers on problems with known minima, each from the same starts; count the steps, and who gets there.

        steps_to = the first step t with J(θₜ) − J* ≤ tolerance·max(1, |J*|)

    problems:       a Problem, or a mapping of them such as `ls.problems()`, or a part of it.
    optimizers:     label -> an optimizer as in `descend`, which runs as it is; or a function of the learning rate that
                    returns one, such as `optax.adam` or `lambda rate: optax.sgd(rate, momentum=0.9)`, which is tuned;
                    or a mapping problem -> either of them.
    key:            draws the starts of each problem, from its box; those of a problem called `name` by
                    `jax.random.fold_in(key, zlib.crc32(name.encode()))`, whatever the other problems are.
    num_starts:     runs of an optimizer on a problem.
    steps:          of each run. An optimizer's step is one update, however many values and gradients it takes: a line
                    search may take several.
    tolerance:      the gap that counts as success, relative to the size of the least value J* where that exceeds 1.
    learning_rates: those that are tried, for each problem and each function of the learning rate.
    progress:       as in `evaluate`.

    How rates are tuned: every rate runs from as many other starts, and the one with the fewest steps in the mean is
    taken, a start without success counting as 2·steps; among equal ones the one with the least median gap at the end.
    So what is reported is of starts that the choice has not seen. `at_edge` says that a rate was the least or greatest
    that was tried: then a wider range may serve the optimizer better. Other settings (momentum, decay, …) are not
    tuned; give a label to each that is to be compared. Full batches; the objectives' own penalties.
    Most of the time is compilation: two programs, some seconds, for each optimizer on each problem.
    Returns: a `Comparison`; print it, or draw it with `ls.plot.optimizers`.
    Raises: ValueError or TypeError, naming the argument.
    References: Dolan & Moré 2002, section 2; Moré & Wild 2009, section 2 (data profiles); Choi et al. 2019
    (arXiv:1910.05446): the order of optimizers is that of how they were tuned.

        >>> import jax, optax, landscape as ls
        >>> some = {name: ls.problems()[name] for name in ("valley_10", "himmelblau")}
        >>> methods = {"SGD": optax.sgd, "Momentum": lambda rate: optax.sgd(rate, momentum=0.9)}
        >>> found = ls.compare_optimizers(some, methods, key=jax.random.key(0), num_starts=20, steps=200)
        >>> found.data.sizes["start"], bool(found.data.success.all())
        (20, True)
    """
    named = _contestants.problems(problems)
    entered = _contestants.optimizers(optimizers, list(named))
    _checks.random_key("key", key)
    _checks.count("num_starts", num_starts)
    _checks.count("steps", steps)
    tolerance, rates = _checks.positive("tolerance", tolerance), _contestants.rates(learning_rates)
    ran, parts = {}, []
    with Progress(len(named) * len(optimizers), "runs of all starts", progress) as bar:
        for name, problem in named.items():
            own, tuning = jax.random.split(jax.random.fold_in(key, zlib.crc32(name.encode())))
            threshold = tolerance * max(1.0, abs(problem.value))
            starts, others = problem.starts(own, num_starts), problem.starts(tuning, num_starts)
            ran[name], found = {}, []
            for label, contestant in entered[name].items():
                if isinstance(contestant, _contestants.KINDS):
                    tuned, optimizer = None, contestant
                else:
                    tuned = _tuning.tuned(problem, contestant, rates, others, steps, threshold)
                    optimizer = _tuning.made(contestant, tuned.rate)
                ran[name][label] = optimizer
                found.append(_run(problem, optimizer, starts, steps, threshold) | _told(tuned, rates))
                bar.update(1)
            parts.append({name: np.stack([one[name] for one in found]) for name in found[0]})
    said = {"steps": steps, "tolerance": tolerance, "key": _trees.as_numbers(key).tolist()}
    return Comparison(_dataset(parts, named, list(optimizers), rates, said), ran)


def _run(problem: Problem, optimizer: Optimizer, starts: Params, steps: int, threshold: float) -> dict[str, np.ndarray]:
    """Of one optimizer on one problem, arrays over the starts."""
    count = len(jax.tree.leaves(starts)[0])
    record = None if problem.complete else _tuning.record_of(problem.objective, count, steps)
    run = descend(problem.objective, optimizer, starts, steps, record=record, progress=False)
    found = _tuning.progressed(run.data.objective.to_numpy(), problem.value, threshold)
    success = np.isfinite(found.steps_to)
    minimum = np.full(len(success), -1)
    if problem.complete:
        at = np.where(success, found.steps_to, 0).astype(int)
        params = jax.tree.map(lambda leaf: leaf[np.arange(len(at)), at], run.params)
        minimum = np.where(success, _nearest(params, problem), -1)
    return {
        "steps_to": found.steps_to,
        "success": success,
        "diverged": found.diverged,
        "final_gap": found.final,
        "least_gap": found.least,
        "minimum": minimum,
    }


def _nearest(params: Params, problem: Problem) -> np.ndarray:
    """The index of the minimizer nearest to each of the params, leaves (n, …)."""
    moving = jax.tree.leaves(_trees.floating(params, like=problem.objective.params))

    def squares(minimizer: Params) -> np.ndarray:
        there = jax.tree.leaves(_trees.floating(minimizer, like=problem.objective.params))
        away = [np.asarray(a, float) - np.asarray(b, float) for a, b in zip(moving, there, strict=True)]
        return np.sum([np.square(a).reshape(len(a), -1).sum(axis=1) for a in away], axis=0)

    return np.argmin([squares(minimizer) for minimizer in problem.minimizers], axis=0)


def _told(tuned: _tuning.Tuned | None, rates: Sequence[float]) -> dict[str, Any]:
    if tuned is None:
        unknown = np.full(len(rates), np.nan)
        return {"learning_rate": np.nan, "at_edge": False, "tuning_success": unknown, "tuning_cost": unknown}
    return {
        "learning_rate": tuned.rate,
        "at_edge": tuned.rate in (min(rates), max(rates)),
        "tuning_success": tuned.success,
        "tuning_cost": tuned.cost,
    }


def _dataset(
    parts: Sequence[Mapping[str, np.ndarray]],
    problems: Mapping[str, Problem],
    labels: Sequence[str],
    rates: Sequence[float],
    said: Mapping[str, Any],
) -> xarray.Dataset:
    """parts: for each problem, arrays (optimizers, …)."""
    import xarray

    dims = {"tuning_success": "rate", "tuning_cost": "rate", "learning_rate": None, "at_edge": None}
    variables: dict[str, Any] = {}
    for name in parts[0]:
        own = dims.get(name, "start")
        where = ("problem", "optimizer", *((own,) if own else ()))
        variables[name] = (where, np.stack([part[name] for part in parts]))
    values = np.array([problem.value for problem in problems.values()])
    variables["value"] = ("problem", values)
    variables["threshold"] = ("problem", said["tolerance"] * np.maximum(1.0, np.abs(values)))
    coords = {"problem": list(problems), "optimizer": list(labels), "start": np.arange(parts[0]["success"].shape[1])}
    coords["rate"] = ("rate", list(rates), {"long_name": "learning rate tried", "units": "1"})
    data = xarray.Dataset(variables, coords)
    for name, array in data.data_vars.items():
        array.attrs |= {"long_name": LONG_NAMES[str(name)], "units": "1"}
    ids = json.dumps({name: problem.objective.id for name, problem in problems.items()}, ensure_ascii=False)
    dtypes = sorted({str(problem.objective.dtype) for problem in problems.values()})
    made = {
        f"{name.lower()}_version": version for name, version in made_with().items() if name not in ("device", "cores")
    }
    return data.assign_attrs(
        kind="comparison", **said, objective_ids=ids, dtype=", ".join(dtypes), device=device(), **made
    )
