"""VTK files: what VTK itself reads back, and what their XML says, on unequal axes of any spacing."""

import base64
import xml.etree.ElementTree as ElementTree

import ml_dtypes
import numpy as np
import pytest
import xarray as xr

import landscape as ls
from landscape.surfaces import vtk as module

W, B, C = np.array([-1.0, 0.0, 0.5, 3.0, 10.0]), np.array([5.0, 6.0, 8.0], np.float32), np.array([-2.0, 7.0])
NUMPY = {"Float32": np.float32, "Float64": np.float64, "UInt8": np.uint8, "Int32": np.int32, "Int64": np.int64}


def volume():
    """values[i, j, k] = 100 i + 10 j + k, so that every swap of axes shows; all kinds of variables."""
    i, j, k = np.meshgrid(np.arange(5), np.arange(3), np.arange(2), indexing="ij")
    values = 100.0 * i + 10 * j + k
    finite = values != 121
    dims = ("w", "b", "c")
    return xr.Dataset(
        {
            "risk": (("split", *dims), np.where(finite, np.stack([values, -values]), np.nan).astype("float32")),
            "objective": (("penalty", *dims), np.stack([values, values + 0.5, np.where(finite, values, np.inf)])),
            "finite": (dims, finite),
            "count": (dims, values.astype(np.int32)),
            "slope": ((*dims, "coordinate"), np.stack([values, 2 * values, 3 * values], axis=-1)),
        },
        {"w": ("w", W, {"long_name": "weight"}), "b": ("b", B, {"units": "°F"}), "c": C}
        | {"penalty": ["λ=0", "λ=<0.1>", '"λ"'], "split": ["train", "test"], "coordinate": list(dims)},
        {"kind": "surface"},
    )


NAMES = [
    *("risk [train]", "risk [test]", "objective [λ=0]", "objective [λ=<0.1>]", 'objective ["λ"]', "finite", "count"),
    *("slope [w]", "slope [b]", "slope [c]"),
]


def decoded(element):
    raw = base64.b64decode(element.text)
    assert np.frombuffer(raw[:8], np.uint64)[0] == len(raw) - 8
    return np.frombuffer(raw[8:], NUMPY[element.get("type")])


def parsed(path):
    root = ElementTree.parse(path).getroot()
    arrays = {e.get("Name"): decoded(e) for e in root.iterfind(".//DataArray[@format='binary']")}
    return root, arrays


def test_the_file_is_xml_with_every_array_at_its_place(tmp_path):
    surface = volume()
    ls.save_vtk(surface, tmp_path / "volume.vtr")
    root, arrays = parsed(tmp_path / "volume.vtr")
    assert root.get("type") == "RectilinearGrid" and root.get("header_type") == "UInt64"
    assert root.find("RectilinearGrid").get("WholeExtent") == "0 4 0 2 0 1"
    assert [e.get("Name") for e in root.find(".//PointData")] == NAMES
    assert root.find(".//PointData").get("Scalars") == "objective [λ=0]"
    assert [e.get("Name") for e in root.find(".//Coordinates")] == ["w", "b", "c"]
    for name, axis in (("w", W), ("b", B), ("c", C)):
        assert arrays[name].dtype == axis.dtype
        np.testing.assert_array_equal(arrays[name], axis)
    objective = arrays["objective [λ=<0.1>]"].reshape(2, 3, 5)  # z, y, x
    np.testing.assert_array_equal(objective, surface.objective.sel(penalty="λ=<0.1>").transpose("c", "b", "w"))
    train = arrays["risk [train]"].reshape(2, 3, 5)
    assert np.isnan(train[1, 2, 1]) and np.isnan(train).sum() == 1 and train.dtype == np.float32
    assert arrays["finite"].dtype == np.uint8 and arrays["finite"].sum() == 29
    assert arrays["count"].dtype == np.int32
    np.testing.assert_array_equal(arrays["slope [b]"], 2 * arrays["objective [λ=0]"])


def test_two_coordinates_lie_at_z_0_and_axes_ascend(tmp_path):
    surface = volume().isel(c=0, w=slice(None, None, -1)).sel(penalty="λ=0", split="train")
    ls.save_vtk(surface, tmp_path / "plane.vtr")
    root, arrays = parsed(tmp_path / "plane.vtr")
    assert root.find(".//Piece").get("Extent") == "0 4 0 2 0 0"
    np.testing.assert_array_equal(arrays["w"], W)
    np.testing.assert_array_equal(arrays["z"], [0])
    np.testing.assert_array_equal(arrays["objective"].reshape(3, 5)[2], [20, 120, 220, 320, 420])


