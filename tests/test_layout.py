"""Which room may import from which, read off the source; the reasons are in CONTRIBUTING.md."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ["models", "theory", "probes", "training", "views", "src/spectrain"]
FRAMEWORKS = {"accelerate", "ignite", "lightning", "pytorch_lightning", "transformers"}


def sources():
    """Files of the package by the dotted name below `spectrain`."""
    found = {}
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*.py"):
            inside = path.relative_to(ROOT / floor).with_suffix("").parts
            if floor.startswith("src"):
                if inside[0] in FLOORS:
                    continue  # behind the links
                inside = ("top", *inside)
            else:
                inside = (floor, *inside)
            found[".".join(inside).removesuffix(".__init__")] = path
    return found


SOURCES = sources()


def imports(name):
    """(module of the package or of others, is it imported at the top of the file)."""
    tree = ast.parse(SOURCES[name].read_text("utf-8"))
    package = SOURCES[name].name == "__init__.py"
    inner = {
        id(part)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ast.walk(function)
    }
    for node in ast.walk(tree):
        at_top = id(node) not in inner
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, at_top
        elif isinstance(node, ast.ImportFrom):
            parts = name.removeprefix("top").strip(".").split(".")
            base = parts[: len(parts) - node.level + package]
            full = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = f"{full}.{alias.name}".strip(".")
                yield (inside if inside in SOURCES else full), at_top


def inside(name, *rooms):
    return any(name == room or name.startswith(room + ".") for room in rooms)


def room(name):
    """The folder a module lies in."""
    return name if SOURCES[name].name == "__init__.py" else name.rpartition(".")[0]


def allowed(name, other):
    """Whether the module may import the other one of the package."""
    floor, below = name.partition(".")[0], other.partition(".")[0]
    if floor == "top" or other == "models.arguments":
        return True
    if inside(name, "training.integrations") and inside(other, "views.sinks"):
        return True  # a logger is a place for records; views know no loop
    floors = [each for each in FLOORS if "/" not in each]
    if below not in floors or floors.index(below) > floors.index(floor):
        return False
    if floor == below == "theory" and room(name) == "theory":
        return room(other) == "theory"
    if floor == "theory" and below == "theory":
        own, system = name.split(".")[1], other.split(".")[1]
        if own == "scans":  # they follow the predictions of a system
            return True
        return room(other) == "theory" or system in (own, "bulk")
    if floor == "probes" and below == "theory":
        return room(other) == "theory"
    if floor == "probes" and below == "models":
        return inside(other, "models.heads")
    if inside(name, "probes.curvature"):
        return not inside(other, "probes.krylov")
    if floor == "training" and not inside(name, "training.systems", "training.integrations"):
        return not inside(other, "training.systems", "training.integrations")
    if floor == "views" and below != "views":
        return inside(other, "probes.records") or (below == "theory" and room(other) == "theory")
    return True


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_imports_only_what_its_room_may(name):
    wrong = {other for other, _ in imports(name) if other in SOURCES and not allowed(name, other)}
    assert not wrong


def test_training_frameworks_are_imported_late_and_in_their_integration_alone():
    for name in SOURCES:
        for other, at_top in imports(name):
            if other.partition(".")[0] in FRAMEWORKS:
                assert inside(name, "training.integrations"), (name, other)
                assert not at_top, (name, other)


def test_pyhessian_is_a_dependency_that_the_cross_check_alone_imports():
    """It is the independent library that results are compared with, and nobody's engine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert any(each.startswith("pyhessian") for each in project["dependencies"])
    users = {
        (name, at_top)
        for name in SOURCES
        for other, at_top in imports(name)
        if other.partition(".")[0] == "pyhessian"
    }
    assert users == {("probes.crosscheck", False)}


def test_a_probe_without_theory_loads_little_of_it_and_nothing_slow():
    """The mixtures' theory takes three times as long to import as all the rest of the probe."""
    code = "import sys; from spectrain import SpectralProbe; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert len({name for name in loaded if name.startswith("spectrain.theory")}) <= 14
    assert not loaded & {"scipy", "matplotlib", "jsonargparse", "tensorboard", "pyhessian"}


@pytest.mark.parametrize("command", ["predict", "dynamics"])
def test_predictions_load_neither_torch_nor_what_takes_longer_than_they_do(command):
    """Every module that answers, of every system, with the theory that it asks."""
    homes = [name for name in SOURCES if inside(name, "top.answers")]
    names = [f"spectrain.{name.removeprefix('top.')}" for name in homes]
    spec = {
        "directions": 2, "head": {"kind": "two-layer", "activation": "gelu",
        "loss": "binary-cross-entropy", "second_layer": [1.0, -1.0]},
        "gram": [[0.1, 0.0, 0.2], [0.0, 0.1, 0.1], [0.2, 0.1, 1.0]], "weights": [1.0],
        "labels": [0], "snr": 3.0, "aspect_ratio": 4.0, "matrix": "hessian", "block": 0,
        "density_points": 0, "scaled_learning_rate": 0.5, "times": [0.0],
    }  # fmt: skip
    code = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "from spectrain.answers.dispatch import answer\n"
        f"answer({command!r}, {spec}).text\n"
        "print('\\n'.join(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"torch", "scipy.stats", "matplotlib", "jsonargparse", "tensorboard"}
    assert not set(run.stdout.split()) & slow
