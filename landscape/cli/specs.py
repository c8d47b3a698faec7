"""What options say as text: axes, penalties, optimizers, starts. Read before anything heavy is imported.

>>> axis("w=-10:10:401")
Axis(name='w', low=-10.0, high=10.0, points=401)
>>> list(sweep([penalty("l2=0.01,0.1")]))
['λ=0.01', 'λ=0.1']
"""

import difflib
import math
from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

POINTS = (201, 201, 51)  # positions on each of 1, 2 or 3 axes where an option names none
PENALTIES = ("none", "l1", "l2", "elastic_net", "weight_decay")
QUANTITIES = (
    *("risk_stderr", "risk_gradient_norm", "gradient_norm", "slope", "plane_hessian", "mean_curvature"),
    *("hessian_min", "hessian_max", "hessian_ratio"),
)
OPTIMIZERS = {  # name -> what it is
    "sgd": "optax.sgd(η)",
    "momentum": "optax.sgd(η, momentum=0.9)",
    "nesterov": "optax.sgd(η, momentum=0.9, nesterov=True)",
    "adam": "optax.adam(η)",
    "adamw": "optax.adamw(η), which decays all params by ηθ/10⁴ a step itself",
    "rmsprop": "optax.rmsprop(η)",
    "adagrad": "optax.adagrad(η)",
    "proximal_gradient": "ls.proximal_gradient(η): exact zeros under l1",
    "lbfgs": "optax.lbfgs(), with a line search: no learning rate",
}


@dataclass(frozen=True)
class Axis:
    """Evenly spaced positions from `low` to `high`; `points` None: as many as the number of axes suggests."""

    name: str
    low: float
    high: float
    points: int | None = None

    def __str__(self) -> str:
        return f"{self.name}={self.low:g}:{self.high:g}" + (f":{self.points}" if self.points else "")


@dataclass(frozen=True)
class Strengths:
    """One kind of penalty at several strengths: (λ,) each, (λ₁, λ₂) for elastic_net, () for none."""

    kind: str
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Optimizer:
    """An optimizer by name, with its learning rate."""

    name: str
    rate: float | None


def axis(text: str) -> Axis:
    """Read NAME=LOW:HIGH[:POINTS], or NAME=VALUE for a single position."""
    name, _, positions = text.rpartition("=")
    parts = positions.split(":")
    if not name or len(parts) > 3:
        raise ArgumentTypeError(f"{text!r} must be NAME=LOW:HIGH:POINTS, such as w=-10:10:401 (or NAME=VALUE).")
    low, high = _number(parts[0], text), _number(parts[min(1, len(parts) - 1)], text)
    if len(parts) == 1:
        return Axis(name, low, low, 1)
    if low == high:
        raise ArgumentTypeError(f"{text!r} has LOW = HIGH; write {name}={parts[0]} for a single position.")
    return Axis(name, low, high, _count(parts[2], text) if len(parts) == 3 else None)


def penalty(text: str) -> Strengths:
    """Read KIND=λ[,λ…], elastic_net=λ₁:λ₂[,…] or none."""
    kind, equals, values = text.partition("=")
    if kind not in PENALTIES:
        raise ArgumentTypeError(
            f"{text!r} names no penalty; it must be one of {', '.join(PENALTIES)}, such as l2=0.01,0.1."
            + did_you_mean(kind, PENALTIES)
        )
    if kind == "none":
        if equals:
            raise ArgumentTypeError(f"{text!r}: none has no strength; write none.")
        return Strengths(kind, ((),))
    strengths = tuple(tuple(_number(v, text) for v in entry.split(":")) for entry in values.split(","))
    wanted = 2 if kind == "elastic_net" else 1
    if any(len(entry) != wanted for entry in strengths):
        example = "elastic_net=0.1:0.2, for 0.1·‖θ‖₁ + 0.2·‖θ‖²" if wanted == 2 else f"{kind}=0.01,0.1"
        raise ArgumentTypeError(
            f"{text!r} must give {'two strengths' if wanted == 2 else 'one strength'} a penalty: {example}."
        )
    if any(value < 0 for entry in strengths for value in entry):
        raise ArgumentTypeError(f"{text!r} has a negative strength; a penalty's strength is ≥ 0.")
    return Strengths(kind, strengths)


