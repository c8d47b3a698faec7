"""The figures of the repository: captions assert what claims check and nothing else, claims hold and could fail."""

import ast
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape import _figure_cache
from landscape.figure_set import _program, find_figures
from landscape.figure_set._program import METADATA
from landscape.plot import style

FOLDER = Path(__file__).parent.parent / "figures"
FIGURES = find_figures(FOLDER)
SMALLEST = 6.0  # points, in print

# What a claim is tried on: data that are wrong in one of these ways. Positions on axes stay as they are.
CORRUPTIONS = {
    "all 0": lambda values, rng: 0 * values,
    "all 1": lambda values, rng: 0 * values + 1,
    "negated": lambda values, rng: -values,
    "a tenth more": lambda values, rng: 1.1 * values,
    "reversed": lambda values, rng: values[tuple(slice(None, None, -1) for _ in values.shape)],
    "noisy": lambda values, rng: values + 0.1 * rng.standard_normal(values.shape),
}


@pytest.fixture(params=FIGURES)
def figure(request) -> Iterator[tuple[Any, Any]]:
    """A figure's program and its data: those that `make figures-all` has computed from the same code, or new ones."""
    path = FIGURES[request.param]
    with _program.alone(path), jax.numpy_rank_promotion("allow"):
        program = _program.load(path)
        kept = FOLDER / "out" / ".cache" / path.stem / f"{program.key}.npz"
        yield program, _figure_cache.fetch(kept, program.compute, False, print)[0]


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of a figure's caption, each as one line."""
    caption = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return [" ".join(paragraph.split()) for paragraph in caption.split("\n\n")]


def sentences(path: Path) -> list[str]:
    """The keys of the mapping that a figure's `claims` returns."""
    (claims,) = (
        n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.FunctionDef) and n.name == "claims"
    )
    returned = claims.body[-1]
    assert isinstance(returned, ast.Return) and isinstance(returned.value, ast.Dict), "claims ends with `return {...}`"
    return [ast.literal_eval(key) for key in returned.value.keys if key is not None]


def test_the_figures_of_the_neuron_and_of_networks_are_there():
    assert {"bernoulli", "conventions", "dark_minimum", "no_minimum", "o_rings"} <= set(FIGURES)
    assert {"digits_plane", "interpolation", "random_walk", "skip_connections", "spectral"} <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_caption_has_a_title_what_is_drawn_what_is_claimed_and_a_source(name):
    title, drawn, *_, source = paragraphs(FIGURES[name])
    assert title.endswith(".") and len(title) < 120
    assert len(drawn.split()) > 40, "a caption says what every panel, color and sign is"
    assert source.startswith("Source: ")
    assert any(year in source for year in map(str, range(1900, 2100))), "a source has a year"


@pytest.mark.parametrize("name", FIGURES)
def test_caption_asserts_what_is_claimed_and_nothing_else(name):
    """Between what is drawn and the source stand the claims, word for word and in order."""
    asserted = " ".join(paragraphs(FIGURES[name])[2:-1])
    assert asserted == " ".join(sentences(FIGURES[name]))


@pytest.mark.lenient("a figure is a user's program: it runs under JAX's standard promotion")
def test_claims_hold_and_could_fail_and_the_figure_is_fit_for_print(figure):
    program, data = figure
    claims = program.claims(data)
    assert [sentence for sentence, holds in claims.items() if not holds] == []
    assert not (cannot_fail := set(claims) - falsified(program, data)), f"true whatever the data are: {cannot_fail}"

    drawn, again = program.draw(data), program.draw(data)
    assert isinstance(drawn, Figure)
    widths = [style.SINGLE, style.DOUBLE]
    assert min(abs(drawn.get_figwidth() - width) for width in widths) < 1e-6, "a figure is one or two columns wide"
    assert drawn.get_figheight() < 24 / 2.54, "a figure and its caption fit on a page"
    small = [
        t.get_text() for t in drawn.findobj(Text) if t.get_text() and t.get_visible() and t.get_fontsize() < SMALLEST
    ]
    assert not small, f"too small in print: {small}"
    assert png(drawn) == png(again), "drawn twice, a figure is the same to the byte"
    plt.close("all")


def falsified(program: Any, data: dict[str, xr.Dataset] | xr.Dataset) -> set[str]:
    """The sentences that are false of wrong data."""
    found, rng = set(), np.random.default_rng(7)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for corrupt in CORRUPTIONS.values():
            several = isinstance(data, dict)
            wrong = (
                {k: corrupted(d, corrupt, rng) for k, d in data.items()} if several else corrupted(data, corrupt, rng)
            )
            found |= {sentence for sentence, holds in program.claims(wrong).items() if not holds}
    return found


def corrupted(dataset: xr.Dataset, corrupt: Callable, rng: np.random.Generator) -> xr.Dataset:
    """The data set with its numbers (not its coordinates) corrupted."""
    numbers = {name: array for name, array in dataset.data_vars.items() if array.dtype.kind == "f"}
    return dataset.assign({k: (array.dims, corrupt(array.values, rng), array.attrs) for k, array in numbers.items()})


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata=METADATA["png"])
    return buffer.getvalue()
