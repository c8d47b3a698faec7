"""Messages for bad input: what the argument is called, what came, what was wanted, what to do.

Private helpers shared by the public functions; every message is matched by a test.
"""

import inspect
import math
import numbers
import re
import warnings
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


def kind(value: Any) -> str:
    """What came, for messages: "a function", "the class Polar", "a dict"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return "a function"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeio' else 'a'} {name}"


def instance(name: str, value: Any, wanted: type | tuple[type, ...], give: str) -> None:
    """Raise TypeError unless `value` is a `wanted`."""
    if not isinstance(value, wanted):
        raise TypeError(f"`{name}` is {kind(value)}; give {give}.")


def takes(name: str, function: Any, call: str) -> None:
    """Raise TypeError unless the function can be called as in `call`, "losses(params, batch)"."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a compiled one nothing is known
        return
    try:
        signature.bind(*[None] * (call.count(",") + 1))
    except TypeError as error:
        unpack = ": unpack the batch inside, x, y = batch" if "batch" in call else ""
        raise TypeError(f"`{name}` is called as {call}, but is defined with {signature}{unpack}.") from error


def hashable(name: str, value: Any) -> None:
    """Raise TypeError unless `value` can be hashed: JAX finds compiled code by it."""
    try:
        hash(value)
    except TypeError as error:
        unfrozen = is_dataclass(value) and type(value).__hash__ is None
        cure = (
            "make it frozen: @dataclass(frozen=True)"
            if unfrozen
            else "keep arrays and lists out of its fields; the arrays of a model are params, and split from the rest: "
            "params, static = equinox.partition(model, equinox.is_array)"
        )
        raise TypeError(f"`{name}` is {kind(value)} that cannot be hashed ({error}); {cure}.") from None


def one_of(name: str, value: Any, known: Mapping[str, T], otherwise: str = "") -> T:
    """The entry of `known` called `value`; `otherwise` says what else may be given."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, known))}{otherwise}.")
    return known[value]


def precision(value: str) -> None:
    """Raise ValueError unless JAX knows a precision of matrix products by this name; which ones varies by version."""
    try:
        with jax.default_matmul_precision("" if value is None else value):
            return
    except (TypeError, ValueError) as error:
        known = re.findall(r"'\w+'", str(error).rpartition(", got")[0]) or ["'default'", "'high'", "'highest'"]
        raise ValueError(f"`precision` is {value!r}; it must be one of {', '.join(known)}.") from None


def number(name: str, value: float, hint: str = "") -> float:
    """`value` as a float, if it is one real number."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    else:
        real = np.ndim(value) == 0 and (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer))
    if not real:
        raise TypeError(f"`{name}` must be one number, got {type(value).__name__} {value!r}{hint}.")
    return float(value)


def strength(name: str, value: float) -> float:
    """`value` as a penalty's strength: a finite number ≥ 0."""
    size = number(name, value, "; for a sweep, make a penalty each")
    if not (math.isfinite(size) and size >= 0):
        raise ValueError(f"`{name}` is {size}; a penalty's strength must be a finite number ≥ 0.")
    return size


def positive(name: str, value: float) -> float:
    """`value` as a finite number > 0."""
    size = number(name, value)
    if not (size > 0 and math.isfinite(size)):
        raise ValueError(f"`{name}` is {value}; it must be a finite number > 0.")
    return size


def count(name: str, value: int, least: int = 1, unit: str = "") -> int:
    """`value` as a whole number ≥ `least`; `unit` is what it counts, such as " bytes"."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` is {value!r} ({type(value).__name__}); it must be a whole number ≥ {least}{unit}.")
    if value < least:
        raise ValueError(f"`{name}` is {value}; it must be at least {least}{unit}.")
    return int(value)


def finite(name: str, values: np.ndarray, cure: str = "Drop or fill those examples") -> None:
    """Raise ValueError if the numbers hold NaN or inf, with their count and the first one's index."""
    if not jnp.issubdtype(values.dtype, jnp.floating):  # NumPy's own issubdtype does not know bfloat16
        return
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        what = "NaN" if np.isnan(values[first]) else "infinite"
        where = f"the first is {what}, at index {first[0] if len(first) == 1 else first}" if first else f"it is {what}"
        raise ValueError(
            f"`{name}` holds {int(bad.sum())} of {values.size} values that are not finite; {where}. {cure}."
        )


