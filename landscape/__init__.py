"""Loss landscapes in JAX: an objective, seen through a chart, measured on axes, becomes a labeled data set.

Names are loaded on first use (PEP 562), so that `import landscape` and `landscape --help` cost nothing; `__init__.pyi`
says the same to type checkers.
"""

from importlib import import_module
from typing import Any

from landscape._version import __version__

# name -> the module that defines it; None: the name is that module itself
_HOME = {
    # what is measured
    "Objective": "landscape.objectives.objective",
    "LinearModel": "landscape.objectives.objective",
    "Batches": "landscape.objectives.data",
    "function": "landscape.objectives.objective",
    "SplitLosses": "landscape.objectives.split",
    "neuron": "landscape.objectives.models",
    "mlp": "landscape.objectives.mlp",
    "Network": "landscape.objectives.mlp",
    "activation": "landscape.objectives.activations",
    "pointwise_loss": "landscape.objectives.losses",
    "datasets": None,
    "check_gradient": "landscape.objectives.check_gradient",
    "problems": "landscape.objectives.problems",
    "Problem": "landscape.objectives.problems",
    # penalties
    "Penalty": "landscape.objectives.penalties",
    "none": "landscape.objectives.penalties",
    "l1": "landscape.objectives.penalties",
    "l2": "landscape.objectives.penalties",
    "elastic_net": "landscape.objectives.penalties",
    "weight_decay": "landscape.objectives.penalties",
    "strength_from": "landscape.objectives.conversions",
    "learning_rate_from": "landscape.objectives.conversions",
    # where to look
    "Chart": "landscape.charts.chart",
    "register_chart": "landscape.charts.chart",
    "Plane": "landscape.charts.plane",
    "axes_plane": "landscape.charts.plane",
    "random_directions": "landscape.charts.directions",
    "plane_through": "landscape.charts.through",
    "Bezier": "landscape.charts.curve",
    "Polygon": "landscape.charts.curve",
    "pca": "landscape.charts.pca",
    "PCA": "landscape.charts.pca",
    "Polar": "landscape.charts.polar",
    "Boundary": "landscape.charts.polar",
    "axes_around": "landscape.charts.axes",
    # curvature
    "curvature": "landscape.operators.products",
    "Curvature": "landscape.operators.products",
    "kinks": "landscape.operators.products",
    "layers": "landscape.operators._parts",
    "top_eigenpairs": "landscape.operators.top_eigenpairs",
    "Eigenpairs": "landscape.operators.top_eigenpairs",
    "eigen_directions": "landscape.operators.top_eigenpairs",
    "trace": "landscape.operators.estimates",
    "Trace": "landscape.operators.estimates",
    "diagonal": "landscape.operators.estimates",
    "Diagonal": "landscape.operators.estimates",
    "spectral_density": "landscape.operators.spectral_density",
    "SpectralDensity": "landscape.operators.spectral_density",
    "hessian": "landscape.operators.hessian",
    "captured_curvature": "landscape.operators.captured_curvature",
    "CapturedCurvature": "landscape.operators.captured_curvature",
    # measuring
    "evaluate": "landscape.surfaces.evaluate",
    "interpolate": "landscape.surfaces.interpolate",
    "Interpolant": "landscape.surfaces.interpolant",
    "explain": "landscape.surfaces.explain",
    "minimum": "landscape.surfaces.minimum",
    "Quantity": "landscape.surfaces.quantities",
    "Metric": "landscape.surfaces.quantities",
    "save": "landscape.surfaces.io",
    "save_vtk": "landscape.surfaces.vtk",
    "open_surface": "landscape.surfaces.io",
    "open_interpolant": "landscape.surfaces.io",
    "open_trajectory": "landscape.surfaces.io",
    "sharpness": "landscape.analysis.sharpness.sharpness",
    "Sharpness": "landscape.analysis.sharpness.sharpness",
    "sharpness_along": "landscape.analysis.sharpness.along",
    "persistence": "landscape.analysis.topology.topology",
    "Persistence": "landscape.analysis.topology.topology",
    # where the minima are, and whether there are any
    "attainment": "landscape.minima.attainment.attainment",
    "Attainment": "landscape.minima.attainment.attainment",
    "critical_points": "landscape.minima.critical_points.critical_points",
    "CriticalPoints": "landscape.minima.critical_points.critical_points",
    "closed_form": "landscape.minima.closed_form.closed_form",
    "ClosedForm": "landscape.minima.closed_form.closed_form",
    "closed_form_table": "landscape.minima.closed_form.closed_form",
    "penalty_path": "landscape.minima.penalty_path.penalty_path",
    "PenaltyPath": "landscape.minima.penalty_path.penalty_path",
    "choose_strength": "landscape.minima.penalty_path.choose_strength",
    "gradient_flow": "landscape.minima.gradient_flow.gradient_flow",
    "max_margin": "landscape.minima.gradient_flow.max_margin",
    "MaxMargin": "landscape.minima.gradient_flow.max_margin",
    # networks
    "symmetry": "landscape.networks.symmetry.symmetry",
    "Symmetry": "landscape.networks.symmetry.symmetry",
    "align": "landscape.networks.symmetry.align",
    "Alignment": "landscape.networks.symmetry.align",
    "same_up_to_symmetry": "landscape.networks.symmetry.align",
    "hidden_units": "landscape.networks.hidden_units",
    "backpropagation": "landscape.networks.backpropagation",
    "Backpropagation": "landscape.networks.backpropagation",
    "many_starts": "landscape.networks.many_starts.many_starts",
    "ManyStarts": "landscape.networks.many_starts.many_starts",
    "group_minima": "landscape.networks.many_starts.group_minima",
    "saddle_index": "landscape.networks.many_starts.saddle_index",
    "escapes": "landscape.networks.many_starts.escapes",
    "search_cost": "landscape.networks.many_starts.search_cost",
    "basins": "landscape.networks.basins.basins",
    "trainability": "landscape.networks.basins.trainability",
    "barrier": "landscape.networks.connectivity.barrier",
    "barrier_along": "landscape.networks.connectivity.barrier",
    "Barrier": "landscape.networks.connectivity.barrier",
    "connect": "landscape.networks.connectivity.connectivity",
    "Connection": "landscape.networks.connectivity.connectivity",
    "saturation": "landscape.surfaces.saturation",
    "Saturation": "landscape.surfaces.saturation",
    "scale_sweep": "landscape.analysis.scale_sweep",
    # walking and drawing
    "descend": "landscape.analysis.descent",
    "trajectory": "landscape.analysis.checkpoints",
    "compare_flatness": "landscape.analysis.flatness",
    "compare_optimizers": "landscape.analysis.comparison",
    "Comparison": "landscape.analysis.comparison",
    "proximal_gradient": "landscape.analysis.optimizers",
    "Trajectory": "landscape.charts.trajectory",
    "plot": None,
    "explore": "landscape.explorer.explore",
    "Page": "landscape.explorer.explore",
}
_MODULES = {"datasets": "landscape.objectives.datasets", "plot": "landscape.plot"}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    home = _HOME[name]
    value = import_module(_MODULES[name]) if home is None else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
