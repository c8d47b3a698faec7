"""What a chart is: a map from named coordinates to params, and how one is stored and recognized."""

import functools
import hashlib
import json
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves

STORED_UP_TO = 4096  # numbers: larger charts are recognized by their fingerprint, not stored with a surface
T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Chart(Protocol):
    """A map from coordinates c₁…c_k, named by `names`, to params; also a pytree, so that it can enter compiled code."""

    @property
    def names(self) -> tuple[str, ...]:
        """The coordinates' names; in a dataclass, a field."""
        ...

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(c): the params at these coordinates (scalars, one a name)."""
        ...

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(c, residual): the coordinates (k,) of the chart's nearest point, and the distance ‖θ − θ(c)‖ to it."""
        ...


def check(name: str, chart: Any) -> None:
    """Raise TypeError unless `chart` is one: with all that a chart needs, and a pytree."""
    give = "give a Plane, Polar or Boundary, such as ls.axes_plane(params, 'w', 'b')."
    if has_plane(chart):
        give = "give its plane: pca.plane()."
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
            '@ls.register_chart(data=(…), static=("names",)) above @dataclass(frozen=True).'
        )


def has_plane(value: Any) -> bool:
    """Whether it is no chart but makes one, as a PCA does."""
    return not isinstance(value, type) and callable(getattr(value, "plane", None))


def check_position(names: tuple[str, ...], coordinates: Any) -> None:
    """Raise unless `coordinates` has one number a name, in their order."""
    wanted = f"give {len(names)}, in the order of the names ({', '.join(names)})"
    single = not hasattr(coordinates, "__len__") or getattr(coordinates, "shape", None) == ()
    if single or isinstance(coordinates, (Mapping, str)):
        raise TypeError(f"`coordinates` is {_checks.kind(coordinates)}; {wanted}.")
    if len(coordinates) != len(names):
        raise ValueError(f"`coordinates` has {len(coordinates)} numbers; {wanted}.")


def register_chart(*, data: tuple[str, ...], static: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a frozen dataclass a pytree, as a chart of one's own must be.

    data:   fields that hold numbers: arrays, params, other charts. They may change without compiling anew.
    static: fields that are hashable and no numbers, such as `names`.
    JAX rebuilds the chart without running its constructor; `jax.tree_util.register_dataclass` would rerun
    `__post_init__`, and with it the checks of a user's input, on traced numbers.
    Raises: TypeError unless `data` and `static` are the fields of a frozen dataclass.

        >>> from dataclasses import dataclass
        >>> import jax.numpy as jnp, landscape as ls
        >>> @ls.register_chart(data=("radius",), static=("names",))
        ... @dataclass(frozen=True)
        ... class Circle:
        ...     radius: float
        ...     names: tuple[str, ...] = ("turn",)
        ...     def point(self, coordinates):
        ...         return {"w": self.radius * jnp.cos(coordinates[0]), "b": self.radius * jnp.sin(coordinates[0])}
        ...     def coordinates(self, params):
        ...         off = jnp.abs(jnp.hypot(params["w"], params["b"]) - self.radius)
        ...         return jnp.arctan2(params["b"], params["w"])[None], off
        >>> pair = ls.neuron(*ls.datasets.pair())
        >>> surface = ls.evaluate(pair, Circle(2.0), {"turn": [0.0, 3.14]})
        >>> [round(risk, 4) for risk in surface.risk.values.tolist()]
        [0.1269, 2.1269]
    """

    def decorate(cls: type[T]) -> type[T]:
        names = [field.name for field in fields(cls)] if is_dataclass(cls) else None
        if names is None or sorted(names) != sorted((*data, *static)):
            came = "no dataclass" if names is None else f"a dataclass with the fields {', '.join(names)}"
            raise TypeError(
                f"`{cls.__name__}` is {came}; register a frozen dataclass, each of its fields either in data= "
                f"({', '.join(data)}) or in static= ({', '.join(static)})."
            )

        def flatten(chart: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            return tuple(getattr(chart, name) for name in data), tuple(getattr(chart, name) for name in static)

        def unflatten(values: tuple[Any, ...], children: tuple[Any, ...]) -> T:
            chart = object.__new__(cls)
            for name, value in zip(data + static, (*children, *values), strict=True):
                object.__setattr__(chart, name, value)
            return chart

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        return cls

    return decorate


RESERVED = (  # what results and data sets are called: no coordinate may be
    *("risk", "risk_stderr", "risk_gradient_norm", "slope", "finite", "penalty_value", "penalty_unit", "objective"),
    *("gradient_norm", "plane_hessian", "mean_curvature", "accuracy", "penalty", "strength", "split"),
    *("hessian_min", "hessian_max", "hessian_ratio", "hessian_residual", "hessian_converged", "hessian_products"),
    *("coordinate", "coordinate_", "plane", "optimizer", "start", "step", "residual", "interior", "ties", "evaluation"),
)


def check_fits(name: str, chart: Chart, params: Params) -> None:
    """Raise ValueError unless the chart's names are free and it leads to params of these shapes and dtypes."""
    for coordinate in chart.names:
        if coordinate in RESERVED:
            raise ValueError(
                f"`{name}` calls a coordinate {coordinate!r}, which is the name of a result; choose another name."
            )
    found, wanted = _trees.named_leaves(shapes(chart)), _trees.named_leaves(params)
    wrong = _leaves.misfits(found, wanted, lambda leaf: f"{leaf.dtype}{list(leaf.shape)}")
    if wrong:
        raise ValueError(
            f"`{name}` leads to params that are not like the objective's: {wrong}. Build it from `objective.params`."
        )


def shapes(chart: Chart) -> Params:
    """Shapes and dtypes of the params to which a chart leads."""
    position = jax.ShapeDtypeStruct((), _checks.default_float())
    return jax.eval_shape(_point, chart, (position,) * len(chart.names))


@jax.jit  # for its cache of traces: `eval_shape` of a fresh function would trace at every call
def _point(chart: Chart, coordinates: tuple[Array, ...]) -> Params:
    return chart.point(coordinates)


def once(f: Callable[[Any], R]) -> Callable[[Any], R]:
    """f(chart), computed once for each chart of this package, as long as it holds the same JAX arrays."""
    known: weakref.WeakKeyDictionary[Any, tuple[list[Any], R]] = weakref.WeakKeyDictionary()

    @functools.wraps(f)
    def remembered(chart: Any) -> R:
        leaves = jax.tree.leaves(chart)
        if type(chart) not in _kinds().values() or not all(isinstance(leaf, Array) for leaf in leaves):
            return f(chart)
        found = known.get(chart)
        if found is None or [id(leaf) for leaf in found[0]] != [id(leaf) for leaf in leaves]:
            found = known[chart] = leaves, f(chart)
        return found[1]

    return remembered


@once
def chart_id(chart: Chart) -> str:
    """Fingerprint of a chart: its kind, names and every number in it. 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    structure = re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree.structure(chart)))  # where a function lies in memory
    digest.update(structure.encode())
    for leaf in jax.tree.leaves(chart):
        array = _trees.as_numbers(leaf)
        digest.update(f"{array.shape} {array.dtype.str}".encode() + array.tobytes())
    return digest.hexdigest()


@once
def to_json(chart: Chart) -> str:
    """The chart as JSON text; "" where it is too large, of a user's own kind, or in params that are no nested dicts."""
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(chart))
    described = None if size > STORED_UP_TO else _describe(chart)
    return "" if described is None else json.dumps(described, ensure_ascii=False)


