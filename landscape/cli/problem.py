"""The problem that options name: an objective (a neuron on a file's columns, or one's own), chart, axes, penalties."""

import contextlib
import importlib
import inspect
import os
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import landscape as ls
from landscape import _trees
from landscape.charts import plane, polar  # noqa: F401  # a stored chart is rebuilt from the kinds that are registered
from landscape.charts.chart import Chart
from landscape.cli import distributed, specs
from landscape.cli.columns import read_columns
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty

BUILT_IN = ("pair", "o_rings")
_MEASURE = "Measure others with `landscape surface … -o RESULT.zarr`, and explore RESULT.zarr."


@dataclass(frozen=True)
class Problem:
    """An objective and where it came from."""

    objective: Objective
    source: str  # one line: the file and columns, or MODULE:ATTR
    inputs: np.ndarray | None  # the neuron's, (n,) or (n, d)


@contextlib.contextmanager
def at_work(dtype: str | None, coordinator: str | None = None, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """x64 mode for float64, and modules of the current folder can be imported; both are undone afterwards.

    coordinator: of `jax.distributed`, which is started; see `distributed.join`.
    """
    if coordinator is not None:
        distributed.join(coordinator, shard)
    folder = os.getcwd()
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
    if coordinator is not None:
        distributed.settle()


def build(args: Namespace, dtype: str | None = None) -> Problem:
    """The problem of the command line; `dtype`: in place of --dtype where that is not given.

    Raises: ValueError or TypeError, naming the option or the column.
    """
    asked = args.dtype or dtype
    if args.data is not None:
        return _neuron(args, asked or "float32")
    refuse_columns(args, "an own objective")
    objective = _load(args.objective, "--objective", Objective)
    found = sorted({str(leaf.dtype) for leaf in jax.tree.leaves(objective.params)})
    if args.dtype and found != [args.dtype]:
        raise ValueError(
            f"--dtype is {args.dtype}, but the params of {args.objective} are {', '.join(found)}; build them in it."
        )
    return Problem(objective, args.objective, None)


def refuse_columns(args: Namespace, what: str) -> None:
    """Raises: ValueError for options of --data beside what needs none."""
    for option in ("x", "y", "weights", "decimal", "standardize", "loss", "activation", "no_bias"):
        if getattr(args, option):
            raise ValueError(f"--{option.replace('_', '-')} belongs to --data; {what} has its own.")


def of_page(args: Namespace, dtype: str) -> Problem:
    """The neuron that a page computes with. Raises: ValueError for several inputs, no bias, and too many examples."""
    from landscape.explorer._exact import MOST_EXAMPLES

    if args.no_bias or len(args.x or ()) > 1:
        given = "--no-bias is given" if args.no_bias else f"--x has {len(args.x)} columns"
        raise ValueError(f"{given}; a page holds a neuron of one w and b. {_MEASURE}")
    problem = build(args, dtype)
    assert problem.inputs is not None
    if len(problem.inputs) > MOST_EXAMPLES:
        raise ValueError(
            f"--data {args.data} has {len(problem.inputs)} examples; a page computes with {MOST_EXAMPLES} at most. "
            + _MEASURE
        )
    return problem


def _neuron(args: Namespace, dtype: str) -> Problem:
    x, y, weights, source = _examples(args)
    if args.standardize:
        mean, sd = x.mean(axis=0), x.std(axis=0)
        if not np.all(sd > 0):
            raise ValueError(
                "--standardize: a column of --x is constant, so its standard deviation is 0; leave it out."
            )
        x = (x - mean) / sd
        source += f"; x standardized: mean {_list(mean)}, standard deviation {_list(sd)}"
    _warn_if_lost(x, dtype)
    options: dict[str, Any] = {"bias": not args.no_bias}
    options |= {name: getattr(args, name) for name in ("loss", "activation") if getattr(args, name)}
    if weights is not None:
        options["weights"] = weights.astype(dtype)
    try:
        return Problem(ls.neuron(x.astype(dtype), y.astype(dtype), **options), source, x)
    except ValueError as error:
        raise ValueError(_in_words_of_options(str(error), args)) from error


def _examples(args: Namespace) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str]:
    """(x (n,) or (n, d), y, weights, where they are from)."""
    if args.data in BUILT_IN:
        given = [f"--{name}" for name in ("x", "y", "weights", "decimal") if getattr(args, name)]
        if given:
            raise ValueError(f"--data {args.data} is built in and has its own columns; leave out {', '.join(given)}.")
        x, y = getattr(ls.datasets, args.data)()
        return x.astype(np.float64), y.astype(np.float64), None, args.data
    if not Path(args.data).exists():
        raise ValueError(
            f"--data {args.data!r} does not exist; give a file, or one of the built-in sets {', '.join(BUILT_IN)}."
        )
    if not args.x or not args.y:
        raise ValueError("--data FILE needs --x COL (one or several) and --y COL, names from the file's first line.")
    names = [*args.x, args.y, *([args.weights] if args.weights else [])]
    columns = read_columns(args.data, names, args.decimal or ".")
    x = np.stack([columns[name] for name in args.x], axis=1)
    source = f"{Path(args.data).name}: x = {', '.join(args.x)}; y = {args.y}"
    if args.weights:
        source += f"; weights = {args.weights}"
    return x[:, 0] if len(args.x) == 1 else x, columns[args.y], columns.get(args.weights), source