def test_vtk_reads_what_was_written(tmp_path):
    vtk = pytest.importorskip("vtkmodules.vtkIOXML", reason="`pip install vtk` has VTK itself read the file")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    surface = volume()
    ls.save_vtk(surface, tmp_path / "volume.vtr")
    reader = vtk.vtkXMLRectilinearGridReader()
    reader.SetFileName(str(tmp_path / "volume.vtr"))
    reader.Update()
    grid = reader.GetOutput()
    assert grid.GetDimensions() == (5, 3, 2)
    read = [vtk_to_numpy(getattr(grid, f"Get{axis}Coordinates")()) for axis in "XYZ"]
    for found, axis in zip(read, (W, B, C), strict=True):
        np.testing.assert_array_equal(found, axis)
    points = grid.GetPointData()
    assert [points.GetArrayName(i) for i in range(points.GetNumberOfArrays())] == NAMES
    assert points.GetScalars().GetName() == "objective [λ=0]"
    for name, piece in (("objective [λ=0]", surface.objective[0]), ("risk [test]", surface.risk[1])):
        found = vtk_to_numpy(points.GetArray(name)).reshape(2, 3, 5).T
        np.testing.assert_array_equal(found, piece.to_numpy())
    index = grid.FindPoint([3.0, 8.0, 7.0])  # VTK's own idea of where a value lies
    assert points.GetArray("objective [λ=0]").GetValue(index) == float(
        surface.objective.sel(penalty="λ=0", w=3, b=8, c=7)
    )
    titles = [grid.GetFieldData().GetAbstractArray(f"AxisTitleFor{axis}").GetValue(0) for axis in "XYZ"]
    assert titles == ["weight", "b (°F)", "c"]


def test_an_array_in_pieces_is_the_same_array(tmp_path, monkeypatch):
    surface = volume()
    ls.save_vtk(surface, tmp_path / "whole.vtr")
    monkeypatch.setattr(module, "_BYTES", 33)
    ls.save_vtk(surface, tmp_path / "pieces.vtr")
    assert (tmp_path / "whole.vtr").read_bytes() == (tmp_path / "pieces.vtr").read_bytes()


def test_narrow_floats_are_written_wider(tmp_path):
    values = np.arange(6).reshape(2, 3)
    surface = xr.Dataset({"risk": (("u", "v"), values.astype(ml_dtypes.bfloat16))}, {"u": [0.0, 1], "v": [0, 1, 2]})
    ls.save_vtk(surface, tmp_path / "narrow.vtr")
    _, arrays = parsed(tmp_path / "narrow.vtr")
    assert arrays["risk"].dtype == np.float32 and arrays["v"].dtype == np.int64
    np.testing.assert_array_equal(arrays["risk"].reshape(3, 2), values.T)


def test_what_is_no_volume_is_refused_and_nothing_is_overwritten(tmp_path):
    surface = volume()
    with pytest.raises(TypeError, match=r"`surface` is a DataArray; give the surface"):
        ls.save_vtk(surface.risk, tmp_path / "a.vtr")
    with pytest.raises(ValueError, match=r"`surface` is a trajectory"):
        ls.save_vtk(surface.assign_attrs(kind="trajectory"), tmp_path / "a.vtr")
    with pytest.raises(ValueError, match=r"1 coordinates \(w\); a VTK grid has two or three"):
        ls.save_vtk(surface.isel(b=0, c=0), tmp_path / "a.vtr")
    with pytest.raises(ValueError, match=r"no positions along its dimension 'own_0'"):
        ls.save_vtk(surface.assign(own=(("w", "own_0"), np.ones((5, 2)))), tmp_path / "a.vtr")
    with pytest.raises(ValueError, match=r"`path` is '.*a\.vtk'; .* ends in \.vtr: '.*a\.vtr'"):
        ls.save_vtk(surface, tmp_path / "a.vtk")
    with pytest.raises(ValueError, match=r"'note' of dtype <U1; leave it out: surface.drop_vars\('note'\)"):
        ls.save_vtk(surface.assign(note=("w", list("abcde"))), tmp_path / "a.vtr")
    assert not list(tmp_path.iterdir())
    ls.save_vtk(surface, tmp_path / "a.vtr")
    with pytest.raises(FileExistsError, match="never overwritten"):
        ls.save_vtk(surface, tmp_path / "a.vtr")
