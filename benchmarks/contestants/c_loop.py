"""The grid as a C loop, compiled when it is needed: what the processor does when nothing is general.

loss = max(m, 0) + log1p(exp(−|m|)) and ∂loss/∂m = 1/(1 + exp(−m)) with m = (1 − 2y)(w·x + b).
"""

import ctypes
import functools

import numpy as np

from benchmarks.machine.c_compiler import Compiled, compile_source

LINE = 64  # bytes
SOURCE = r"""
#include <math.h>
void risk(const float *w, const float *b, long cells, const float *x, const float *y, long n, float *risk,
          float *norm) {
#pragma omp parallel for schedule(dynamic, 256)
    for (long c = 0; c < cells; c++) {
        float sum = 0;
        for (long i = 0; i < n; i++) {
            float m = (1 - 2 * y[i]) * (w[c] * x[i] + b[c]);
            sum += fmaxf(m, 0) + log1pf(expf(-fabsf(m)));
        }
        risk[c] = sum / n;
    }
}
void risk_and_gradient(const float *w, const float *b, long cells, const float *x, const float *y, long n, float *risk,
                       float *norm) {
#pragma omp parallel for schedule(dynamic, 256)
    for (long c = 0; c < cells; c++) {
        float sum = 0, along_w = 0, along_b = 0;
        for (long i = 0; i < n; i++) {
            float sign = 1 - 2 * y[i], m = sign * (w[c] * x[i] + b[c]), e = expf(-fabsf(m));
            float slope = sign * (m > 0 ? 1 : e) / (1 + e);
            sum += fmaxf(m, 0) + log1pf(e);
            along_w += slope * x[i];
            along_b += slope;
        }
        risk[c] = sum / n;
        norm[c] = sqrtf(along_w * along_w + along_b * along_b) / n;
    }
}
"""


class CLoop(Compiled):
    """The compiled loop."""

    def run(self, function: str, cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Call `risk` or `risk_and_gradient` for cells (cells, 2) of (w, b): risk and gradient norm, (2, cells)."""
        w, b = (np.ascontiguousarray(column, np.float32) for column in cells.T)
        x, y = _aligned(x), _aligned(y)
        out = np.zeros((2, len(w)), np.float32)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (w, b, x, y, out[0], out[1])]
        long = ctypes.c_long
        getattr(self.library, function)(*pointers[:2], long(len(w)), *pointers[2:4], long(len(x)), *pointers[4:])
        return out


def _aligned(array: np.ndarray) -> np.ndarray:
    """In float32 from the beginning of a cache line on: vectors across two of them take up to a third longer."""
    room = np.empty(array.size + LINE // 4, np.float32)
    start = -room.ctypes.data % LINE // 4
    found = room[start : start + array.size]
    found[:] = array
    return found


@functools.cache
def compile_c() -> CLoop:
    """Compile with $CC, or cc; say why where that is not possible."""
    compiled = compile_source(SOURCE)
    return CLoop(compiled.library, compiled.compiler)
