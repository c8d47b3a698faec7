"""Small data sets with known answers. Integers, so that they are exact in every dtype."""

import numpy as np


def pair() -> tuple[np.ndarray, np.ndarray]:
    """D = {(−1, 0), (1, 1)}: the two points that one sigmoid neuron separates better and better as w grows.

    Returns: x (2,), y (2,).
    """
    return np.array([-1, 1]), np.array([0, 1])


def o_rings() -> tuple[np.ndarray, np.ndarray]:
    """The Challenger O-rings: 23 launches before the accident (Dalal, Fowlkes & Hoadley 1989).

    Returns: temperature (23,) in °F; thermal distress (23,), 1 = at least one O-ring was damaged.
    """
    temperature = [66, 70, 69, 68, 67, 72, 73, 70, 57, 63, 70, 78, 67, 53, 67, 75, 70, 81, 76, 79, 75, 76, 58]
    distress = [0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    return np.array(temperature), np.array(distress)
