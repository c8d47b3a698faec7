"""The benchmark of many starts: a tiny run with right answers; operations as they are counted; targets."""

from dataclasses import replace

import jax
import numpy as np

from benchmarks.reporting import report
from benchmarks.studies import many_starts


def test_a_quick_run_has_right_answers_and_says_what_share_of_peak_it_is(capsys):
    found = many_starts.run(many_starts.SMOKE, 1, lambda line: None)
    assert [row.by for row in found.rows] == [many_starts.OURS, many_starts.RUNS, many_starts.STEPS]
    assert all(row.right for row in found.rows) and found.rows[0].relative_error < 1e-3
    assert "share of peak" in found.notes[0] and "too small" in found.notes[-1] and found.targets == []
    assert found.rows[0].peak_bytes > 0 and many_starts.OURS in report.markdown(found)


def test_sizes_that_are_judged_have_targets(monkeypatch):
    monkeypatch.setattr(many_starts, "busy", lambda where: ["busy"])
    found = many_starts.run(replace(many_starts.SMOKE, judged=True), 1, lambda line: None)
    faster, cores, memory = found.targets
    assert faster.more and cores.more and faster.limit == cores.limit == 1 and memory.limit == 2
    assert found.notes[-1] == "busy"


def test_operations_are_those_of_the_products():
    """As XLA counts them for one step, but for what is not a product."""
    sizes = replace(many_starts.SMOKE, layers=(64, 32, 10), starts=1, epochs=1, examples=50, batch=50)
    problem = many_starts._problem(replace(sizes, epochs=1))
    step = jax.jit(lambda state, chosen: many_starts._step(problem, state, chosen))
    params = many_starts._start(problem, 0)
    lowered = step.lower((params, problem.optimizer.init(params)), np.arange(50))
    counted = lowered.compile().cost_analysis()["flops"]
    own = many_starts._operations(sizes)
    assert own <= counted < 1.15 * own
