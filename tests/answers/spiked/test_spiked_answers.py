"""What `spectrain predict` and `spectrain dynamics` print for the spiked matrix-tensor model."""

import json

import pytest

from spectrain.answers.dispatch import answer
from spectrain.theory.spiked.covariance import Covariance
from spectrain.theory.spiked.descent import descent_trajectory

SYSTEM = {"system": "spiked-matrix-tensor"}
GD = {
    **SYSTEM,
    "matrix_noise": 0.3,
    "tensor_noise": 1.0,
    "algorithm": "gd",
    "learning_rate": 0.1,
    "initial_overlap": 0.2,
    "times": [0, 8, 60],
}


def document(command, content):
    return json.loads(answer(command, content).json)


def test_descent_is_told_at_its_steps():
    found = document("dynamics", GD)
    path = descent_trajectory(Covariance(0.3, 1.0), 0.2, 0.1, [0, 8, 60])
    assert found["times"] == [0, 8, 60]
    for name in ("overlap", "multiplier", "energy", "correlation"):
        assert found[name] == pytest.approx(getattr(path, name).tolist())
    sigma = Covariance(0.3, 1.0).sigma
    for hessian, mu in zip(found["hessian"], found["multiplier"], strict=True):
        assert hessian["edges"] == pytest.approx([mu - 2 * sigma, mu + 2 * sigma])
    start, middle, end = found["hessian"]
    assert start["outliers"][0].keys() == {"value", "overlap", "weight"}
    naive = start["naive_outliers"][0]
    assert naive == pytest.approx({k: start["outliers"][0][k] for k in ("value", "overlap")})
    assert middle["outliers"][0]["overlap"] > 3 * middle["naive_outliers"][0]["overlap"]
    assert end["outliers"] == end["naive_outliers"] == []
    assert found["error"] == 0


def test_flow_at_continuous_times():
    asked = {**GD, "algorithm": "flow", "times": [0, 0.25]}
    del asked["learning_rate"]
    found = document("dynamics", asked)
    assert found["times"] == [0, 0.25]
    assert found["overlap"][0] == pytest.approx(0.2)
    assert 0 < found["error"] < 1e-6


def test_langevin_dynamics_has_no_hessian_and_says_why():
    asked = {**GD, "algorithm": "langevin", "temperature": 0.1, "times": [0.1]}
    del asked["learning_rate"]
    found = document("dynamics", asked)
    assert found["hessian"] is None
    assert "temperature 0" in found["hessian_reason"]
    assert "temperature 0" in answer("dynamics", asked).text


def test_text_has_a_row_for_each_time():
    lines = answer("dynamics", GD).text.splitlines()
    assert lines[0].split()[:3] == ["time", "overlap", "multiplier"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "8", "60", "error"]
    assert lines[3].split()[-4:] == ["-"] * 4


def test_lines_and_threshold():
    found = document("predict", {**SYSTEM, "tensor_noise": 4})
    assert found["lines"] == pytest.approx(
        {
            "trivialisation": 0.644306,
            "gradient_flow": 3**0.5 - 1,
            "maximum_likelihood_amp": 2 * 2**0.5 - 2,
            "bayes_amp": 1.0,
        },
        abs=1e-6,
    )
    assert found.keys() == {"lines", "threshold"}
    pure = document("predict", {**SYSTEM, "tensor_noise": 2 / 3, "matrix_noise": None})
    assert pure["threshold"] == pytest.approx({"multiplier": 12**0.5, "energy": -2 / 3**0.5})


def test_a_point_of_the_landscape():
    asked = {**SYSTEM, "matrix_noise": 0.3, "tensor_noise": 1.0, "overlap": 0.2, "multiplier": 5.0}
    found = document("predict", asked)
    sigma = Covariance(0.3, 1.0).sigma
    assert found["edges"] == pytest.approx([5 - 2 * sigma, 5 + 2 * sigma])
    assert found["outliers"][0]["weight"] == pytest.approx(3.584)
    assert found["complexity"] < 0
    assert document("predict", {**asked, "multiplier": 1.0})["complexity"] is None
    with_energy = document("predict", {**asked, "energy": -1.9})
    assert with_energy["complexity"] < found["complexity"]
    assert "outlier" in answer("predict", asked).text
    assert "no minima" in answer("predict", {**asked, "multiplier": 1.0}).text


def test_the_order_is_accepted_without_a_tensor():
    found = document("predict", {**SYSTEM, "matrix_noise": 0.5, "order": 4})
    assert set(found["lines"].values()) == {1.0}


@pytest.mark.parametrize(
    ("command", "change", "message"),
    [
        (
            "dynamics",
            {"matrix_noise": None, "tensor_noise": None},
            "expected at least one, got None",
        ),
        ("dynamics", {"matrix_noise": -1}, "matrix_noise: expected a positive number, got -1"),
        ("dynamics", {"algorithm": "adam"}, 'algorithm: expected one of "gd", "flow", "langevin"'),
        ("dynamics", {"algorithm": "flow"}, "learning_rate: expected none, since it belongs to gd"),
        (
            "dynamics",
            {"temperature": 0.1},
            "temperature: expected none, since it belongs to lang",
        ),
        ("dynamics", {"times": [0.5]}, r"times\[0\]: expected an integer >= 0, got 0\.5"),
        ("dynamics", {"times": []}, "times: expected at least 1, got none"),
        ("dynamics", {"times": [3, 3]}, "times: expected steps, strictly increasing"),
        (
            "dynamics",
            {"initial_overlap": 2},
            "initial_overlap: expected a number from -1 to 1",
        ),
        ("dynamics", {"order": 2}, "order: expected an integer from 3 to 100, got 2"),
        ("dynamics", {"stepsize": 2}, "stepsize: expected a key among"),
        ("predict", {"overlap": 0.1}, "multiplier: expected a value beside the other of the two"),
        ("predict", {"energy": 0.1}, "overlap: expected a value where there is an energy"),
        (
            "predict",
            {"overlap": 1, "multiplier": 1},
            "overlap: expected a number above -1 and below 1",
        ),
    ],
)
def test_bad_input_is_named(command, change, message):
    base = GD if command == "dynamics" else {**SYSTEM, "tensor_noise": 1.0}
    with pytest.raises(ValueError, match=message):
        answer(command, {**base, **change})


def test_where_no_minimum_has_such_an_energy_the_complexity_is_null():
    asked = {**SYSTEM, "tensor_noise": 0.5, "overlap": 0.2, "multiplier": 9.0, "energy": 1.0}
    assert document("predict", asked)["complexity"] is None
