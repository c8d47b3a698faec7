"""`assert_close`: equality up to rounding, in the rounding unit of the dtype that was computed in."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def assert_close(actual: Any, expected: Any, *, eps: float = 4.0, scale: float = 0.0) -> None:
    """Raise AssertionError unless the trees agree leaf for leaf:

        |actual − expected| ≤ eps · ε · max(|expected|, scale),     ε the rounding unit of actual's dtype

    eps:   how many rounding units are allowed.
    scale: the size below which errors are absolute; 0: every entry is compared relative to itself.
    Shapes must be equal; NaN and inf must stand in the same places. `expected` may be of a wider dtype.
    """
    actual_leaves, actual_tree = jax.tree.flatten(_plain(actual))
    expected_leaves, expected_tree = jax.tree.flatten(_plain(expected))
    assert actual_tree == expected_tree, f"structures differ: {actual_tree} against {expected_tree}"
    for a, e in zip(actual_leaves, expected_leaves, strict=True):
        _assert_leaf_close(np.asarray(a), np.asarray(e), eps, scale)


def _plain(tree: Any) -> Any:
    """xarray objects as arrays; trees as they are."""
    return tree.to_numpy() if hasattr(tree, "to_numpy") else tree


def _assert_leaf_close(actual: np.ndarray, expected: np.ndarray, eps: float, scale: float) -> None:
    assert actual.shape == expected.shape, f"shapes differ: {actual.shape} against {expected.shape}"
    assert jnp.issubdtype(actual.dtype, jnp.floating), f"{actual.dtype} has no rounding unit: compare it with =="
    unit = float(jnp.finfo(actual.dtype).eps)
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    exact = (a == e) | (np.isnan(a) & np.isnan(e))  # infinities too
    with np.errstate(invalid="ignore"):
        error = np.where(exact, 0.0, np.abs(a - e))
        allowed = eps * unit * np.maximum(np.abs(e), scale)
        wrong = ~(exact | (np.isfinite(e) & (error <= allowed)))
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1.0)), error.shape)
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} entries differ by more than {eps:g}·{unit:.1e}·max(|expected|, {scale:g}); "
            f"at {tuple(int(i) for i in worst)}: {a[worst]!r} against {e[worst]!r}, off by {error[worst]:.3e}"
        )
