"""Which axes of params and activations are indexed by the same units: read from the program of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _jaxprs
from landscape._jaxprs import Program
from landscape.networks.symmetry._axes import Axis, Factors

ENTERED = _jaxprs.GROUPS | {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}
# Of each number by itself, or of numbers in the same place.
LINEAR = {"add", "add_any", "sub", "neg", "convert_element_type", "reduce_precision", "copy", "stop_gradient"}
PRODUCT = {"mul", "div"}
ODD = {"tanh", "sin", "tan", "sinh", "asin", "atan", "asinh", "atanh", "erf", "erf_inv", "cbrt", "sign"}
EVEN = {"cos", "cosh", "abs", "square"}
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
ELEMENTWISE = LINEAR | PRODUCT | ODD | EVEN | COMPARISONS
ELEMENTWISE |= {"max", "min", "select_n", "clamp", "pow", "integer_pow", "rem", "sqrt", "rsqrt", "exp", "exp2", "log"}
ELEMENTWISE |= {"log1p", "expm1", "logistic", "erfc", "acos", "acosh", "lgamma", "digamma", "atan2", "and", "or"}
ELEMENTWISE |= {"xor", "not", "is_finite", "floor", "ceil", "round", "nextafter"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"}
WINDOWS = {"reduce_window_sum", "reduce_window_max", "reduce_window_min", "reduce_window"}
SUPPORTED = (
    "Supported are chains of dense and convolutional layers (matrix products, ungrouped or depthwise convolutions), "
    "elementwise functions, normalizations, pooling, sums and reshapes, also with residual connections."
)

Axes = list[Axis]
Rule = Callable[[Factors, Any, list[Axes]], Axes]


class Reading(NamedTuple):
    """The axes of every value of a program."""

    program: Program
    factors: Factors
    axes: dict[Any, Axes]
    leaves: tuple[int, ...]  # the values of the params' leaves that move

    def of(self, value: Any) -> Axes:
        """The axes of a value in the factors that are known at the end; a literal has none."""
        return [self.factors.expanded(axis) for axis in self.axes[value]] if _jaxprs.is_value(value) else []

    def free(self, number: int) -> bool:
        """Whether the units that a factor counts are hidden."""
        return number not in self.factors.fixed and number not in self.factors.constants


def read(program: Program, moving: Sequence[bool]) -> Reading:
    """Read a program's axes. moving: of each argument, whether it is a leaf of the params that moves."""
    factors, axes = Factors(), {}
    nodes = _jaxprs.needed(program, program.outputs, (), effects=False)
    used = {value for node in nodes for value in node.inputs if _jaxprs.is_value(value)}
    for value, moves in zip(program.arguments, moving, strict=True):
        own = moves and value in used
        axes[value] = [factors.new(size, fixed=not own) for size in program.avals[value].shape]
    for value, array in program.constants.items():
        axes[value] = [factors.new(size) for size in program.avals[value].shape]
        for axis in axes[value] if _differs(array) else []:
            factors.mark(axis, factors.constants)
    of_data = {v for v, moves in zip(program.arguments, moving, strict=True) if not moves}
    for node in nodes:
        inputs = [axes[value] if _jaxprs.is_value(value) else [] for value in node.inputs]
        depends = [_jaxprs.is_value(value) and value in of_data for value in node.inputs]
        if any(depends):
            of_data.update(node.outputs)
        axes.update(zip(node.outputs, _outputs(factors, node, inputs, depends), strict=True))
    for value in program.outputs:
        for axis in axes[value] if _jaxprs.is_value(value) else []:
            factors.mark(axis, factors.fixed)
    factors.settle()
    leaves = tuple(value for value, moves in zip(program.arguments, moving, strict=True) if moves)
    return Reading(program, factors, axes, leaves)


def _differs(array: Any) -> bool:
    """Whether a constant array tells units apart: not if all of it is one number."""
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return True
    numbers = np.asarray(array)
    return bool((numbers != numbers.ravel()[:1]).any()) if numbers.size else False


