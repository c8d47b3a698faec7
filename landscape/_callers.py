"""Whose code called this package: where warnings point to."""

import contextlib
import sys
from pathlib import Path

_HERE = f"{Path(__file__).parent}/"
_MADE = "<string>"  # where the __init__ that a dataclass is given was written


def outside() -> int:
    """The `stacklevel` of a warning that points to the first line outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_HERE, _MADE, contextlib.__file__)):
        level, frame = level + 1, frame.f_back
    return level
