"""Everything that code can reach is found by its name, and put back as it was."""

import functools
import random
import re
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from torch import nn

from spectrain.probes.curvature.generators import generator_state
from spectrain.probes.curvature.places import Attributes, Cell, Empty, Items, Members, Names
from spectrain.probes.curvature.walk import reached


class Shared:
    level = 1


def cell(value):
    return (lambda: value).__closure__[0]


@dataclass(slots=True)
class Slotted:
    decay: float = 0.9


def empty():
    place = Empty()
    place.held = [{}, [], set()]
    return place, lambda: [place.held[0].update(a=1), place.held[1].append(2), place.held[2].add(3)]


def items():
    held = OrderedDict(a=1, b=2)
    return Items(held), lambda: [held.move_to_end("a"), held.update(c=3)]


def order_alone():
    held = OrderedDict(a=1, b=2)
    return Items(held), lambda: held.move_to_end("a")


def defaults():
    held = defaultdict(list, a=[1])
    return Items(held), lambda: held["b"]


def queue():
    held = deque([1, 2, 3], maxlen=3)
    return Members(held), lambda: held.append(4)


def members():
    held = {1, 2}
    return Members(held), lambda: [held.discard(1), held.add(5)]


def equal_but_another():
    held = [1.0]
    return Members(held), lambda: held.__setitem__(0, float("1"))


def variable():
    held = cell(1)
    return Cell(held), lambda: setattr(held, "cell_contents", 2)


def names():
    held = {"a": 1, "other": 1}
    place = Names(held)
    place.names |= {"a", "b"}
    return place, lambda: held.update(a=2, b=3)


def of_a_class():
    kind = type("Kind", (), {"level": 1})
    place = Attributes(kind, lambda: [name for name in vars(kind) if name in ("level", "new")])
    return place, lambda: [setattr(kind, "level", 2), setattr(kind, "new", 3)]


def slots():
    held = Slotted()
    return Attributes(held, lambda: ("decay",)), lambda: setattr(held, "decay", 0.5)


def generators(make, draw):
    def build():
        held = make()
        return generator_state(held), lambda: draw(held)

    return build


PLACES = {
    each.__name__: each
    for each in (
        empty, items, order_alone, defaults, queue, members, equal_but_another, variable, names,
        of_a_class, slots,
    )
} | {
    "torch": generators(torch.Generator, lambda g: torch.rand(3, generator=g)),
    "python": generators(lambda: random.Random(1), lambda g: g.gauss(0, 1)),
    "numpy": generators(lambda: np.random.default_rng(1), lambda g: g.normal(size=3)),
    "numpy of old": generators(lambda: np.random.RandomState(1), lambda g: g.randn()),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_what_a_place_held_comes_back(name):
    place, change = PLACES[name]()
    before = place.read()
    assert place.holds(before)
    change()
    assert not place.holds(before)
    place.write(before)
    assert place.holds(before)


class Layer(nn.Linear):
    table = torch.zeros(1)  # of the class

    def __init__(self):
        super().__init__(2, 2)
        self.register_buffer("mean", torch.zeros(2))
        self.helper, self.queue = Shared(), deque([torch.zeros(1)])
        self.parts = (torch.zeros(1), [torch.zeros(1)])
        self.seen = WeakKeyDictionary({self.helper: torch.zeros(1)})


LEVEL, RATE, UNSEEN = torch.zeros(3, 1)


def loss_of(scale):
    limit = {"most": torch.ones(1)}

    def loss(outputs, targets, rate=RATE):
        return (outputs * scale * limit["most"] * LEVEL * rate).sum()

    loss.weight = torch.ones(1)
    return loss


def test_data_are_found_by_the_names_that_lead_to_them():
    """Kinds of a module's tensors; variables around a function, its defaults, global variables."""
    model = nn.Sequential(Layer(), nn.Linear(2, 1).requires_grad_(False))
    loss = functools.partial(loss_of(torch.ones(1)))
    found = reached({"": model, "loss": loss})
    names = {key: re.sub("<weakref.*>", "<weakref>", d.name) for key, d in found.data.items()}
    kinds = {names[key]: data.kind for key, data in found.data.items()}
    assert kinds == {
        "0.weight": "parameter",
        "0.bias": "parameter",
        "0.mean": "buffer",
        "0.queue[0]": "state",
        "0.parts[0]": "state",
        "0.parts[1][0]": "state",
        "0.table": "state",
        "0.seen.data[<weakref>]": "state",
        "1.weight": "frozen parameter",
        "1.bias": "frozen parameter",
        "loss[0].scale": "state",
        "loss[0].limit.most": "state",
        "loss[0].weight": "state",
        "loss[0][0][0]": "state",
        "LEVEL": "state",
    }


def test_replaced_data_are_everywhere_and_only_in_the_block():
    """Also where one tensor is in several places, or in what cannot be changed itself."""
    model = Layer()
    model.again, model.pair = model.weight, (model.weight, (model.mean,))
    found = reached({"": model})
    other, mean = torch.ones(2, 2), torch.ones(2)
    contents = {id(model.weight): other, id(model.mean): mean}
    before = model.pair
    with found.replaced(contents) as changes:
        assert model.weight is model.again is model.pair[0] is other
        assert model.mean is model.pair[1][0] is mean
    assert not changes.found
    assert model.pair is before
    assert model.again is model.weight is before[0]
    with found.replaced(contents) as changes:
        model.helper.new = 1
        del model.again
        model.register_buffer("later", torch.zeros(1))
    assert changes.found
    assert model.again is model.weight
    assert not hasattr(model, "later")


def test_everything_is_put_back_after_a_failure():
    model = Layer()
    found = reached({"": model})

    def fail():
        model.queue.clear()
        raise ArithmeticError

    with pytest.raises(ArithmeticError), found.replaced({}):
        fail()
    assert len(model.queue) == 1


def test_large_containers_and_what_other_packages_hold_are_data():
    other = type("Trainer", (), {"__module__": "somewhere.trainer"})()
    other.batches = [torch.zeros(1)]
    model = Layer()
    model.trainer, model.words = other, dict.fromkeys(range(20_000))
    names = {data.name for data in reached({"": model}).data.values()}
    assert not any(name.startswith("trainer") for name in names)
    # As an argument it is what the code is given.
    assert [data.name for data in reached({"given": other}).data.values()] == ["given.batches[0]"]