def numeric(name: str, values: Any) -> np.ndarray:
    """`values` as an array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` is not one array: {error}. Give rows of equal length.") from None
    if array.dtype == bool:
        array = array.astype(np.int32)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(
            f"`{name}` must hold real numbers, got dtype {array.dtype}; convert it with np.asarray(..., float)."
        )
    return array


def default_float() -> np.dtype:
    """The dtype that JAX gives a Python float now: float64 with x64 on, else float32."""
    return np.dtype(jnp.result_type(float))


def floating(value: Any) -> jax.Array:
    """`value` as a JAX array of floating-point numbers: integers become the default float."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(default_float())


def x64_matches(name: str, params: Any) -> None:
    """Raise ValueError if params are float64 while JAX's x64 mode is off: results would be float32 unsaid."""
    wide = [leaf for leaf in jax.tree.leaves(params) if leaf.dtype == np.float64]
    if wide and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            f"`{name}` was built in float64 but JAX's x64 mode is off here; stay inside `with jax.enable_x64(True):`, "
            'or turn it on for all with jax.config.update("jax_enable_x64", True).'
        )


def warn_if_narrowed(name: str, arrays: Any, stacklevel: int) -> None:
    """One warning if float64 input is about to become float32 because JAX's x64 mode is off."""
    if jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        return
    leaves = jax.tree.leaves(arrays)
    if any(getattr(leaf, "dtype", None) == np.float64 for leaf in leaves):
        warnings.warn(
            f"`{name}` is float64 but JAX's x64 mode is off, so it is used in float32. Turn x64 on before the first "
            'use (jax.config.update("jax_enable_x64", True)), or pass float32 to say that you mean it.',
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def axis(name: str, values: Any) -> np.ndarray:
    """`values` as the grid positions along one coordinate: 1-D, not empty, finite."""
    array = numeric(f"axes[{name!r}]", values)
    if array.ndim != 1:
        raise ValueError(f"`axes[{name!r}]` has shape {array.shape}; an axis is 1-D, such as np.linspace(-1, 1, 51).")
    if array.size == 0:
        raise ValueError(f"`axes[{name!r}]` is empty; an axis needs at least one position.")
    finite(f"axes[{name!r}]", array, "An axis has finite positions")
    return array


def axes(names: tuple[str, ...], given: Any) -> dict[str, np.ndarray]:
    """`given` as the grid positions along each of a chart's coordinates, in its own order."""
    if not isinstance(given, Mapping):
        raise TypeError(f"`axes` is {kind(given)}; give a mapping, {{{names[0]!r}: np.linspace(-1, 1, 51), …}}.")
    all_named("axes", names, given, "Give every coordinate a 1-D array of positions")
    if len(given) > 3:
        raise ValueError(
            f"`axes` has {len(given)} coordinates; a grid has 1 to 3: its cost grows exponentially with them."
        )
    return {name: axis(name, values) for name, values in given.items()}


def all_named(argument: str, names: tuple[str, ...], given: Mapping[Any, Any], give: str) -> None:
    """Raise ValueError unless the mapping has each of the names and no other."""
    missing, unknown = [n for n in names if n not in given], [n for n in given if n not in names]
    if missing or unknown:
        wrong = {"missing": missing, "unknown": unknown}
        listed = "; ".join(f"{what}: {', '.join(map(repr, found))}" for what, found in wrong.items() if found)
        raise ValueError(f"`{argument}` must name the chart's coordinates, {', '.join(names)}; {listed}. {give}.")


def random_key(name: str, value: Any) -> None:
    """Raise TypeError unless it is one random key, typed or not."""
    dtype, shape = getattr(value, "dtype", np.dtype(object)), np.shape(value)
    typed = shape == () and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (typed or (len(shape) == 1 and dtype == np.uint32)):
        raise TypeError(f"`{name}` is {kind(value)} ({value}), not one random key; pass jax.random.key(0).")


def is_mapping(value: Any) -> bool:
    """Whether `value` is a mapping from labels."""
    return isinstance(value, Mapping)


def labels(name: str, mapping: Mapping[Any, Any], example: str) -> None:
    """Raise unless it is a mapping, such as `example`, that has entries, with strings as keys."""
    if not is_mapping(mapping):
        raise TypeError(f"`{name}` is {kind(mapping)}; give a mapping from labels, {example}.")
    if not mapping:
        raise ValueError(f"`{name}` is an empty mapping; give at least one entry, or leave it out.")
    for key in mapping:
        if not isinstance(key, str):
            raise TypeError(f"`{name}` has the label {key!r} ({type(key).__name__}); labels are strings.")
