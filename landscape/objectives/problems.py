"""Objectives whose minima are known, for those who build optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives import datasets, mlp
from landscape.objectives import penalties as _penalties
from landscape.objectives.models import neuron
from landscape.objectives.objective import Objective, check_objective, function

Box = Mapping[str, tuple[float, float]]
PLANE = {"x": 0.0, "y": 0.0}


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective, what is known of its minima, and where runs start. Yours too: give the fields.

    name:        what tables and pictures call it.
    objective:   an Objective.
    value:       the least value of the objective.
    box:         (low, high) of the starts, for each leaf of the params by its name ("w", "layer1/W").
    minimizers:  params at which the objective has that value; none where only the value is known.
    complete:    whether these are all there are: then one can say which of them a run has reached.
    source:      paper, section or equation; of the box too.
    description: a sentence.
    Raises: ValueError or TypeError, naming the field.
    """

    name: str
    objective: Objective
    value: float
    box: Box
    minimizers: tuple[Params, ...] = ()
    complete: bool = field(default=False, kw_only=True)
    source: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:  # safe here: not a pytree, so JAX never rebuilds it from tracers
        check_objective(self.objective)
        if not np.isfinite(_checks.number("value", self.value)):
            raise ValueError(f"`value` is {self.value}; give the objective's least value, a finite number.")
        if self.complete and not self.minimizers:
            raise ValueError("`complete` is True, but `minimizers` is empty; give all of them, or leave it out.")
        for i, params in enumerate(self.minimizers):
            if _shapes(params) != _shapes(self.objective.params):
                raise ValueError(
                    f"`minimizers[{i}]` must have the structure and the shapes of the objective's params.\n"
                    + _trees.layouts(params=self.objective.params, minimizer=params)
                )
        _check_box(self.box, self.objective)

    def starts(self, key: Array, n: int) -> Params:
        """Params with a leading axis of length n on every leaf that moves, drawn uniformly from the box.

        Raises: TypeError for what is no random key, ValueError for n < 1.
        """
        _checks.random_key("key", key)
        n = _checks.count("n", n, unit=" starts")
        leaves, structure = jax.tree.flatten(_trees.floating(self.objective.params))
        names = _trees.named_leaves(_trees.floating(self.objective.params))
        drawn = [
            jax.random.uniform(one, (n, *leaf.shape), leaf.dtype, *self.box[name])
            for one, name, leaf in zip(jax.random.split(key, len(leaves)), names, leaves, strict=True)
        ]
        return structure.unflatten(drawn)

    def __str__(self) -> str:
        known = len(self.minimizers)
        where = f"{known} {'minimizer' if known == 1 else 'minimizers'} known" if known else "no minimizer known"
        where += ", all there are" if self.complete else ""
        formula = str(self.objective).replace("\n", "\n  ")
        return f"{self.name}: least value {self.value:.10g}, {where}\n  {formula}\n  {self.description}".rstrip()

    __repr__ = __str__


def _shapes(params: Params) -> Any:
    return jax.tree.structure(params), [np.shape(leaf) for leaf in jax.tree.leaves(params)]


def _check_box(box: Any, objective: Objective) -> None:
    names = _trees.named_leaves(_trees.floating(objective.params))
    if not isinstance(box, Mapping) or set(box) != set(names):
        came = f"names {', '.join(map(repr, box))}" if isinstance(box, Mapping) else f"is {_checks.kind(box)}"
        raise ValueError(f"`box` {came}; give (low, high) of every leaf of the params: {', '.join(map(repr, names))}.")
    for name, bounds in box.items():
        pair = np.asarray(bounds, float)
        if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] <= pair[1]:
            raise ValueError(f"`box[{name!r}]` is {bounds!r}; give finite numbers (low, high), low ≤ high.")


