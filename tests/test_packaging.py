"""The distribution holds the tree, the whole tree, and says which version it is."""

import importlib
import os
import re
import tomllib
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import spectrain

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = SETUP["tool"]["setuptools"]
# Folders at the root that are not of the package.
APART = {"tests", "scripts", "docs", "build"}


def folders():
    """Every folder of the tree with an __init__.py, by the name it is imported under."""
    found = {}
    for init in ROOT.glob("*/**/__init__.py"):
        folder = init.parent.relative_to(ROOT)
        inside = folder.parts[1:] if folder.parts[0] == "src" else ("spectrain", *folder.parts)
        if folder.parts[0] not in APART and not folder.parts[0].startswith("."):
            # A glob follows no links: what lies behind those of src is found at the root.
            found[".".join(inside)] = folder.as_posix()
    return found


def test_the_packages_are_the_folders_of_the_tree():
    assert sorted(SETUPTOOLS["packages"]) == sorted(folders())
    assert SETUPTOOLS["package-dir"] == folders()


@pytest.mark.parametrize("folder", sorted(path for path in folders().values() if "/" not in path))
def test_a_folder_at_the_root_has_its_link_beside_the_package(folder):
    link = ROOT / "src/spectrain" / folder
    if os.name == "nt" and not link.is_symlink():
        pytest.skip("a checkout without symbolic links")
    assert os.readlink(link) == f"../../{folder}"


@pytest.mark.parametrize("name", sorted(folders()))
def test_a_package_is_imported_from_its_folder(name):
    package = importlib.import_module(name)
    assert Path(package.__file__).resolve().parent == (ROOT / folders()[name]).resolve()


def test_the_types_are_shipped():
    assert SETUPTOOLS["package-data"]["spectrain"] == ["py.typed"]
    assert (ROOT / "src/spectrain/py.typed").is_file()
    assert "Typing :: Typed" in metadata("spectrain").get_all("Classifier")


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    latest = re.search(r"^## \[?(\d+\.\d+\.\d+)", text, flags=re.MULTILINE)
    assert latest
    assert latest[1] == SETUP["project"]["version"] == spectrain.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {latest[1]}\n" in citation


def test_every_dependency_has_its_version_among_the_constraints():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    # Public versions alone, which any build satisfies.
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins.values())
    wanted = {re.match(r"[\w-]+", line)[0] for line in requires("spectrain")}
    assert {normal(name) for name in wanted} <= {normal(name) for name in pins}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", sorted(set(spectrain.__all__) - {"__version__"}))
def test_every_public_name_is_there_and_says_what_it_is(name):
    public = getattr(spectrain, name)
    assert public.__name__ == name
    assert public.__doc__
