"""What functions of users return and compute, found out before anything runs; JAX's errors turned into advice."""

import hashlib
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.core import Tracer
from jax.errors import UnexpectedTracerError

from landscape import _checks, _jaxprs, _trees
from landscape.objectives import data as _data

KEEPS = (
    "keeps something between calls (an attribute, a list, a counter that it changes, NumPy's random numbers); it must "
    "depend on its arguments alone. Return what changes instead of storing it, or switch the model to evaluation: "
    "dropout off, batch statistics fixed."
)


@dataclass(frozen=True)
class Versioned:
    """A user's function as a static argument: the same if the function is, and computes what it did when traced.

    A function that reads a global variable is the same object when that has changed, and JAX would run what it compiled
    before.
    """

    f: Callable[..., Any]
    version: str  # fingerprint of the traced program, with the arrays that it closes over

    def __call__(self, *arguments: Any) -> Any:
        """f(*arguments)."""
        return self.f(*arguments)


class Traced(NamedTuple):
    """What tracing tells of a function."""

    out: Any  # the shapes that it returns
    version: str  # fingerprint of what it computes, the same in every process


def traced(name: str, f: Callable[..., Any], *arguments: Any) -> Traced:
    """Trace f twice, `arguments` being shapes and dtypes: a state that it keeps shows on the second time.

    Raises: TypeError, for the argument called `name`, where f is not a traceable function of its arguments.
    """

    def trace() -> tuple[jex.ClosedJaxpr, Any]:  # of a new function each time: JAX remembers what one returned
        return jax.make_jaxpr(lambda *given: f(*given), return_shape=True)(*arguments)

    try:
        with jax.default_matmul_precision("highest"):  # one program, whatever the caller's context
            (first, _), (second, out) = trace(), trace()
    except (jax.errors.JAXTypeError, jax.errors.NonConcreteBooleanIndexError, UnexpectedTracerError) as error:
        raise TypeError(f"`{name}` {_advice(error)}") from error
    except Exception as error:
        layouts = (_trees.layout(argument).removeprefix("params: ") for argument in arguments)
        given = "\n".join(f"  {textwrap.shorten(layout, 500)}" for layout in layouts)
        error.add_note(f"landscape: raised by `{name}`, which was called with\n{given}")
        raise
    version = _fingerprint(first)
    if _fingerprint(second) != version:
        raise TypeError(f"`{name}` {KEEPS}")
    return Traced(out, version)


def _advice(error: Exception) -> str:
    """What the function does, and what to write instead."""
    if isinstance(error, UnexpectedTracerError):
        return KEEPS
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return (
            "hands an array to NumPy; write it with jax.numpy (jnp.exp instead of np.exp), so that it can be compiled "
            "and differentiated."
        )
    # A boolean index, jnp.unique, jnp.nonzero; else bool(), int(), float() of a traced number.
    if isinstance(error, IndexError) or re.search(r"argument of jnp|jnp\.\w+ argument", str(error)):
        return (
            "makes an array whose shape depends on values, and compiled code has fixed shapes. Write "
            "jnp.where(mask, a, b) instead of a[mask], and give jnp.unique or jnp.nonzero their size=."
        )
    return (
        "needs the value of an array while it is compiled: a Python `if`, `while`, `int()` or `float()` on something "
        "computed from params or batch. Write jnp.where(condition, a, b) or jax.lax.cond instead of `if`, and "
        "jax.lax.while_loop or jax.lax.scan instead of a loop."
    )


def _fingerprint(closed: jex.ClosedJaxpr) -> str:
    """What a traced program computes, its constants included."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(re.sub(r" at 0x[0-9a-f]+", "", str(closed)).encode())  # where a function lies in memory
    for constant in _constants(closed):
        if isinstance(constant, Tracer):  # of a program around this one
            digest.update(str(id(constant)).encode())
        elif hasattr(constant, "dtype"):
            _data.fingerprint(digest, _trees.as_numbers(constant))
    return digest.hexdigest()


def _constants(jaxpr: Any) -> Iterator[Any]:
    """Arrays that a program closes over, at any depth."""
    yield from getattr(jaxpr, "consts", ())
    for equation in _jaxprs.opened(jaxpr).eqns:
        yield from (v.val for v in equation.invars if isinstance(v, jex.Literal) and getattr(v.val, "ndim", 0))
        for part in _jaxprs.inner(equation):
            yield from _constants(part)


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
            tail = "Return the losses before averaging them: the objective takes the mean itself."
            if shape is not None and len(shape) > 1:
                tail = (
                    "Sum or average over the other axes, tokens say, and return their number beside: (losses, weights)."
                )
            if part == "weights":
                tail = "A second output is taken as weights; leave an auxiliary output out."
            raise ValueError(f"`losses` returned {part} of shape {shape}; wanted {wanted}, one an example. {tail}")
