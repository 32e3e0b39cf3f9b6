"""The order of the packages: a package imports only from those above it in ORDER, and no files import in a circle."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jaxvae
from jaxvae.config import registry

ROOT = Path(jaxvae.__file__).parent
MATHEMATICS = ["_checks", "distributions", "terms", "model", "objective", "step", "evaluate", "latent"]
PROGRAM = ["runtime", "data", "config", "rundir", "interop", "viz", "training", "cli"]
ORDER = MATHEMATICS + PROGRAM
ALLOWED = {"jax", "jaxlib", "flax", "optax", "numpy", "scipy", "jaxvae"}  # outside the standard library
FORBIDDEN = {"os", "sys", "io", "time", "datetime", "pathlib", "logging", "json", "tempfile", "subprocess", "socket"}
OUTSIDE = {"orbax", "tensorflow_datasets", "matplotlib", "rich", "tensorboardX", "PIL", "requests", "sklearn", "grain"}
OUTSIDE |= {"starlette", "uvicorn", "threadpoolctl", "av", "array_record", "etils"}


def name_of(path: Path) -> str:
    """The dotted name of a module below jaxvae; of a package's __init__, the package's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"}


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full.removeprefix("jaxvae.") in FILES else str(node.module))
    return found


def inside(path: Path) -> set[str]:
    """The modules of jaxvae that a file imports, by their names below jaxvae."""
    return {found.removeprefix("jaxvae.") for found in imports(path) if found.startswith("jaxvae.")}


def package_of(name: str) -> str:
    return name.split(".")[0]


def test_the_root_holds_few_names_and_each_has_its_place():
    names = {each.stem for each in ROOT.iterdir() if not each.name.startswith("__")}
    assert names <= set(ORDER)
    assert len(names) + 1 <= 18


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_from_those_above_it(package):
    for name, path in FILES.items():
        if package_of(name) == package:
            for found in inside(path):
                assert ORDER.index(package_of(found)) <= ORDER.index(package), f"{name} imports {found}"


@pytest.mark.parametrize("package", ORDER)
def test_no_files_of_a_package_import_in_a_circle(package):
    graph = {
        name: {found for found in inside(path) if package_of(found) == package and found != name}
        for name, path in FILES.items()
        if package_of(name) == package
    }
    TopologicalSorter(graph).prepare()  # CycleError names the circle


@pytest.mark.parametrize("name", [name for name in FILES if package_of(name) in MATHEMATICS])
def test_the_mathematics_does_no_io(name):
    packages = {found.split(".")[0] for found in imports(FILES[name])}
    assert not packages & (FORBIDDEN | OUTSIDE)


def test_the_parts_of_the_bound_do_not_import_each_other():
    named = {
        package: set().union(*(inside(path) for name, path in FILES.items() if package_of(name) == package))
        for package in ("objective", "step", "model", "data")
    }
    assert not any(package_of(found) == "model" for found in named["objective"] | named["step"])
    assert not any(package_of(found) == "objective" for found in named["model"])
    assert not any(package_of(found) in ("model", "objective", "step") for found in named["data"])


def test_every_package_is_an_attribute_of_jaxvae():
    for name in (*ORDER[1:], "encoder", "posterior", "prior", "decoder", "likelihood"):
        if name != "interop":
            assert getattr(jaxvae, name).__name__.endswith(name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = jaxvae.nothing


def test_the_command_line_starts_without_jax():
    code = "import sys, jaxvae.cli; print(sorted({'jax', 'flax', 'optax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_public_name_has_one_meaning():
    """A name is defined in one module, except the factories of config strings and the functions of every verb."""
    homes = {}
    for name, path in FILES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                homes.setdefault(node.name, set()).add(name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        homes.setdefault(target.id, set()).add(name)
    several = {name: found for name, found in homes.items() if len(found) > 1 and not name.startswith("_")}
    factories = {name for table in registry.TABLES.values() for name in table} | {"add_arguments", "run", "train"}
    factories |= {"describe"}  # of the attribute verbs
    assert {name: found for name, found in several.items() if name not in factories} == {}
