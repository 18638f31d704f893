"""How records are packed: what float32 keeps, what follows is not stored, and what is read late."""

import copy
import json
import pickle
import re
import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spectrain.probes.krylov.exact_density import exact_density
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import decode, encode, packed
from spectrain.probes.records.packing import Packed, Packing, Place, _numbers
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.record_file import RecordFile, load
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Density, Eigenpair, Jacobi, Spectrum

ROOT = Path(__file__).parents[3]
# A unit in the last place of float32, rounded to nearest.
ROUNDING = 2.0**-24


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


def assert_kept(found, expected, field=None):
    """The same type and numbers: in every bit, or to the rounding of what float32 keeps."""
    kept = field is not None and "kept" in field.metadata
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=ROUNDING if kept else 0, atol=0)
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_kept(a, b)
    elif hasattr(expected, "__dataclass_fields__"):
        for each in fields(expected):
            assert_kept(getattr(found, each.name), getattr(expected, each.name), each)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=ROUNDING if kept else 0, abs=0, nan_ok=True)
    else:
        assert found == expected


def predicted_density(count, error):
    x = np.linspace(-1, 1, count)
    values, cumulative = np.sqrt(1 - x**2), (x + 1) / 2
    return Density(x / 3, values / 3, values * error, cumulative / 3, cumulative * error)


@pytest.fixture(scope="module")
def record():
    """A probing of two matrices all of whose eigenvalues are known, beside curves of theory."""
    torch.manual_seed(0)
    model = torch.nn.Linear(20, 3, bias=False)
    sample = (torch.randn(64, 20), torch.arange(64) % 3)
    probe = SpectralProbe(
        model, torch.nn.functional.cross_entropy, sample, measurement=Measurement(density=True)
    )
    found = probe(0, 0.0)
    assert not found.failures
    curves = tuple(
        replace(each, top=(), bottom=(), density=predicted_density(160, 10.0 ** -(4 * i + 4)))
        for i, each in enumerate(found.measured.spectra)
    )
    return replace(found, predicted=Geometry(spectra=curves))


@pytest.fixture
def exact():
    eigenvalues = np.sort(np.random.default_rng(0).standard_normal(300)).astype(np.float32)
    return exact_density(eigenvalues.astype(np.float64), 1e-6)


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e300]),
        np.array([[1.5, -2.0], [np.nan, np.inf]]),
        np.array([2**62, -1, 0]),
        np.zeros((0, 3)),
        np.random.default_rng(1).standard_normal((4, 5))[::2, ::-1],
    ],
)
def test_packed_arrays_come_back_bit_for_bit(array):
    packing = Packing()
    packing.add(np.arange(7.0))
    place = Place.of(through_json(packing.add(array)))
    back = Packed(through_json(packing.content())).array(place)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    back += 1  # it is an array of its own


@pytest.mark.parametrize(
    ("values", "error", "width"),
    [
        ([0.1, 0.2], 0.0, "f8"),
        ([0.5, 0.25, np.nan, np.inf], 0.0, "f4"),  # float32 has them
        ([0.1, 0.2], [1e-3, 1e-3], "f4"),
        ([0.1, 0.2], [1e-3, 1e-12], "f8"),  # one is known better
        ([0.1, 0.2], [1e-3, np.nan], "f8"),  # of one nothing is known
        ([0.1, 0.2], [1e-3, 1e-3, 1e-3], "f8"),  # these are of something else
        ([0.1, np.nan], None, "f4"),
        ([0.1, 1e300], None, "f8"),  # float32 has neither of these
        ([0.1, 1e-300], None, "f8"),
    ],
)
def test_float32_is_taken_where_it_changes_less_than_the_error(values, error, width):
    error = np.array(error) if isinstance(error, list) else error
    assert list(Packing().add(np.array(values), error)) == [f"${width}"]


def test_results_are_those_of_version_1_to_the_rounding_of_what_is_kept(record):
    """Its lines had every number bit for bit, as `encode` has."""
    old, new = decode(through_json(encode(record))), decode(through_json(packed(record)))
    assert_kept(new, old)
    assert_kept(new, record)


def test_what_is_read_is_written_again_as_it_was(record):
    once = packed(record)
    assert packed(decode(through_json(once))) == once


def test_what_has_small_errors_is_kept_in_every_bit(record):
    back = decode(through_json(packed(record))).predicted.spectra
    errors = [each.density.errors.max() for each in record.predicted.spectra]
    exactly = [
        np.array_equal(a.density.values, b.density.values)
        for a, b in zip(back, record.predicted.spectra, strict=True)
    ]
    assert exactly == [error < 1e-7 for error in errors]
    assert {True, False} == set(exactly)


def test_a_density_of_known_eigenvalues_is_stored_as_these_alone(exact):
    spectrum = Spectrum("hessian", "a", 300, (), (), density=exact)
    record = Record(0, measured=Geometry(spectra=(spectrum,)))
    content = through_json(packed(record))
    (stored,) = content["measured"]["spectra"]
    assert set(stored["density"]) == {"$type", "eigenvalues", "resolution"}
    assert list(stored["density"]["eigenvalues"]) == ["$f4"]
    found = decode(content).measured.spectra[0].density
    for each in fields(Density):
        assert np.array_equal(getattr(found, each.name), getattr(exact, each.name)), each.name
    # What no longer follows from them is stored.
    changed = replace(spectrum, density=replace(exact, values=2 * exact.values))
    content = through_json(packed(Record(0, measured=Geometry(spectra=(changed,)))))
    found = decode(content).measured.spectra[0].density
    assert_kept(found, changed.density)