def _in_words_of_options(message: str, args: Namespace) -> str:
    """A message about the arguments of `ls.neuron`, in the words of the command line."""
    for name in ("x", "y", "weights"):
        value = getattr(args, name)
        columns = f" ({_list(value) if name == 'x' else value})" if value else ""
        message = message.replace(f"`{name}`", f"--{name}{columns}")
    for name in ("loss", "activation"):
        message = re.sub(rf'\b{name}="(\w+)"', rf"--{name} \1", message.replace(f"`{name}`", f"--{name}"))
    return message.replace("pass (y + 1) / 2", "write (y + 1)/2 into the column: −1 becomes 0")


def _warn_if_lost(x: np.ndarray, dtype: str) -> None:
    """A column such as the time in seconds since 1970 is nearly constant in float32."""
    spread, size = x.std(axis=0), np.abs(x).max(axis=0)
    if np.any((spread > 0) & (spread < 1e3 * np.finfo(dtype).eps * size)):
        import warnings

        warnings.warn(
            f"a column of --x varies too little for its size to be told apart in {dtype}; use --standardize.",
            stacklevel=2,
        )


def _load(reference: str, option: str, kind: type) -> Any:
    """The object that MODULE:ATTR names, or what the function of that name returns."""
    name, colon, attribute = reference.partition(":")
    if not colon or not name or not attribute:
        raise ValueError(f"{option} is {reference!r}; it must be MODULE:ATTR, such as mine:objective.")
    name = name.removesuffix(".py").replace(os.sep, ".")
    importlib.invalidate_caches()
    try:
        value: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(_told(option, f"importing {name}", error)) from error
        raise ValueError(f"{option}: there is no module {name!r} in {os.getcwd()!r}, nor installed.") from None
    except Exception as error:  # anybody's code may raise anything
        raise ValueError(_told(option, f"importing {name}", error)) from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            own = [n for n, v in getattr(value, "__dict__", {}).items() if isinstance(v, kind) or _is_function(v, name)]
            raise ValueError(
                f"{option}: {name!r} has no {attribute!r}" + (f"; it has {', '.join(own)}." if own else ".")
            )
        value = getattr(value, part)
    if not isinstance(value, kind) and callable(value):
        try:
            value = value()
        except Exception as error:
            raise ValueError(_told(option, f"{reference}()", error)) from error
    if not isinstance(value, kind):
        raise TypeError(
            f"{option} {reference} is of type {type(value).__name__}; wanted: {kind.__name__} or a function making one."
        )
    return value


def _is_function(value: Any, module: str) -> bool:
    return inspect.isfunction(value) and value.__module__ == module


def _told(option: str, doing: str, error: BaseException) -> str:
    """An error of somebody's code in one line: what was being done, what came, and where in their files."""
    here = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(os.getcwd())]
    own = [
        f
        for f in here
        if "site-packages" not in f.filename and Path(__file__).parents[1] not in Path(f.filename).parents
    ]
    place = (
        f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own and not isinstance(error, SyntaxError) else ""
    )
    return f"{option}: {doing} failed: {type(error).__name__}: {error}{place}"


def axes(args: Namespace, problem: Problem) -> dict[str, np.ndarray]:
    """Name -> positions: the axes of the command line, or those that the data's scale suggests.

    Raises: ValueError if there are none to choose, too many, or one is named twice.
    """
    chosen: Sequence[specs.Axis] = args.axis
    if not chosen:
        if problem.inputs is None or args.chart:
            raise ValueError("--axis is needed, one a coordinate: NAME=LOW:HIGH:POINTS. " + _names_hint(args, problem))
        chosen = _default_axes(problem)
    names = [axis.name for axis in chosen]
    if len(set(names)) < len(names):
        raise ValueError(
            f"--axis names {next(n for n in names if names.count(n) > 1)!r} twice; give each coordinate once."
        )
    if len(chosen) > 3:
        raise ValueError(f"--axis is given for {len(chosen)} coordinates; a grid has 1 to 3.")
    points = specs.POINTS[len(chosen) - 1]
    return {axis.name: np.linspace(axis.low, axis.high, axis.points or points) for axis in chosen}


