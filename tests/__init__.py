"""The tests: `test_<module>.py` each, with known answers in `problems.py` and what holds for all in `conftest.py`."""