def problems() -> dict[str, Problem]:
    """Test objectives by name; all start from a box, and are in JAX's default float.

        rosenbrock       (1 − x)² + 100(y − x²)²                              a curved valley
        himmelblau       (x² + y − 11)² + (x + y² − 7)²                       four minima
        beale            Σᵢ (cᵢ − x(1 − yⁱ))², c = (1.5, 2.25, 2.625)         flat, with steep walls
        valley_10        ½(u² + 10v²), rotated by 30°                         a well-conditioned quadratic
        valley_1e4       ½(u² + 10⁴v²), rotated by 30°                        an ill-conditioned one
        pair             cross-entropy of a neuron on two points, l2(0.1)     strictly convex
        o_rings          the Challenger's O-rings, standardized, l2(0.01)     strictly convex
        o_rings_raw      the same in °F, l2(0.0001)                           condition number 6·10⁵
        linear_network   ½(w₁w₂ − 1)²                                         a curve of minima, and a saddle
        xor              the exclusive or, a 2-2-1 network of tanh            flat regions without a minimum
        sine             nine points of a period, a 1-8-1 network of tanh     minima that form a manifold

    Numbers without a closed form have all digits of float64: roots of a quartic, and what `ls.critical_points` proves.
    Returns: a dict of `Problem`, each with its source.

        >>> import jax, landscape as ls
        >>> himmelblau = ls.problems()["himmelblau"]
        >>> [round(float(himmelblau.objective(params)), 6) for params in himmelblau.minimizers]
        [0.0, 0.0, 0.0, 0.0]
        >>> himmelblau.starts(jax.random.key(0), 5)["x"].shape
        (5,)
    """
    made = (*_curved(), _valley(10.0, "10"), _valley(1e4, "1e4"), *_neurons(), *_networks())
    return {problem.name: problem for problem in made}


# ---- of two variables


