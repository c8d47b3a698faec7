"""Where minima are: critical points from many starts, penalty paths, and attainment of many examples.

Critical points are checked against zeros to 40 digits (mpmath), paths by the residual of the stationarity conditions,
verdicts by construction of the data and by their certificates. scikit-learn's solvers get the same strengths, one after
another, each from the coefficients before.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import mpmath
import numpy as np
from scipy import optimize
from scipy.special import expit

import landscape as ls
from benchmarks.harness.timing import Timed, race, ratio, scaled
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row, Target

REPEATS = 3
DIGITS = 40
OURS = "ls.penalty_path"
STRAY = 1e-8  # of a point beside its own size: the tolerance of `ls.critical_points`


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    starts: int
    examples: int
    share: int  # one start in so many is followed by SciPy too
    strengths: int
    tolerances: tuple[float, ...]  # of scikit-learn's saga
    large: tuple[int, int]  # examples and features of `attainment`
    judged: bool


FULL = Sizes(10_000, 200, 100, 50, (1e-4, 1e-6), (100_000, 20), judged=True)
SMOKE = Sizes(40, 12, 10, 3, (1e-2,), (200, 3), judged=False)


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    rows: list[Row] = []
    targets: list[Target] = []
    for part in (_critical_points, _logistic, _lasso, _attainment):
        progress(part.__name__.strip("_").replace("_", " "))
        found = part(sizes, repeats)
        rows, targets = rows + found[0], targets + found[1]
    notes = [
        f"SciPy's time is that of every {sizes.share}th start, times {sizes.share}; it classifies and proves nothing",
        "residual: the largest over a path, of the minimum-norm subgradient",
    ]
    if not sizes.judged:
        targets, notes = [], [*notes, "these sizes are too small to judge speed by"]
    else:
        notes += busy(where)
    return Report("minima", asdict(sizes), rows, targets, notes, where)


def _critical_points(sizes: Sizes, repeats: int) -> tuple[list[Row], list[Target]]:
    """Of a neuron on random examples: found, polished, classified and certified."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=sizes.examples)
    y = (rng.random(sizes.examples) < expit(2 * x - 0.5)).astype(float)
    starts = {name: rng.uniform(-30, 30, sizes.starts) for name in ("w", "b")}
    some = np.stack([starts["w"], starts["b"]], axis=1)[:: sizes.share]
    rows, targets = [], []
    for loss, slope in SLOPES.items():
        name = f"{sizes.starts} starts of a neuron, {sizes.examples} examples, {loss.replace('_', ' ')}"
        with jax.enable_x64(True):
            objective = ls.neuron(x, y, loss=loss)
        ours = "ls.critical_points"
        timed = race(
            {
                ours: partial(ls.critical_points, objective, starts),
                "scipy.optimize.root": partial(_followed, slope, some, x, y),
            },
            repeats,
        )
        timed["scipy.optimize.root"] = scaled(timed["scipy.optimize.root"], len(starts["w"]) / len(some))
        stray, stated = zip(*_strays(timed[ours].answer, slope, x, y), strict=True)
        right = max(stray) <= STRAY and bool(np.all(np.array(stray) <= np.array(stated)))
        rows.append(
            report.row(name, ours, timed[ours], relative_error=max(stray), stated_error=max(stated), right=right)
        )
        rows.append(report.row(name, "scipy.optimize.root", timed["scipy.optimize.root"], ours=False))
        targets.append(Target(f"{name}: found, classified and certified", timed[ours].median, 5, "s"))
    return rows, targets


def _followed(slope: Callable[..., Any], starts: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[bool]:
    """Whether Powell's hybrid method, one start after another, ends at a zero of the gradient."""

    def gradient(theta: np.ndarray) -> np.ndarray:
        slopes = slope(theta[0] * x + theta[1], y, expit)
        return np.array([slopes @ x, slopes.sum()]) / len(x)

    return [optimize.root(gradient, start).success for start in starts]


SLOPES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "cross_entropy": lambda z, y, sigmoid: sigmoid(z) - y,
    "half_squared_error": lambda z, y, sigmoid: (sigmoid(z) - y) * sigmoid(z) * sigmoid(-z),
}


