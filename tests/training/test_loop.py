import pytest
import torch
from torch import nn
from torch.nn import functional

from spectrain.training.callbacks import Callback, ProgressBar
from spectrain.training.loop import fit


class Journal(Callback):
    def __init__(self):
        self.events = []

    def on_train_start(self, step, epoch):
        self.events.append(("start", step, epoch))

    def on_step_end(self, step, epoch):
        self.events.append(("step", step, epoch))

    def on_epoch_end(self, step, epoch):
        self.events.append(("epoch", step, epoch))

    def on_train_end(self, step, epoch):
        self.events.append(("end", step, epoch))


@pytest.fixture
def line():
    """One weight w = 0 fitted to y = 1 at x = 1 by the squared loss."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def points(count):
    return [(torch.ones(1, 1), torch.ones(1, 1))] * count


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.25)


def test_steps_follow_the_gradient(line):
    """1 - w is multiplied by 1 - 2 lr at each step."""
    fit(line, functional.mse_loss, points(6), sgd(line), epochs=2, steps_per_epoch=3)
    assert line.weight.item() == 1 - 0.5**6


class Line(nn.Module):
    """y = w x + b, with inputs under names."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x, shift=0.0):
        return self.w * x + shift


@pytest.mark.parametrize(
    "inputs", [torch.ones(3), (torch.ones(3), 0.0), [torch.ones(3)], {"shift": 0.0, "x": 1.0}]
)
def test_models_are_called_as_the_probe_calls_them(inputs):
    model = Line()
    data = [(inputs, torch.ones(()).expand_as(model(torch.ones(3))))] * 2
    loss = lambda outputs, targets: (outputs - targets).square().mean()  # noqa: E731
    fit(model, loss, data, sgd(model), epochs=1, steps_per_epoch=2)
    assert model.w.item() == 1 - 0.5**2


def test_a_model_without_inputs_is_trained_on_its_weights_alone():
    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))

        def forward(self):
            return self.w

    model = Weights()
    loss = lambda w, _: w.square().sum()  # noqa: E731
    fit(model, loss, [((), None)] * 3, sgd(model), epochs=1, steps_per_epoch=3)
    assert model.w.tolist() == [0.125, 0.125]


def test_callbacks_hear_of_every_step_and_epoch_in_order(line):
    journal = Journal()
    arguments = {"epochs": 2, "steps_per_epoch": 2, "callbacks": [journal]}
    fit(line, functional.mse_loss, points(4), sgd(line), **arguments)
    assert journal.events == [
        ("start", 0, 0),
        ("step", 1, 0),
        ("step", 2, 0),
        ("epoch", 2, 1),
        ("step", 3, 1),
        ("step", 4, 1),
        ("epoch", 4, 2),
        ("end", 4, 2),
    ]
    journal.events.clear()
    fit(line, functional.mse_loss, points(2), sgd(line), **arguments, finished_epochs=1)
    assert [event[:2] for event in journal.events] == [
        ("start", 2),
        ("step", 3),
        ("step", 4),
        ("epoch", 4),
        ("end", 4),
    ]


def test_a_loss_that_is_not_finite_ends_the_epoch_before_anyone_hears_of_it(line):
    journal = Journal()
    data = points(5)
    data[3] = (torch.ones(1, 1), torch.full((1, 1), torch.inf))
    with pytest.raises(FloatingPointError, match=r"loss: .* got inf at step 4 \(epoch 2\)"):
        fit(
            line,
            functional.mse_loss,
            data,
            sgd(line),
            epochs=2,
            steps_per_epoch=2,
            callbacks=[journal],
        )
    assert [event for event in journal.events if event[0] == "epoch"] == [("epoch", 2, 1)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"finished_epochs": 3}, "finished_epochs: expected 0 to 2, got 3"),
        ({"epochs": 3}, "data: expected a batch at every step, got none at step 5"),
    ],
)
def test_bad_input_is_named(line, changed, words):
    arguments = {"epochs": 2, "steps_per_epoch": 2} | changed
    with pytest.raises(ValueError, match=words):
        fit(line, functional.mse_loss, points(4), sgd(line), **arguments)


def test_the_progress_bar_is_silent_where_there_is_no_terminal(line, capsys):
    bar = ProgressBar(2, "training")
    fit(
        line,
        functional.mse_loss,
        points(2),
        sgd(line),
        epochs=1,
        steps_per_epoch=2,
        callbacks=[bar],
    )
    assert capsys.readouterr().err == ""
