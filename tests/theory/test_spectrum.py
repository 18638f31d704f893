"""One vocabulary for a side: the names of the fields of a spectrum."""

from dataclasses import fields
from typing import get_args

from spectrain.theory.spectrum import ENDS, SIDE_WORDS, SIDES, End, Side, Spectrum


def test_sides_are_fields_of_a_spectrum_that_hold_eigenpairs():
    held = {field.name for field in fields(Spectrum) if field.type == "tuple[Eigenpair, ...]"}
    assert set(SIDES) == held
    assert get_args(Side) == SIDES
    assert get_args(End) == ENDS == SIDES[:2]


def test_documents_keep_their_words():
    assert SIDE_WORDS == {"top": "right", "bottom": "left", "inside": "gap"}
