"""What specifications may say; every way to say it wrong is refused by the key's name."""

import copy
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from spectrain.answers.mixture.specification import read_dynamics, read_prediction
from spectrain.answers.table_file import read_table
from spectrain.theory.mixture.sgd import SGD

SOFTMAX = {
    "head": {"kind": "softmax"},
    "gram": np.diag([0.3, 0.4, 0.5, 1.0, 1.0, 1.0]).tolist(),
    "directions": 3,
    "weights": [0.4, 0.35, 0.25],
    "labels": [0, 1, 2],
    "snr": 3.0,
    "aspect_ratio": 4,
}
NETWORK = SOFTMAX | {
    "head": {
        "kind": "two-layer",
        "activation": "gelu",
        "loss": "binary-cross-entropy",
        "second_layer": [1.5, -1.5, 1.0],
        "hidden_bias": [0.1, 0.2, 0.3],
        "output_bias": -0.5,
    },
    "labels": [0, 1, 1],
}
SPECTRUM = {"matrix": "hessian", "block": 0}
PATH = {"scaled_learning_rate": 0.5, "times": [0, 2.5]}
REMOVED = object()
READERS = {"predict": (read_prediction, SPECTRUM), "dynamics": (read_dynamics, PATH)}


def changed(base, changes):
    """A copy with keys, dotted for those of the head, set or removed."""
    content = copy.deepcopy(base)
    for key, value in changes.items():
        *path, last = key.split(".")
        table = content
        for name in path:
            table = table[name]
        if value is REMOVED:
            del table[last]
        else:
            table[last] = value
    return content


def indefinite(size=6):
    gram = np.eye(size)
    gram[0, 1] = gram[1, 0] = 1.5
    return gram.tolist()


def with_entry(value):
    gram = copy.deepcopy(SOFTMAX["gram"])
    gram[0][0] = value
    return gram


ASYMMETRIC = (np.eye(6) + np.eye(6, k=1) / 9).tolist()
NOT_NUMBERS = [math.nan, math.inf, -math.inf, True, "1", None, [1], {}, 10**400]

