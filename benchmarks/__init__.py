"""How fast `landscape` is, beside NumPy, compiled C, plain JAX and other tools, in one run: `python -m benchmarks`."""