def _default_axes(problem: Problem) -> list[specs.Axis]:
    """w in ±10/sd(x) and b in ±10·max(1, |mean(x)|/sd(x)), to two digits: where a sigmoid goes from flat to steep."""
    assert problem.inputs is not None
    x = problem.inputs
    mean, sd = np.abs(x.mean(axis=0)), x.std(axis=0)
    sd = np.where(sd > 0, sd, np.maximum(mean, 1.0))
    entries = _entries(problem.objective)
    if len(entries) > 3:
        raise ValueError(
            f"there are {len(entries)} parameters; choose 1 to 3 of them with --axis: {', '.join(entries)}."
        )
    reach = {"b": 10 * max(1.0, float(np.max(mean / sd)))}
    reach |= {name: 10 / float(s) for name, s in zip((e for e in entries if e != "b"), np.atleast_1d(sd), strict=True)}
    return [specs.Axis(name, -_rounded(reach[name]), _rounded(reach[name])) for name in entries]


def _entries(objective: Objective) -> list[str]:
    """The names of all numbers in the params, a neuron's weights first: w[0], w[1], b."""
    named = sorted(_trees.named_leaves(objective.params).items(), key=lambda item: item[0] == "b")
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, leaf in named
        for index in np.ndindex(np.shape(leaf))
    ]


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def chart(args: Namespace, problem: Problem, names: Sequence[str]) -> Chart:
    """The chart of the command line; without one, the plane of the named entries of the params.

    Raises: ValueError or TypeError, naming the option.
    """
    if args.chart in ("polar", "boundary"):
        entries = _entries(problem.objective)
        if problem.inputs is None or entries != ["w", "b"]:
            raise ValueError(
                f"--chart {args.chart} is of the plane (w, b): it needs --data with one input, and the bias."
            )
        made = (ls.Polar if args.chart == "polar" else ls.Boundary)(ls.axes_plane(problem.objective.params, "w", "b"))
        _check_names(names, made.names, f"no coordinate of the chart ({', '.join(made.names)})")
        return made
    if args.chart:
        own = _load(args.chart, "--chart", Chart)
        _check_names(names, own.names, f"no coordinate of the chart ({', '.join(own.names)})")
        return own
    try:
        return ls.axes_plane(problem.objective.params, *names)
    except ValueError as error:
        entries = _entries(problem.objective)
        hint = next((specs.did_you_mean(name, entries) for name in names if name not in entries), "")
        raise ValueError(f"--axis: {str(error).removeprefix('`names` has ')}{hint}") from error


def _check_names(names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Refuse a name that is nearly a known one; of others `ls.evaluate` says what is missing."""
    for name in names:
        hint = "" if name in known else specs.did_you_mean(name, known)
        if hint:
            raise ValueError(f"--axis: {name!r}, which is {what}.{hint}")


def _names_hint(args: Namespace, problem: Problem) -> str:
    if args.chart:
        return f"The chart's coordinates are {', '.join(chart(args, problem, ()).names)}."
    return f"The params are {_trees.layout(problem.objective.params)}."


def penalties(args: Namespace) -> dict[str, Penalty] | None:
    """The sweep of the command line, label -> Penalty; None without one."""
    chosen = specs.sweep(args.penalty)
    return {label: getattr(ls, kind)(*strengths) for label, (kind, strengths) in chosen.items()} or None


def optimizers(args: Namespace) -> dict[str, Any]:
    """Label -> optimizer."""
    import optax

    named: dict[str, Callable[..., Any]] = {
        "momentum": partial(optax.sgd, momentum=0.9),
        "nesterov": partial(optax.sgd, momentum=0.9, nesterov=True),
        "proximal_gradient": ls.proximal_gradient,
    }
    chosen = specs.optimizer_labels(args.optimizer).items()
    make = {label: named[o.name] if o.name in named else getattr(optax, o.name) for label, o in chosen}
    return {label: make[label]() if o.rate is None else make[label](o.rate) for label, o in chosen}


def starts(args: Namespace, objective: Objective) -> Any:
    """Params; with several --start, with a leading axis on every leaf.

    Raises: ValueError for a name that is no leaf, or a wrong number of entries.
    """
    if not args.start:
        return objective.params
    leaves, structure = _trees.named_leaves(objective.params), jax.tree.structure(objective.params)
    runs = [structure.unflatten([_leaf(name, leaf, given) for name, leaf in leaves.items()]) for given in args.start]
    unknown = [name for given in args.start for name in given if name not in leaves]
    if unknown:
        raise ValueError(f"--start names {unknown[0]!r}, which is no leaf of the params ({', '.join(leaves)}).")
    return runs[0] if len(runs) == 1 else jax.tree.map(lambda *parts: np.stack(parts), *runs)


def _leaf(name: str, leaf: Any, given: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    if name not in given:
        return np.asarray(leaf)
    if len(given[name]) != leaf.size:
        raise ValueError(
            f"--start gives {len(given[name])} values to {name!r}, which has {leaf.size}; separate them by colons."
        )
    return np.array(given[name]).reshape(leaf.shape).astype(leaf.dtype)


def _list(values: Any) -> str:
    return ", ".join(v if isinstance(v, str) else f"{v:.6g}" for v in np.atleast_1d(values).tolist())