# Key to be named, changes.
BAD_PROBLEM = [
    *(("snr", {"snr": value}) for value in [*NOT_NUMBERS, 0, -1, -0.0]),
    *(("aspect_ratio", {"aspect_ratio": value}) for value in [*NOT_NUMBERS, 0, -2]),
    *(("dimension", {"dimension": value}) for value in [*NOT_NUMBERS, 0, -5, 2.5]),
    ("aspect_ratio", {"aspect_ratio": 0.01, "dimension": 10}),
    *(("directions", {"directions": value}) for value in [*NOT_NUMBERS, 0, -1, 1.5]),
    *(("teachers", {"teachers": value}) for value in [*NOT_NUMBERS, -1, 0.5, 1]),
    *((key, {key: REMOVED}) for key in SOFTMAX),
    *(("gram", {"gram": with_entry(value)}) for value in NOT_NUMBERS),
    *(("gram", {"gram": value}) for value in [3, [], [[]], {}, "I", None, [1, 2], [[1], [1, 2]]]),
    ("gram", {"gram": np.eye(5).tolist()}),
    ("gram", {"gram": np.eye(7).tolist()}),
    ("gram", {"gram": np.eye(6, 5).tolist()}),
    ("gram", {"gram": indefinite()}),
    ("gram", {"gram": (-np.eye(6)).tolist()}),
    ("gram", {"gram": ASYMMETRIC}),
    ("gram", {"directions": 4}),
    ("weights", {"weights": [0.4, 0.35, 0.3]}),
    ("weights", {"weights": [0.4, 0.35, 0.2499]}),
    ("weights", {"weights": [1.4, 0.35, -0.75]}),
    ("weights", {"weights": [0.6, 0.4, 0]}),
    ("weights", {"weights": [0.6, 0.4]}),
    ("weights", {"weights": []}),
    ("weights", {"weights": 1}),
    *(("weights[1]", {"weights": [0.4, value, 0.25]}) for value in NOT_NUMBERS),
    ("labels", {"labels": [0, 1]}),
    ("labels", {"labels": [0, 1, 2, 0]}),
    ("labels", {"labels": "012"}),
    *(("labels[2]", {"labels": [0, 1, value]}) for value in [*NOT_NUMBERS, -1, 0.5]),
    *(("head", {"head": value}) for value in ["softmax", None, 3, ["softmax"]]),
    *(("head.kind", {"head": {"kind": value}}) for value in ["soft", None, 3, True]),
    ("head.kind", {"head": {}}),
    ("head.classes", {"head": {"kind": "softmax", "classes": 3}}),
    ("directions", {"head": {"kind": "logistic"}}),
    ("directions", {"directions": 1, "gram": np.eye(4).tolist()}),
    ("phi", {"phi": 3}),
]
BAD_NETWORK = [
    *((f"head.{key}", {f"head.{key}": REMOVED}) for key in ["activation", "loss", "second_layer"]),
    *((f"head.{key}", {f"head.{key}": 3}) for key in ["activation", "loss", "second_layer"]),
    ("head.loss", {"head.loss": "hinge"}),
    ("head.second_layers", {"head.second_layers": [1, 2, 3]}),
    ("head.second_layer", {"head.second_layer": [1, 2]}),
    ("head.second_layer", {"head.second_layer": [[1, 2, 3], [1, 2, 3]]}),
    *(("head.second_layer[0]", {"head.second_layer": [value, 1, 1]}) for value in NOT_NUMBERS),
    ("head.hidden_bias", {"head.hidden_bias": [1, 2]}),
    ("head.hidden_bias", {"head.hidden_bias": 1}),
    *(("head.hidden_bias[0]", {"head.hidden_bias": [value, 1, 1]}) for value in NOT_NUMBERS),
    ("head.output_bias", {"head.output_bias": [1, 2]}),
    ("head.output_bias", {"head.output_bias": "0"}),
    ("head.second_layer", {"head.loss": "softmax"}),
    ("head.second_layer", {"head.loss": "softmax", "head.second_layer": [[1, 2], [3, 4]]}),
    ("head.second_layer", {"head.loss": "softmax", "head.second_layer": [[1, 2, 3]]}),
    ("head.second_layer", {"head.loss": "softmax", "head.second_layer": [[1, 2, 3], [1]]}),
    ("head.output_bias", {"head.loss": "softmax", "head.second_layer": [[1, 2, 3], [1, 0, 1]]}),
    ("teachers", {"teachers": 1}),
    ("teachers", {"head": {"kind": "multi-index"}}),
    ("teachers", {"head": {"kind": "multi-index"}, "teachers": 3}),
    ("head.activation", {"head": {"kind": "multi-index"}, "teachers": 1}),
    ("head.teacher_activation", {"head.kind": "multi-index", "head.loss": REMOVED, "teachers": 1}
     | {"head.second_layer": [1, 2], "head.hidden_bias": [1, 2]}),
]  # fmt: skip
BAD_SPECTRUM = [
    *((key, {key: REMOVED}) for key in SPECTRUM),
    *(("matrix", {"matrix": value}) for value in ["fisher", "Hessian", None, 0, ["hessian"]]),
    *(("block", {"block": value}) for value in [3, -1, 0.5, True, "all", None, {}, math.nan]),
    *(("block", {"block": value}) for value in [[], [0, 3], [0, 0], [0, -1], ["full"], [[0]]]),
    *(("density_points", {"density_points": value}) for value in [*NOT_NUMBERS, -1, 1.5]),
    *(("eigenvalues", {"eigenvalues": value, "dimension": 10}) for value in [1, "1", None, [11]]),
    *(
        ("eigenvalues[1]", {"eigenvalues": [1, value], "dimension": 10})
        for value in [*NOT_NUMBERS, 0, -1, 1.5]
    ),
    ("eigenvalues", {"eigenvalues": [1]}),
    ("eigenvalues", {"eigenvalues": [31], "block": "directions", "dimension": 10}),
    ("times_", {"times_": 1}),
]
BAD_PATH = [
    *((key, {key: REMOVED}) for key in PATH),
    *(("scaled_learning_rate", {"scaled_learning_rate": value}) for value in [*NOT_NUMBERS, 0, -1]),
    *(("second_layer_rate", {"second_layer_rate": value}) for value in [*NOT_NUMBERS, -1]),
    *(("batch_size", {"batch_size": value}) for value in [*NOT_NUMBERS, 0, 1.5]),
    *(("ridge", {"ridge": value}) for value in [*NOT_NUMBERS, -1]),
    *(("momentum", {"momentum": value}) for value in [*NOT_NUMBERS, -0.1, 1, 1.5]),
    *(("times", {"times": value}) for value in [1, "1", None, [], {}]),
    *(("times[1]", {"times": [0, value]}) for value in [*NOT_NUMBERS, -1]),
    *(("schedule", {"schedule": value}) for value in [1, "1", None, {}, [[1, 1], [1, 2]]]),
    ("schedule", {"schedule": [[2, 1], [1, 2]]}),
    *(("schedule[0]", {"schedule": [value]}) for value in [1, [], [1], [1, 2, 3], None, "12"]),
    *(("schedule[0][0]", {"schedule": [[value, 1]]}) for value in [*NOT_NUMBERS, -1]),
    *(("schedule[0][1]", {"schedule": [[1, value]]}) for value in [*NOT_NUMBERS, -1]),
    ("rate", {"rate": 1}),
]


