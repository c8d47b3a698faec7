"""C that is compiled when it is needed, for this very processor."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAGS = ("-Ofast", "-march=native", "-fopenmp", "-fPIC")
# Linked without -Ofast: older compilers then add start-up code which, on loading, flushes the denormal numbers of the
# whole process to zero, NumPy's and Python's own among them.
LINKING = ("-shared", "-fopenmp")


@dataclass(frozen=True)
class Compiled:
    """A loaded library, and by what it was compiled; or `library` None and `compiler` the reason why there is none."""

    library: Any
    compiler: str

    def __bool__(self) -> bool:
        return self.library is not None


def compile_source(source: str) -> Compiled:
    """Compile with $CC, or cc; say why where that is not possible."""
    name = os.environ.get("CC", "cc")
    compiler = shutil.which(name)
    if compiler is None:
        return Compiled(None, f"skipped: no C compiler ({name} is not on the path)")
    with tempfile.TemporaryDirectory() as folder:
        written, compiled, library = (str(Path(folder, f"source.{ending}")) for ending in ("c", "o", "so"))
        Path(written).write_text(source)
        # The math library comes last: it holds the vector functions that the loops turn out to need.
        for step in ((*FLAGS, "-c", "-o", compiled, written), (*LINKING, "-o", library, compiled, "-lm")):
            done = subprocess.run([compiler, *step], capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip() or "no message").splitlines()[0]
                return Compiled(None, f"skipped: {name} {' '.join(FLAGS)} failed ({reason})")
        loaded = ctypes.CDLL(library)  # stays loaded when the file is gone
    described = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()
    return Compiled(loaded, f"{described[0] if described else name} {' '.join(FLAGS)}")
