"""Growth: time, compilation and memory against the size of a problem, and what a full grid over d parameters takes.

Time is that of all cores together, which neither others on the machine nor a second thread change much; memory is that
of a call whose program is compiled. Exponents are fitted to the large end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.harness.timing import Timed, memory_of, race
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row, Target
from benchmarks.studies import _growth_questions as questions
from benchmarks.studies._growth_fit import Curve, Fit, curves, proportional
from benchmarks.studies._growth_grid import FULL as FULL_GRID
from benchmarks.studies._growth_grid import PLANE, ages, extrapolated, grid, span
from benchmarks.studies._growth_questions import Call, Question

REPEATS = 5
AGREE = 2e-4  # of a risk in float32, through many layers and over a million examples
TWICE = 2.0  # what the data take themselves
MEASURED = "times in exponents are core times; memory is that of a call whose program is compiled"


@dataclass(frozen=True)
class Sizes:
    """What each question is asked for; ascending."""

    neuron_sides: tuple[int, ...]
    network_sides: tuple[int, ...]
    examples: tuple[int, ...]
    compressed: tuple[int, ...]
    unseen: int  # examples up to which the pass that compresses them is a small part
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    penalties: tuple[int, ...]
    starts: tuple[int, ...]
    full_side: int
    full_axes: int
    plane_side: int
    judged: bool


FULL = Sizes(
    neuron_sides=(16, 64, 256, 512, 768, 1024, 1536, 2048),
    network_sides=(4, 12, 32, 45, 64, 91, 128),
    examples=(2**8, 2**12, 2**14, 2**16, 2**17, 2**18, 2**19, 2**20),
    compressed=tuple(2**k for k in (14, 15, 16, 17, 18, 20, 21, 22, 23)),
    unseen=2**18,
    widths=(8, 64, 256, 512, 724, 1024, 1448, 2048),
    depths=(1, 4, 16, 32, 48, 64, 96),
    penalties=(1, 8, 32, 64, 128, 256, 512),
    starts=(1, 16, 64, 128, 256, 512, 1024),
    full_side=11,
    full_axes=4,
    plane_side=41,
    judged=True,
)
SMOKE = Sizes(
    neuron_sides=(2,),
    network_sides=(2,),
    examples=(8,),
    compressed=(8,),
    unseen=16,
    widths=(2,),
    depths=(2,),
    penalties=(2,),
    starts=(2,),
    full_side=2,
    full_axes=4,
    plane_side=2,
    judged=False,
)


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    asked = _questions(sizes)
    timed: dict[tuple[str, int], tuple[Call, Timed]] = {}
    for question in asked:
        progress(f"{question.title}: {', '.join(map(str, question.calls))} {question.unit}")
        calls = {size: make() for size, make in question.calls.items()}
        found = race({size: call.run for size, call in calls.items()}, repeats)
        timed |= {(question.title, size): (calls[size], own) for size, own in found.items()}
    progress("memory")  # last: it is measured with an allocator that is slower
    rows = [
        _row(question, size, *timed[question.title, size], memory_of(timed[question.title, size][0].run))
        for question in asked
        for size in question.calls
    ]
    found = curves([asdict(row) for row in rows])
    growing = {
        question: found[question.title] for question in asked if not question.title.startswith((FULL_GRID, PLANE))
    }
    notes = [*_notes(growing), *_exponential(found, sizes.full_side), MEASURED]
    if not sizes.judged:
        return Report("growth", asdict(sizes), rows, [], [*notes, "too small to judge growth by"], where)
    return Report("growth", asdict(sizes), rows, list(_targets(growing)), [*notes, *busy(where)], where)


def _questions(sizes: Sizes) -> list[Question]:
    return [
        questions.cells_of_a_neuron(sizes.neuron_sides),
        questions.cells_of_a_network(sizes.network_sides),
        questions.examples_exact(sizes.examples),
        questions.examples_compressed(sizes.compressed, sizes.unseen),
        questions.width(sizes.widths),
        questions.depth(sizes.depths),
        questions.penalties(sizes.penalties),
        questions.starts(sizes.starts),
        questions.full_grid(sizes.full_side, sizes.full_axes),
        questions.plane(sizes.plane_side),
    ]


def _row(question: Question, size: int, call: Call, timed: Timed, memory: int | None) -> Row:
    errors = report.errors(timed.answer, call.truth, AGREE, AGREE / 10)
    return report.row(question.title, f"{size} {question.unit}", timed, peak_bytes=memory, **errors)


def _targets(growing: Mapping[Question, Curve]) -> Iterator[Target]:
    for question, curve in growing.items():
        for what, limit in question.limits.items():
            fit = curve.fit(what, question.most)
            if fit is not None and not _open(fit, limit):
                yield Target(_exponent(question, what, fit), fit.exponent, limit, "")
        most = curve.values["memory"][-1]
        if question.own and np.isfinite(most):
            claim = f"{question.title}: memory, over what the {curve.sizes[-1]} {question.unit} themselves take"
            yield Target(claim, float(most / (question.own * curve.sizes[-1])), TWICE, "×")


def _open(fit: Fit, limit: float) -> bool:
    """Whether the limit lies within the exponent's error: neither kept nor broken."""
    return abs(fit.exponent - limit) < fit.error


def _exponent(question: Question, what: str, fit: Fit) -> str:
    return f"{question.title}: exponent of {what}, ± {fit.error:.2f}, from {_range(fit, question.unit)}"


def _notes(growing: Mapping[Question, Curve]) -> Iterator[str]:
    for question, curve in growing.items():
        grown = {what: curve.fit(what, question.most) for what in ("time", "memory")}
        powers = [f"{what} ∝ {question.unit}^({fit})" for what, fit in grown.items() if fit is not None]
        compiling = curve.values["compiling"][np.isfinite(curve.values["compiling"])]
        powers += [f"compiling {compiling[0]:.2g} s first, {compiling[-1]:.2g} s last"] * bool(len(compiling))
        yield f"{question.title}: {', '.join(powers)}"
        for what, limit in question.limits.items():
            fit = curve.fit(what, question.most)
            if fit is not None and _open(fit, limit):
                yield f"{_exponent(question, what, fit)}: {fit.exponent:.2f}; whether above {limit} is not certain"
        if max(curve.sizes) > question.most:
            fixed, each = proportional(curve.sizes, curve.values["time"])
            yield (
                f"{question.title}: the pass over all of them takes {each * 1e9:.2g} ns for each, in cores, and is half"
                f" of the time at {fixed / each:.2g} {question.unit}; exponents are of up to {question.most:.0f}"
            )


def _range(fit: Fit, unit: str) -> str:
    return f"{fit.first:.0f} to {fit.last:.0f} {unit}"


def _exponential(found: Mapping[str, Curve], side: int) -> list[str]:
    """What a full grid takes, measured and beyond."""
    full = grid(found, side)
    plane = next(curve for title, curve in found.items() if title.startswith(PLANE))
    everything = int(plane.sizes[0])
    beyond = (
        f"over {axes} {span(full.log_seconds(axes))}{ages(full.log_seconds(axes))}" for axes in extrapolated(everything)
    )
    return [
        f"{FULL_GRID}, {side} cells a side: over {full.axes} of {everything} parameters measured, {full.cell:.2g} s a"
        f" cell; extrapolated at as much a cell: {', '.join(beyond)}",
        f"a plane through all {everything} parameters: measured, {plane.values['time'][0]:.2g} s",
    ]
