"""How fast `landscape` is, against NumPy and compiled C on the same problem in the same run: `python -m benchmarks neuron`."""
