"""Which system answers: the one that the specification names, else the mixture."""

import io
import json
import subprocess
import sys
from types import ModuleType

import pytest

from spectrain.answers.answer import Answer
from spectrain.answers.dispatch import answer
from spectrain.answers.values import Specification, nonnegative
from spectrain.cli import main
from spectrain.training.config import TrainingConfig
from spectrain.training.systems import SYSTEMS

SOFTMAX = {
    "head": {"kind": "softmax"},
    "directions": 2,
    "gram": [[0.3, 0, 0, 0], [0, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    "weights": [0.5, 0.5],
    "labels": [0, 1],
    "snr": 3.0,
    "aspect_ratio": 4.0,
    "scaled_learning_rate": 0.5,
    "times": [1, 0],
}
ABACUS = "abacus_answers"


class AbacusConfig(TrainingConfig):
    """A system that predicts the square of a number and has no dynamics."""

    system = "abacus"
    answers = ABACUS


@pytest.fixture
def abacus(monkeypatch):
    def predict(content):
        keys = Specification(content)
        number = keys.required("number", nonnegative)
        keys.finish()
        return Answer({"square": number**2, "infinite": float("inf"), "error": 0.0})

    module = ModuleType(ABACUS)
    module.predict = predict
    monkeypatch.setitem(sys.modules, ABACUS, module)
    monkeypatch.setitem(SYSTEMS, "abacus", AbacusConfig)


@pytest.mark.parametrize("system", ["mixture", "softmax-mixture"])
def test_a_specification_without_a_system_is_one_of_a_mixture(system):
    asked = answer("dynamics", SOFTMAX | {"system": system})
    assert asked.json == answer("dynamics", SOFTMAX).json
    assert json.loads(asked.json)["times"] == [1.0, 0.0]
    assert asked.text.split()[:3] == ["t", "loss", "accuracy"]


@pytest.mark.parametrize("command", ["predict", "dynamics"])
@pytest.mark.parametrize("name", ["two-layer-mixture", "logistic-mixture"])
def test_a_system_that_is_trained_has_its_own_head_alone(command, name):
    with pytest.raises(ValueError, match=rf'head.kind: expected .* for the system {name}, got "so'):
        answer(command, SOFTMAX | {"system": name})


BOTH = {
    "mixture": SOFTMAX | {"matrix": "hessian", "block": 0, "density_points": 0},
    "linear": {
        "spectrum": [1.0, 0.5],
        "target": [1.0, 2.0],
        "ridge": 0.1,
        "spikes": [3.0],
        "algorithm": "flow",
        "times": [0, 1],
    },
    "spiked-matrix-tensor": {
        "matrix_noise": 0.9,
        "overlap": 0.2,
        "multiplier": 4.0,
        "energy": -1.0,
        "algorithm": "gd",
        "learning_rate": 0.1,
        "initial_overlap": 0.2,
        "times": [0, 1],
    },
    "low-rank": {
        "size": 10,
        "eigenvalues": [1.0],
        "factors": 2,
        "measurements": 50,
        "scale": 1e-3,
        "learning_rate": 0.1,
        "times": [0, 1],
    },
}


@pytest.mark.parametrize("command", ["predict", "dynamics"])
@pytest.mark.parametrize("name", BOTH)
def test_one_specification_serves_both_commands(command, name):
    assert answer(command, BOTH[name] | {"system": name}).json.startswith("{")


@pytest.mark.parametrize("name", ["abacus", "", "Mixture", None, 3, ["mixture"], {"a": 1}])
def test_an_unknown_system_is_refused_with_the_known_ones(name):
    known = ", ".join(f'"{system}"' for system in ("mixture", *SYSTEMS))
    with pytest.raises(ValueError) as refused:
        answer("predict", {"system": name})
    assert str(refused.value) == f"system: expected one of {known}, got {json.dumps(name)}"


def test_another_system_answers_with_its_own_keys(abacus, monkeypatch, capsys):
    def run(content, *flags):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(content)))
        status = main(["predict", "-", *flags])
        return status, capsys.readouterr()

    status, printed = run({"system": "abacus", "number": 3}, "--json")
    assert (status, printed.out) == (0, '{"square": 9.0, "infinite": null, "error": 0.0}\n')
    status, printed = run({"system": "abacus", "number": 3})
    assert printed.out.splitlines()[0].split() == ["square", "9"]
    status, printed = run({"system": "abacus", "number": 3, "numbers": 4})
    assert (status, printed.out) == (2, "")
    assert "numbers: expected a key among number, got this" in printed.err


def test_a_command_that_a_system_has_no_answer_to_is_refused(abacus):
    with pytest.raises(ValueError, match="system: expected one that has an answer to dynamics"):
        answer("dynamics", {"system": "abacus"})


def test_bad_input_of_any_system_is_refused_without_torch():
    program = (
        "import sys\n"
        "from spectrain.answers.dispatch import answer\n"
        "from spectrain.training.systems import SYSTEMS\n"
        "for system in ['mixture', *SYSTEMS]:\n"
        "    for command in ('predict', 'dynamics'):\n"
        "        try: answer(command, {'system': system, 'no such key': 1})\n"
        "        except ValueError: assert 'torch' not in sys.modules\n"
        "        else: raise AssertionError(system)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