def cases():
    for command in READERS:
        yield from ((command, SOFTMAX, *case) for case in BAD_PROBLEM)
        yield from ((command, NETWORK, *case) for case in BAD_NETWORK)
    yield from (("predict", SOFTMAX, *case) for case in BAD_SPECTRUM)
    yield from (("dynamics", SOFTMAX, *case) for case in BAD_PATH)


@pytest.mark.parametrize(("command", "base", "key", "changes"), list(cases()))
def test_what_is_wrong_is_refused_by_the_name_of_its_key(command, base, key, changes):
    reader, asked = READERS[command]
    with pytest.raises(ValueError) as refused:
        reader(changed(base | asked, changes))
    message = str(refused.value)
    assert message.startswith((f"{key}: expected ", f"{key}["))
    assert len(message) < 300


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("base", [SOFTMAX, NETWORK])
def test_one_specification_serves_both_commands(command, base):
    reader, _ = READERS[command]
    problem = reader(base | SPECTRUM | PATH).problem
    np.testing.assert_array_equal(problem.statistics.gram, base["gram"])
    assert (problem.law.weights.tolist(), problem.law.snr) == ([0.4, 0.35, 0.25], 3.0)
    assert (problem.aspect_ratio, problem.dimension) == (4.0, None)


def test_the_other_command_s_keys_are_not_looked_at():
    assert read_prediction(SOFTMAX | SPECTRUM | {"times": "soon", "momentum": 2}).rows == (0,)
    assert read_dynamics(SOFTMAX | PATH | {"block": "sea", "matrix": 1}).times == (0.0, 2.5)


@pytest.mark.parametrize(
    ("block", "rows", "with_parameters"),
    [
        (2, (2,), False),
        ([2, 0], (2, 0), False),
        ("directions", (0, 1, 2), False),
        ("full", (0, 1, 2), True),
    ],
)
def test_blocks(block, rows, with_parameters):
    asked = read_prediction(SOFTMAX | {"matrix": "information", "block": block})
    assert (asked.rows, asked.with_parameters) == (rows, with_parameters)


def test_defaults():
    asked = read_prediction(SOFTMAX | SPECTRUM)
    assert (asked.density_points, asked.ranks) == (200, ())
    assert read_dynamics(SOFTMAX | PATH).sgd == SGD(0.5, 1, 0.0, 0.0, 0.0, ())


def test_the_algorithm_has_the_names_of_its_keys():
    sgd = SGD(0.5, 2, 0.1, 0.9, 0.3, ((0.0, 2.0), (3.0, 0.5)))
    asked = {"batch_size": 2, "ridge": 0.1, "momentum": 0.9, "second_layer_rate": 0.3}
    asked |= {"schedule": [[0, 2], [3, 0.5]]}
    assert read_dynamics(SOFTMAX | PATH | asked).sgd == sgd


