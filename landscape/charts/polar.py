"""Two other looks at a plane with coordinates (w, b): by scale and direction, and by decision threshold and weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from landscape._trees import Params
from landscape.charts import chart as _chart
from landscape.charts.plane import Plane


@_chart.register_chart(data=("plane",), static=())
@dataclass(frozen=True, eq=False)
class Polar:
    """A plane by scale and direction: θ = plane.point(r cos φ, r sin φ); coordinates log_scale = log r, angle = φ.

    On separable data the angle of gradient descent converges while log_scale grows without end (Soudry et al. 2018).
    At log_scale 0 it is the circle ‖(w, b)‖ = 1: on that normalized set the risk does have a minimum.
    Angles in radians. Raises: ValueError unless the plane has two coordinates.
    """

    plane: Plane

    def __post_init__(self) -> None:
        _check_two(self.plane)

    @property
    def names(self) -> tuple[str, ...]:
        """("log_scale", "angle")."""
        return ("log_scale", "angle")

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(log r, φ)."""
        _chart.check_position(self.names, coordinates)
        log_scale, angle = coordinates
        scale = jnp.exp(log_scale)
        return self.plane.point((scale * jnp.cos(angle), scale * jnp.sin(angle)))

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """((log r, φ), residual), φ in (−π, π]; log r = −∞ at the plane's origin."""
        (u, v), residual = self.plane.coordinates(params)
        return jnp.stack([jnp.log(jnp.hypot(u, v)), jnp.arctan2(v, u)]), residual

    def __repr__(self) -> str:
        return f"Polar({', '.join(self.names)}) of {self.plane!r}"


@_chart.register_chart(data=("plane",), static=())
@dataclass(frozen=True, eq=False)
class Boundary:
    """A plane (w, b) by the neuron's decision threshold t = −b/w, where h(t) = f(0), and its weight w: b = −t·w.

    With the w axis at the single value 1 it is the set ‖w‖ = 1.
    Raises: ValueError unless the plane has two coordinates.
    """

    plane: Plane

    def __post_init__(self) -> None:
        _check_two(self.plane)

    @property
    def names(self) -> tuple[str, ...]:
        """("threshold", the plane's first name)."""
        return ("threshold", self.plane.names[0])

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(t, w) = plane.point(w, −t·w)."""
        _chart.check_position(self.names, coordinates)
        threshold, weight = coordinates
        return self.plane.point((weight, -threshold * weight))

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """((−b/w, w), residual); the threshold of w = 0 is ±∞, or NaN at b = 0."""
        (weight, bias), residual = self.plane.coordinates(params)
        return jnp.stack([-bias / weight, weight]), residual

    def __repr__(self) -> str:
        return f"Boundary({', '.join(self.names)}) of {self.plane!r}"


def _check_two(plane: Plane) -> None:
    names = getattr(plane, "names", ())
    if not isinstance(plane, Plane) or len(names) != 2:
        raise ValueError(
            f"`plane` must be a Plane with two coordinates (weight, bias), got {type(plane).__name__} with "
            f'{len(names)}; build it with ls.axes_plane(params, "w", "b").'
        )