def test_digits_below_the_resolution_of_eigenvalues_are_dropped_before_anything_follows():
    eigenvalues = np.sort(np.random.default_rng(0).standard_normal(50))
    near = eigenvalues.astype(np.float32).astype(np.float64)
    assert np.array_equal(exact_density(eigenvalues, 1e-5).eigenvalues, near)
    assert np.array_equal(exact_density(eigenvalues, 1e-12).eigenvalues, eigenvalues)


def test_arrays_are_decoded_when_they_are_asked_for(record, monkeypatch):
    content = through_json(packed(record))
    asked, decompress = [], zlib.decompress
    monkeypatch.setattr(zlib, "decompress", lambda data: asked.append(1) or decompress(data))
    _numbers.cache_clear()
    found = decode(content)
    spectrum = found.measured.spectra[0]
    assert (spectrum.matrix, spectrum.size) == ("hessian", 60)
    assert type(spectrum) is Spectrum
    assert type(spectrum.jacobi) is Jacobi
    assert found.measured.loss == record.measured.loss
    assert not asked
    assert_kept(spectrum.top, record.measured.spectra[0].top)
    assert asked


def test_what_is_made_late_is_copied_pickled_and_replaced_as_anything_else(record):
    def fresh():
        return decode(through_json(packed(record))).measured.spectra[0]

    expected = fresh()
    assert expected.top
    untouched = fresh()
    for made in (
        copy.copy(untouched),
        copy.deepcopy(fresh()),
        pickle.loads(pickle.dumps(fresh())),
        replace(fresh(), size=60),
    ):
        assert_kept(made, expected)
    # What a copy makes is its own.
    assert "top" not in vars(untouched)
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        _ = fresh().colour


def test_eigenpairs_with_other_arrays_have_tables_of_their_own():
    one = Eigenpair(1.0, 1e-6, 0.5, np.array([0.1, 0.2]), 0.1, np.array([1.0]))
    other = Eigenpair(0.5, 1e-6, parameter_overlap=0.25)
    spectra = (
        Spectrum("hessian", "a", 9, (one, one), (one,)),
        Spectrum("hessian", "b", 9, (other,), (), inside=(other, other)),
        Spectrum("hessian", "c", 9, (one, other), ()),
    )
    record = Record(0, measured=Geometry(spectra=spectra))
    content = through_json(packed(record))
    assert [len(table) for table in content["$tables"]] == [7, 4]
    assert_kept(decode(content), record)


def test_a_quantity_of_any_shape_is_kept():
    values = np.random.default_rng(2).standard_normal((2, 3, 4))
    axes = (tuple("ab"), tuple("cde"), tuple("fghi"))
    cube = Quantity("cube", values, "1", axes, band=np.abs(values))
    number = Quantity.number("loss", 0.1, "loss", 1e-3)
    record = Record(0, measured=Geometry((cube, number)))
    assert_kept(decode(through_json(packed(record))), record)


def test_unknown_columns_are_refused_by_name(record):
    content = through_json(packed(record))
    content["$tables"][0]["colour"] = content["$tables"][0]["value"]
    with pytest.raises(ValueError, match=r"fields of Eigenpair.*colour"):
        decode(content)
    content["$tables"][0] = {"$type": "Popen"}
    with pytest.raises(ValueError, match=r"type.*Popen"):
        decode(content)


def test_the_lines_of_the_reference_read_a_file_without_the_package(
    record, tmp_path, monkeypatch, capsys
):
    file = RecordFile(tmp_path / "records.jsonl", {"dimension": 20})
    file.write(record)
    file.write(replace(record, step=3))
    file.close()
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(# without this package.*?)^```$", text, re.M | re.S)
    assert "spectrain" not in code
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code, found)
    assert found["header"]["config"] == {"dimension": 20}
    assert [line[0] for line in capsys.readouterr().out.splitlines() if line[0] != " "] == [
        "0", "3",
    ]  # fmt: skip
    (loaded, _) = load(tmp_path).records
    read = found["records"][0]
    for place, spectrum in enumerate(loaded.measured.spectra):
        raw = read["measured"]["spectra"][place]
        table, start, stop = raw["top"]["$rows"]
        values = read["$tables"][table]["value"][start:stop]
        assert values.tolist() == [pair.value for pair in spectrum.top]
        eigenvalues = raw["density"]["eigenvalues"]
        assert np.array_equal(eigenvalues, spectrum.density.eigenvalues)
        # As the header says, a Density follows from them.
        below = np.searchsorted(eigenvalues, spectrum.density.points)
        share = below + (below < np.searchsorted(eigenvalues, spectrum.density.points, "right")) / 2
        inside = np.isin(spectrum.density.points, eigenvalues)
        np.testing.assert_allclose(
            spectrum.density.cumulative[inside], share[inside] / len(eigenvalues), atol=1e-12
        )
        curve = read["predicted"]["spectra"][place]["density"]["values"]
        assert np.array_equal(curve, loaded.predicted.spectra[place].density.values)