def _outputs(factors: Factors, node: Any, inputs: list[Axes], depends: list[bool]) -> list[Axes]:
    """The axes of what an equation returns. depends: of each operand, whether it depends on the data."""
    equation, name = node.equation, node.equation.primitive.name
    if name in ELEMENTWISE:
        # A product of an activation with numbers that are the same for all data is as linear as a sum.
        linear = name in LINEAR or (name == "mul" and sum(depends) < 2) or (name == "div" and not depends[1])
        return [_elementwise(factors, equation, inputs, linear and keeps_numbers(equation))]
    if name == "split":
        return _split(factors, equation, inputs)
    if len(node.outputs) != 1:
        return _unknowns(factors, equation, inputs)
    return [_RULES.get(name, _unknown)(factors, equation, inputs)]


def _unknown(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    """Axes of their own for what an operation that is not understood returns."""
    return _unknowns(factors, equation, inputs)[0]


def _unknowns(factors: Factors, equation: Any, inputs: list[Axes]) -> list[Axes]:
    everything = [axis for axes in inputs for axis in axes]
    return [[_changed(factors, equation, everything, size) for size in v.aval.shape] for v in equation.outvars]


def _changed(factors: Factors, equation: Any, axes: Sequence[Axis], size: int) -> Axis:
    """A new axis in place of some, the order of whose units matters from now on."""
    for axis in axes:
        factors.refuse(axis, equation.primitive.name)
    return factors.derived(axes, size, equation.primitive.name)


def _join(factors: Factors, equation: Any, a: Axis, b: Axis) -> Axis:
    if not factors.join(a, b):
        for axis in (a, b):
            factors.refuse(axis, equation.primitive.name)
    return a


def _elementwise(factors: Factors, equation: Any, inputs: list[Axes], linear: bool) -> Axes:
    ndim = equation.outvars[0].aval.ndim
    whole = [axes for axes in inputs if len(axes) == ndim]  # the others are scalars
    out: Axes = []
    for along in zip(*whole, strict=True):
        there = [axis for axis in along if axis]
        joined: Axis = ()
        for axis in there:
            joined = _join(factors, equation, joined, axis) if joined else axis
        if not linear:
            factors.mark(joined, factors.mixed)
        out.append(joined)
    return out


def keeps_numbers(equation: Any) -> bool:
    """Whether floats stay floats: as integers or booleans they would be rounded, or compared with 0."""
    floats = [jnp.issubdtype(v.aval.dtype, jnp.floating) for v in (equation.invars[0], equation.outvars[0])]
    return floats[1] or not floats[0]


def _broadcast(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    where = dict(zip(equation.params["broadcast_dimensions"], inputs[0], strict=True))
    shape = equation.outvars[0].aval.shape
    return [where.get(i) or factors.new(size) for i, size in enumerate(shape)]


def _reshape(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    out = factors.cut(inputs[0], equation.outvars[0].aval.shape)
    return _unknown(factors, equation, inputs) if out is None else out


def _transpose(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    return [inputs[0][i] for i in equation.params["permutation"]]


def _reduce(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    gone = equation.params["axes"]
    _mix(factors, equation, inputs[0])
    return [axis for i, axis in enumerate(inputs[0]) if i not in gone]


def _mix(factors: Factors, equation: Any, axes: Axes) -> None:
    """A largest number, or a product of many, is nonlinear along every axis; a sum along none."""
    for axis in axes if "sum" not in equation.primitive.name else []:
        factors.mark(axis, factors.mixed)


def _squeeze(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    return [axis for i, axis in enumerate(inputs[0]) if i not in equation.params["dimensions"]]


def _expand(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    kept, new = iter(inputs[0]), equation.params["dimensions"]
    return [() if i in new else next(kept) for i in range(equation.outvars[0].aval.ndim)]


def _dot(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    (contracted, batch), (left, right) = equation.params["dimension_numbers"], inputs
    for i, j in zip(*contracted, strict=True):
        _join(factors, equation, left[i], right[j])
    shared = [_join(factors, equation, left[i], right[j]) for i, j in zip(*batch, strict=True)]
    for axis in shared:  # the examples; else each of the matrices has hidden units of its own
        factors.refuse(axis, "dot_general, over a batch of matrices")
    rest = [
        axis
        for axes, which in ((left, 0), (right, 1))
        for i, axis in enumerate(axes)
        if i not in contracted[which] and i not in batch[which]
    ]
    return shared + rest


def _convolution(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    numbers, (images, kernel) = equation.params["dimension_numbers"], inputs
    groups = equation.params["feature_group_count"]
    channels, into, outof = images[numbers.lhs_spec[1]], kernel[numbers.rhs_spec[1]], kernel[numbers.rhs_spec[0]]
    depthwise = groups == factors.size(channels) and groups == factors.size(outof)
    if equation.params["batch_group_count"] > 1 or (groups > 1 and not depthwise):
        return _unknown(factors, equation, inputs)
    _join(factors, equation, channels, outof if groups > 1 else into)
    for axes, spec in ((images, numbers.lhs_spec), (kernel, numbers.rhs_spec)):
        for i in spec[2:]:
            factors.mark(axes[i], factors.fixed)  # positions have their order
    shape, spec = equation.outvars[0].aval.shape, numbers.out_spec
    named = {spec[0]: images[numbers.lhs_spec[0]], spec[1]: outof}
    return [named[i] if i in named else factors.new(size, fixed=True) for i, size in enumerate(shape)]


def _window(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    params, before, after = equation.params, equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    _mix(factors, equation, inputs[0])
    out: Axes = []
    for i, axis in enumerate(inputs[0]):
        if params["window_dimensions"][i] == 1 and before[i] == after[i]:
            out.append(axis)
        else:
            factors.mark(axis, factors.fixed)
            out.append(factors.new(after[i], fixed=True))
    return out


def _part(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    """A slice, a padding, a reversal, a cumulative operation: axes that it does not touch pass."""
    after = equation.outvars[0].aval.shape
    return [
        axis if _untouched(equation, i) else _changed(factors, equation, [axis], after[i])
        for i, axis in enumerate(inputs[0])
    ]


def _untouched(equation: Any, i: int) -> bool:
    name, params = equation.primitive.name, equation.params
    if name in ("slice", "dynamic_slice"):
        return equation.invars[0].aval.shape[i] == equation.outvars[0].aval.shape[i]
    if name == "pad":
        return params["padding_config"][i] == (0, 0, 0)
    return i not in params["dimensions"] if name == "rev" else i != params["axis"]


def _concatenate(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    along, out = equation.params["dimension"], []
    for i, axes in enumerate(zip(*inputs, strict=True)):
        if i == along and len(inputs) > 1:
            out.append(_changed(factors, equation, axes, equation.outvars[0].aval.shape[i]))
        else:
            for axis in axes[1:]:
                _join(factors, equation, axes[0], axis)
            out.append(axes[0])
    return out


def _split(factors: Factors, equation: Any, inputs: list[Axes]) -> list[Axes]:
    along = equation.params["axis"]
    return [
        [
            _changed(factors, equation, [axis], v.aval.shape[i]) if i == along else axis
            for i, axis in enumerate(inputs[0])
        ]
        for v in equation.outvars
    ]


def _gather(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    """Rows of an array, such as embeddings: the axes that are indexed have their order, the others pass."""
    numbers, (array, indices) = equation.params["dimension_numbers"], inputs
    if numbers.operand_batching_dims:
        return _unknown(factors, equation, inputs)
    kept = whole_axes(equation)
    for i, axis in enumerate(array):
        if i not in kept.values():
            factors.mark(axis, factors.constants)
    behind, shape = iter(indices[:-1]), equation.outvars[0].aval.shape
    return [
        array[kept[i]] if i in kept else factors.new(size, fixed=True) if i in numbers.offset_dims else next(behind)
        for i, size in enumerate(shape)
    ]


def whole_axes(equation: Any) -> dict[int, int]:
    """Of a gather, which axes of its result are whole axes of the array."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    left = [i for i in range(len(sizes)) if i not in numbers.collapsed_slice_dims]
    shape, indexed = equation.invars[0].aval.shape, numbers.start_index_map
    pairs = zip(numbers.offset_dims, left, strict=True)
    return {out: i for out, i in pairs if sizes[i] == shape[i] and i not in indexed}


def _fresh(factors: Factors, equation: Any, inputs: list[Axes]) -> Axes:
    out = [factors.new(size) for size in equation.outvars[0].aval.shape]
    for axis in out:
        factors.mark(axis, factors.constants)
    return out


_RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(WINDOWS, _window),
    **dict.fromkeys(
        ("slice", "dynamic_slice", "pad", "rev", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), _part
    ),
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "expand_dims": _expand,
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "concatenate": _concatenate,
    "gather": _gather,
    "iota": _fresh,
}
