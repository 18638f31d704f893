"""Generators of random numbers, whose states code advances."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import torch

from .places import Place, Value

__all__ = [
    "GENERATORS",
    "Generator",
    "generator_state",
    "seeded",
    "shared_generators",
    "torch_generators",
]

Generator = torch.Generator | random.Random | np.random.RandomState | np.random.Generator
GENERATORS = (torch.Generator, random.Random, np.random.RandomState, np.random.Generator)


def generator_state(generator: Generator) -> Place:
    """The state of one generator."""
    if isinstance(generator, torch.Generator):
        return Value(generator.get_state, generator.set_state, torch.equal)
    if isinstance(generator, random.Random):
        return Value(generator.getstate, generator.setstate)
    if isinstance(generator, np.random.RandomState):
        return Value(generator.get_state, generator.set_state, _same)
    bits = generator.bit_generator
    return Value(lambda: bits.state, partial(setattr, bits, "state"), _same)


def torch_generators() -> list[Place]:
    """torch's own, of the CPU and of each GPU where CUDA is in use."""
    return [generator_state(generator) for generator in _own()]


def seeded(seed: int) -> list[torch.Tensor]:
    """States of torch's own generators that follow from a seed alone."""
    return [torch.Generator(each.device).manual_seed(seed).get_state() for each in _own()]


def _own() -> list[torch.Generator]:
    own = [torch.default_generator]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        own += torch.cuda.default_generators
    return own


def shared_generators() -> list[Place]:
    """Those that torch, Python and NumPy have for everybody."""
    python = Value(random.getstate, random.setstate)
    return [*torch_generators(), python, generator_state(np.random.mtrand._rand)]


def _same(one: Any, other: Any) -> bool:
    """Of nested dicts and tuples with arrays."""
    if isinstance(one, dict):
        return all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple):
        return all(map(_same, one, other))
    return bool(np.array_equal(one, other))
