"""A figure program to start from."""

import keyword
from pathlib import Path

PROGRAM = '''"""A valley.

The loss of u² + 100 v², in color and lines; the star is its least cell.

The loss of u² + 100 v² is least at the origin.

Source: this program.
"""

# The docstring above is the caption: a title, what is drawn, what you assert, where it is from.

import numpy as np

import landscape as ls

POINTS = 101
QUICK = {{"POINTS": 21}}  # what POINTS is in a draft: `landscape figures {folder} --only {name} --quick`


def compute():
    """Whatever takes time: its result is kept until this code changes. Put your own objective here."""
    valley = ls.function(lambda p: p["u"] ** 2 + 100 * p["v"] ** 2, {{"u": 1.0, "v": 1.0}})
    axes = {{"u": np.linspace(-1, 1, POINTS), "v": np.linspace(-1, 1, POINTS)}}
    return ls.evaluate(valley, ls.axes_plane(valley.params, "u", "v"), axes)


def draw(data):
    """The picture, of what `compute` returned. `ls.plot` has others; any matplotlib figure will do."""
    return ls.plot.contour(data)


def claims(data):
    """Each sentence of the caption that asserts something, word for word, with the check that it is so."""
    least = ls.minimum(data)
    return {{
        "The loss of u² + 100 v² is least at the origin.": bool(least.u == 0 and least.v == 0),
    }}
'''


def new_figure(name: str | Path) -> Path:
    """Write a small figure program, `name.py`, that runs as it is and says what to change; return its path.

    Raises: ValueError if the last part of `name` cannot name a figure, or the file exists; OSError if its folder is
        none and cannot be made.
    """
    path = Path(name)
    if not path.name.isidentifier() or keyword.iskeyword(path.name) or path.name.startswith("_"):
        raise ValueError(
            f"`name` must end in a Python identifier that does not start with `_`, such as paper/valley (without .py), "
            f"got {str(name)!r}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(f"{path.name}.py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(PROGRAM.format(name=path.stem, folder=path.parent))
    except FileExistsError:
        raise ValueError(f"`name` {str(name)!r}: the file {str(path)!r} exists; choose another name.") from None
    return path
