"""Arrays as text for the page: base64 of zlib of their bytes, in an order that zlib likes."""

import base64
import zlib
from typing import Any

import numpy as np


def doubles(array: Any) -> dict[str, Any]:
    """Numbers of 64 bits, every bit of them."""
    numbers = np.ascontiguousarray(array, "<f8")
    return {"kind": "doubles", "shape": list(numbers.shape), "data": _text(numbers.view(np.uint8).reshape(-1, 8))}


def field(array: np.ndarray) -> dict[str, Any]:
    """A grid (rows, columns) in float32, bit for bit.

    A cell's bits, read as an integer, are predicted by left + below − below left: where the grid is smooth, what is
    left are small numbers, whose upper bytes are 0 (Lorenzo's predictor; Ibarria et al. 2003).
    """
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    off = np.diff(np.diff(bits, axis=0, prepend=np.uint32(0)), axis=1, prepend=np.uint32(0))  # modulo 2³²
    return {"kind": "field", "shape": list(bits.shape), "data": _text(off.astype("<u4").view(np.uint8).reshape(-1, 4))}


def _text(rows: np.ndarray) -> str:
    """Bytes (numbers, bytes of one), all first ones before all second ones."""
    return base64.b64encode(zlib.compress(rows.T.tobytes(), 9)).decode()
