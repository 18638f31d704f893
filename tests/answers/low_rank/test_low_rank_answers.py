"""What `spectrain predict` and `spectrain dynamics` print for low-rank reconstruction."""

import json
import math

import pytest

from spectrain.answers.dispatch import answer

SPEC = {
    "system": "low-rank",
    "size": 60,
    "eigenvalues": [1.0, 0.6, 0.35],
    "factors": 60,
    "measurements": 720,
    "operator": "gaussian",
    "scale": 1e-3,
    "learning_rate": 0.1,
}
DYNAMICS = {**SPEC, "times": [300, 0, 100]}


def document(command, content):
    return json.loads(answer(command, content).json)


def test_the_spectrum_before_the_run():
    found = document("predict", SPEC)
    sigma2 = (1 + 0.36 + 0.1225) * 60 / 1440
    assert found["edge"] == pytest.approx(2 * sigma2**0.5)
    assert found["finite_size_edge"] == pytest.approx(
        found["edge"] * (1 - 0.60325 * 60 ** (-2 / 3))
    )
    assert found["outliers"][0] == pytest.approx({"value": 1 + sigma2, "overlap": 1 - sigma2})
    values = [each["value"] for each in found["outliers"]]
    assert values == sorted(values, reverse=True)
    assert found["thresholds"]["degrees_of_freedom"] == 177
    assert found["thresholds"]["unique"] == 177 + 57 * 58 / 4
    assert found["numerical_error"] == 0


def test_saddles_and_minimum():
    found = document("predict", {**SPEC, "factors": 5})
    assert [len(each["negative_outliers"]) for each in found["saddles"]] == [3, 2, 1]
    second = found["saddles"][1]
    kept = 1 - 60 / 720
    sigma2 = kept * (0.36 + 0.1225) * 59 / 1440
    lowest = -(kept * 0.6 + sigma2 / (kept * 0.6))
    assert second["negative_outliers"][0] == pytest.approx({"value": lowest, "multiplicity": 4})
    assert second["bulk"] == pytest.approx([-2 * sigma2**0.5, 2 * sigma2**0.5])
    assert second["atom_at_zero"] == pytest.approx(4 / 300)
    low, high = found["minimum"]["edges"]
    assert 0 < low < 0.35
    assert 2 < high < 2.5


def test_thresholds_stay_in_the_order_of_the_eigenvalues():
    found = document("predict", {**SPEC, "eigenvalues": [0.6, 1.0, 0.35]})
    bbp = found["thresholds"]["bbp"]
    expected = [60 * 1.4825 / (2 * lam**2) for lam in (0.6, 1.0, 0.35)]
    assert bbp == pytest.approx(expected)


def test_a_structured_operator_has_less_noise():
    found = document("predict", {**SPEC, "operator": "structured"})
    expected = document("predict", SPEC)["edge"] * (1 - 1440 / (60 * 61)) ** 0.5
    assert found["edge"] == pytest.approx(expected)


def test_dynamics_in_closed_form():
    found = document("dynamics", DYNAMICS)
    assert found["times"] == [300, 0, 100]
    rates = found["rates"]
    assert rates[1][0] is None
    assert rates[2][:2] == [None, None]
    first = math.log(1 / 1e-6) / (2 * math.log1p(0.1 * rates[0][0]))
    assert found["learning_times"][0] == pytest.approx(first)
    assert sorted(found["learning_times"]) == found["learning_times"]
    ends = math.log(0.1 * 2 * rates[0][0] / 1e-6) / (2 * math.log1p(0.1 * rates[0][0]))
    assert found["spectral_phase_ends"] == pytest.approx(ends)
    assert 0.5 < found["alignment"] < 1
    assert found["strengths"][0] == pytest.approx([1.0, 0.6, 0.35], rel=1e-3)
    assert found["test_error"][0] == pytest.approx(found["error"], rel=0.01)
    assert found["test_error"][1] == pytest.approx(1, abs=1e-4)
    assert found["rho"][1] == pytest.approx(rates[0][0], rel=1e-4)
    assert found["principal_angle"][0] < 0.1 < found["principal_angle"][2] < 1.5
    assert found["numerical_error"] < 1e-9


def test_curves_after_the_last_learning_time_are_said_not_to_be_described():
    told = answer("dynamics", DYNAMICS)
    last = json.loads(told.json)["learning_times"][-1]
    assert f"after the last learning time, {last:.5g} steps" in json.loads(told.json)["late_curves"]
    assert "not described" in told.text
    assert "late_curves" not in document("dynamics", {**DYNAMICS, "times": [0, 100]})


def test_as_many_factors_as_directions_leave_no_error():
    assert document("dynamics", {**DYNAMICS, "factors": 3})["error"] == 0


def test_what_is_not_learned_is_null():
    few = document("dynamics", {**DYNAMICS, "measurements": 110})
    assert few["learning_times"][2] is None
    assert few["error"] is None


def test_learning_times_are_those_of_half_strength():
    times = document("dynamics", DYNAMICS)["learning_times"]
    found = document("dynamics", {**DYNAMICS, "times": times})
    halves = [found["strengths"][k][k] for k in range(3)]
    assert halves == pytest.approx([0.5, 0.3, 0.175])


def test_text():
    assert "thresholds" in answer("predict", SPEC).text
    assert "principal angle" in answer("dynamics", DYNAMICS).text


@pytest.mark.parametrize("command", ["predict", "dynamics"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 1}, "size: expected an integer >= 2, got 1"),
        ({"eigenvalues": []}, "eigenvalues: expected at least 1, got none"),
        ({"eigenvalues": [1, 0]}, r"eigenvalues\[1\]: expected a positive number, got 0"),
        ({"eigenvalues": [1.0] * 60}, "eigenvalues: expected 1 to 59 of them, got 60"),
        ({"factors": 2}, "factors: expected 3 .* to 60 .*, got 2"),
        ({"factors": 61}, "factors: expected 3 .* to 60 .*, got 61"),
        ({"measurements": 0}, "measurements: expected an integer >= 1, got 0"),
        ({"measurements": 1.5}, r"measurements: expected an integer >= 1, got 1\.5"),
        ({"operator": "dense"}, 'operator: expected one of "gaussian", "structured", got "dense"'),
        (
            {"operator": "structured", "measurements": 1831},
            "measurements: expected at most the 1830 coordinates",
        ),
        ({"scale": 0}, "scale: expected a positive number, got 0"),
        ({"learning_rate": None}, "learning_rate: expected a positive number, got null"),
        ({"rank": 3}, "rank: expected a key among size"),
    ],
)
def test_bad_input_is_named(command, change, message):
    with pytest.raises(ValueError, match=message):
        answer(command, {**DYNAMICS, **change})


def test_dynamics_needs_its_times():
    with pytest.raises(ValueError, match="times: expected a value, got none"):
        answer("dynamics", SPEC)
    with pytest.raises(ValueError, match=r"times\[0\]: expected a number >= 0, got -1"):
        answer("dynamics", {**SPEC, "times": [-1]})
