"""One objective, many conventions: ½ or 1, mean or sum, C or λ or a prior's variance.

Multiplying an objective by a positive constant moves no minimizer; it only changes how λ and the learning rate read.
Everything here converts to this package's own convention, `l2(λ)` or `l1(λ)` beside a MEAN risk.
"""

from collections.abc import Sequence

from landscape import _checks


def strength_from(
    *,
    sklearn_C: float | None = None,
    prior_variance: float | None = None,
    laplace_scale: float | None = None,
    weight_decay: float | None = None,
    sum_strength: float | None = None,
    noise_variance: float | None = None,
    n: int | None = None,
) -> float:
    """The strength λ, beside a mean risk over n examples, of a penalty given in another convention. Give exactly one.

        sklearn_C        C of scikit-learn's LogisticRegression, C·Σ lossᵢ + ½‖w‖²       l2(1/(2nC))
        prior_variance   σ² of a Gaussian prior on θ: posterior mode                     l2(1/(2nσ²))
        laplace_scale    c of a Laplace prior e^(−|θ|/c) on θ: posterior mode            l1(1/(nc))
        weight_decay     λ of (λ/2)‖W‖²                                                  l2(λ/2)
        sum_strength     λ beside the SUM of the losses                                  l2(λ/n), l1(λ/n)
        noise_variance   σ² of Gaussian noise added to the inputs of a linear model
                         with half squared error (Bishop 1995)                           l2(σ²/2) on the weights

    scikit-learn does not penalize the intercept: use `scope="weights"` for the same objective.
    Raises: ValueError for a number that is not positive; TypeError unless exactly one is given, or n is missing.

        >>> strength_from(sklearn_C=1.0, n=50)
        0.01
    """
    given = {
        "sklearn_C": sklearn_C,
        "prior_variance": prior_variance,
        "laplace_scale": laplace_scale,
        "weight_decay": weight_decay,
        "sum_strength": sum_strength,
        "noise_variance": noise_variance,
    }
    ((name, value),) = _exactly_one(given).items()
    if name == "weight_decay":
        return _checks.strength(name, value) / 2
    value = _checks.positive(name, value)
    if name == "noise_variance":
        return value / 2
    if n is None:
        raise TypeError(f"`n`, the number of examples, is needed beside `{name}`: a mean risk weighs a penalty by 1/n.")
    examples = _checks.count("n", n)
    return {
        "sklearn_C": 1 / (2 * examples * value),
        "prior_variance": 1 / (2 * examples * value),
        "laplace_scale": 1 / (examples * value),
        "sum_strength": value / examples,
    }[name]


def learning_rate_from(
    *, sum_learning_rate: float | None = None, scaled: tuple[float, float] | None = None, n: int | None = None
) -> float:
    """The learning rate that takes the same gradient steps on this package's objective. Give exactly one.

        sum_learning_rate   η beside the SUM of n losses (strength × n)       n·η on the mean
        scaled              (η, c): η on the objective multiplied by c        c·η on the objective itself

    Gradient descent on c·J with η steps by −ηc∇J: it is gradient descent on J with cη. Adam, which divides by the
    gradient's size, needs no change.
    Raises: ValueError for a number that is not positive; TypeError unless exactly one is given, or n is missing.

        >>> learning_rate_from(sum_learning_rate=0.01, n=50)
        0.5
    """
    ((name, value),) = _exactly_one({"sum_learning_rate": sum_learning_rate, "scaled": scaled}).items()
    if name == "scaled":
        if not isinstance(value, Sequence) or len(value) != 2:
            raise TypeError(
                f"`scaled` is {value!r}; give a pair (η, c): the learning rate, and the objective's factor."
            )
        rate, factor = value
        return _checks.positive("scaled[0]", rate) * _checks.positive("scaled[1]", factor)
    if n is None:
        raise TypeError("`n`, the number of examples, is needed beside `sum_learning_rate`.")
    return _checks.positive(name, value) * _checks.count("n", n)


def _exactly_one(given: dict) -> dict:
    present = {name: value for name, value in given.items() if value is not None}
    if len(present) != 1:
        raise TypeError(f"give exactly one of {', '.join(given)}; got {', '.join(present) or 'none'}.")
    return present
