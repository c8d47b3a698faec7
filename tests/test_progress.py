"""The progress bar: silent where nobody looks, there when asked for, complete."""

import io
import sys
import types

import numpy as np
import optax
import pytest

import landscape as ls
from landscape.tiles.progress import Progress

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": np.linspace(-1, 1, 5), "b": [0.0, 1.0]}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [None, False])
def test_short_or_unwatched_runs_are_silent(capsys, progress):
    """Standard error is no terminal here."""
    ls.evaluate(PAIR, PLANE, AXES, progress=progress)
    ls.descend(PAIR, optax.sgd(0.1), PAIR.params, 3, progress=progress)
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_is_asked_for_counts_cells_and_steps(capsys):
    """On standard error, whether or not that is a terminal; it leaves nothing behind."""
    ls.evaluate(PAIR, PLANE, AXES, progress=True)
    cells = capsys.readouterr()
    ls.descend(PAIR, optax.sgd(0.1), PAIR.params, 30, progress=True)
    steps = capsys.readouterr()
    assert cells.out == steps.out == ""
    assert "/10.0 [" in cells.err and " cells/s]" in cells.err
    assert "/30.0 [" in steps.err and " steps/s]" in steps.err
    assert cells.err.rsplit("\r", 2)[1].strip() == cells.err.rsplit("\r", 2)[2] == ""


def test_a_terminal_sees_a_bar_after_two_seconds_only(monkeypatch):
    """Nothing before; rate and time left from then on."""
    _shown_after_two_seconds(monkeypatch, Terminal)


def test_a_notebook_sees_it_too(monkeypatch):
    """Its standard error is no terminal; text is shown there whatever widgets are installed."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    _shown_after_two_seconds(monkeypatch, io.StringIO)
    with Progress(10, "cells", False) as bar:
        assert bar._bar.disable


def _shown_after_two_seconds(monkeypatch, kind):
    for elapsed, seen in ((0.1, False), (3.0, True)):
        stream, now = kind(), [1000.0]
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr("time.time", lambda now=now: now[0])
        with Progress(10, "cells", None) as bar:
            bar._bar.start_t = bar._bar.last_print_t = now[0]
            bar._bar._time = lambda now=now: now[0]
            now[0] += elapsed
            bar.update(4)
        assert ("4.00/10.0" in stream.getvalue()) is seen
