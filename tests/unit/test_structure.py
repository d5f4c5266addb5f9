"""Packages and modules stay small enough to survey, no import leads back, elements have names.

Import-linter checks the order of the packages; this checks what it does not count.
"""

import ast
import subprocess
import sys
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("leadline", "emulator", "local")
#: Modules of a package, without `__init__` and the packages below it.
MODULES_MAX = 15
LINES_MAX = 280
#: Modules on the longest chain of imports within `leadline.sync`.
LAYERS_MAX = 6

#: Seconds that a test waits at least for a condition.
PATIENCE_S = 60

FOLDERS = [
    folder
    for package in (*PACKAGES, "functions")
    for folder in (ROOT / package, *(ROOT / package).rglob("*/"))
    if any(folder.glob("*.py"))
]


#: Names that do not say what an element is.
VAGUE_NAMES = {"each", "one"}


@lru_cache(1)
def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_package_and_its_modules_are_small(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MODULES_MAX
    lines = {path.name: path.read_bytes().count(b"\n") for path in modules}
    assert {name: count for name, count in lines.items() if count > LINES_MAX} == {}


def test_no_import_leads_back_to_its_module() -> None:
    assert tuple(TopologicalSorter(imports()).static_order()), "else it raises CycleError"


def test_imports_within_sync_form_few_layers() -> None:
    sync = {
        name: {below for below in imported if below.startswith("leadline.sync.")}
        for name, imported in imports().items()
        if name.startswith("leadline.sync.")
    }
    layers: dict[str, int] = {}
    for name in TopologicalSorter(sync).static_order():
        layers[name] = 1 + max((layers[below] for below in sync[name]), default=0)
    assert max(layers.values()) <= LAYERS_MAX, max(layers, key=lambda name: layers[name])


@pytest.mark.slow("imports every module")
def test_no_import_reads_settings_before_a_process_has_chosen_them() -> None:
    """The command line applies the settings of a local run after its imports."""
    names = sorted(
        name
        for name in imports()
        if name.startswith("leadline.") and not name.endswith(".__main__")
    )
    script = (
        "import importlib, sys; from leadline import process;"
        "[importlib.import_module(name) for name in sys.argv[1:]];"
        "sys.exit(bool(process.current().objects()))"
    )
    result = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, check=False)
    assert result.returncode == 0


@pytest.mark.parametrize("folder", [*PACKAGES, "functions", "benchmarks", "tests"])
def test_elements_are_named_by_what_they_are(folder: str) -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id in VAGUE_NAMES)
        or (isinstance(node, ast.arg) and node.arg in VAGUE_NAMES)
    ]
    assert vague == []


def test_a_test_waits_long_enough_for_a_slow_machine() -> None:
    """Waiting ends with the condition. A limit that the product promises has a name."""
    hasty = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        if "eventually" in (text := path.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "eventually"
        and isinstance(limit := call.args[1], ast.Constant)
        and isinstance(limit.value, int | float)
        and limit.value < PATIENCE_S
    ]
    assert hasty == []
