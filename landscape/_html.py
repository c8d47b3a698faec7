"""What notebooks show: small tables in HTML, in the colors of the page, be it light or dark. All text is escaped.

Names and labels stand in <code>, in which MathJax looks for no formulas either.

    >>> code("<b> & $x$")
    '<code style="background:none;color:inherit">&lt;b&gt; &amp; $x$</code>'
"""

import html
from collections.abc import Iterable, Sequence

from landscape import _trees

LEAVES, ROWS = 12, 12  # of a tree, and of other tables, that are shown; there may be thousands
_ROW = "border-bottom:1px solid rgba(128,128,128,.35);background:none;color:inherit"
_CELL = "padding:.15em .9em .15em 0;text-align:left"


def text(value: object) -> str:
    """Text that is no markup."""
    return html.escape(str(value))


def code(value: object) -> str:
    """A name, a label or what else people wrote, as it is."""
    return f'<code style="background:none;color:inherit">{text(value)}</code>'


def formula(latex: str, plain: str) -> str:
    """A formula between dollar signs, for MathJax; unfolded, as plain text."""
    folded = f'<details style="opacity:.75"><summary>as text</summary>{lines(plain)}</details>'
    return f'<div style="margin:.3em 0">{text(latex)}</div>{folded}'


def lines(plain: str) -> str:
    """Text of several lines, as it is."""
    return f'<pre style="background:none;color:inherit;white-space:pre-wrap;margin:.2em 0">{text(plain)}</pre>'


def note(*parts: str) -> str:
    """Facts in a line, of HTML; empty ones are left out."""
    return f'<div style="margin:.3em 0">{" · ".join(part for part in parts if part)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], more: str = "") -> str:
    """A table of HTML cells, its heads being text; `more`, a text, says in a last row what is left out."""
    top = _row(f'<th style="{_CELL}">{text(name)}</th>' for name in head)
    body = "".join(_row(f'<td style="{_CELL}">{cell}</td>' for cell in row) for row in rows)
    rest = _row([f'<td colspan="{len(head)}" style="{_CELL};opacity:.75">{text(more)}</td>']) if more else ""
    look = "border-collapse:collapse;margin:.3em 0;color:inherit;background:none"
    return f'<table style="{look}"><thead>{top}</thead><tbody>{body}{rest}</tbody></table>'


def _row(cells: Iterable[str]) -> str:
    return f'<tr style="{_ROW}">{"".join(cells)}</tr>'


def card(title: str, *parts: str) -> str:
    """What an object is called, and parts of HTML."""
    return f'<div style="color:inherit"><strong>{text(title)}</strong>{"".join(parts)}</div>'


def leaves(tree: _trees.Params) -> str:
    """The leaves of params: name, shape and dtype, and which are frozen."""
    named = list(_trees.named_leaves(tree).items())
    rows = [
        [
            code(name or "params"),
            code("×".join(map(str, leaf.shape)) or "scalar"),
            text(leaf.dtype) + ("" if _trees.is_floating(leaf) else ", frozen"),
        ]
        for name, leaf in named[:LEAVES]
    ]
    return table(("leaf", "shape", "dtype"), rows, left_out(len(named), LEAVES))


def left_out(count: int, most: int) -> str:
    """How many of so many are not shown."""
    return f"and {count - most} more" if count > most else ""
