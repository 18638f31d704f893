"""Modules can be imported under the names they had before they moved."""

import sys
from importlib import import_module

import pytest

from spectrain.moved import _NEW, MovedModules


@pytest.mark.parametrize("old", sorted(_NEW))
def test_an_old_name_is_the_module_at_its_new_place(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=_NEW[old].replace(".", r"\.")):
        module = import_module(old)
    assert module is import_module(_NEW[old])
    assert module.__name__ == module.__spec__.name == _NEW[old]


def test_other_names_are_not_found():
    assert MovedModules().find_spec("spectrain.probes.nothing", None) is None
    with pytest.raises(ModuleNotFoundError):
        import_module("spectrain.probes.nothing")


@pytest.mark.parametrize("name", ["MixtureConfig", "OptimiserConfig"])
def test_a_moved_configuration_is_found_under_its_old_name(name):
    from spectrain.training import config
    from spectrain.training.systems import mixture_config

    with pytest.warns(DeprecationWarning, match=f"{name} has moved to .*mixture_config"):
        assert getattr(config, name) is getattr(mixture_config, name)
    with pytest.raises(AttributeError, match="Abacus"):
        config.Abacus  # noqa: B018