def sweep(penalties: Sequence[Strengths]) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Label -> (kind, strengths): "λ=0.1" where all are of one kind, else "l2 λ=0.1".

    Raises: ValueError for a penalty that is given twice.
    """
    several = len({p.kind for p in penalties}) > 1
    out: dict[str, tuple[str, tuple[float, ...]]] = {}
    for p in penalties:
        for values in p.values:
            symbols = ("λ₁", "λ₂") if len(values) == 2 else ("λ",)
            numbers = ", ".join(f"{s}={v:.10g}" for s, v in zip(symbols, values, strict=False))
            label = f"{p.kind} {numbers}".strip() if several or not values else numbers
            if label in out:
                raise ValueError(f"--penalty gives {p.kind} {numbers} twice; leave one out.")
            out[label] = (p.kind, values)
    return out


def optimizer(text: str) -> Optimizer:
    """Read NAME=LEARNING_RATE, or lbfgs."""
    name, equals, rate = text.partition("=")
    if name not in OPTIMIZERS:
        raise ArgumentTypeError(
            f"{name!r} is no optimizer known here; it must be one of {', '.join(OPTIMIZERS)}."
            + did_you_mean(name, OPTIMIZERS)
        )
    if name == "lbfgs":
        if equals:
            raise ArgumentTypeError(f"{text!r}: lbfgs finds its steps by a line search; write lbfgs.")
        return Optimizer(name, None)
    if not equals:
        raise ArgumentTypeError(f"{name!r} needs a learning rate, such as {name}=0.1.")
    value = _number(rate, text)
    if value <= 0:
        raise ArgumentTypeError(f"{text!r} has the learning rate {rate}; it must be > 0.")
    return Optimizer(name, value)


def quantity(text: str) -> str:
    """Read the name of what else is measured."""
    if text not in QUANTITIES:
        raise ArgumentTypeError(
            f"{text!r} is no quantity; it must be one of {', '.join(QUANTITIES)}." + did_you_mean(text, QUANTITIES)
        )
    return text


def optimizer_labels(optimizers: Sequence[Optimizer]) -> dict[str, Optimizer]:
    """Label -> optimizer: "adam", or "adam 0.1" where there are several.

    Raises: ValueError for an optimizer that is given twice.
    """
    names = [o.name for o in optimizers]
    labels = {(o.name if names.count(o.name) == 1 else f"{o.name} {o.rate:.10g}"): o for o in dict.fromkeys(optimizers)}
    if len(set(optimizers)) < len(optimizers):
        raise ValueError("--optimizer gives the same one twice; leave one out.")
    return labels


def start(text: str) -> dict[str, tuple[float, ...]]:
    """Read NAME=VALUE[,NAME=VALUE…]; the entries of a vector are separated by colons, w=0:1,b=0."""
    out: dict[str, tuple[float, ...]] = {}
    for part in text.split(","):
        name, equals, values = part.rpartition("=")
        name = name.strip()
        if not equals or not name or name in out:
            raise ArgumentTypeError(
                f"{text!r} must be NAME=VALUE,NAME=VALUE, such as w=0,b=0 (w=0:0,b=0 for two inputs)."
            )
        out[name] = tuple(_number(v, text) for v in values.split(":"))
    return out


def held(text: str) -> tuple[str, float]:
    """Read NAME=VALUE."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"{text!r} must be NAME=VALUE, such as b=0.")
    return name, _number(value, text)


def shard(text: str) -> tuple[int, int]:
    """Read I/N."""
    index, slash, count_ = text.partition("/")
    if not slash or not index.strip().isdecimal() or not count_.strip().isdecimal() or int(index) >= int(count_):
        raise ArgumentTypeError(f"{text!r} must be I/N, process I of N counted from 0, such as 0/4 … 3/4.")
    return int(index), int(count_)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is unknown: the known one that is most like it, if one is."""
    lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f" Did you mean {lower[close[0]]!r}?" if close else ""


def count(text: str) -> int:
    """Read a whole number ≥ 1."""
    return _count(text, text)


def _number(text: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentTypeError(f"{option!r} has {text!r} where a number is wanted.")
    return number


def _count(text: str, option: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{option!r} has {text!r} where a whole number ≥ 1 is wanted.")
    return int(text)
