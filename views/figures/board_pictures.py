"""The pictures of a board: of one record after the other, each in the panels of the one before."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
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

# Pictures whose panels are kept: of these sizes 3 MB each.
_MOST = 32


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
                picture = self._kept_under((block, kinds), partial(SpectraPicture, kinds))
                found[block] = picture.pixels(record, block)
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
            picture = self._kept_under(key, partial(MapsPicture, record, name))
            found[name] = picture.pixels(record)
        return found

    def _kept_under(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The picture under a key; of those that are too many the oldest goes."""
        found = self._kept.pop(key, None)
        self._kept[key] = make() if found is None else found
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return self._kept[key]
