"""Labels of the axes of a plane of principal components: what they explain, and what a random walk's would."""

import re
from collections.abc import Sequence
from typing import Any


def label(pca: Any, names: Sequence[str], axis: int) -> str:
    """ "PC 1" and, in smaller letters under it, "62 % of the path's variance; a random walk: 61 %".

    A random walk's principal components look like a path, too (Antognini & Sohl-Dickstein 2018), so an axis that
    explains no more of this path than one would of a random walk tells nothing about it.
    """
    if not hasattr(pca, "explained") or not hasattr(pca, "random_walk"):
        raise TypeError(f"`pca` is {type(pca).__name__!r}; give what landscape.pca(trajectory) returned.")
    numbers = [re.fullmatch(r"pc ?_?([1-9]\d*)", name, re.IGNORECASE) for name in names]
    matched = numbers[axis]
    index = int(matched[1]) - 1 if matched and all(numbers) else axis
    if index >= len(pca.explained):
        raise ValueError(
            f"`pca` has {len(pca.explained)} components, and the surface has the coordinate {names[axis]!r}; "
            f"take more of them: landscape.pca(trajectory, n={index + 1})."
        )
    own, walk = float(pca.explained[index]), float(pca.random_walk[index])
    return f"PC {index + 1} ({_percent(own)} of the path's variance; a random walk: {_percent(walk)})"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