def _strays(found: ls.CriticalPoints, slope: Callable[..., Any], x: np.ndarray, y: np.ndarray) -> Iterator[Any]:
    """Of each certified point: (distance to the zero that mpmath finds there, the distance as stated), of its size."""
    examples = [(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]

    def sigmoid(z: Any) -> Any:
        return 1 / (1 + mpmath.exp(-z))

    def gradient(w: Any, b: Any) -> list[Any]:
        slopes = [slope(w * a + b, label, sigmoid) for a, label in examples]
        return [sum(s * a for s, (a, _) in zip(slopes, examples, strict=True)), sum(slopes)]

    for i in np.flatnonzero(found.data.certified):
        point = [float(found.params[name][i]) for name in ("w", "b")]
        with mpmath.workdps(DIGITS):
            exact = mpmath.findroot(gradient, point, tol=mpmath.mpf(10) ** (-1.6 * DIGITS))
            size = mpmath.hypot(*point)
            away = mpmath.hypot(exact[0] - point[0], exact[1] - point[1])
            yield float(away / size), float(found.data.error[i] / size)


def _logistic(sizes: Sizes, repeats: int) -> tuple[list[Row], list[Target]]:
    """The l1 path of logistic regression, beside scikit-learn's saga."""
    from sklearn.datasets import load_breast_cancer

    x, y = _standardized(load_breast_cancer)
    penalty = ls.l1(1.0, scope="weights")
    objective, strengths = _strengths(x, y, penalty, sizes.strengths)
    name = f"l1 path of {len(strengths)} strengths, breast cancer"
    calls: dict[str, Callable[[], np.ndarray]] = {OURS: partial(_ours, objective, strengths, penalty)}
    calls |= {f"saga, tol={tol:g}": partial(_saga, x, y, strengths, tol) for tol in sizes.tolerances}
    timed = race(calls, repeats)
    residuals = {by: _residual(times.answer, x, y, strengths, expit) for by, times in timed.items()}
    rows = [report.row(name, by, times, residual=residuals[by], ours=by == OURS) for by, times in timed.items()]
    # At a larger residual than ours, and so less than what the same residual would take.
    finest = f"saga, tol={min(sizes.tolerances):g}"
    speed = ratio(timed[finest], timed[OURS]) if residuals[finest] >= residuals[OURS] else float("nan")
    return rows, [
        Target(f"{name}: time of {finest} (residual {residuals[finest]:.0e}), over ours", speed, 1, "×", more=True)
    ]


def _lasso(sizes: Sizes, repeats: int) -> tuple[list[Row], list[Target]]:
    """The l1 path of least squares, beside scikit-learn's coordinate descent."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import lasso_path

    x, y = _standardized(load_diabetes)
    penalty = ls.l1(1.0, scope="weights")
    options = {"loss": "half_squared_error", "activation": "identity"}
    objective, strengths = _strengths(x, y, penalty, sizes.strengths, **options)

    def descent(tolerance: float) -> np.ndarray:
        coefficients = lasso_path(x, y - y.mean(), alphas=strengths, tol=tolerance, max_iter=10**6)[1].T
        return np.column_stack([coefficients, np.full(len(strengths), y.mean())])

    calls: dict[str, Callable[[], np.ndarray]] = {OURS: partial(_ours, objective, strengths, penalty)}
    calls |= {f"lasso_path, tol={tol:g}": partial(descent, tol) for tol in (1e-4, 1e-14)}
    name = f"l1 path of {len(strengths)} strengths, diabetes"
    return [
        report.row(name, by, times, residual=_residual(times.answer, x, y, strengths, lambda z: z), ours=by == OURS)
        for by, times in race(calls, repeats).items()
    ], []


def _standardized(load: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    x, y = load(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y.astype(float)


def _strengths(
    x: np.ndarray, y: np.ndarray, penalty: ls.Penalty, count: int, **options: str
) -> tuple[ls.Objective, np.ndarray]:
    """The neuron of these data, and strengths down from the one at which all weights are 0."""
    with jax.enable_x64(True):
        objective = ls.neuron(x, y, **options)
    most = ls.penalty_path(objective, [1.0], penalty=penalty).strength_max
    return objective, np.geomspace(most, 1e-3 * most, count)


def _ours(objective: ls.Objective, strengths: np.ndarray, penalty: ls.Penalty) -> np.ndarray:
    return ls.penalty_path(objective, strengths, penalty=penalty).data.coefficient.to_numpy()


def _saga(x: np.ndarray, y: np.ndarray, strengths: np.ndarray, tolerance: float) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="saga", warm_start=True, tol=tolerance, max_iter=20_000, random_state=0)
    # `penalty=` is deprecated since 1.8, and needed before.
    named = model.get_params()["penalty"] != "deprecated"
    model.set_params(**({"penalty": "l1"} if named else {"l1_ratio": 1.0}))
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the residual says so
        for strength in strengths:
            model.set_params(C=1 / (len(y) * strength)).fit(x, y)
            found.append(np.append(model.coef_[0], model.intercept_[0]))
    return np.stack(found)


def _residual(
    path: np.ndarray, x: np.ndarray, y: np.ndarray, strengths: np.ndarray, mean: Callable[[np.ndarray], np.ndarray]
) -> float:
    """The largest norm of the minimum-norm subgradient along a path (strength, w and b)."""
    slopes = mean(path[:, :-1] @ x.T + path[:, -1:]) - y
    gradient, weights, most = slopes @ x / len(y), path[:, :-1], strengths[:, None]
    soft = np.sign(gradient) * np.maximum(np.abs(gradient) - most, 0)
    own = np.where(weights == 0, soft, gradient + most * np.sign(weights))
    return float(np.hypot(np.linalg.norm(own, axis=1), slopes.mean(axis=1)).max())


def _attainment(sizes: Sizes, repeats: int) -> tuple[list[Row], list[Target]]:
    """Of data that overlap, are separable, and are separable but for examples on the hyperplane."""
    n, d = sizes.large
    rows, targets = [], []
    for kind, (x, y) in _built(n, d).items():
        with jax.enable_x64(True):
            objective = ls.neuron(x, y)
        name = f"attainment, {n} examples, {d} features, separation {kind}"
        timed: Timed = race({"": partial(ls.attainment, objective)}, repeats)[""]
        found = timed.answer
        right = found.separation == kind and found.attained == (kind == "none") and found.certificate.verify()
        rows.append(report.row(name, "ls.attainment", timed, right=right))
        targets.append(Target(name, timed.median, 10, "s"))
    return rows, targets


def _built(n: int, d: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whole numbers on both sides of a hyperplane through 0, and some on it with both labels."""
    rng = np.random.default_rng(0)
    normal = np.append(rng.integers(-3, 4, d - 1), 1)
    x = rng.integers(-1000, 1001, (n, d))
    side = x @ normal
    x[side == 0, -1] += 1
    side = x @ normal
    y = (side > 0).astype(float)
    noisy = np.where(rng.random(n) < 0.1, 1 - y, y)
    on = x.copy()
    few = 4 * d
    on[:few, -1] -= side[:few]
    labels = y.copy()
    on[1:few:2] = on[0:few:2]  # twice each
    labels[:few] = np.arange(few) % 2
    return {
        kind: (inputs.astype(float), outputs.astype(float))
        for kind, inputs, outputs in (("none", x, noisy), ("complete", x, y), ("quasi-complete", on, labels))
    }
