"""How a predicted spectrum becomes a document of strict JSON."""

import json
import math

import numpy as np
import pytest

from spectrain.answers.documents import json_text, plain, spectrum_document
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Gap, Spectrum

NAN = math.nan


def edge(value, kind="square-root", finite_size=NAN, detection=NAN, error=1e-6):
    return Edge(value, kind, finite_size, detection, error)


def spectrum(**changes):
    content = {
        "matrix": "hessian",
        "block": "direction 0",
        "size": 100,
        "top": (),
        "bottom": (),
        "bulk": Bulk(edge(1.0), edge(4.0)),
    }
    return Spectrum(**(content | changes))


def document(**changes):
    return spectrum_document(spectrum(**changes), np.zeros(0), None)


def test_bands_are_pairs_of_edges_in_increasing_order():
    bulk = Bulk(
        lower=edge(-math.inf, "infinite", error=NAN),
        upper=edge(4.0, "hard"),
        gaps=(Gap(edge(-2.0), edge(-1.0, "thin")), Gap(edge(0.5), edge(1.0))),
        atom=0.25,
    )
    assert document(bulk=bulk)["bulk"] == {
        "edges": [[None, -2.0], [-1.0, 0.5], [1.0, 4.0]],
        "edge_kinds": [["thin", "square-root"], ["thin", "square-root"], ["square-root", "thin"]],
        "atom_at_zero": 0.25,
    }


def test_finite_size_edges_come_with_the_dimension_alone():
    ends = Bulk(edge(1.0, "square-root", 1.1, 0.9), edge(4.0, "square-root", 3.9, 4.2))
    bulk = spectrum_document(spectrum(bulk=ends), np.zeros(0), 100)["bulk"]
    assert bulk["finite_size_edges"] == [1.1, 3.9]
    assert bulk["detection_edges"] == [0.9, 4.2]
    assert not {"finite_size_edges", "detection_edges", "density"} & document()["bulk"].keys()


def test_equal_outliers_are_one_of_higher_multiplicity():
    pairs = {
        "top": ((9.0, 0.8), (7.0, 0.6), (7.0 + 1e-9, 0.6), (5.0, 0.1)),
        "inside": ((3.0, 0.5),),
        "bottom": ((-3.0, 0.4), (-2.0, 0.3), (-2.0, 0.1)),
    }
    made = {
        side: tuple(Eigenpair(value, abs(value) * 1e-6, overlap) for value, overlap in values)
        for side, values in pairs.items()
    }
    outliers = document(**made)["outliers"]
    assert [outlier["multiplicity"] for outlier in outliers] == [1, 2, 1, 1, 2, 1]
    assert [outlier["side"] for outlier in outliers] == [*["right"] * 3, "gap", *["left"] * 2]
    values = [outlier["value"] for outlier in outliers]
    assert values == pytest.approx([9.0, 7.0, 5.0, 3.0, -2.0, -3.0])
    assert values == sorted(values, reverse=True)
    assert [outlier["overlap"] for outlier in outliers] == pytest.approx(
        [0.8, 0.6, 0.1, 0.5, 0.2, 0.4]
    )
    assert [outlier["error"] for outlier in outliers] == pytest.approx([1e-6] * 6)


def test_outliers_that_their_errors_cannot_tell_apart_are_one():
    def multiplicities(error):
        pairs = (Eigenpair(7.0, error, 0.5), Eigenpair(6.9, error, 0.5))
        return [outlier["multiplicity"] for outlier in document(top=pairs)["outliers"]]

    assert multiplicities(0.04) == [1, 1]
    assert multiplicities(0.06) == [2]


def test_the_error_is_the_largest_of_outliers_and_edges():
    # Edges count relative to the largest of them: a lower edge near 0 has no scale of its own.
    bulk = Bulk(edge(1e-5, error=1e-6), edge(2.0, error=1e-5))
    assert document(bulk=bulk)["error"] == pytest.approx(5e-6)
    assert document(bulk=bulk, top=(Eigenpair(3.0, 3e-4),))["error"] == pytest.approx(1e-4)
    infinite = edge(math.inf, "infinite", error=NAN)
    assert document(bulk=Bulk(edge(0.0, "hard", error=0.0), infinite))["error"] == 0.0


def test_documents_are_strict_json_at_full_precision():
    points = np.array([1.0, 2.0, 4.0])
    errors = np.array([0.1, 0.5, 0.1])  # the second value is not known to half of itself
    density = Density(points, points / 3, errors, points, points)
    made = spectrum_document(spectrum(density=density), np.array([0.1, math.inf]), 100)
    text = json_text(made)
    assert "\n" not in text
    read = json.loads(text, parse_constant=pytest.fail)
    assert read["bulk"]["density"] == {
        "points": [1.0, 2.0, 4.0],
        "values": [1 / 3, None, 4 / 3],
        "errors": errors.tolist(),
    }
    assert read["eigenvalues"] == [0.1, None]
    assert read["bulk"]["detection_edges"] == [None, None]
    with pytest.raises(ValueError, match="JSON"):
        json_text({"error": NAN})


def test_plain_values():
    value = {"a": np.arange(2), "b": (np.float64(0.1), NAN), "c": np.int64(3), "d": "x"}
    made = plain(value)
    assert made == {"a": [0, 1], "b": [0.1, None], "c": 3, "d": "x"}
    assert type(made["c"]) is int
    assert json.dumps(plain(-0.0)) == "0.0"
