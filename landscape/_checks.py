"""Messages for bad input: what the argument is called, what came, what was wanted, what to do.

Private helpers shared by the public functions; every message is matched by a test.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


def one_of(name: str, value: Any, known: Mapping[str, T]) -> T:
    """The entry of `known` called `value`."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, known))}.")
    return known[value]


def strength(name: str, value: float) -> float:
    """`value` as a penalty's strength: a finite number ≥ 0."""
    if value is None or isinstance(value, (bool, str, complex)) or np.ndim(value) != 0:
        raise TypeError(
            f"`{name}` must be one number, got {type(value).__name__} {value!r}; for a sweep, make a penalty each."
        )
    number = float(value)
    if math.isnan(number) or math.isinf(number) or number < 0:
        raise ValueError(f"`{name}` is {number}; a penalty's strength must be a finite number ≥ 0.")
    return number


def positive(name: str, value: float) -> float:
    """`value` as a finite number > 0."""
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"`{name}` is {value}; it must be a finite number > 0.")
    return number


def count(name: str, value: int, least: int = 1) -> int:
    """`value` as a whole number ≥ `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` is {value!r} ({type(value).__name__}); it must be a whole number ≥ {least}.")
    if value < least:
        raise ValueError(f"`{name}` is {value}; it must be at least {least}.")
    return int(value)


def finite(name: str, values: np.ndarray) -> None:
    """Raise ValueError if the numbers hold NaN or inf, with their count and the first one's index."""
    if not np.issubdtype(values.dtype, np.floating):
        return
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        kind = "NaN" if np.isnan(values[first]) else "infinite"
        index = first[0] if len(first) == 1 else first
        raise ValueError(
            f"`{name}` holds {int(bad.sum())} of {values.size} values that are not finite; the first is {kind}, at "
            f"index {index}. Drop or fill those examples."
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
    return np.dtype(jnp.zeros(()).dtype)


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
    """`values` as the grid positions along one coordinate: 1-D, not empty, finite, without repeats."""
    array = numeric(f"axes[{name!r}]", values)
    if array.ndim != 1:
        raise ValueError(f"`axes[{name!r}]` has shape {array.shape}; an axis is 1-D, such as np.linspace(-1, 1, 51).")
    if array.size == 0:
        raise ValueError(f"`axes[{name!r}]` is empty; an axis needs at least one position.")
    finite(f"axes[{name!r}]", array)
    return array


def is_mapping(value: Any) -> bool:
    """Whether `value` is a mapping from labels."""
    return isinstance(value, Mapping)


def labels(name: str, mapping: Mapping[Any, Any]) -> None:
    """Raise unless it is a mapping that has entries, with strings as keys."""
    if not is_mapping(mapping):
        raise TypeError(f"`{name}` is a {type(mapping).__name__}; give a mapping from labels.")
    if not mapping:
        raise ValueError(f"`{name}` is an empty mapping; give at least one entry, or leave it out.")
    for key in mapping:
        if not isinstance(key, str):
            raise TypeError(f"`{name}` has the label {key!r} ({type(key).__name__}); labels are strings.")
