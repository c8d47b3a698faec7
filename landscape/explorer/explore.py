"""A page to explore a surface in a browser: one file, which needs nothing but itself."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape import _checks

if TYPE_CHECKING:
    import xarray

    from landscape.objectives.objective import Objective
    from landscape.surfaces.interpolant import Interpolant

HEIGHT = 900  # pixels of the page in a notebook


@dataclass(frozen=True, repr=False)
class Page:
    """What `ls.explore` makes: `html`, the whole page as text. Notebooks show it."""

    html: str

    def save(self, path: str | Path) -> None:
        """Write the page to a file, whole or not at all. Raises: OSError where that cannot be."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        try:
            partial.write_text(self.html, encoding="utf-8")
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f'a page of {len(self.html) / 1e6:.2g} MB; .save("page.html") writes it'

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{HEIGHT}" style="border: 0" sandbox="allow-scripts allow-downloads"'
        return f'<iframe srcdoc="{html.escape(self.html)}" {frame}></iframe>'


def explore(
    surface: xarray.Dataset | Interpolant | Objective,
    runs: Any = None,
    *,
    points: Any = None,
    title: str = "Landscape",
    names: Sequence[str] | None = None,
) -> Page:
    """A page with a map and a relief of a surface over two coordinates, a slider for each penalty's λ, and the runs.

    surface: what `ls.evaluate` returned: its values; an `ls.Interpolant`: its polynomials, which can be zoomed into and
             walked down; or an `ls.neuron` of one input: the neuron itself on its data, which can be edited.
    runs:    a Trajectory, its `.on(surface)`, or a mapping from optimizers' labels to either, at most 100 runs.
    points:  critical points, as `ls.plot.contour` takes them.
    title:   of the page.
    names:   of a neuron's input and its label, ("temperature", "distress"), which stand at its data.

    The page puts risk and penalties together itself, J = R + Σ λₖΩₖ, for any λₖ ≥ 0. The norm of J's gradient on a grid
    is known where the surface has `gradient_norm` at two strengths of a penalty or more: its square is a parabola in λ.
    Nothing is loaded from elsewhere, and no text is taken for markup.
    Raises: TypeError, ValueError for what is no surface over two coordinates, for several splits, for other objectives,
    and for runs or points that do not belong to the surface.
    """
    _checks.instance("title", title, str, "a text")
    content = {"title": title, **_content(surface, runs, points, _names(names))}
    folder = resources.files("landscape.explorer") / "page"
    parts = {
        "STYLE": (folder / "page.css").read_text("utf-8"),
        "SCRIPT": "\n".join(text for _, text in scripts()),
        # Inside of a script element "<" could end it.
        "CONTENT": json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
    }
    page = (folder / "page.html").read_text("utf-8")
    for name, part in parts.items():
        before, after = page.split(f"@@{name}@@")
        page = before + part + after
    return Page(page)


def scripts() -> list[tuple[str, str]]:
    """Name and text of the page's programs, in their order."""
    files = [file for file in (resources.files("landscape.explorer") / "page").iterdir() if file.name.endswith(".js")]
    return [
        (file.name, file.read_text("utf-8")) for file in sorted(files, key=lambda file: int(file.name.split("_")[0]))
    ]


def _names(names: Sequence[str] | None) -> list[str] | None:
    """Raises: TypeError for what are no two texts."""
    if names is None:
        return None
    several = isinstance(names, Sequence) and not isinstance(names, str)
    if not several or [isinstance(name, str) for name in names] != [True, True]:
        raise TypeError(f"`names` is {names!r}; give two texts, of the neuron's input and of its label.")
    return list(names)


def _content(surface: Any, runs: Any, points: Any, names: list[str] | None) -> dict[str, Any]:
    import xarray

    from landscape.explorer import _exact, _grid, _parts
    from landscape.objectives.objective import Objective
    from landscape.surfaces.interpolant import Interpolant

    match surface:
        case Objective():
            content = _exact.of_neuron(surface, runs, points)
            if names is not None:
                content["model"]["names"] = names
        case Interpolant() | xarray.Dataset() if names is not None:
            raise ValueError("`names` are given for a page that shows no data; leave them out, or give an ls.neuron.")
        case Interpolant():
            content = _exact.of_polynomials(surface, runs, points)
        case xarray.Dataset():
            content = _grid.content(surface, runs, points)
        case _:
            raise TypeError(
                f"`surface` is {_checks.kind(surface)}; give what ls.evaluate or ls.interpolate returns, or a neuron."
            )
    return content | _parts.common()
