"""Labels of the axes of a plane of principal components: what they explain, and what a random walk's would."""

import math
from typing import Any

import xarray as xr

from landscape.plot import _page


def labels(pca: Any, surface: xr.Dataset) -> dict[str, str]:
    """For each coordinate of the surface "PC 1 (62 % of the path's variance; a random walk: 61 %)".

    Of several paths "PC 1 (62 % of the paths' variance)": no random walk compares with them.
    A random walk's principal components look like a path, too (Antognini & Sohl-Dickstein 2018), so an axis that
    explains no more of this path than one would of a random walk tells nothing about it.
    Raises: TypeError unless `pca` is one, ValueError if the surface is on another plane.
    """
    if not hasattr(pca, "names_on"):
        raise TypeError(f"`pca` is {type(pca).__name__!r}; give what landscape.pca(trajectory) returned.")
    names = pca.names_on(surface)
    if names is None:
        raise ValueError(
            f"`pca` is not of the surface's plane (chart id {surface.attrs.get('chart_id')}), so that its shares are "
            "not of these axes. Evaluate on pca.plane(), or leave `pca` out."
        )
    whose = [
        "paths' variance" if math.isnan(walk) else f"path's variance; a random walk: {_page.percent(walk)}"
        for walk in pca.random_walk
    ]
    shares = zip(names, pca.explained, whose, strict=True)
    return {name: f"PC {i + 1} ({_page.percent(own)} of the {of})" for i, (name, own, of) in enumerate(shares)}
