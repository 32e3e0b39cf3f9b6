"""The tree is the equation: a file imports only from lower floors, or from files before it on its own."""

import ast
from pathlib import Path

import pytest

import jaxvae

ROOT = Path(jaxvae.__file__).parent
FLOORS = [
    [
        "typed",
        "distributions.event",
        "distributions.gaussian",
        "distributions.flow",
        "distributions.coin",
        "distributions.tails",
        "distributions.interval",
        "distributions.levels",
        "distributions.codes",
        "distributions.bessel",
        "distributions.sphere",
        "distributions.correlated",
        "distributions.categorical",
        "distributions.mixture",
        "distributions.divergence",
        "distributions",
        "terms",
    ],
    ["layers", "encoder", "decoder", "critic", "flows"],
    ["posterior", "codebook", "prior", "draw", "support", "likelihood"],
    ["model", "baselines"],
    [
        "objective.base",
        "objective.bound",
        "objective.importance",
        "objective.aggregate",
        "objective.adversarial",
        "objective.pictures",
        "objective",
        "step",
        "evaluate",
        "checkup",
        "latent.maps",
        "latent.planes",
        "latent.walks",
        "latent.directions",
        "latent.missing",
        "latent.anomaly",
        "latent.tours",
        "latent.compression",
        "latent.neighbours",
        "latent.sensitivity",
        "latent",
    ],
    [
        "storage",
        "sealed",
        "cluster",
        "watch",
        "layout",
        "data.checksums",
        "data.store",
        "data.decoded",
        "data.arrays",
        "data.digits",
        "data.stock",
        "data.descriptions",
        "data.tfds",
        "data.records",
        "data.workers",
        "data.cache",
        "data.picture",
        "data.members",
        "data.folder",
        "data.numpy_files",
        "data.order",
        "data.prepare",
        "data.corrupt",
        "data.dataset",
        "data.pipeline",
        "data.attributes",
        "data.columns",
    ],
    [
        "terminal",
        "migrations",
        "checkpoint",
        "logbook",
        "events",
        "progress",
        "plots.canvas",
        "plots.charts",
        "plots.mosaics",
        "plots.galleries",
        "plots.planes",
        "plots.walks",
        "plots.attributes",
        "plots.comparison",
        "plots.missing",
        "plots.anomaly",
        "plots.films",
        "plots.animation",
        "plots.compression",
        "plots.neighbours",
        "plots.sensitivity",
        "plots.conditional",
        "plots",
        "report.captions",
        "report.page",
        "report.scoreboard",
        "report.embedded",
        "report.interactive",
        "report",
    ],
    [
        "engine",
        "config",
        "userfile",
        "calls",
        "sums",
        "verdict",
        "sweep",
        "schedules",
        "optimizers",
        "build",
        "catalogue",
    ],
    [
        "interrupt",
        "lock",
        "entries",
        "run",
        "disk",
        "experiment",
        "start",
        "diagnosis",
        "rollback",
        "members",
        "vmapped",
        "environment",
        "late",
        "results",
        "findings",
        "health",
        "summary",
        "judge",
        "figures.frames",
        "figures.pictures",
        "figures.subject",
        "figures.basics",
        "figures.walks",
        "figures.known",
        "figures.attributes",
        "figures.arithmetic",
        "figures.planes",
        "figures.dots",
        "figures.missing",
        "figures.anomaly",
        "figures.animation",
        "figures.compression",
        "figures.neighbours",
        "figures.sensitivity",
        "figures.conditional",
        "figures",
        "moments",
        "loop",
        "ensemble",
        "markdown",
        "finished",
        "comparison",
        "figures.comparison",
        "explorer.codes",
        "explorer.functions",
        "explorer.known",
        "explorer.asked",
        "explorer.shown",
        "explorer.answers",
        "explorer.guard",
        "explorer.app",
        "explorer.server",
        "explorer",
        "verbs.opened",
        "verbs.runs",
        "verbs.exploring",
        "verbs.walks",
        "verbs.attributes",
        "verbs.comparison",
        "verbs.animation",
        "verbs",
        "limits",
        "benchmark",
        "blame",
        "configfile",
        "options",
        "actions",
        "parsers",
        "cli",
        "peers",
        "zoo",
    ],
]
RANK = {name: (floor, place) for floor, names in enumerate(FLOORS) for place, name in enumerate(names)}
OUTSIDE = {"jax", "jaxlib", "flax", "optax", "numpy", "orbax", "tensorflow_datasets"}
OUTSIDE |= {"matplotlib", "rich", "tensorboardX", "PIL", "requests", "sklearn", "scipy"}
OUTSIDE |= {"starlette", "uvicorn", "matplotlib", "rich", "tensorboardX", "PIL", "requests", "sklearn", "threadpoolctl"}
OUTSIDE |= {"matplotlib", "rich", "tensorboardX", "PIL", "requests", "sklearn", "threadpoolctl", "av"}
PACKAGES_OF_FLOOR = {
    0: {"jax"},
    1: {"jax", "flax"},
    2: {"jax", "flax", "numpy"},
    3: {"jax", "flax", "numpy"},
    4: {"jax", "numpy", "optax"},
}


def imports(name: str) -> set[str]:
    """The names of all modules that the file imports, at its top or inside functions."""
    path = ROOT / (name.replace(".", "/") + ".py")
    tree = ast.parse((path if path.exists() else ROOT / name / "__init__.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full for full in inner if full.removeprefix("jaxvae.") in RANK} or {node.module}
    return found


def test_every_file_has_its_place():
    files = {str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in ROOT.rglob("*.py")}
    assert {name.removesuffix(".__init__") for name in files} - {"__init__", "data"} == set(RANK)


@pytest.mark.parametrize("name", RANK)
def test_a_file_imports_only_from_below(name):
    for found in imports(name):
        if found.startswith("jaxvae."):
            assert RANK[found.removeprefix("jaxvae.")] < RANK[name], f"{name} imports {found}"


@pytest.mark.parametrize("name", [name for name, (floor, _) in RANK.items() if floor in PACKAGES_OF_FLOOR])
def test_the_lower_floors_do_no_io(name):
    packages = {found.split(".")[0] for found in imports(name)}
    assert packages & OUTSIDE <= PACKAGES_OF_FLOOR[RANK[name][0]]
    assert not packages & {"os", "sys", "time", "pathlib", "logging", "json"}


def test_the_pieces_of_the_bound_do_not_know_each_other():
    assert not any("model" in found for found in imports("objective") | imports("step"))
    assert not any("objective" in found for found in imports("model"))
    assert not any(
        found.startswith("flax") or "model" in found
        for name in RANK
        if name.startswith("data.")
        for found in imports(name)
    )
