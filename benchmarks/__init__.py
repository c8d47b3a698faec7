"""How fast `landscape` is, beside NumPy and compiled C on the same problem in the same run: `python -m benchmarks`."""
