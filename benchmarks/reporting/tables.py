"""Numbers, tables and paragraphs as Markdown shows them."""

import textwrap
from collections.abc import Collection, Sequence

WIDTH = 150  # of a line of text


def table(
    head: Sequence[str], lines: Sequence[Sequence[str]], words: Collection[int] = (0, 1), padded: bool = True
) -> list[str]:
    """The lines of a Markdown table: columns of words to the left, all others to the right, in the source if padded."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (head, *lines)]
    widths = [max(3, *map(len, column)) if padded else 3 for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * w if i in words else "-" * (w - 1) + ":" for i, w in enumerate(widths)])
    if padded:
        cells = [
            [c.ljust(w) if i in words else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
            for line in cells
        ]
    return [f"| {' | '.join(line)} |" for line in cells]


def paragraph(text: str, first: str = "", rest: str = "") -> list[str]:
    """Text broken into lines; `first` stands before the first of them, `rest` before the others."""
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, **options)


def duration(seconds: float) -> str:
    """'1.53 s', '21.0 ms', '4.2 µs'."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def quantity(value: float, unit: str) -> str:
    """A number with its unit; seconds as a duration."""
    if unit == "s":
        return duration(value)
    return f"{value:{'.0f' if abs(value) >= 1000 else '.3g'}}{' ' * unit[:1].isalpha()}{unit}"


def number(value: float | None, form: str) -> str:
    """A number that need not be there."""
    return "" if value is None else form.format(value)


def times(factor: float) -> str:
    """A factor with three digits: '0.083×', '4.25×', '702×', '12300×'."""
    if factor >= 1000:
        factor = float(f"{factor:.3g}")
    digits = 0 if factor >= 100 else 1 if factor >= 10 else 2
    return f"{factor:.{digits}f}×" if factor >= 0.1 else f"{factor:.2g}×"


def megabytes(count: float) -> str:
    """Bytes: '123 MB', '< 1 MB'."""
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else "< 1 MB"


def moment(written: str) -> str:
    """'2026-01-02 03:04 UTC', of a date and time in ISO 8601 and UTC."""
    return f"{written[:16].replace('T', ' ')} UTC" if written else "a day that was not noted"
