"""The peers, measured in an environment of their own: `.venv-peers/bin/python benchmarks/peers FOLDER`.

Run by its path, so that nothing of ours is imported: the modules beside this one need NumPy, PyTorch and the peers.
`protocol` says what it is asked and what it answers.
"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import protocol

PACKAGES = "torch", "loss-landscapes", "landscaper", "pyhessian", "numpy"


def main(folder: str) -> None:
    """Serve until standard input ends."""
    answers = protocol.answers_only()  # before anything is imported that may print
    import curvature
    import descent
    import neuron
    import planes
    import torch

    contestants = {
        "neuron.grid": neuron.grid,
        "planes.loss_landscapes": planes.loss_landscapes,
        "planes.rows": planes.rows,
        "planes.landscaper": planes.landscaper,
        "descent.adam": descent.adam,
        "descent.many_starts": descent.many_starts,
        "curvature.eigenpairs": curvature.eigenpairs,
        "curvature.density": curvature.density,
        "curvature.product": curvature.product,
    }
    program = protocol.Program(contestants, _describe, torch.set_num_threads)
    protocol.serve(program, Path(folder), sys.stdin, answers)


def _describe() -> dict[str, Any]:
    import torch

    versions = {name: _version(name) for name in PACKAGES} | {"torch": torch.__version__}  # which tells the build
    return {"python": platform.python_version(), "versions": versions, "threads": torch.get_num_threads()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
