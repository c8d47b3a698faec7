"""How fast a workload could be: what must be done, divided by what the machine was measured to do.

    bound = max(bytes/bandwidth, products/rate + exp/rate + log/rate + tanh/rate + other/rate)

Kinds of arithmetic share the cores' units, so their times add up; memory traffic goes on beside them.
"""

import math
from dataclasses import dataclass, fields

ARITHMETIC = ("products", "exp", "log", "tanh", "other")


@dataclass(frozen=True)
class Work:
    """What has to be done, whoever does it."""

    products: float = 0.0  # floating-point operations of matrix products, 2·m·n·k
    exp: float = 0.0  # calls
    log: float = 0.0  # calls, of log or log1p
    tanh: float = 0.0  # calls
    other: float = 0.0  # elementwise operations: additions, multiplications, maxima
    bytes: float = 0.0  # between main memory and cores: inputs once, outputs once

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))

    def __mul__(self, times: float) -> "Work":
        return Work(*(getattr(self, f.name) * times for f in fields(Work)))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Ceilings:
    """The best rates, per second, that one backend was measured to reach in one dtype; None where it has no such thing.

    `other` counts a fused multiply-add as two operations, as `products` does.
    """

    backend: str
    dtype: str
    products: float | None  # operations, at the highest precision
    exp: float  # calls
    log: float
    tanh: float
    other: float  # operations
    bandwidth: float  # bytes read and written of an array far larger than the caches
    products_by_default: float | None = None  # operations at JAX's own precision, on accelerators


def best(*measured: Ceilings) -> Ceilings:
    """What a machine can do at least: the highest rate of each kind, `backend` and `dtype` joined."""
    if not measured:
        raise ValueError("`measured` is empty; give the `Ceilings` of one backend or more")

    def highest(name: str) -> float | None:
        return max((getattr(m, name) for m in measured if getattr(m, name) is not None), default=None)

    names = (", ".join(dict.fromkeys(getattr(m, name) for m in measured)) for name in ("backend", "dtype"))
    return Ceilings(*names, *(highest(f.name) for f in fields(Ceilings)[2:]))


def bound(work: Work, ceilings: Ceilings) -> float:
    """Seconds that the work takes at least."""
    times = seconds(work, ceilings)
    return max(times["bytes"], sum(times[kind] for kind in ARITHMETIC))


def binding(work: Work, ceilings: Ceilings) -> str:
    """What the bound is made of: 'bytes', or the kind of arithmetic that has the largest share of it."""
    times = seconds(work, ceilings)
    largest = max(ARITHMETIC, key=times.__getitem__)
    return "bytes" if times["bytes"] > sum(times[kind] for kind in ARITHMETIC) else largest


def seconds(work: Work, ceilings: Ceilings) -> dict[str, float]:
    """Seconds of each kind of work, by its field's name."""
    return {f.name: _seconds(f.name, getattr(work, f.name), ceilings) for f in fields(Work)}


def _seconds(kind: str, amount: float, ceilings: Ceilings) -> float:
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"`work.{kind}` is {amount}; give a finite number that is not negative")
    name = "bandwidth" if kind == "bytes" else kind
    rate = getattr(ceilings, name)
    if rate is None and amount:
        raise ValueError(
            f"`ceilings.{name}` of {ceilings.backend} is None, and the work has {amount:g} of it;"
            " give those of a backend that has it, or `best` of several"
        )
    return amount / rate if amount else 0.0
