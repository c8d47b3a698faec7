"""Chunks: an array as the bytes of a chunk of zarr 3, and back.

Little-endian numbers in row-major order; Zstandard where they are many; CRC-32C at the end. zarr reads and writes the
same, in some hundred microseconds a chunk; this takes ten, and a store may have ten thousand.
"""

import math
from typing import Any

import google_crc32c
import numpy as np

COMPRESSED_FROM = 2**16  # bytes: below, compressing costs more than writing
_CRC_BYTES = 4


class DamagedError(ValueError):
    """Bytes that are not what was written."""


def codecs(nbytes: int) -> tuple[Any, ...]:
    """What zarr calls the way from the numbers of such a chunk to its bytes."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return (ZstdCodec(level=1), Crc32cCodec()) if nbytes >= COMPRESSED_FROM else (Crc32cCodec(),)


def encode(array: np.ndarray) -> bytes:
    """The bytes of a chunk."""
    numbers: Any = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    if len(numbers) >= COMPRESSED_FROM:
        numbers = bytes(_zstd().encode(numbers))
    return sealed(numbers)


def decode(chunk: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array of a chunk.

    Raises: DamagedError if the checksum is not that of the bytes.
    """
    checksum(chunk)
    numbers: Any = memoryview(chunk)[:-_CRC_BYTES]
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes >= COMPRESSED_FROM:
        numbers = _zstd().decode(numbers)
    if len(numbers) != nbytes:
        raise DamagedError(f"{len(numbers)} bytes where {nbytes} were written")
    return np.ndarray(shape, dtype.newbyteorder("<"), numbers)


def sealed(data: bytes) -> bytes:
    """Bytes with their checksum behind them."""
    return data + google_crc32c.value(data).to_bytes(_CRC_BYTES, "little")


def opened(data: bytes) -> bytes:
    """Bytes without the checksum behind them.

    Raises: DamagedError if it is not theirs.
    """
    checksum(data)
    return data[:-_CRC_BYTES]


def checksum(chunk: bytes) -> str:
    """The chunk's own checksum as text.

    Raises: DamagedError if it is not that of the bytes.
    """
    found, numbers = chunk[-_CRC_BYTES:], chunk[:-_CRC_BYTES]
    if len(found) < _CRC_BYTES or google_crc32c.value(numbers) != int.from_bytes(found, "little"):
        raise DamagedError("its checksum is not that of its bytes")
    return said(chunk)


def said(chunk: bytes) -> str:
    """The checksum that a chunk claims to have, as text; `decode` finds out whether it is true."""
    return chunk[-_CRC_BYTES:].hex()


def _zstd() -> Any:
    from numcodecs.zstd import Zstd

    return Zstd(level=1)