def test_whole_numbers_may_be_written_as_floating_ones():
    asked = SOFTMAX | {"labels": [0.0, 1.0, 2.0], "directions": 3.0, "dimension": 1e3}
    problem = read_prediction(asked | SPECTRUM).problem
    assert (problem.law.labels.tolist(), problem.head.directions) == ([0, 1, 2], 3)
    assert problem.dimension == 1000
    assert isinstance(problem.dimension, int)


def test_ranks_run_over_the_whole_block():
    asked = NETWORK | {"matrix": "hessian", "block": "full", "dimension": 10}
    assert read_prediction(asked | {"eigenvalues": [37, 1]}).ranks == (37, 1)
    with pytest.raises(ValueError, match="eigenvalues: expected ranks from 1 to 37"):
        read_prediction(asked | {"eigenvalues": [38]})


@pytest.mark.parametrize(
    "gram",
    [
        np.zeros((6, 6)),
        np.diag([0, 0, 0, 1, 1, 1]),
        np.ones((6, 6)),
        np.outer([1, -2, 3, -4, 5, -6], [1, -2, 3, -4, 5, -6]) / 7,
    ],
)
def test_a_singular_gram_matrix_is_taken(gram):
    problem = read_prediction(SOFTMAX | SPECTRUM | {"gram": gram.tolist()}).problem
    np.testing.assert_array_equal(problem.statistics.gram, gram)


def test_parameters_are_second_layer_then_biases_in_the_shapes_given():
    head = read_prediction(NETWORK | SPECTRUM).problem.head
    np.testing.assert_array_equal(head.initial, [1.5, -1.5, 1.0, 0.1, 0.2, 0.3, -0.5])
    parts = head.parts(np.arange(14.0).reshape(2, 7))
    assert {name: part.tolist() for name, part in parts.items()} == {
        "second_layer": [[0, 1, 2], [7, 8, 9]],
        "hidden_bias": [[3, 4, 5], [10, 11, 12]],
        "output_bias": [6, 13],
    }
    several = {
        "head.loss": "softmax",
        "head.second_layer": [[1, 2, 3], [4, 5, 6]],
        "head.output_bias": [7, 8],
        "head.hidden_bias": REMOVED,
    }
    head = read_prediction(changed(NETWORK | SPECTRUM, several)).problem.head
    np.testing.assert_array_equal(head.initial, range(1, 9))
    assert head.parts(head.initial)["second_layer"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert read_prediction(SOFTMAX | SPECTRUM).problem.head.parts(np.zeros((4, 0))) == {}


def test_a_multi_index_head_counts_its_teachers_among_the_directions():
    head = {
        "kind": "multi-index",
        "activation": "tanh",
        "second_layer": [1, 2],
        "teacher_activation": "identity",
        "teacher_second_layer": [1],
    }
    asked = read_prediction(
        SOFTMAX | {"head": head, "teachers": 1, "matrix": "hessian", "block": "directions"}
    )
    assert asked.rows == (0, 1)
    assert asked.problem.head.teacher_second_layer == (1.0,)
    with pytest.raises(ValueError, match=r"block: .* \(0 to 1\)"):
        read_prediction(SOFTMAX | {"head": head, "teachers": 1, "matrix": "hessian", "block": 2})


def test_numbers_that_json_does_not_know_are_refused_by_key(tmp_path):
    for literal in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = json.dumps(SOFTMAX | SPECTRUM).replace('"snr": 3.0', f'"snr": {literal}')
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(ValueError, match=r"^snr: expected a positive number"):
            read_prediction(read_table(str(tmp_path / "s.json")))


def test_bad_input_is_refused_without_torch():
    program = (
        "import sys\n"
        "from spectrain.answers.mixture.specification import read_prediction\n"
        "try: read_prediction({})\n"
        "except ValueError: assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
