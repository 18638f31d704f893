"""`spectrain predict` and `spectrain dynamics`, from a specification to the document."""

import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

from spectrain.cli import main
from spectrain.models.heads import ACTIVATIONS

REFERENCE = Path(__file__).parents[3] / "docs/reference.md"
MEANS = np.diag([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
START = np.diag([0.3, 0.4, 0.5, 1.0, 1.0, 1.0])
START[0, 3] = START[3, 0] = 0.2
SOFTMAX = {
    "head": {"kind": "softmax"},
    "directions": 3,
    "gram": START.tolist(),
    "weights": [0.4, 0.35, 0.25],
    "labels": [0, 1, 2],
    "snr": 3.0,
    "aspect_ratio": 4.0,
    "matrix": "hessian",
    "block": 0,
    "density_points": 0,
    "scaled_learning_rate": 0.5,
    "times": [0, 1],
}
# One direction, one mean, label 0, identity: least squares.
LEAST_SQUARES = {
    "head": {
        "kind": "two-layer",
        "activation": "identity",
        "loss": "squared",
        "second_layer": [1.0],
    },
    "directions": 1,
    "gram": [[0.8, 0.5], [0.5, 1.2]],
    "weights": [1.0],
    "labels": [0],
    "snr": 2.5,
    "aspect_ratio": 3.0,
    "matrix": "hessian",
    "block": "directions",
    "density_points": 0,
    "scaled_learning_rate": 0.7,
    "times": [0, 2, 0.5],
}
KEYS = {"bulk", "outliers", "eigenvalues", "error"}
BULK_KEYS = {"edges", "edge_kinds", "atom_at_zero"}
PATH_KEYS = {"times", "gram", "second_layer", "loss", "accuracy", "error"}


def refuse_constant(name):
    pytest.fail(f"not strict JSON: {name}")


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command on a specification given as the standard input; what it printed."""

    def run(command, specification, *flags, status=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(specification)))
        assert main([command, "-", *flags]) == status
        return capsys.readouterr()

    return run


@pytest.fixture
def answer(run):
    def answer(command, specification, **changes):
        output = run(command, specification | changes, "--json").out
        assert output.endswith("}\n")
        assert output.count("\n") == 1
        return json.loads(output, parse_constant=refuse_constant)

    return answer


def marchenko_pastur(scale, aspect_ratio):
    """Edges of the law of scale times a sample covariance of unit noise."""
    return [scale * (1 + sign * aspect_ratio**-0.5) ** 2 for sign in (-1, 1)]


@pytest.mark.parametrize(("snr", "aspect_ratio"), [(3.0, 4.0), (6.0, 2.0)])
def test_softmax_at_the_origin_is_a_spiked_covariance(answer, snr, aspect_ratio):
    found = answer(
        "predict",
        SOFTMAX,
        gram=MEANS.tolist(),
        weights=[1 / 3, 1 / 3, 1 / 3],
        snr=snr,
        aspect_ratio=aspect_ratio,
    )
    scale = 2 / 9 / snr
    spike = snr / 3  # s - 1
    assert spike > aspect_ratio**-0.5
    (outlier,) = found["outliers"]
    assert outlier["value"] == pytest.approx(
        scale * (1 + spike) * (1 + 1 / (aspect_ratio * spike)), rel=1e-8
    )
    assert outlier["overlap"] == pytest.approx(
        (1 - 1 / (aspect_ratio * spike**2)) / (1 + 1 / (aspect_ratio * spike)), rel=1e-8
    )
    assert (outlier["multiplicity"], outlier["side"]) == (3, "right")
    ((lower, upper),) = found["bulk"]["edges"]
    assert [lower, upper] == pytest.approx(marchenko_pastur(scale, aspect_ratio), rel=1e-8)
    assert found["bulk"]["edge_kinds"] == [["square-root", "square-root"]]
    assert found["bulk"]["atom_at_zero"] == 0
    assert 0 <= outlier["error"] <= found["error"] < 1e-6


def test_the_document_has_the_documented_keys(answer):
    found = answer("predict", SOFTMAX)
    assert found.keys() == KEYS
    assert found["bulk"].keys() == BULK_KEYS
    assert found["eigenvalues"] == []
    assert all(
        outlier.keys() == {"value", "overlap", "multiplicity", "side", "error"}
        for outlier in found["outliers"]
    )
    with_dimension = answer("predict", SOFTMAX, dimension=500, density_points=7)["bulk"]
    more = {"finite_size_edges", "detection_edges", "detection_edge_errors", "density"}
    assert with_dimension.keys() == BULK_KEYS | more
    assert {len(values) for values in with_dimension["density"].values()} == {7}
    specification = {key: SOFTMAX[key] for key in SOFTMAX if key != "density_points"}
    assert len(answer("predict", specification)["bulk"]["density"]["points"]) == 200
    assert answer("dynamics", SOFTMAX).keys() == PATH_KEYS
    assert answer("dynamics", SOFTMAX, dimension=500).keys() == PATH_KEYS | {"band"}


def test_the_dimension_changes_finite_size_numbers_alone(answer):
    limit, finite = (answer("predict", SOFTMAX, **more) for more in ({}, {"dimension": 10_000}))
    assert finite["outliers"] == limit["outliers"]
    bulk = finite["bulk"]
    assert bulk["edges"] == limit["bulk"]["edges"]
    ((lower, upper),) = bulk["edges"]
    near, far = bulk["finite_size_edges"], bulk["detection_edges"]
    assert far[0] < lower < near[0] < near[1] < upper < far[1]


def test_eigenvalues_come_in_the_order_asked_with_outliers_counted(answer):
    ranks = [500, 1, 3, 2, 250, 4, 1]
    found = answer("predict", SOFTMAX, dimension=500, eigenvalues=ranks)
    values = found["eigenvalues"]
    assert len(values) == len(ranks)
    by_rank = dict(zip(ranks, values, strict=True))
    ordered = [by_rank[rank] for rank in sorted(by_rank)]
    assert ordered == sorted(ordered, reverse=True)
    outliers = [outlier["value"] for outlier in found["outliers"]]
    assert 0 < len(outliers) < 4
    assert ordered[: len(outliers)] == pytest.approx(outliers, rel=1e-9)
    ((lower, upper),) = found["bulk"]["edges"]
    assert all(lower < value < upper for value in ordered[len(outliers) :])


def test_the_density_has_the_mass_of_the_bulk(answer):
    bulk = answer("predict", SOFTMAX, block="directions", density_points=400)["bulk"]
    mass = trapezoid(bulk["density"]["values"], bulk["density"]["points"])
    assert bulk["atom_at_zero"] == pytest.approx(1 / 3)  # the direction (1, 1, 1)
    assert mass == pytest.approx(2 / 3, abs=5e-3)


def permuted(specification, order):
    """The same problem with its classes, and with them its components, in another order."""
    rows = [*order, *(3 + a for a in order)]
    return specification | {
        "gram": np.array(specification["gram"])[np.ix_(rows, rows)].tolist(),
        "weights": [specification["weights"][a] for a in order],
        "block": order.index(0),
    }


def test_the_order_of_the_classes_does_not_matter(answer):
    order = [2, 0, 1]
    for matrix in ("hessian", "information"):
        specification = SOFTMAX | {"matrix": matrix}
        first = answer("predict", specification)
        second = answer("predict", permuted(specification, order))
        assert second["bulk"]["edges"][0] == pytest.approx(first["bulk"]["edges"][0], rel=1e-4)
        values = [[o["value"] for o in found["outliers"]] for found in (first, second)]
        assert values[1] == pytest.approx(values[0], rel=1e-5)
    paths = [answer("dynamics", spec) for spec in (SOFTMAX, permuted(SOFTMAX, order))]
    rows = [*order, *(3 + a for a in order)]
    expected = np.array(paths[0]["gram"])[:, rows][:, :, rows]
    np.testing.assert_allclose(paths[1]["gram"], expected, atol=1e-5)
    np.testing.assert_allclose(paths[1]["loss"], paths[0]["loss"], rtol=1e-5)


def toml_value(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def test_toml_and_json_say_the_same(tmp_path, capsys):
    lines = [f"{key} = {toml_value(value)}" for key, value in SOFTMAX.items()]
    (tmp_path / "s.toml").write_text("\n".join(lines))
    (tmp_path / "s.json").write_text(json.dumps(SOFTMAX))
    for command in ("predict", "dynamics"):
        printed = []
        for name in ("s.toml", "s.json"):
            assert main([command, str(tmp_path / name), "--json"]) == 0
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1]


def test_least_squares_has_an_exact_path(answer):
    # With E[h^2] = a^2 + q / snr for a = x.mu and q = x.x, and m = mu.mu:
    # a' = -(m + 1/snr) a, q' = -(2 - c/snr) (a^2 + q/snr).
    found = answer("dynamics", LEAST_SQUARES)
    (q0, a0), (_, m) = LEAST_SQUARES["gram"]
    snr, c = LEAST_SQUARES["snr"], LEAST_SQUARES["scaled_learning_rate"]
    t = np.array(found["times"])
    assert t.tolist() == [0, 2, 0.5]
    rate = 2 - c / snr
    alpha, beta = 2 * (m + 1 / snr), rate / snr
    a = a0 * np.exp(-alpha / 2 * t)
    q = q0 * np.exp(-beta * t)
    q -= rate * a0**2 * (np.exp(-alpha * t) - np.exp(-beta * t)) / (beta - alpha)
    gram = np.array(found["gram"])
    np.testing.assert_allclose(gram[:, 0, 1], a, rtol=1e-5)
    np.testing.assert_allclose(gram[:, 1, 0], a, rtol=1e-5)
    np.testing.assert_allclose(gram[:, 0, 0], q, rtol=1e-5)
    np.testing.assert_array_equal(gram[:, 1, 1], m)
    np.testing.assert_allclose(found["loss"], (a**2 + q / snr) / 2, rtol=1e-5)
    assert found["second_layer"] == [[1.0]] * 3
    assert 0 <= found["error"] < 1e-4


def test_least_squares_has_a_marchenko_pastur_spectrum_with_a_spike(answer):
    found = answer("predict", LEAST_SQUARES)
    snr, phi, m = 2.5, 3.0, 1.2
    ((lower, upper),) = found["bulk"]["edges"]
    assert [lower, upper] == pytest.approx(marchenko_pastur(1 / snr, phi), rel=1e-8)
    (outlier,) = found["outliers"]
    spike = snr * m
    expected = (1 + spike) * (1 + 1 / (phi * spike)) / snr
    assert outlier["value"] == pytest.approx(expected, rel=1e-8)


def test_trained_parameters_keep_their_shapes(answer):
    head = {
        "kind": "two-layer",
        "activation": "tanh",
        "loss": "softmax",
        "second_layer": [[1.0, -1.0], [-1.0, 1.0], [0.5, 0.5]],
        "hidden_bias": [0.1, -0.1],
        "output_bias": [0.0, 0.1, 0.2],
    }
    gram = START[np.ix_([0, 1, 3, 4, 5], [0, 1, 3, 4, 5])].tolist()
    network = SOFTMAX | {"head": head, "directions": 2, "gram": gram}
    still, moving = (answer("dynamics", network, second_layer_rate=rate) for rate in (0, 1))
    for name in ("second_layer", "hidden_bias", "output_bias"):
        assert still[name] == [head[name]] * 2
        assert moving[name][0] == head[name]
        assert moving[name][1] != head[name]
        assert np.shape(moving[name][1]) == np.shape(head[name])
    one = LEAST_SQUARES["head"] | {"output_bias": 0.25}
    assert answer("dynamics", LEAST_SQUARES, head=one)["output_bias"] == [0.25] * 3


def test_the_full_block_of_a_network_counts_its_parameters(answer):
    network = LEAST_SQUARES | {"dimension": 100, "block": "full"}
    with_parameters = answer("predict", network, eigenvalues=[1, 101])
    without = answer("predict", network, block="directions", eigenvalues=[1, 100])
    assert len(with_parameters["eigenvalues"]) == len(without["eigenvalues"]) == 2
    assert with_parameters["bulk"]["edges"] == without["bulk"]["edges"]
    assert with_parameters["eigenvalues"][0] != without["eigenvalues"][0]


@pytest.mark.parametrize(
    "gram",
    [
        np.zeros((6, 6)),
        MEANS,
        np.kron([[1, 0], [0, 1]], np.ones((3, 3))),
        np.outer([0.1, 0.2, 0.3, 1, -1, 0.5], [0.1, 0.2, 0.3, 1, -1, 0.5]),
    ],
    ids=["nothing", "origin", "repeated", "collinear"],
)
@pytest.mark.parametrize("block", [1, "full"])
def test_singular_gram_matrices_work(answer, gram, block):
    found = answer("predict", SOFTMAX, gram=gram.tolist(), block=block)
    assert all(0 <= outlier["overlap"] <= 1 for outlier in found["outliers"])
    if block == 1:
        answer("dynamics", SOFTMAX, gram=gram.tolist(), dimension=100)


def test_a_squared_loss_has_no_last_edge_of_its_information_matrix(answer):
    bulk = answer("predict", LEAST_SQUARES, matrix="information", dimension=200)["bulk"]
    (_, upper), *_ = bulk["edges"]
    assert upper is None
    assert bulk["edge_kinds"][-1][1] == "thin"
    assert bulk["finite_size_edges"][1] > 0


# Bad input and failures.


@pytest.mark.parametrize("command", ["predict", "dynamics"])
@pytest.mark.parametrize(
    ("base", "changes", "key"),
    [
        (SOFTMAX, {"labels": [0, 1, 3]}, "labels"),
        (LEAST_SQUARES, {"head": {"kind": "logistic"}, "labels": [2]}, "labels"),
        (
            LEAST_SQUARES,
            {"head": LEAST_SQUARES["head"] | {"loss": "binary-cross-entropy"}, "labels": [2]},
            "labels",
        ),
        (LEAST_SQUARES, {"head": LEAST_SQUARES["head"] | {"activation": "step"}}, "activation"),
        (SOFTMAX, {"snr": 0}, "snr"),
    ],
)
def test_bad_input_gets_one_line_and_no_document(run, command, base, changes, key):
    for flags in ([], ["--json"]):
        output = run(command, base | changes, *flags, status=2)
        assert output.out == ""
        assert output.err.startswith(f"spectrain: error: {key}: expected")
        assert output.err.count("\n") == 1


def test_a_path_that_diverges_is_a_failure_without_a_document(run):
    # Steps beyond the critical size, 2 snr: q grows like exp((c/snr - 2) t / snr).
    failed = LEAST_SQUARES | {"scaled_learning_rate": 50.0, "times": [0, 1000]}
    output = run("dynamics", failed, "--json", status=1)
    assert output.out == ""
    assert "diverges" in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "status"), [({}, 0), ({"snr": float("nan")}, 2)], ids=["good", "bad"]
)
def test_exit_status_and_streams_of_the_process(tmp_path, changes, status):
    (tmp_path / "s.json").write_text(json.dumps(SOFTMAX | changes))
    program = "import sys; from spectrain.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "predict", str(tmp_path / "s.json"), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == status
    if status == 0:
        assert done.stderr == ""
        assert json.loads(done.stdout).keys() == KEYS
    else:
        assert done.stdout == ""
        assert done.stderr.startswith("spectrain: error: snr: expected")
        assert done.stderr.count("\n") == 1


# For people.


def test_without_json_a_table_is_printed(run):
    text = run("predict", SOFTMAX | {"dimension": 500, "eigenvalues": [1]}).out
    document = json.loads(run("predict", SOFTMAX, "--json").out)
    for value in [*document["bulk"]["edges"][0], document["outliers"][0]["value"]]:
        assert f"{value:.5g}" in text
    assert "detection edges" in text
    path = json.loads(run("dynamics", SOFTMAX, "--json").out)
    text = run("dynamics", SOFTMAX).out
    for value in [*path["loss"], *path["accuracy"], path["gram"][-1][0][0]]:
        assert f"{value:.5g}" in text


def test_the_reference_names_every_key_and_activation(answer):
    text = REFERENCE.read_text("utf-8")
    documents = [answer("predict", SOFTMAX, dimension=50, density_points=9)]
    documents += [documents[0]["bulk"], answer("dynamics", SOFTMAX, dimension=50)]
    names = {name for document in documents for name in document} | ACTIVATIONS.keys()
    assert {name for name in names if not re.search(rf"`(bulk\.)?{name}`", text)} == set()


def examples(language, parse):
    text = REFERENCE.read_text("utf-8")
    blocks = text.split(f"```{language}\n")[1:]
    return [parse(block.split("```")[0]) for block in blocks]


@pytest.mark.parametrize("command", ["predict", "dynamics"])
@pytest.mark.parametrize(
    "specification", [*examples("toml", tomllib.loads), *examples("json", json.loads)]
)
def test_the_examples_of_the_reference_run(answer, command, specification):
    found = answer(command, specification)
    assert found["error"] is not None
    expected = specification["times"] if command == "dynamics" else []
    assert len(found.get("times", [])) == len(expected)
