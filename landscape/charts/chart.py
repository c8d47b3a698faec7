"""What a chart is: a map from named coordinates to params, and how one is stored and recognized."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params

STORED_UP_TO = 4096  # numbers: larger charts are recognized by their fingerprint, not stored with a surface
_KINDS: dict[str, type] = {}
T = TypeVar("T")


@runtime_checkable
class Chart(Protocol):
    """A map from coordinates c₁…c_k, named by `names`, to params; also a pytree, so that it can enter compiled code."""

    names: tuple[str, ...]

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(c): the params at these coordinates (scalars, one a name)."""
        ...

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(c, residual): the coordinates (k,) of the chart's nearest point, and the distance ‖θ − θ(c)‖ to it."""
        ...


def check(name: str, chart: Any) -> None:
    """Raise TypeError unless `chart` is one: with all that a chart needs, and a pytree."""
    give = "give a Plane, Polar or Boundary, such as ls.axes_plane(params, 'w', 'b')."
    missing = [attribute for attribute in ("names", "point", "coordinates") if not hasattr(chart, attribute)]
    if isinstance(chart, type) and not missing:
        raise TypeError(f"`{name}` is {_checks.kind(chart)}; make one: ls.Polar(ls.axes_plane(params, 'w', 'b')).")
    if missing and not hasattr(chart, "point"):
        raise TypeError(f"`{name}` is {_checks.kind(chart)}; {give}")
    if missing:
        raise TypeError(
            f"`{name}` is {_checks.kind(chart)} without {' and '.join(f'`{m}`' for m in missing)}; a chart has names, "
            "point(coordinates) -> params and coordinates(params) -> (coordinates, residual): see ls.Chart."
        )
    if jax.tree_util.all_leaves([chart]):
        raise TypeError(
            f"`{name}` is {_checks.kind(chart)}, which JAX does not know as a pytree; put "
            "@jax.tree_util.register_dataclass above @dataclass(frozen=True), its names a static field."
        )


def check_position(names: tuple[str, ...], coordinates: Any) -> None:
    """Raise unless `coordinates` has one number a name, in their order."""
    wanted = f"give {len(names)}, in the order of the names ({', '.join(names)})"
    single = not hasattr(coordinates, "__len__") or getattr(coordinates, "shape", None) == ()
    if single or isinstance(coordinates, (Mapping, str)):
        raise TypeError(f"`coordinates` is {_checks.kind(coordinates)}; {wanted}.")
    if len(coordinates) != len(names):
        raise ValueError(f"`coordinates` has {len(coordinates)} numbers; {wanted}.")


def register(data: tuple[str, ...], static: tuple[str, ...]) -> Any:
    """Class decorator: register a frozen dataclass as a pytree that JAX rebuilds without running its constructor.

    `jax.tree_util.register_dataclass` would rerun `__post_init__`, and with it the checks of user input, on tracers.
    """

    def decorate(cls: type[T]) -> type[T]:
        def flatten(chart: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            return tuple(getattr(chart, name) for name in data), tuple(getattr(chart, name) for name in static)

        def unflatten(values: tuple[Any, ...], children: tuple[Any, ...]) -> T:
            chart = object.__new__(cls)
            for name, value in zip(data + static, (*children, *values), strict=True):
                object.__setattr__(chart, name, value)
            return chart

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        _KINDS[cls.__name__] = cls
        return cls

    return decorate


RESERVED = (  # what results and data sets are called: no coordinate may be
    *("risk", "risk_stderr", "risk_gradient_norm", "slope", "finite", "penalty_value", "penalty_unit", "objective"),
    *("gradient_norm", "plane_hessian", "hessian_min", "hessian_max", "penalty", "strength", "coordinate"),
    *("optimizer", "start", "step", "residual", "interior", "ties"),
)


def check_fits(name: str, chart: Chart, params: Params) -> None:
    """Raise ValueError unless the chart's names are free and it leads to params of these shapes and dtypes."""
    for coordinate in chart.names:
        if coordinate in RESERVED:
            raise ValueError(
                f"`{name}` calls a coordinate {coordinate!r}, which is the name of a result; choose another name."
            )
    position = jax.ShapeDtypeStruct((), jax.numpy.zeros(()).dtype)
    point = jax.eval_shape(_point, chart, (position,) * len(chart.names))
    found, wanted = (
        {path: (leaf.shape, leaf.dtype) for path, leaf in _trees.named_leaves(tree).items()} for tree in (point, params)
    )
    if found != wanted:
        raise ValueError(
            f"`{name}` leads to params that are not like the objective's; build it from `objective.params`.\n"
            f"  objective: {_trees.layout(params)}\n  chart:     {_trees.layout(point)}"
        )


@jax.jit  # for its cache of traces: `eval_shape` of a fresh function would trace at every call
def _point(chart: Chart, coordinates: tuple[Array, ...]) -> Params:
    return chart.point(coordinates)


def chart_id(chart: Chart) -> str:
    """Fingerprint of a chart: its kind, names and every number in it. 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(str(jax.tree.structure(chart)).encode())
    for leaf in jax.tree.leaves(chart):
        array = np.asarray(leaf)
        digest.update(f"{array.shape} {array.dtype.str}".encode() + array.tobytes())
    return digest.hexdigest()


def to_json(chart: Chart) -> str:
    """The chart as JSON text; "" where it is too large or its params are not nested dictionaries."""
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(chart))
    described = _describe(chart)
    return "" if described is None or size > STORED_UP_TO else json.dumps(described, ensure_ascii=False)


def from_json(text: str) -> Chart:
    """The chart that `to_json` described."""
    from landscape.charts import plane, polar  # noqa: F401  a kind is known once its module is loaded

    return _rebuild(json.loads(text))


def _describe(chart: Any) -> dict[str, Any] | None:
    kind = type(chart).__name__
    if kind not in _KINDS:
        return None
    fields: dict[str, Any] = {}
    for name, value in vars(chart).items():
        if name == "names":
            fields[name] = list(value)
        elif isinstance(value, Chart):
            fields[name] = _describe(value)
        elif name == "directions":
            fields[name] = [_describe_params(direction) for direction in value]
        else:
            fields[name] = _describe_params(value)
        if fields[name] is None or (isinstance(fields[name], list) and None in fields[name]):
            return None
    return {"kind": kind, **fields}


def _describe_params(params: Params) -> dict[str, Any] | None:
    if not _trees.is_nested_dict(params):
        return None
    named = {name: np.asarray(leaf) for name, leaf in _trees.named_leaves(params).items()}
    return {
        name: {"dtype": str(a.dtype), "shape": list(a.shape), "values": a.astype(np.float64).ravel().tolist()}
        for name, a in named.items()
    }


def _rebuild(described: dict[str, Any]) -> Chart:
    described = dict(described)
    cls = _KINDS[described.pop("kind")]
    fields = {}
    for name, value in described.items():
        if name == "names":
            fields[name] = tuple(value)
        elif name == "directions":
            fields[name] = tuple(_rebuild_params(direction) for direction in value)
        else:
            fields[name] = _rebuild(value) if isinstance(value.get("kind"), str) else _rebuild_params(value)
    return cls(**fields)


def _rebuild_params(described: dict[str, Any]) -> Params:
    return _trees.nested(
        {
            name: jax.numpy.asarray(np.array(leaf["values"], leaf["dtype"]).reshape(leaf["shape"]))
            for name, leaf in described.items()
        }
    )
