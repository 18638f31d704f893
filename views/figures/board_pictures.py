"""The pictures of a board: of one record after the other, each in the panels of the one before."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...probes.records.record import Record
from ..readings import blocks, matrices
from ..slices import in_matrices
from . import style
from .matrix_maps import MapsPicture, matrix_quantities
from .quick_picture import quick_pixels
from .spectra import SpectraPicture, spectra

__all__ = ["BoardPictures"]

Pixels = NDArray[np.uint8]

# Pictures that keep panels of their own, 5 MB each.
_MOST = 8


class BoardPictures:
    """Densities of all blocks, and maps of all matrices, of the records of one run."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    @style.paper()
    def spectra(self, record: Record) -> dict[str, Pixels]:
        """The figure `spectra` of each block, as (height, width, 3) bytes."""
        kinds = matrices([record])
        found: dict[str, Pixels] = {}
        for block in blocks([record]):
            if any(each.block == block for each in record.measured.spectra):
                # Where they are many, those that come last share the panels of one.
                key = (block if self._has_room((block, kinds)) else None, kinds)
                if key not in self._kept:
                    self._kept[key] = SpectraPicture(kinds)
                found[block] = self._kept[key].pixels(record, block)
            else:
                found[block] = quick_pixels(spectra([record], block))
        return found

    @style.paper()
    def maps(self, record: Record) -> dict[str, Pixels]:
        """The figure `matrix_maps` of each measured matrix, as (height, width, 3) bytes."""
        record = in_matrices(record)
        found: dict[str, Pixels] = {}
        for name in matrix_quantities([record]):
            key = (name, MapsPicture.shape(record, name))
            picture = self._kept.get(key) or MapsPicture(record, name)
            if self._has_room(key):
                self._kept[key] = picture
            found[name] = picture.pixels(record)
        return found

    def _has_room(self, key: Hashable) -> bool:
        return key in self._kept or len(self._kept) < _MOST