def from_json(text: str) -> Chart:
    """The chart that `to_json` described."""
    return _rebuild(json.loads(text))


def _kinds() -> dict[str, type]:
    """The charts that are stored with a surface, by name."""
    from landscape.charts import curve, plane, polar

    kinds = (plane.Plane, polar.Polar, polar.Boundary, curve.Bezier, curve.Polygon)
    return {kind.__name__: kind for kind in kinds}


def _describe(chart: Any) -> dict[str, Any] | None:
    kind = type(chart).__name__
    if _kinds().get(kind) is not type(chart):
        return None
    described: dict[str, Any] = {}
    for name, value in vars(chart).items():
        if name == "names":
            described[name] = list(value)
        elif isinstance(value, Chart):
            described[name] = _describe(value)
        elif name in ("directions", "points"):
            described[name] = [_describe_params(params) for params in value]
        else:
            described[name] = _describe_params(value)
        if described[name] is None or (isinstance(described[name], list) and None in described[name]):
            return None
    return {"kind": kind, **described}


def _describe_params(params: Params) -> dict[str, Any] | None:
    """Each leaf by its path; None, which stands for a frozen leaf in a direction, is a leaf here."""
    whole = jax.tree.map(lambda leaf: 0.0 if leaf is None else leaf, params, is_leaf=_is_none)
    if not _trees.is_nested_dict(whole):
        return None
    leaves = jax.tree.leaves(params, is_leaf=_is_none)
    return {name: _describe_leaf(leaf) for name, leaf in zip(_trees.named_leaves(whole), leaves, strict=True)}


def _describe_leaf(leaf: Any) -> dict[str, Any] | None:
    if leaf is None:
        return None
    array = _trees.as_numbers(leaf)
    values = array if array.dtype.kind in "iub" else array.astype(np.float64)
    described = {"dtype": str(array.dtype), "shape": list(array.shape), "values": values.ravel().tolist()}
    is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return described | ({"key": str(jax.random.key_impl(leaf))} if is_key else {})


def _rebuild(described: dict[str, Any]) -> Chart:
    described = dict(described)
    cls = _kinds()[described.pop("kind")]
    values = {}
    for name, value in described.items():
        if name == "names":
            values[name] = tuple(value)
        elif name in ("directions", "points"):
            values[name] = tuple(_rebuild_params(params) for params in value)
        else:
            values[name] = _rebuild(value) if isinstance(value.get("kind"), str) else _rebuild_params(value)
    return cls(**values)


def _rebuild_params(described: dict[str, Any]) -> Params:
    return _trees.nested({name: leaf and _rebuild_leaf(leaf) for name, leaf in described.items()})


def _rebuild_leaf(described: dict[str, Any]) -> Array:
    array = jax.numpy.asarray(np.array(described["values"], described["dtype"]).reshape(described["shape"]))
    return jax.random.wrap_key_data(array, impl=described["key"]) if "key" in described else array


def _is_none(leaf: Any) -> bool:
    return leaf is None
