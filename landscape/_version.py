"""The version, in the one place that the build and `landscape --version` read: no metadata lookup at run time."""

__version__ = "0.1.0"
