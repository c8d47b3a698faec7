"""The package from outside: its names, what an import costs, where imports point."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import landscape as ls

ROOT = Path(ls.__file__).parent
# Imports point from right to left only.
WINGS = ("tiles", "objectives", "charts", "operators", "surfaces", "analysis", "minima", "networks", "plot", "explorer")
HEAVY = (
    *("jax", "numpy", "scipy", "optax", "xarray", "pandas", "zarr", "fsspec", "matplotlib", "tqdm", "sklearn"),
    *("sympy", "flint", "diffrax", "optimistix"),
)


def loaded_after(program: str) -> set[str]:
    """The top-level modules in a fresh interpreter that has run the program."""
    show = f"{program}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_all_equals_the_stub():
    """What loads lazily is what type checkers are told, sorted, each from the module that defines it."""
    tree = ast.parse((ROOT / "__init__.pyi").read_text())
    stub = {alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(ls.__all__) == set(stub) and len(ls.__all__) == len(set(ls.__all__))
    for name in ls.__all__:
        value = getattr(ls, name)
        module = sys.modules[stub[name]]
        assert value is getattr(module, name), name
    assert set(dir(ls)) >= set(ls.__all__)


def test_every_public_name_has_a_docstring():
    """Functions and classes, and the methods of public classes."""
    for name in set(ls.__all__) - {"__version__"}:
        value = getattr(ls, name)
        assert value.__doc__, name
        if isinstance(value, type):
            for method, body in vars(value).items():
                if callable(body) and not method.startswith("_") and value.__name__ not in ("Quantity",):
                    assert body.__doc__, f"{name}.{method}"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'landscape' has no attribute 'evaluat'"):
        ls.evaluat  # noqa: B018
    assert not hasattr(ls, "_nothing")


def test_the_import_loads_nothing():
    """`landscape --help` runs it first."""
    assert loaded_after("import landscape").isdisjoint(HEAVY)
    assert loaded_after("import landscape; dir(landscape); landscape.__version__").isdisjoint(HEAVY)


def test_evaluate_loads_jax_and_optax_at_most():
    """Data sets, files and pictures are loaded when they are made."""
    base = loaded_after("import jax, optax")
    extra = loaded_after("import landscape; landscape.evaluate") - base
    assert "landscape" in extra
    assert extra.isdisjoint(HEAVY), extra & set(HEAVY)


def test_nothing_is_left_on():
    """No import touches JAX's configuration: precision and promotion are the user's."""
    names = ("enable_x64", "numpy_dtype_promotion", "numpy_rank_promotion", "default_matmul_precision")
    show = "; ".join(f"print(jax.config.jax_{name})" for name in names)
    program = f"import jax; {show}\nimport landscape as ls\n[getattr(ls, name) for name in ls.__all__]\n{show}"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    values = answer.stdout.split()
    assert len(values) == 2 * len(names) and values[: len(names)] == values[len(names) :]


def imports_of(path: Path) -> set[str]:
    """The package's modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("landscape"):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("wing", WINGS)
def test_imports_point_downwards(wing):
    """Tiles know no objective, charts no surface, surfaces no analysis, plots only data sets; none imports jax._src."""
    for path in (ROOT / wing).rglob("*.py"):
        imported = imports_of(path)
        for higher in WINGS[WINGS.index(wing) + 1 :]:
            assert not any(name.startswith(f"landscape.{higher}") for name in imported), f"{path.name} imports {higher}"
        assert not any("_src" in name for name in imported), path.name
        if wing == "plot":
            allowed = ("landscape.plot", "landscape._")
            computing = {n for n in imported if n.startswith("landscape.") and not n.startswith(allowed)}
            assert not any(n.endswith((".evaluate", ".descend")) for n in computing), f"{path.name}: {computing}"


def test_modules_stay_short():
    """Past 400 lines a module is two nouns."""
    long = {path.name: n for path in ROOT.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert not long
