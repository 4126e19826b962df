"""How the package hangs together: no import circle, and rooms that use none but the rooms below them."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.bundles.workflows import ROOT

ROOMS = (
    "files",
    "refusals",
    "settings",
    "run_folder",
    "checks",
    "schedules",
    "weights",
    "cohort",
    "annotations",
    "resume",
    "prepare",
    "transforms",
    "plan",
    "losses",
    "engines",
    "networks",
    "generalists",
    "query",
    "pseudo_labels",
    "handlers",
    "labelling",
    "metrics",
    "report",
    "packing",
    "commands",
    "bundle",
    "__main__",
)
"""From the ground up."""

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "common").rglob("*.py"))
}


def imported(module):
    """The modules and packages of this project that a module names in its imports, those within functions included."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in FILES else node.module for name in names]
        else:
            continue
        found |= {name for name in names if name in FILES and name != "common"}
    return found


def room(module):
    return module.split(".")[1]


IMPORTS = {module: imported(module) for module in FILES if module != "common"}


def test_every_room_is_known():
    assert {room(module) for module in IMPORTS} == set(ROOMS)


def test_no_import_circle():
    list(TopologicalSorter(IMPORTS).static_order())


@pytest.mark.parametrize("module", IMPORTS)
def test_a_room_uses_rooms_below_it(module):
    above = {name for name in IMPORTS[module] if ROOMS.index(room(name)) > ROOMS.index(room(module))}
    assert not above, f"{module} must not import {', '.join(sorted(above))}"


def test_a_room_is_entered_by_its_modules_from_within():
    """Its ``__init__`` is the door for others; a module that used its own room's would make a circle."""
    for module, names in IMPORTS.items():
        packages = [name for name in FILES if FILES[name].name == "__init__.py"]
        own = {name for name in names if name in packages and module.startswith(f"{name}.")}
        assert not own, f"{module} imports its own room {own}"


def test_no_file_is_too_long():
    files = [path for folder in ("common", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    long = {str(path.relative_to(ROOT)): lines for path in files if (lines := len(path.read_text().splitlines())) > 400}
    assert not long
