"""Traced programs: the jaxprs inside of an equation."""

from typing import Any

# Their jaxpr says how two numbers become one; it is no program that runs once.
COMBINERS = ("scatter", "reduce", "select_and")


def inner(equation: Any) -> list[Any]:
    """The jaxprs inside an equation: bodies of loops, branches, calls."""
    if equation.primitive.name.startswith(COMBINERS):
        return []
    found = []
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(opened(part), "eqns"):
                found.append(part)
    return found


def opened(jaxpr: Any) -> Any:
    """The jaxpr of a closed one; anything else as it is."""
    return getattr(jaxpr, "jaxpr", jaxpr)
