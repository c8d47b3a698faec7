"""Surfaces for ParaView and its kind: two or three coordinates as a rectilinear grid in VTK's XML format (.vtr)."""

from __future__ import annotations

import base64
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

from landscape import _checks
from landscape.tiles.store import check_free, files_at

if TYPE_CHECKING:
    import xarray

LABELED = ("penalty", "split", "coordinate", "coordinate_")  # dimensions of labels: not of positions
_KINDS = {"f4": "Float32", "f8": "Float64", "i4": "Int32", "i8": "Int64", "u1": "UInt8"}
_BYTES = 3 * 2**20  # encoded at a time: a multiple of 3, after which base64 has no padding


def save_vtk(surface: xarray.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a surface over two or three coordinates as a VTK file that ParaView, VisIt and PyVista open.

    The first coordinate is x, the second y, the third z (two coordinates: z is 0), ascending, at their own positions.
    Every variable is an array on the points; a sweep, splits and slopes are an array a label, "objective [λ=0.1]",
    "risk [train]", "slope [w]". Truth values are 0 and 1; NaN and inf stay. The axes' titles go with the file.
    An own writer: pyevtk packs number by number and does not escape names; meshio has no rectilinear grids.

    Raises: TypeError or ValueError if it is no surface over two or three coordinates, or the name does not end in
    ".vtr"; FileExistsError if the path is taken.

        >>> ls.save_vtk(surface, "volume.vtr")                                # doctest: +SKIP

    References: VTK File Formats, "XML file formats", RectilinearGrid.
    """
    names = _coordinates(surface)
    target = Path(path)
    if target.suffix != ".vtr":
        raise ValueError(
            f"`path` is {str(path)!r}; a rectilinear grid's file ends in .vtr: {str(target.with_suffix('.vtr'))!r}."
        )
    check_free(files_at(target))
    surface = surface.sortby(list(names))
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            _write(file, surface, names)
        os.rename(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _coordinates(surface: xarray.Dataset) -> tuple[str, ...]:
    """The names of the two or three coordinates, in the order of the surface's variables."""
    import xarray

    _checks.instance("surface", surface, xarray.Dataset, "the surface that ls.evaluate returned")
    kind = surface.attrs.get("kind", "surface")
    if kind != "surface":
        raise ValueError(f"`surface` is a {kind}; give what ls.evaluate returned.")
    dims = [str(dim) for variable in surface.data_vars.values() for dim in variable.dims]
    names = tuple(dict.fromkeys(dim for dim in dims if dim not in LABELED))
    unplaced = [name for name in names if name not in surface.indexes or surface[name].dtype.kind not in "fiu"]
    if unplaced:
        raise ValueError(f"`surface` has no positions along its dimension {unplaced[0]!r}; select until it is gone.")
    if len(names) not in (2, 3):
        raise ValueError(
            f"`surface` has {len(names)} coordinates ({', '.join(names) or 'none'}); a VTK grid has two or three. "
            "Evaluate on as many, or write a table: surface.to_dataframe().to_csv(...)."
        )
    return names


def _write(file: IO[str], surface: xarray.Dataset, names: tuple[str, ...]) -> None:
    extent = " ".join(f"0 {surface.sizes[name] - 1}" for name in names) + (" 0 0" if len(names) == 2 else "")
    order = "LittleEndian" if sys.byteorder == "little" else "BigEndian"
    file.write(
        f'<?xml version="1.0"?>\n<VTKFile type="RectilinearGrid" version="1.0" byte_order="{order}" '
        f'header_type="UInt64">\n<RectilinearGrid WholeExtent="{extent}">\n<FieldData>\n'
    )
    for axis, name in zip("XYZ", names, strict=False):  # the titles that ParaView writes at its axes
        codes = " ".join(map(str, (*_title(surface[name]).encode(), 0)))
        title = f'Name="AxisTitleFor{axis}" NumberOfTuples="1" format="ascii"'
        file.write(f'<DataArray type="String" {title}>{codes}</DataArray>\n')
    shown = "objective" if "objective" in surface else str(next(iter(surface.data_vars)))
    labels = [label for label, _ in _labeled(surface[shown])]
    scalars = quoteattr(_named(shown, labels[0]))
    file.write(f'</FieldData>\n<Piece Extent="{extent}">\n<PointData Scalars={scalars}>\n')
    for name, variable in surface.data_vars.items():
        for label, piece in _labeled(variable):
            missing = {n: surface.sizes[n] for n in names if n not in piece.dims}
            values = piece.expand_dims(missing).transpose(*names[::-1]).to_numpy()  # x runs fastest
            _write_array(file, _named(str(name), label), values)
    file.write("</PointData>\n<Coordinates>\n")
    for name in names:
        _write_array(file, name, surface[name].to_numpy())
    if len(names) == 2:
        _write_array(file, "z", np.zeros(1, surface[names[0]].dtype))
    file.write("</Coordinates>\n</Piece>\n</RectilinearGrid>\n</VTKFile>\n")


def _labeled(variable: xarray.DataArray) -> Iterator[tuple[str, xarray.DataArray]]:
    """The parts of a variable that lie on the coordinates alone, each with its labels: "λ=0.1, train"."""
    dims = [dim for dim in variable.dims if dim in LABELED]
    for place in itertools.product(*(range(variable.sizes[dim]) for dim in dims)):
        at = dict(zip(dims, place, strict=True))
        labels = [str(variable[dim].to_numpy()[i]) for dim, i in at.items()]
        yield ", ".join(labels), variable.isel(at)


def _named(name: str, label: str) -> str:
    return f"{name} [{label}]" if label else name


def _title(axis: xarray.DataArray) -> str:
    name, unit = str(axis.attrs.get("long_name") or axis.name), str(axis.attrs.get("units", "1"))
    return name if unit in ("1", "") else f"{name} ({unit})"


def _write_array(file: IO[str], name: str, values: np.ndarray) -> None:
    """One array in base64, a piece at a time."""
    if values.dtype == bool:
        values = values.astype(np.uint8)
    kind = values.dtype.newbyteorder("=").str[1:]
    if values.dtype.kind in "OUSMmc":
        raise ValueError(f"`surface` has {name!r} of dtype {values.dtype}; leave it out: surface.drop_vars({name!r}).")
    if kind not in _KINDS:
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)  # float16, bfloat16, others
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    file.write(f'<DataArray type="{_KINDS[values.dtype.str[1:]]}" Name={quoteattr(name)} format="binary">')
    data = values.reshape(-1).view(np.uint8)
    head = np.uint64(len(data)).tobytes()
    first = _BYTES - len(head)  # the array's size in bytes goes before it
    file.write(base64.b64encode(head + data[:first].tobytes()).decode())
    for start in range(first, len(data), _BYTES):
        file.write(base64.b64encode(data[start : start + _BYTES].tobytes()).decode())
    file.write("</DataArray>\n")
