"""Losses in two steps, model and loss function, as the generalized Gauss–Newton matrix wants them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from landscape import _checks
from landscape._trees import Params
from landscape.objectives.data import Batch


@runtime_checkable
class Split(Protocol):
    """Losses that are losses_of(outputs(params, batch), batch)."""

    def outputs(self, params: Params, batch: Batch) -> Any: ...

    def losses_of(self, outputs: Any, batch: Batch) -> Any: ...


@dataclass(frozen=True)
class SplitLosses:
    """losses(params, batch) = losses_of(outputs(params, batch), batch), for `kind="gauss_newton"`. Equal by value.

    outputs:   outputs(params, batch) -> the model's outputs f, an array or a tree of them: scores, not probabilities,
               where the loss is convex in the scores.
    losses_of: losses_of(f, batch) -> (n,), or (losses, weights), as `Objective` takes them.
    Raises: TypeError where they are no functions of two arguments.

        >>> import jax.numpy as jnp, landscape as ls
        >>> line = ls.SplitLosses(lambda p, batch: p["w"] * batch[0], lambda f, batch: 0.5 * (f - batch[1]) ** 2)
        >>> data = jnp.array([1.0, 2.0]), jnp.array([2.0, 4.0])
        >>> float(ls.Objective(line, data, params={"w": 0.0}).risk({"w": 1.0}))
        1.25
    """

    outputs: Callable[[Params, Batch], Any]
    losses_of: Callable[[Any, Batch], Any]

    def __post_init__(self) -> None:
        for name, call in (("outputs", "outputs(params, batch)"), ("losses_of", "losses_of(outputs, batch)")):
            if not callable(getattr(self, name)):
                raise TypeError(f"`{name}` is {_checks.kind(getattr(self, name))}; it must be a function {call}.")
            _checks.takes(name, getattr(self, name), call)

    def __call__(self, params: Params, batch: Batch) -> Any:
        """The loss of each example, (n,), or (losses, weights)."""
        return self.losses_of(self.outputs(params, batch), batch)
