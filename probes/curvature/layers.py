"""Blocks of a module by its layers."""

from __future__ import annotations

from typing import Literal

from torch import nn

from .block import Block

__all__ = ["Layers", "layer_blocks"]

# How finely a module is divided: to the modules that hold the parameters, to the parts that the
# module itself is made of, or to a depth of names between them.
Layers = Literal["layers", "modules"] | int


def layer_blocks(module: nn.Module, layers: Layers = "layers") -> list[Block]:
    """A block for each layer that is trained, in the module's order.

    A parameter "encoder.0.linear.weight" is in the layer "encoder.0.linear"; at depth 2 in
    "encoder.0" and at depth 1, that of "modules", in "encoder". Parameters that the module holds
    itself are layers of their own. Together the blocks hold every trained parameter once: one that
    is there under several names belongs to the first.

    Args:
        module: any.
        layers: "layers", "modules", or the number of names that tell layers apart, at least 1.

    Raises:
        ValueError: if ``layers`` is anything else, or nothing is trained.
    """
    named = layers in ("layers", "modules")
    if not named and (isinstance(layers, bool) or not isinstance(layers, int) or layers < 1):
        raise ValueError(
            f"blocks: expected 'layers', 'modules', or a depth of at least 1, got {layers!r}"
        )
    depth = {"layers": None, "modules": 1}[layers] if isinstance(layers, str) else layers
    found: dict[str, list[str]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.numel():
            path = name.split(".")
            layer = ".".join(path[:-1][:depth]) or name
            found.setdefault(layer, []).append(name)
    if not found:
        raise ValueError("blocks: expected a module with parameters that are trained, got none")
    return [Block(layer, tuple(names)) for layer, names in found.items()]
