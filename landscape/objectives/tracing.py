"""What a user's losses return, found out before anything runs; JAX's errors turned into what to change."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.core import Tracer

from landscape import _checks, _trees


@lru_cache(maxsize=256)
def output(losses: Callable[..., Any], prepare: Any, params: _trees.Shapes, batch: _trees.Shapes) -> Any:
    """The shapes that `losses` returns. Traced twice: a state that it keeps shows on the second time."""

    def run(params: Any, batch: Any) -> Any:
        if prepare is not None:
            params = prepare(params, jax.tree.map(lambda leaf: leaf[None], batch))
        return losses(params, batch)

    def again(params: Any, batch: Any) -> Any:  # another function: JAX remembers what the first one returned
        return run(params, batch)

    arguments = _trees.from_shapes(params), _trees.from_shapes(batch)
    kept = (
        "`losses` keeps something between calls (an attribute, a list, a counter that it changes); it must depend "
        "on its arguments alone. Return what changes instead of storing it, or switch the model to evaluation: "
        "dropout off, batch statistics fixed."
    )
    try:
        first, _ = jax.make_jaxpr(run, return_shape=True)(*arguments)
        second, shape = jax.make_jaxpr(again, return_shape=True)(*arguments)
    except jax.errors.UnexpectedTracerError as error:
        raise TypeError(kept) from error
    except jax.errors.TracerArrayConversionError as error:
        raise TypeError(
            "`losses` hands an array to NumPy; write it with jax.numpy (jnp.exp instead of np.exp), so that it can be "
            "compiled and differentiated."
        ) from error
    except jax.errors.ConcretizationTypeError as error:  # bool(), int(), float() of a traced number
        raise TypeError(
            "`losses` needs the value of an array while it is compiled: a Python `if`, `while`, `int()` or `float()` "
            "on something computed from params or batch. Write jnp.where(condition, a, b) or jax.lax.cond instead of "
            "`if`, and jax.lax.while_loop or jax.lax.scan instead of a loop."
        ) from error
    if _differ(first, second):
        raise TypeError(kept)
    return shape


def _differ(first: jex.ClosedJaxpr, second: jex.ClosedJaxpr) -> bool:
    """Whether the second trace holds other equations or literals, or what the first one left behind."""
    described = [
        [(e.primitive.name, [repr(v.val) for v in e.invars if isinstance(v, jex.Literal)]) for e in closed.jaxpr.eqns]
        for closed in (first, second)
    ]
    known = {id(constant) for constant in first.consts}
    left = [c for c in second.consts if isinstance(c, Tracer) and id(c) not in known]
    return bool(left) or described[0] != described[1]


def check_output(name: str, out: Any, n: int) -> None:
    """Raise unless losses returned (n,) floating-point numbers, or a pair (losses, weights) of that shape."""
    wanted = (n,)
    if not hasattr(out, "shape") and not (isinstance(out, tuple) and len(out) == 2):
        given = f"{_checks.kind(out)} of {len(out)}" if isinstance(out, (tuple, list, dict)) else _checks.kind(out)
        given = "nothing (None): is the `return` missing?" if out is None else given
        raise TypeError(f"`losses` returned {given}; wanted the losses {wanted}, or a pair (losses, weights).")
    for part, leaf in zip(("losses", "weights"), out if isinstance(out, tuple) else (out,), strict=False):
        shape = getattr(leaf, "shape", None)
        if part == "losses" and shape == wanted and not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"`{name}` returned {leaf.dtype}, whose gradient is 0 everywhere; return floating-point numbers."
            )
        if shape != wanted:
            tail = (
                "Return the losses before averaging them: the objective takes the mean itself."
                if part == "losses"
                else "A second output is taken as weights; leave an auxiliary output out."
            )
            raise ValueError(f"`losses` returned {part} of shape {shape}; wanted {wanted}, one an example. {tail}")
