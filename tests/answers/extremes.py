"""Specifications with one number at an end of the number range, each answered in a fork of its own.

Started by test_number_range.py, which reads what is wrong with each and what it took: JSON lines.
"""

import copy
import json
import os
import random
import resource
import signal
import sys
import traceback
import warnings
from functools import partial

from spectrain.answers.dispatch import answer

SECONDS = 15.0  # of processor time
BYTES = 2 * 2**30

MIXTURE = {
    "head": {"kind": "softmax"},
    "directions": 2,
    "gram": [[0.3, 0, 0.1, 0], [0, 0.3, 0, 0.1], [0.1, 0, 1, 0], [0, 0.1, 0, 1]],
    "weights": [0.5, 0.5],
    "labels": [0, 1],
    "snr": 3.0,
    "aspect_ratio": 4.0,
    "dimension": 50,
}
SPECTRUM = {"matrix": "hessian", "block": 0, "density_points": 20, "eigenvalues": [1, 3]}
PATH = {
    "scaled_learning_rate": 0.5,
    "second_layer_rate": 0.3,
    "batch_size": 2,
    "ridge": 0.01,
    "momentum": 0.1,
    "schedule": [[0.0, 1.0], [0.5, 0.5]],
    "times": [0.0, 1.0],
}
LOGISTIC = MIXTURE | {
    "head": {"kind": "logistic"},
    "directions": 1,
    "gram": [[0.3, 0.1, 0], [0.1, 1, 0], [0, 0, 1]],
}
TWO_LAYER = MIXTURE | {
    "head": {
        "kind": "two-layer",
        "activation": "gelu",
        "loss": "binary-cross-entropy",
        "second_layer": [1.5, -1.5],
        "hidden_bias": [0.1, 0.2],
        "output_bias": -0.5,
    },
}
SEVERAL = TWO_LAYER | {
    "head": {
        "kind": "two-layer",
        "activation": "gelu",
        "loss": "softmax",
        "second_layer": [[1.5, -1.5], [0.5, 1.0]],
        "hidden_bias": [0.1, 0.2],
        "output_bias": [-0.5, 0.1],
    },
}
SQUARED = TWO_LAYER | {"head": TWO_LAYER["head"] | {"loss": "squared", "activation": "erf"}}
MULTI_INDEX = MIXTURE | {
    "head": {
        "kind": "multi-index",
        "activation": "erf",
        "second_layer": [1.0],
        "teacher_activation": "erf",
        "teacher_second_layer": [1.0],
    },
    "teachers": 1,
    "gram": [[0.3, 0.1, 0, 0], [0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
}
LINEAR = {
    "system": "linear",
    "spectrum": [0.5, 1.0, 0.1],
    "multiplicity": [50, 10, 200],
    "target": [2.0, 1.0, 0.5],
    "test_spectrum": [0.5, 1.0, 0.2],
    "samples": 300,
    "features": 400,
    "noise": 0.1,
}
RIDGE = {"ridge": 0.01, "spikes": [3.0, 5.0]}
STEPS = {
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "schedule": [[0, 1.0], [100, 0.5]],
    "times": [0, 10, 500],
}
LOW_RANK = {
    "system": "low-rank",
    "size": 60,
    "eigenvalues": [1.0, 0.6, 0.35],
    "measurements": 720,
    "factors": 3,
    "scale": 0.01,
    "learning_rate": 0.1,
}
SPIKED = {"system": "spiked-matrix-tensor", "matrix_noise": 0.3, "tensor_noise": 1.0, "order": 3}
PHASE = {"system": "phase-retrieval", "samples_per_dimension": 2.0, "overlap": 0.3}

# What is asked, and of what.
BASES = {
    **{
        f"{name} {matrix}": ("predict", base | SPECTRUM | {"matrix": matrix, "block": block})
        for matrix in ("hessian", "information")
        for name, base, block in (
            ("softmax", MIXTURE, 0),
            ("softmax, all directions,", MIXTURE, "directions"),
            ("logistic", LOGISTIC, 0),
            ("two-layer", TWO_LAYER, "full"),
            ("two-layer, squares,", SQUARED, 1),
            ("two-layer, classes,", SEVERAL, "full"),
            ("multi-index", MULTI_INDEX, "full"),
        )
    },
    **{
        f"{name} along training": ("dynamics", base | PATH)
        for name, base in (
            ("softmax", MIXTURE),
            ("logistic", LOGISTIC),
            ("two-layer", TWO_LAYER),
            ("two-layer, squares,", SQUARED),
            ("two-layer, classes,", SEVERAL),
            ("multi-index", MULTI_INDEX),
        )
    },
    "ridge regression": ("predict", LINEAR | RIDGE),
    "kernel": ("predict", LINEAR | RIDGE | {"system": "kernel"}),
    **{
        name: ("dynamics", LINEAR | STEPS | {"algorithm": name} | own)
        for name, own in (
            ("flow", {"learning_rate": None, "schedule": []}),
            ("gd", {}),
            ("sgd", {"batch_size": 4}),
            ("one-pass", {"batch_size": 4, "samples": None}),
            ("shuffled", {"batch_size": 4}),
        )
    },
    "low rank": ("predict", LOW_RANK),
    "low rank, structured": ("predict", LOW_RANK | {"operator": "structured"}),
    "low rank along training": ("dynamics", LOW_RANK | {"times": [0, 100, 300]}),
    "spiked": (
        "predict",
        SPIKED | {"overlap": 0.2, "multiplier": 2.0, "energy": -1.0},
    ),
    "spiked, descent": (
        "dynamics",
        SPIKED
        | {"algorithm": "gd", "learning_rate": 0.1, "initial_overlap": 0.2, "times": [0, 8, 60]},
    ),
    "spiked, flow": (
        "dynamics",
        SPIKED | {"algorithm": "flow", "initial_overlap": 0.2, "times": [0, 0.5]},
    ),
    "spiked, Langevin": (
        "dynamics",
        SPIKED
        | {"algorithm": "langevin", "temperature": 0.1, "initial_overlap": 0.2, "times": [0, 0.5]},
    ),
    "normalised phase retrieval": ("predict", PHASE | {"loss": "normalised", "offset": 1.0}),
    "quartic phase retrieval": ("predict", PHASE | {"loss": "quartic"}),
    "flat minima": (
        "predict",
        {
            "system": "flat-minima",
            "samples_per_dimension": 2.0,
            "noise": 1.0,
            "ridge": 0.5,
            "fraction": 0.3,
            "perturbations": [2.0, 0.5],
        },
    ),
}

ENDS = [5e-324, 1e-310, 1e-300, 1e-16, 1e16, 1e100, 1e308, 10**12]
ALL = [1e-310, 1e-16, 1e308, 10**12]  # in the place of every item of a list
MANY = 3 * 10**5  # entries of a list


def parts(content, place=()):
    """Where the numbers and the lists of a specification are; the first item stands for all."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from parts(value, (*place, key))
    elif isinstance(content, list) and content:
        yield place, content
        if place[-1] == "schedule":  # its items differ
            content = content[0]
            place = (*place, 0)
            yield (*place, 0), content[0]
            yield (*place, 1), content[1]
        else:
            yield from parts(content[0], (*place, 0))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield place, content


def changed(base, place, value):
    """A copy with another value at a place."""
    content = copy.deepcopy(base)
    target = content
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    return content


def cases():
    """(base, key, value in words, command, function that makes the specification)."""
    for name, (command, base) in BASES.items():
        for place, found in parts(base):
            key = ".".join(map(str, place))
            if not isinstance(found, list):
                for value in ENDS:
                    yield name, key, repr(value), command, partial(changed, base, place, value)
                continue
            if not isinstance(found[0], list):
                for value in ALL:
                    filled = [value] * len(found)
                    words = f"all {value!r}"
                    yield name, key, words, command, partial(changed, base, place, filled)
            for words, fill in (("many", many), ("many different", many_different)):
                yield name, key, words, command, partial(filled_with, base, place, fill)


def filled_with(base, place, fill):
    target = base
    for part in place:
        target = target[part]
    return changed(base, place, fill(target))


def many(found):
    return (found * (MANY // len(found) + 1))[:MANY]


def many_different(found):
    """Distinct, rising, within the range of the first ones."""
    if isinstance(found[0], list):
        return [[1e-6 * i for _ in found[0]] for i in range(MANY)]
    return [1e-6 * (i + 1) if isinstance(found[0], float) else i + 1 for i in range(MANY)]


def problem(command, content):
    """What is wrong with the answer; empty if it is one, or is refused by the name of a key."""
    warnings.simplefilter("error")
    try:
        found = answer(command, content)
        text = found.json
        assert found.text and json.loads(text, parse_constant=_refused)
        return ""
    except (ValueError, ArithmeticError) as error:
        if type(error) in (ZeroDivisionError, OverflowError):
            return "".join(traceback.format_exception(error)[-2:])
        told = str(error)
        keys = set(flat(content))
        named = told.partition(":")[0].split("[")[0].split(".")[-1]
        if named in keys or isinstance(error, ArithmeticError):
            return ""
        return f"names no key: {told[:300]}"
    except BaseException as error:
        return "".join(traceback.format_exception(error)[-3:])


def _refused(name):
    raise TypeError(f"a document with {name}")


def flat(content):
    for key, value in content.items():
        yield key
        if isinstance(value, dict):
            yield from flat(value)


def forked(command, content):
    """(problem, seconds, megabytes) of a case in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (round(SECONDS), round(SECONDS)))
        told = problem(command, content)
        os.write(writer, told.encode()[:4000] or b"")
        os._exit(0)
    os.close(writer)
    told = b""
    while part := os.read(reader, 65536):
        told += part
    os.close(reader)
    _, status, usage = os.wait4(pid, 0)
    if (ended := os.waitstatus_to_exitcode(status)) and not told:
        told = b"takes too long" if ended in _TOO_LONG else f"ends with {ended}".encode()
    return told.decode(), usage.ru_utime, usage.ru_maxrss / 1024


_TOO_LONG = (-signal.SIGKILL, -signal.SIGXCPU)


def main(share, of, stop=10**9):
    """Every case, or each one in so many, from one on."""
    for command, base in BASES.values():  # the modules once for all
        answer(command, base)
    every = list(cases())
    random.Random(0).shuffle(every)  # the parts are alike
    for name, key, value, command, make in every[share::of][:stop]:
        told, seconds, size = forked(command, make())
        print(json.dumps([name, key, value, told, round(seconds, 1), round(size)]), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
