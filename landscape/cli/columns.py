"""Columns of numbers out of a text file that anybody made: commas, semicolons, tabs, bars or blanks between cells.

Bad cells are reported by column and line. Standard library and NumPy only.
"""

import csv
import difflib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

DELIMITERS = (",", ";", "\t", "|", " ")
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "missing", "?", "-", "."})
TRUTH = {"true": 1.0, "false": 0.0}


class _Table(NamedTuple):
    """The file as text: (line number, cells) of the header and of each row that is not blank."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    delimiter: str


def read_columns(path: str | Path, names: Sequence[str], decimal: str = ".") -> dict[str, np.ndarray]:
    """The named columns as float64 arrays (n,).

    Raises: ValueError for an empty or binary file, a column that is missing or ambiguous, rows longer than the header,
    and cells that are missing, no numbers, or not finite: with their count, and the line of the first. OSError if the
    file cannot be read.
    """
    path = Path(path)
    table = _table(path, names)
    places = {name: _place(path, table, name) for name in names}
    width = len(table.header)
    for line, cells in table.rows:
        if any(cell.strip() for cell in cells[width:]):
            raise ValueError(
                f"line {line} of {path.name!r} has {len(cells)} cells, but the header has {width}; put cells that "
                f"contain {table.delimiter!r} in quotes, and give every column a name."
            )
    return {name: _numbers(path, name, _cells(table, place), decimal) for name, place in places.items()}


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Excel's "Unicode text"
        return data.decode("utf-16")
    if b"\0" in data[:4096]:
        raise ValueError(f"{str(path)!r} is no text file; export the table as CSV.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # Excel's CSV on Windows


def _table(path: Path, names: Sequence[str]) -> _Table:
    """The file, cut at the delimiter under which the header has the wanted names; else where it cuts most evenly."""
    text = _text(path)
    first, _, rest = text.partition("\n")
    declared = first.strip().strip('"').lower()
    if declared.startswith("sep=") and len(declared) == 5:  # written by Excel
        candidates, text = (declared[4],), rest
    else:
        candidates = DELIMITERS
    if not text.strip():
        raise ValueError(f"{str(path)!r} is empty; its first line must name the columns, and a row an example follow.")
    offset = declared.startswith("sep=")
    head = "\n".join(text.splitlines()[:100])
    tables = {d: _parse(head, d, offset) for d in candidates}
    best = max(tables.values(), key=lambda t: (_matches(t, names), _evenness(t), len(t.header)))
    table = _parse(text, best.delimiter, offset)
    if not table.rows:
        raise ValueError(f"{str(path)!r} has a header but no rows; give at least one example.")
    return table


def _parse(text: str, delimiter: str, offset: int) -> _Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        lines = [(reader.line_num + offset, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num + offset} cannot be read as a table: {error}.") from None
    return _Table([cell.strip() for cell in lines[0][1]], lines[1:], delimiter) if lines else _Table([], [], delimiter)


def _matches(table: _Table, names: Sequence[str]) -> int:
    return sum(name.strip() in table.header for name in names)


def _evenness(table: _Table) -> float:
    """Share of the rows that have as many cells as the header; 0 where the header is one cell."""
    width = len(table.header)
    return sum(len(cells) == width for _, cells in table.rows) / max(len(table.rows), 1) if width > 1 else 0.0


def _place(path: Path, table: _Table, name: str) -> int:
    """Where the column called `name` is."""
    found = [i for i, known in enumerate(table.header) if known == name.strip()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{path.name!r} has {len(found)} columns called {name!r}; rename all but one.")
    hint = ""
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in table.header], n=1)
    if close:
        hint = f" Did you mean {next(known for known in table.header if known.lower() == close[0])!r}?"
    if all(_is_number(cell) for cell in table.header if cell):
        hint = " Its first line holds numbers; it must hold the columns' names."
    raise ValueError(f"{path.name!r} has no column {name!r}; it has {', '.join(map(repr, table.header))}.{hint}")


def _cells(table: _Table, place: int) -> Iterator[tuple[int, str]]:
    for line, cells in table.rows:
        yield line, cells[place].strip() if place < len(cells) else ""


def _numbers(path: Path, name: str, cells: Iterable[tuple[int, str]], decimal: str) -> np.ndarray:
    """The cells of one column as numbers."""
    values, missing, bad = [], [], []
    for line, cell in cells:
        if cell.lower() in MISSING:
            missing.append(line)
            continue
        value = TRUTH.get(cell.lower(), _number(cell, decimal))
        values.append(value)
        if value is None or not math.isfinite(value):
            bad.append((line, cell))
    where = f"column {name!r} of {path.name!r}"
    if bad:
        raise ValueError(f"{where} {_explain_bad(bad, len(values), decimal)}")
    if missing:
        raise ValueError(
            f"{where} has {len(missing)} missing value{'s' * (len(missing) > 1)}, the first on line {missing[0]}; "
            "drop or fill those rows."
        )
    return np.array(values, np.float64)


def _explain_bad(bad: Sequence[tuple[int, str]], size: int, decimal: str) -> str:
    line, cell = bad[0]
    labels = sorted({text for _, text in bad})
    first = f"the first is {cell!r} on line {line}"
    if len(bad) == size and len(labels) == 2:
        return f"holds the labels {labels[0]!r} and {labels[1]!r}; recode them as 0 and 1."
    if all(_is_number(text) for _, text in bad):
        return f"holds {len(bad)} of {size} values that are not finite; {first}. Drop or fill those rows."
    advice = "Choose a column of numbers, or mend the cell."
    if decimal == "." and all(_number(text, ",") is not None for _, text in bad):
        advice = "If the comma is the decimal mark, say --decimal ,"
    return f"holds {len(bad)} of {size} values that are no numbers; {first}. {advice}"


def _is_number(cell: str) -> bool:
    return _number(cell, ".") is not None


def _number(cell: str, decimal: str) -> float | None:
    if "_" in cell:  # which Python's float would take
        return None
    if decimal == ",":
        cell = cell.replace(".", "x").replace(",", ".")  # no thousands: 1.234,5 is ambiguous
    try:
        return float(cell)
    except ValueError:
        return None