def rosenbrock(params: Params) -> Array:
    """(1 − x)² + 100(y − x²)²."""
    x, y = params["x"], params["y"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def himmelblau(params: Params) -> Array:
    """(x² + y − 11)² + (x + y² − 7)²."""
    x, y = params["x"], params["y"]
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def beale(params: Params) -> Array:
    """(1.5 − x(1 − y))² + (2.25 − x(1 − y²))² + (2.625 − x(1 − y³))²."""
    x, y = params["x"], params["y"]
    return (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2


@dataclass(frozen=True)
class Valley:
    """½(u² + κv²), u and v the coordinates (x, y) − (1, 1) turned by 30°."""

    condition: float

    def __call__(self, params: Params) -> Array:
        """Its value at {"x": (), "y": ()}."""
        x, y = params["x"] - 1, params["y"] - 1
        cosine, sine = float(np.sqrt(0.75)), 0.5
        return 0.5 * ((cosine * x + sine * y) ** 2 + self.condition * (cosine * y - sine * x) ** 2)


def _at(*points: tuple[float, float]) -> tuple[Params, ...]:
    return tuple({"x": jnp.asarray(x, float), "y": jnp.asarray(y, float)} for x, y in points)


def _square(edge: float) -> Box:
    return {"x": (-edge, edge), "y": (-edge, edge)}


def _curved() -> list[Problem]:
    four = _at(
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.28318599128617),
        (3.5844283403304917, -1.8481265269644036),
    )
    return [
        Problem(
            "rosenbrock", function(rosenbrock, PLANE), 0.0, _square(2.048), _at((1.0, 1.0)), complete=True,
            source="Rosenbrock (1960), Comput. J. 3; Moré, Garbow & Hillstrom (1981), problem 1; box: De Jong (1975)",
            description="A valley along y = x², steep across and almost flat along it.",
        ),
        Problem(
            "himmelblau", function(himmelblau, PLANE), 0.0, _square(5.0), four, complete=True,
            source="Himmelblau (1972), Applied Nonlinear Programming; box: Jamil & Yang (2013), no. 65",
            description="Four minima of the same value, four saddles and a maximum.",
        ),
        Problem(
            "beale", function(beale, PLANE), 0.0, _square(4.5), _at((3.0, 0.5)), complete=True,
            source="Beale (1958); Moré, Garbow & Hillstrom (1981), problem 5; box: Jamil & Yang (2013), no. 10",
            description="Flat around its minimum and steep at the corners; some ways lead to infinity along y = 1.",
        ),
    ]  # fmt: skip


def _valley(condition: float, label: str) -> Problem:
    return Problem(
        f"valley_{label}", function(Valley(condition), PLANE), 0.0, _square(5.0), _at((1.0, 1.0)), complete=True,
        source="Nocedal & Wright (2006), section 3.3; the box is ours",
        description=f"A quadratic of condition number {condition:g} whose axes are not those of the coordinates.",
    )  # fmt: skip


# ---- one neuron


def _neuron_at(w: float, b: float) -> tuple[Params]:
    return ({"w": jnp.asarray(w, float), "b": jnp.asarray(b, float)},)


def _neurons() -> list[Problem]:
    temperature, distress = datasets.o_rings()
    standardized = ((temperature - temperature.mean()) / temperature.std()).astype(_checks.default_float())
    source = "Dalal, Fowlkes & Hoadley (1989), JASA 84; the penalty and the box are ours"
    return [
        Problem(
            "pair", neuron(*datasets.pair(), penalty=_penalties.l2(0.1)), 0.40718649547429736,
            {"w": (-10.0, 10.0), "b": (-10.0, 10.0)}, _neuron_at(1.1775052641535602, 0.0), complete=True,
            source="σ(−w) = 2λw, the gradient at b = 0 set to 0; the box is ours",
            description="One neuron on D = {(−1, 0), (1, 1)}; without the penalty there is no minimum.",
        ),
        Problem(
            "o_rings", neuron(standardized, distress, penalty=_penalties.l2(0.01)), 0.4720548635667011,
            {"w": (-5.0, 5.0), "b": (-5.0, 5.0)}, _neuron_at(-1.2833752759145685, -0.9191759014105976), complete=True,
            source=source,
            description="Logistic regression of 23 launches on the standardized temperature.",
        ),
        Problem(
            "o_rings_raw", neuron(temperature, distress, penalty=_penalties.l2(1e-4)), 0.4600872862329128,
            {"w": (-1.0, 1.0), "b": (-20.0, 20.0)}, _neuron_at(-0.19304456119256988, 12.367990504597467), complete=True,
            source=source,
            description="The same on the temperature in °F, far from 0: the condition number is 5.7·10⁵.",
        ),
    ]  # fmt: skip


# ---- networks


def linear_network(params: Params) -> Array:
    """½(w₁w₂ − 1)²."""
    return 0.5 * (params["w1"] * params["w2"] - 1) ** 2


def _networks() -> list[Problem]:
    xor, sine = mlp.mlp((2, 2, 1)), mlp.mlp((1, 8, 1))
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    x = np.linspace(-np.pi, np.pi, 9)
    own = _checks.default_float()
    one = {"w1": jnp.asarray(1.0, float), "w2": jnp.asarray(1.0, float)}
    return [
        Problem(
            "linear_network", function(linear_network, {"w1": 0.0, "w2": 0.0}), 0.0,
            {"w1": (-3.0, 3.0), "w2": (-3.0, 3.0)}, (one, jax.tree.map(jnp.negative, one)),
            source="Baldi & Hornik (1989); Saxe, McClelland & Ganguli (2014); the box is ours",
            description="Two weights on one example: every point of the hyperbola w₁w₂ = 1 is a minimum.",
        ),
        Problem(
            "xor", xor.objective(corners, np.array([0, 1, 1, 0])), 0.0, _box_of(xor), (_xor_minimizer(),),
            source="Rumelhart, Hinton & Williams (1986), Nature 323; least value: c + v(tanh(s) − tanh(s − 2)) is 0, 1 "
            "and 0 at s = x₁ + x₂ = 0, 1 and 2; the box is ours",
            description="Two hidden units of tanh, output as it is, half the squared error: 0 can be reached.",
        ),
        Problem(
            "sine", sine.objective(x.astype(own), np.sin(x).astype(own)), 0.0, _box_of(sine), (_sine_minimizer(x),),
            source="Least value: eight units of tanh and a constant pass through nine points; the box is ours",
            description="sin on nine points of [−π, π] by eight hidden units of tanh, half the squared error.",
        ),
    ]  # fmt: skip


def _box_of(network: mlp.Network) -> Box:
    return {f"layer{i}/{leaf}": (-1.0, 1.0) for i in range(1, len(network.sizes)) for leaf in ("W", "b")}


def _layers(w1: Any, b1: Any, w2: Any, b2: Any) -> Params:
    leaves = {"layer1": {"W": w1, "b": b1}, "layer2": {"W": w2, "b": b2}}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), leaves, is_leaf=lambda node: not isinstance(node, dict))


def _xor_minimizer() -> Params:
    """Hidden units tanh(s) and tanh(s − 2) of s = x₁ + x₂, whose difference is equal at s = 0 and 2."""
    v = 1 / (2 * np.tanh(1) - np.tanh(2))
    return _layers([[1, 1], [1, 1]], [0, -2], [[v], [-v]], [-v * np.tanh(2)])


def _sine_minimizer(x: np.ndarray) -> Params:
    """A unit between each two neighbors, as steep as they are near; the output weights solve a linear system."""
    slope = 2 / (x[1] - x[0])
    bias = -slope * (x[1:] + x[:-1]) / 2
    features = np.column_stack([np.tanh(slope * x[:, None] + bias), np.ones(len(x))])
    solved = np.linalg.solve(features, np.sin(x))
    return _layers(np.full((1, len(bias)), slope), bias, solved[:-1, None], solved[-1:])
