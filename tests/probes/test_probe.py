"""A probing against dense algebra, and what it must not do to the training around it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn import functional

from spectrain import GaussianMixture, MixtureTheory, SoftmaxRegression, TwoLayerNetwork
from spectrain.models.heads import SoftmaxHead
from spectrain.models.logistic_regression import LogisticRegression
from spectrain.probes import operators
from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.matrix import Covariance, GaussNewton, Hessian
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import encode
from spectrain.theory.finite_law import COEFFICIENTS
from spectrain.theory.matrix_kind import HESSIAN, INFORMATION
from spectrain.theory.mixture.dynamics import SGD
from spectrain.theory.quantity import Quantity
from spectrain.theory.recurrence import PointMasses, recurrence
from spectrain.training.loop import fit

D, N = 24, 96
MATRICES = HESSIAN.name, INFORMATION.name
SMALL = Measurement(eigenvalues=4, smallest=3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture(k=3, labels=(0, 1, 2), d=D):
    weights = {3: (0.4, 0.35, 0.25), 4: (0.25,) * 4}[k]
    return GaussianMixture(torch.eye(k, d, dtype=torch.float64), weights, labels, 3.0)


class System:
    """A model with the law of its data, as small as can be."""

    def __init__(self, law, model):
        self.law, self.model = law, model
        self.loss = model.head.criterion
        self.theory = MixtureTheory(law, model.head, N / D, SGD(0.5))

    def sample(self, source):
        return self.law.sample(N, source)

    def probe(self, **options):
        given = {"theory": self.theory, "measurement": SMALL} | options
        return SpectralProbe(self.model, given.pop("loss", self.loss), self.sample, **given)


def softmax(d=D):
    model = SoftmaxRegression(d, 3, 0.5, generator(), torch.float64)
    return System(mixture(d=d), model)


def two_layer():
    model = TwoLayerNetwork(D, (1.0, -0.7), "tanh", 0.8, generator(), torch.float64)
    return System(mixture(4, (0, 0, 1, 1)), model)


# What only measures is told that the sample was trained on: predictions take most of the time.
MEASURED_ONLY = {"sample_kind": "training"}


SYSTEMS = {"softmax": softmax, "two-layer": two_layer}


@pytest.fixture(params=SYSTEMS)
def system(request):
    return SYSTEMS[request.param]()


def exact(record):
    """Everything in a record but wall time, in a form that can be compared exactly."""
    return encode(replace(record, seconds={}))


class Kept:
    """A sink that keeps records."""

    def __init__(self):
        self.records = []

    def write(self, record):
        self.records.append(record)

    def close(self):
        pass


# Dense oracles.


def dense(model, loss, inputs, targets, block):
    """Hessian and information matrix of a block by nested derivatives, (P, P) each."""
    model = model.eval()
    chosen = {name: p.detach() for name, p in block.resolve(model).items()}
    if block.rows:
        (name, parameter) = next(iter(chosen.items()))
        start, rows = parameter[list(block.rows)].flatten(), torch.tensor(block.rows)

        def place(flat):
            return {name: parameter.index_copy(0, rows, flat.view(len(rows), -1))}
    else:
        start = torch.cat([p.flatten() for p in chosen.values()])

        def place(flat):
            parts = flat.split([p.numel() for p in chosen.values()])
            pairs = zip(chosen.items(), parts, strict=True)
            return {name: part.view_as(p) for (name, p), part in pairs}

    def value(flat, x, y):
        given = (x,) if isinstance(x, torch.Tensor) else x
        if isinstance(x, dict):
            return loss(functional_call(model, place(flat), (), x), y)
        return loss(functional_call(model, place(flat), given), y)

    def single(flat, x, y):
        add = lambda part: part.unsqueeze(0)  # noqa: E731
        if isinstance(x, dict):
            x = {key: add(part) for key, part in x.items()}
        elif isinstance(x, tuple):
            x = tuple(map(add, x))
        else:
            x = add(x)
        return value(flat, x, add(y))

    gradients = vmap(grad(single), (None, 0, 0))(start, inputs, targets)
    return {
        "hessian": jacrev(grad(value))(start, inputs, targets).detach(),
        "information": (gradients.T @ gradients).detach() / len(gradients),
    }


def assert_spectrum(found, matrix):
    """The largest and smallest eigenvalues, with residuals, and the whole distribution."""
    values = torch.linalg.eigvalsh(matrix).numpy()
    scale = np.abs(values).max()
    assert found.size == len(values)
    top = [pair.value for pair in found.top]
    bottom = [pair.value for pair in found.bottom]
    np.testing.assert_allclose(top, values[::-1][: len(top)], atol=1e-12 * scale, rtol=0)
    np.testing.assert_allclose(bottom, values[: len(bottom)], atol=1e-12 * scale, rtol=0)
    assert all(pair.error < 1e-12 * scale for pair in (*found.top, *found.bottom))
    if found.density is not None:
        # A matrix this small is diagonalised whole: the law is that of its eigenvalues.
        points, cumulative = found.density.points, found.density.cumulative
        gap = 1e-9 * scale
        below = (values[None, :] < points[:, None] - gap).mean(1)
        at = (np.abs(values[None, :] - points[:, None]) <= gap).mean(1)
        np.testing.assert_allclose(cumulative, below + at / 2, atol=1e-12)


def projected(vector, directions):
    """|P u|^2 with P from numpy's least squares, on every piece of length d."""
    pieces = vector.reshape(-1, len(directions))
    fits = [directions @ np.linalg.lstsq(directions, piece, rcond=None)[0] for piece in pieces]
    return sum(float(fit @ fit) for fit in fits)


# What a record holds.


def batch_of(probe, system, record):
    """The sample that the probing drew, kept from the function that drew it."""
    kept = []

    def sample(source):
        kept.append(system.sample(source))
        return kept[-1]

    SpectralProbe(system.model, system.loss, sample, seed=probe.setup.seed)(record.step)
    return kept[0]


def test_gram_loss_and_accuracy_are_those_of_the_sample(system):
    probe = system.probe(**MEASURED_ONLY)
    record = probe(7, 2.0)
    inputs, targets = batch_of(probe, system, record)
    assert record.failure == ""
    assert (record.step, record.epoch, record.time) == (7, 2.0, 7 * 0.5 / D)
    directions = torch.cat([system.model.weight.detach(), system.law.means]).numpy()
    np.testing.assert_allclose(record.measured.gram, directions @ directions.T, atol=1e-13)
    c, k = system.model.head.directions, len(system.law.weights)
    assert record.directions == (*(f"x{a}" for a in range(c)), *(f"mu{b}" for b in range(k)))
    with torch.no_grad():
        outputs = system.model(inputs)
        if outputs.ndim == 2:
            losses = functional.cross_entropy(outputs, targets, reduction="none")
            right = outputs.argmax(1) == targets
        else:
            losses = functional.binary_cross_entropy_with_logits(
                outputs, targets.double(), reduction="none"
            )
            right = (outputs > 0) == (targets == 1)
    measured = record.measured
    assert measured.loss == pytest.approx(float(losses.mean()), rel=1e-12)
    assert measured.loss_error == pytest.approx(float(losses.std()) / N**0.5, rel=1e-12)
    share = float(right.double().mean())
    assert measured.accuracy == pytest.approx(share, rel=1e-12)
    error = math.sqrt(share * (1 - share) / (N - 1))
    assert measured.accuracy_error == pytest.approx(error, rel=1e-12)


def test_spectra_are_those_of_dense_matrices(system):
    probe = system.probe(**MEASURED_ONLY)
    record = probe(3)
    inputs, targets = batch_of(probe, system, record)
    assert record.operator == "head"
    rows = system.model.head.directions
    assert len(record.measured.spectra) == 2 * rows
    for row in range(rows):
        block = Block(f"direction {row}", ("weight",), (row,))
        matrices = dense(system.model, system.loss, inputs, targets, block)
        for matrix in MATRICES:
            found = record.measured.spectrum(matrix, block.name)
            assert len(found.top) == 4
            assert len(found.bottom) == 3
            assert_spectrum(found, matrices[matrix])


def test_coefficients_belong_to_the_law_of_all_eigenvalues(system):
    record = system.probe()(0)
    for measured in record.measured.spectra:
        # The matrix is formed: the points of its density are the eigenvalues, each with half of
        # its jump below it, and ends of gaps, which have whole ones.
        jumps = measured.size * measured.density.cumulative
        values = measured.density.points[np.abs(jumps - np.round(jumps)) > 0.25]
        assert len(values) == measured.size
        law = PointMasses(values, np.full(len(values), 1 / len(values)))
        alpha, beta = recurrence(law, len(measured.jacobi.diagonal))
        scale = np.abs(values).max()
        np.testing.assert_allclose(measured.jacobi.diagonal, alpha, atol=1e-9 * scale)
        np.testing.assert_allclose(measured.jacobi.off_diagonal, beta, atol=1e-9 * scale)
        predicted = record.predicted.spectrum(measured.matrix, measured.block).jacobi
        assert len(predicted.diagonal) == len(measured.jacobi.diagonal) == COEFFICIENTS
        # Fluctuations from sample to sample are not in the errors.
        assert abs(predicted.diagonal[0] - alpha[0]) < 0.3 * scale
    for spectrum in record.forecast.spectra:
        assert spectrum.jacobi is None


def test_without_a_density_there_are_no_coefficients(system):
    record = system.probe(measurement=replace(SMALL, density=False))(0)
    spectra = [*record.measured.spectra, *record.predicted.spectra]
    assert {spectrum.jacobi for spectrum in spectra} == {None}


OTHER_MODELS = {
    "logistic": lambda: LogisticRegression(D, 0.5, generator(), torch.float64),
    "squared": lambda: TwoLayerNetwork(
        D, (1.0, -0.7), "tanh", 0.8, generator(), torch.float64, loss="squared"
    ),
    "classes and biases": lambda: TwoLayerNetwork(
        D,
        ((1.0, -0.7), (0.4, 0.9)),
        "silu",
        0.8,
        generator(),
        torch.float64,
        loss="softmax",
        hidden_bias=(0.1, -0.3),
        output_bias=(0.2, 0.5),
    ),
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_every_head_gets_products_scores_and_predictions(name):
    """Dense matrices of the loss, accuracy by hand, and a prediction for every block."""
    system = System(mixture(4, (0, 0, 1, 1)), OTHER_MODELS[name]())
    model = system.model
    probe = system.probe(measurement=replace(SMALL, density=False), on_failure="raise")
    record = probe(3)
    inputs, targets = batch_of(probe, system, record)
    assert record.operator == "head"
    outputs = model(inputs).detach()
    values = {"logistic": outputs > 0, "squared": outputs.round()}.get(name, outputs)
    guess = values.argmax(1) if values.ndim == 2 else values
    assert record.measured.accuracy == pytest.approx((guess == targets).double().mean().item())
    for row in range(model.head.directions):
        block = Block(f"direction {row}", ("weight",), (row,))
        matrices = dense(model, system.loss, inputs, targets, block)
        for matrix in MATRICES:
            assert_spectrum(record.measured.spectrum(matrix, block.name), matrices[matrix])
            assert record.predicted.spectrum(matrix, block.name).bulk is not None


@pytest.mark.parametrize("rows", [(0,), (1, 0), ()])
def test_overlaps_and_alignments_are_projections(system, rows):
    block = Block("some", ("weight",), rows)
    probe = system.probe(blocks=[block], **MEASURED_ONLY)
    record = probe(3)
    inputs, targets = batch_of(probe, system, record)
    directions = torch.cat([system.model.weight.detach(), system.law.means]).T.numpy()
    unit = directions / np.linalg.norm(directions, axis=0)
    matrices = dense(system.model, system.loss, inputs, targets, block)
    for matrix in MATRICES:
        values, vectors = torch.linalg.eigh(matrices[matrix])
        found = record.measured.spectrum(matrix, "some")
        for rank, pair in enumerate(found.top[:2]):
            gaps = (values - values[-1 - rank]).abs()
            assert gaps.sort().values[1] > 1e-6, "an eigenvector is unique only beside a gap"
            vector = vectors[:, -1 - rank].numpy()
            assert pair.overlap == pytest.approx(projected(vector, directions), abs=1e-8)
            cosines = ((vector.reshape(-1, D) @ unit) ** 2).sum(0)
            np.testing.assert_allclose(pair.alignment, cosines, atol=1e-8)


def test_the_sampling_error_is_the_spread_over_samples():
    """Within a factor of two of the standard deviation over 24 draws, whose own error is 15 %."""
    system = softmax(60)

    def sample(source):
        return system.law.sample(240, source)

    probe = SpectralProbe(
        system.model,
        system.loss,
        sample,
        theory=MixtureTheory(system.law, system.model.head, 4.0),
        **MEASURED_ONLY,
        measurement=Measurement(eigenvalues=2, smallest=0, density=False, draws=24),
        blocks=[Block("class 0", ("weight",), (0,))],
    )
    record = probe(0, thorough=True)
    for spectrum in record.measured.spectra:
        pair = spectrum.top[0]
        assert len(pair.draws) == 24
        assert 0.5 < pair.sampling_error / pair.draws.std(ddof=1) < 2


# Any module, any loss.


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def inputs_for_network(n=40):
    return torch.randn(n, 5, dtype=torch.float64, generator=generator(2))


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.CrossEntropyLoss(), torch.randint(3, (40,), generator=generator(3))),
        (nn.MSELoss(), torch.randn(40, 3, dtype=torch.float64, generator=generator(3))),
    ],
    ids=["cross-entropy", "mean square"],
)
def test_any_module_and_loss(loss, targets):
    model, inputs = network(), inputs_for_network()
    blocks = [
        Block("all"),
        Block("last", ("2.weight", "2.bias")),
        Block("unit", ("0.weight",), (1,)),
    ]
    record = SpectralProbe(model, loss, (inputs, targets), blocks=blocks, measurement=SMALL)(5)
    assert record.failure == ""
    assert record.operator == "autograd, sample space"
    assert record.directions == ()
    assert math.isnan(record.time)
    assert record.predicted is None
    assert record.forecast is None
    assert record.measured.gram.shape == (0, 0)
    assert record.measured.loss == pytest.approx(float(loss(model(inputs), targets).detach()))
    each = torch.stack(
        [loss(model(x[None]), y[None]).detach() for x, y in zip(inputs, targets, strict=True)]
    )
    assert record.measured.loss_error == pytest.approx(float(each.std()) / 40**0.5)
    if targets.ndim == 1:
        share = float((model(inputs).argmax(1) == targets).double().mean())
        assert record.measured.accuracy == pytest.approx(share)
    else:
        assert math.isnan(record.measured.accuracy)
    for block in blocks:
        matrices = dense(model, loss, inputs, targets, block)
        for matrix in MATRICES:
            found = record.measured.spectrum(matrix, block.name)
            assert_spectrum(found, matrices[matrix])
            assert all(math.isnan(pair.overlap) for pair in found.top)
            errors = [pair.sampling_error for pair in found.top]
            assert all(error > 0 or math.isnan(error) for error in errors)
            assert not all(map(math.isnan, errors))


class Product(nn.Module):
    """A module of two arguments."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(3, 4, dtype=torch.float64)
        self.right = nn.Linear(2, 4, dtype=torch.float64)

    def forward(self, a, b):
        return torch.tanh(self.left(a)) * self.right(b)


@pytest.mark.parametrize("kind", ["tuple", "list", "dict"])
def test_inputs_of_several_arguments(kind):
    torch.manual_seed(0)
    model = Product()
    a, b, targets = (
        torch.randn(30, size, dtype=torch.float64, generator=generator(size)) for size in (3, 2, 4)
    )
    inputs = {"tuple": (a, b), "list": [a, b], "dict": {"b": b, "a": a}}[kind]
    probe = SpectralProbe(model, nn.MSELoss(), (inputs, targets), measurement=SMALL)
    record = probe(0)
    assert record.failure == ""
    expected = dense(model, nn.MSELoss(), (a, b), targets, Block("all"))
    for matrix in MATRICES:
        assert_spectrum(record.measured.spectrum(matrix, "all"), expected[matrix])


def test_a_loss_that_is_no_mean_over_samples_has_a_hessian_and_no_information_matrix():
    model, inputs = network(), inputs_for_network()
    targets = torch.randint(3, (40,), generator=generator(3))
    loss = nn.CrossEntropyLoss(reduction="sum")
    probe = SpectralProbe(model, loss, (inputs, targets), measurement=SMALL)
    with pytest.warns(RuntimeWarning, match="could not have information, all: ValueError: loss"):
        record = probe(0)
    assert math.isnan(record.measured.loss_error)
    assert math.isfinite(record.measured.loss)
    (spectrum,) = record.measured.spectra
    assert_spectrum(spectrum, dense(model, loss, inputs, targets, Block("all"))["hessian"])
    (failure,) = record.failures
    assert (failure.part, failure.matrix, failure.block) == ("spectra", "information", "all")
    assert failure.reason.startswith("ValueError: loss: expected the mean over samples")
    assert record.failure == f"information, all: {failure.reason}"
    assert [(track.matrix, track.block) for track in record.tracks] == [("hessian", "all")]
    assert probe(1).failure == record.failure  # and no warning a second time


def test_a_block_that_the_loss_does_not_see_costs_the_others_nothing():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.spare = network(), nn.Linear(3, 3).double()

        def forward(self, x):
            return self.inner(x)

    torch.manual_seed(2)
    model, inputs = Unused(), inputs_for_network()
    targets = torch.randint(3, (40,), generator=generator(3))
    blocks = [Block("spare", ("spare.*",)), Block("last", ("inner.2.*",))]
    loss = nn.CrossEntropyLoss()
    probe = SpectralProbe(model, loss, (inputs, targets), blocks=blocks, measurement=SMALL)
    with pytest.warns(RuntimeWarning, match="depends on the parameters of block 'spare'") as told:
        record = probe(0)
    assert len(told) == 2
    matrices = dense(model, loss, inputs, targets, blocks[1])
    assert [(each.matrix, each.block) for each in record.measured.spectra] == [
        ("hessian", "last"),
        ("information", "last"),
    ]
    for spectrum in record.measured.spectra:
        assert_spectrum(spectrum, matrices[spectrum.matrix])
    assert [(each.matrix, each.block) for each in record.failures] == [
        ("hessian", "spare"),
        ("information", "spare"),
    ]


def test_a_failure_of_one_block_of_a_head_is_not_that_of_the_others(monkeypatch):
    """Blocks of a head share one operator: where it cannot be made, each has its own."""
    system = softmax()
    make = operators.head_curvature

    def failing(module, inputs, targets, chosen):
        if ("information", (1,)) in chosen:
            raise ArithmeticError("overflow")
        return make(module, inputs, targets, chosen)

    monkeypatch.setattr(operators, "head_curvature", failing)
    with pytest.warns(RuntimeWarning, match="information, direction 1: ArithmeticError: overflow"):
        record = system.probe(**MEASURED_ONLY)(0)
    found = [(each.matrix, each.block) for each in record.measured.spectra]
    assert ("information", "direction 1") not in found
    assert len(found) == 5
    assert found[0] == ("hessian", "direction 0")
    assert len(record.failures) == 1


def test_gauss_newton_and_covariance_are_matrices_like_the_others():
    model, inputs = network(), inputs_for_network()
    targets = torch.randint(3, (40,), generator=generator(3))
    loss = nn.CrossEntropyLoss()
    matrices = (Covariance(), GaussNewton(), Hessian())
    probe = SpectralProbe(model, loss, (inputs, targets), matrices=matrices, measurement=SMALL)
    record = probe(0)
    assert record.failure == ""
    assert [each.matrix for each in record.measured.spectra] == [
        "covariance",
        "gauss-newton",
        "hessian",
    ]
    assert [kind.letter for kind in record.matrices] == ["C", "G", "H"]
    parts = dense(model, loss, inputs, targets, Block("all"))
    loss(model(inputs), targets).backward()
    mean = torch.cat([p.grad.flatten() for p in model.parameters()])
    expected = parts["information"] - torch.outer(mean, mean)
    assert_spectrum(record.measured.spectrum("covariance", "all"), expected)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    jacobian = jacrev(lambda given: functional_call(model, given, (inputs,)))(parameters)
    J = torch.cat([part.flatten(2) for part in jacobian.values()], dim=2)
    p = model(inputs).detach().softmax(1)
    L = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    assert_spectrum(
        record.measured.spectrum("gauss-newton", "all"),
        torch.einsum("nap,nab,nbq->pq", J, L, J) / len(inputs),
    )


class Mean:
    """A measure: mean of the weights, and a random number."""

    name = "weights"

    def __call__(self, model, loss, batch, source):
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        return [
            Quantity.number("mean_weight", float(weights.mean()), "parameter"),
            Quantity("draw", torch.rand(2, generator=source).double().numpy(), "1", (("a", "b"),)),
        ]


class Failing:
    name = "flatness"

    def __call__(self, model, loss, batch, source):
        raise ArithmeticError("no plateau")


class Taken:
    name = "second loss"

    def __call__(self, model, loss, batch, source):
        return [Quantity.number("loss", 1.0, "loss")]


def test_measures_give_quantities_and_fail_alone():
    model = network()
    targets = torch.randint(3, (40,), generator=generator(3))
    batch = (inputs_for_network(), targets)
    lean = replace(SMALL, density=False)
    probe = SpectralProbe(
        model,
        nn.CrossEntropyLoss(),
        batch,
        measures=[Failing(), Mean(), Taken()],
        measurement=lean,
        seed=3,
    )
    with pytest.warns(RuntimeWarning) as told:
        record = probe(4)
    assert len(told) == 2
    assert [str(failure) for failure in record.failures] == [
        "flatness: ArithmeticError: no plateau",
        "second loss: ValueError: quantities: expected names of their own, "
        "got 'loss' a second time",
    ]
    assert len(record.measured.spectra) == 2
    mean = record.measured.quantity("mean_weight")
    expected = torch.cat([p.detach().flatten() for p in model.parameters()]).mean()
    assert float(mean.values) == float(expected)
    # The numbers of a measure depend on seed and step alone, not on what else is measured.
    alone = SpectralProbe(
        model, nn.CrossEntropyLoss(), batch, measures=[Mean()], matrices=(), seed=3
    )
    torch.manual_seed(17)
    first = record.measured.quantity("draw").values
    assert alone(4).measured.spectra == ()
    np.testing.assert_array_equal(first, alone(4).measured.quantity("draw").values)
    assert not np.array_equal(first, alone(5).measured.quantity("draw").values)


OTHER_LOSSES = {
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.2),
    "weighted": lambda h, y: (
        torch.tensor([2.0, 0.5, 0.5], dtype=h.dtype)[y]
        * functional.cross_entropy(h, y, reduction="none")
    ).mean(),
    "scaled": lambda h, y: 2 * functional.cross_entropy(h, y),
}


@pytest.mark.parametrize("name", OTHER_LOSSES)
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_a_loss_that_is_not_the_heads_is_differentiated(name, scale):
    """Also where the values coincide: at x = 0 every smoothed cross-entropy is log C."""
    loss, system = OTHER_LOSSES[name], softmax()
    with torch.no_grad():
        system.model.weight.mul_(scale)
    batch = system.sample(generator(5))
    record = SpectralProbe(system.model, loss, batch, measurement=SMALL)(0)
    assert record.operator == "autograd, sample space"
    for row in range(3):
        block = Block(f"direction {row}", ("weight",), (row,))
        matrices = dense(system.model, loss, *batch, block)
        for matrix in MATRICES:
            assert_spectrum(record.measured.spectrum(matrix, block.name), matrices[matrix])


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(), functional.cross_entropy, SoftmaxHead(3).criterion]
)
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_the_heads_loss_under_another_name_is_recognised(loss, scale):
    system = softmax()
    with torch.no_grad():
        system.model.weight.mul_(scale)
    assert system.probe(loss=loss, theory=None)(0).operator == "head"


@pytest.mark.slow
def test_blocks_that_are_not_of_the_directions_are_differentiated():
    system = two_layer()
    batch = system.sample(generator(5))
    blocks = [
        Block("unit", ("weight",), (0,)),
        Block("second", ("second_layer",)),
        Block("all"),
    ]
    probe = SpectralProbe(
        system.model, system.loss, batch, theory=system.theory, blocks=blocks, measurement=SMALL
    )
    record = probe(0)
    for block in blocks:
        matrices = dense(system.model, system.loss, *batch, block)
        for matrix in MATRICES:
            assert_spectrum(record.measured.spectrum(matrix, block.name), matrices[matrix])
    # x and v together are predicted as well, v alone is not.
    assert {spectrum.block for spectrum in record.predicted.spectra} == {"unit", "all"}


@pytest.mark.slow
def test_all_parameters_of_a_head_without_others_are_its_directions():
    system = softmax()
    record = system.probe(blocks=[Block("all")])(0)
    assert record.operator == "head"
    assert [spectrum.block for spectrum in record.predicted.spectra] == ["all", "all"]


# Predictions.


def test_predictions_are_the_theorys_at_the_measured_statistics(system):
    record = system.probe()(0)
    statistics = system.theory.statistics(system.model)
    selections = [
        replace(_selection, rows=(row,))
        for row in range(system.model.head.directions)
        for _selection in (_select(matrix, row) for matrix in MATRICES)
    ]
    expected = system.theory.predict(statistics, selections, True)
    assert encode(record.predicted) == encode(expected)
    assert record.predicted.gram.shape == (0, 0)
    # Five standard errors, of the sample and of the quadrature.
    bound = 5 * record.measured.loss_error + record.predicted.loss_error
    assert abs(record.measured.loss - expected.loss) < bound


def _select(matrix, row):
    from spectrain.theory.protocol import Selection

    return Selection(matrix, f"direction {row}", ("weight",), (row,))


def test_the_forecast_goes_on_from_the_first_probing(system):
    probe = system.probe(measurement=replace(SMALL, density=False))
    first = probe(10)
    np.testing.assert_array_equal(first.forecast.gram, first.measured.gram)
    initial = system.theory.statistics(system.model)
    with torch.no_grad():
        system.model.weight.mul_(1.1)
    later = probe(40)
    expected = system.theory.forecast(initial, 30, [])
    np.testing.assert_allclose(later.forecast.gram, expected.gram, rtol=1e-12)
    assert not np.allclose(later.measured.gram, first.measured.gram)
    there = system.theory.restore(expected.quantities)
    assert later.forecast.loss == system.theory.predict(there, [], False).loss


def test_nothing_is_forecast_without_an_algorithm():
    system = softmax()
    theory = MixtureTheory(system.law, system.model.head, N / D)
    record = system.probe(theory=theory)(0)
    assert record.forecast is None
    assert record.predicted is not None
    assert math.isnan(record.time)


def test_transitions_are_told_once():
    """At snr below the threshold nothing; the outliers appear when the theory's snr rises."""
    system = softmax()
    probe = system.probe(measurement=replace(SMALL, density=False))
    assert probe(0).transitions == ()
    assert probe(1).transitions == ()
    system.theory.law = replace(system.theory.law, snr=0.05)
    kinds = {transition.kind for transition in probe(2).transitions}
    assert kinds == {"disappears"}
    assert probe(3).transitions == ()


def test_samples_that_were_trained_on_are_measured_and_not_predicted(system):
    record = system.probe(sample_kind="training")(0)
    assert record.failure == ""
    assert record.predicted is None
    assert record.forecast is None
    assert record.measured.gram.size
    assert record.measured.spectra


def test_held_out_samples_are_predicted(system):
    assert system.probe(sample_kind="held-out")(0).predicted is not None


# Samples and seeds.


def test_a_record_depends_on_seed_and_step_alone(system):
    first = exact(system.probe(seed=4)(11))
    torch.manual_seed(99)
    probe = system.probe(seed=4)
    assert exact(probe(11)) == first
    # What a probing is compared with is the one before.
    assert exact(replace(probe(11), tracks=())) == {**first, "tracks": []}
    other = exact(system.probe(seed=5, **MEASURED_ONLY)(11))
    assert other["measured"] != first["measured"]


def test_another_step_draws_another_sample(system):
    probe = system.probe(theory=None)
    assert probe(0).measured.loss != probe(1).measured.loss


def test_a_fixed_batch_stays(system):
    batch = system.sample(generator(5))
    probe = SpectralProbe(system.model, system.loss, batch, measurement=SMALL)
    first, second = probe(0, thorough=True), probe(1)
    assert first.measured.loss == second.measured.loss
    assert [pair.value for pair in first.measured.spectra[0].top] == pytest.approx(
        [pair.value for pair in second.measured.spectra[0].top], rel=1e-12
    )
    assert len(first.measured.spectra[0].top[0].draws) == 1


def test_a_thorough_probing_draws_more_samples_and_takes_the_rare_blocks(system):
    rare = Block("whole", ("weight",))
    samples = []

    def sample(source):
        samples.append(system.sample(source))
        return samples[-1]

    probe = SpectralProbe(
        system.model,
        system.loss,
        sample,
        rare_blocks=[rare],
        measurement=replace(SMALL, draws=3),
    )
    usual = probe(0)
    assert len(samples) == 1
    assert usual.measured.spectrum("hessian", "whole") is None
    thorough = probe(0, thorough=True)
    assert len(samples) == 4
    assert torch.equal(samples[0][0], samples[1][0])
    block = Block("direction 1", ("weight",), (1,))
    for chosen in (block, rare):
        values = [
            torch.linalg.eigvalsh(
                dense(system.model, system.loss, *batch, chosen)["hessian"]
            ).numpy()
            for batch in samples[1:]
        ]
        found = thorough.measured.spectrum("hessian", chosen.name)
        for rank, pair in enumerate(found.top):
            np.testing.assert_allclose(pair.draws, [v[-1 - rank] for v in values], rtol=1e-10)
            assert pair.draws[0] == pair.value
        for rank, pair in enumerate(found.bottom):
            np.testing.assert_allclose(pair.draws, [v[rank] for v in values], atol=1e-12)
    for spectrum in usual.measured.spectra:
        same = thorough.measured.spectrum(spectrum.matrix, spectrum.block)
        np.testing.assert_array_equal(same.density.points, spectrum.density.points)
        for few, many in zip(spectrum.top, same.top, strict=True):
            assert many.value == few.value


def test_as_a_callback_it_probes_at_the_start_and_every_so_many_epochs():
    system, kept = softmax(), Kept()
    probe = system.probe(
        sinks=[kept],
        every=2,
        thorough_epochs={0, 4},
        measurement=replace(SMALL, draws=2, density=False),
    )
    optimiser = torch.optim.SGD(system.model.parameters(), lr=0.5 / D)
    batches = iter(lambda: system.law.sample(1, generator(8)), None)
    fit(
        system.model,
        system.loss,
        batches,
        optimiser,
        epochs=5,
        steps_per_epoch=3,
        callbacks=[probe],
    )
    assert [(record.step, record.epoch) for record in kept.records] == [(0, 0), (6, 2), (12, 4)]
    draws = [len(record.measured.spectra[0].top[0].draws) for record in kept.records]
    assert draws == [2, 1, 2]


@pytest.mark.parametrize(
    ("step", "message"),
    [(0.5, "a whole number, got 0.5"), (torch.tensor(3), "got Tensor"), (-1, "at least 0, got -1")],
)
def test_what_is_no_number_of_steps_is_refused(step, message):
    kept = Kept()
    with pytest.raises(ValueError, match=f"step: expected .*{message}"):
        softmax().probe(sinks=[kept])(step)
    assert kept.records == []


def test_a_continued_run_is_not_probed_at_its_start():
    kept = Kept()
    probe = softmax().probe(sinks=[kept])
    probe.on_train_start(30, 2)
    assert kept.records == []


def test_a_restored_probe_goes_on_as_if_nothing_had_happened(system, tmp_path):
    """With state: same forecast and transitions. Without: a forecast from where it stands."""
    lean = replace(SMALL, density=False)
    probe = system.probe(measurement=lean)
    empty = probe.state_dict()
    probe(0)
    torch.save(probe.state_dict(), tmp_path / "state")
    with torch.no_grad():
        system.model.weight.mul_(1.5)
        system.model.weight[0].mul_(10.0)
    expected = exact(probe(20))
    assert expected["transitions"]
    restored = system.probe(measurement=lean)
    restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert exact(restored(20)) == expected
    fresh = system.probe(measurement=lean)
    fresh.load_state_dict(empty)
    assert exact(fresh(20))["forecast"] != expected["forecast"]


# No trace in the training.


def trained(build, probed):
    """Everything a training leaves behind, with a probing before every step or without."""
    torch.manual_seed(3)
    model, loss, sample, theory = build()
    model.train()
    if isinstance(model, nn.Sequential):
        model[1].eval()  # modes differ between the parts
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    probe = SpectralProbe(model, loss, sample, theory=theory, measurement=SMALL)
    source, kept = generator(7), []
    for step in range(3):
        inputs, targets = sample(source)
        optimiser.zero_grad()
        loss(model(inputs + 0.1 * torch.randn_like(inputs)), targets).backward()
        if probed:  # between backward and step: gradients are in use
            assert probe(step, thorough=step == 0).failure == ""
        kept += [p.grad.clone() for p in model.parameters()]
        optimiser.step()
        if probed:
            assert probe(step).failure == ""
        kept += [torch.get_rng_state(), torch.rand(1)]
    kept += [value.clone() for value in model.state_dict().values()]
    kept += [slot["momentum_buffer"] for slot in optimiser.state_dict()["state"].values()]
    modes = [part.training for part in model.modules()]
    return kept, modes, torch.is_grad_enabled()


def observed_softmax():
    system = softmax()
    return system.model, system.loss, system.sample, system.theory


def observed_two_layer():
    system = two_layer()
    return system.model, system.loss, system.sample, system.theory


def observed_network():
    model = nn.Sequential(
        nn.Linear(D, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
    ).double()
    return model, nn.CrossEntropyLoss(), softmax().sample, None


@pytest.mark.parametrize("build", [observed_softmax, observed_two_layer, observed_network])
def test_training_is_bit_for_bit_the_same_with_the_probe(build):
    without, modes, enabled = trained(build, probed=False)
    with_probe, modes_with, enabled_with = trained(build, probed=True)
    assert len(without) == len(with_probe)
    assert all(torch.equal(a, b) for a, b in zip(without, with_probe, strict=True))
    assert modes == modes_with
    assert enabled == enabled_with


def observed_single():
    model, loss, sample, _ = observed_network()
    return model.float(), loss, lambda g: (lambda x, y: (x.float(), y))(*sample(g)), None


def test_training_under_autocast_is_bit_for_bit_the_same_with_the_probe():
    exact_numbers = trained(observed_single, probed=False)[0]
    with torch.autocast("cpu", torch.bfloat16):
        without, with_probe = (trained(observed_single, probed)[0] for probed in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(without, with_probe, strict=True))
    assert not torch.equal(without[0], exact_numbers[0])


def test_dropout_and_batch_norm_are_measured_in_evaluation_mode():
    model, loss, sample, _ = observed_network()
    batch = sample(generator(1))
    model.train()
    record = SpectralProbe(model, loss, batch, measurement=SMALL)(0)
    expected = loss(model.eval()(batch[0]), batch[1]).detach()
    assert record.measured.loss == pytest.approx(float(expected))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(context, system):
    expected = exact(system.probe(**MEASURED_ONLY)(0))
    probe = system.probe(**MEASURED_ONLY)
    with context():
        assert exact(probe(0)) == expected


def test_a_batch_made_in_inference_mode_can_be_probed(system):
    expected_batch = system.sample(generator(5))
    with torch.inference_mode():
        batch = system.sample(generator(5))
    expected, found = (
        SpectralProbe(system.model, system.loss, each, measurement=SMALL)(0)
        for each in (expected_batch, batch)
    )
    assert found.failure == ""
    assert exact(found) == exact(expected)


def test_float32_agrees_with_float64_to_its_precision():
    """Eigenvalues of a float32 matrix: eps times a few dozen operations."""
    system = softmax()
    inputs, targets = system.sample(generator(5))
    expected = SpectralProbe(system.model, system.loss, (inputs, targets), measurement=SMALL)(0)
    model = softmax().model.float()
    found = SpectralProbe(model, system.loss, (inputs.float(), targets), measurement=SMALL)(0)
    assert found.failure == ""
    for single, double in zip(found.measured.spectra, expected.measured.spectra, strict=True):
        scale = double.top[0].value
        for a, b in zip(single.top, double.top, strict=True):
            assert abs(a.value - b.value) < 100 * torch.finfo(torch.float32).eps * scale


# Failures.


def plain(d=5):
    return nn.Linear(d, 3).double()


def plain_batch(n=12):
    return torch.randn(n, 5, dtype=torch.float64, generator=generator()), torch.zeros(
        n, dtype=torch.int64
    )


def raising(_):
    raise OSError("no data today")


def first_order(outputs, targets):
    """A loss that is linear in the outputs, and these in the parameters."""
    return outputs[:, 0].mean() + 0.0 * targets.sum()


FAILURES = {
    "sample": ({"sample": raising}, "OSError: no data today"),
    "empty": ({"sample": lambda _: plain_batch(0)}, "ValueError: sample: expected at least one"),
    "alone": ({"sample": lambda _: plain_batch()[0]}, "ValueError: sample: expected (inputs, targ"),
    "linear": ({"loss": first_order}, "ValueError: loss: expected a second derivative"),
    "detached": (
        {"loss": lambda o, y: functional.cross_entropy(o.detach(), y)},
        "ValueError: loss: expected one that depends on the parameters",
    ),
    "vector": (
        {"loss": lambda o, y: functional.cross_entropy(o, y, reduction="none")},
        "loss: expected a tensor of shape ()",
    ),
}


def failing(name, **options):
    changes, message = FAILURES[name]
    given = {"loss": nn.CrossEntropyLoss(), "sample": lambda _: plain_batch()} | changes
    return SpectralProbe(plain(), given["loss"], given["sample"], **options), message


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_recorded_with_its_reason_and_training_goes_on(name):
    kept = Kept()
    probe, message = failing(name, sinks=[kept])
    with pytest.warns(RuntimeWarning, match="the probing at step 0 could not have"):
        record = probe(0)
    assert message in record.failure
    # A loss that is linear has gradients all the same.
    kept_spectra = [spectrum.matrix for spectrum in record.measured.spectra]
    assert kept_spectra == (["information"] if name == "linear" else [])
    assert kept.records == [record]
    assert probe.setup.model.training
    assert probe(1).failure == record.failure


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_raised_if_asked_and_recorded_all_the_same(name):
    kept = Kept()
    probe, message = failing(name, sinks=[kept], on_failure="raise")
    kind = OSError if name == "sample" else ValueError
    with pytest.raises(kind, match=r"no data|sample:|loss:"):
        probe(0)
    assert message in kept.records[0].failure


def test_nan_weights_are_a_recorded_failure(system):
    kept = Kept()
    probe = system.probe(sinks=[kept])
    probe(0)
    with torch.no_grad():
        system.model.weight[0, 0] = math.nan
    with pytest.warns(RuntimeWarning, match="could not have"):
        record = probe(1)
    assert [failure.part for failure in record.failures] == ["statistics", "loss"]
    assert record.predicted is None
    assert [each.failure == "" for each in kept.records] == [True, False]


def test_nan_weights_without_theory_are_a_loss_that_is_not_finite():
    model = plain()
    with torch.no_grad():
        model.weight[0, 0] = math.nan
    probe = SpectralProbe(model, nn.CrossEntropyLoss(), plain_batch())
    with pytest.warns(RuntimeWarning, match="loss: expected a finite number"):
        record = probe(0)
    assert record.failure == "loss: ValueError: loss: expected a finite number, got nan"


def test_a_failed_prediction_keeps_what_was_measured(monkeypatch):
    system = softmax()
    probe = system.probe()

    def predict(*_, **__):
        raise ArithmeticError("no branch")

    monkeypatch.setattr(system.theory, "predict", predict)
    with pytest.warns(RuntimeWarning, match="could not have"):
        record = probe(0)
    assert record.failure.splitlines() == [
        "prediction: ArithmeticError: no branch",
        "forecast: ArithmeticError: no branch",
    ]
    assert len(record.measured.spectra) == 6
    assert record.predicted is None


class Broken:
    """A sink whose disk is full."""

    def write(self, record):
        raise OSError("disk full")

    def close(self):
        pass


@pytest.mark.parametrize("on_failure", ["record", "raise"])
def test_a_broken_sink_keeps_the_record_from_no_other_and_is_told_of(on_failure):
    first, last = Kept(), Kept()
    system = softmax()
    probe = system.probe(
        sinks=[first, Broken(), last],
        measurement=replace(SMALL, density=False),
        on_failure=on_failure,
    )
    told = (
        pytest.raises(OSError, match=r"^disk full$")
        if on_failure == "raise"
        else pytest.warns(RuntimeWarning, match="Broken failed at step 7.*OSError: disk full")
    )
    with told:
        probe(7)
    assert len(first.records) == len(last.records) == 1
    assert first.records[0].failure == ""
    assert system.model.training


def test_interrupts_are_not_taken_for_failures_of_a_sink():
    class Interrupted(Broken):
        def write(self, record):
            raise KeyboardInterrupt

    probe = softmax().probe(sinks=[Interrupted()], measurement=replace(SMALL, density=False))
    with pytest.raises(KeyboardInterrupt):
        probe(0)


# Bad arguments.


def other_theory():
    return MixtureTheory(mixture(), SoftmaxHead(4), 4.0)


def frozen(model):
    return model.requires_grad_(False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": []}, "blocks: expected at least one"),
        ({"blocks": [Block("a"), Block("a")]}, r"blocks: .*different names, got \['a', 'a'\]"),
        ({"rare_blocks": [Block("direction 0")]}, "blocks: .*different names"),
        ({"blocks": [Block("a", ("bias",))]}, r"parameters of block 'a': .*\['bias'\]"),
        ({"blocks": [Block("a", ("weight",), (3,))]}, "rows of block 'a': expected 0 <= row < 3"),
        ({"sample_kind": "stale"}, "sample_kind: expected .* got 'stale'"),
        ({"every": 0}, "every: expected at least 1, got 0"),
        ({"on_failure": "shrug"}, "on_failure: expected 'record' or 'raise', got 'shrug'"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"theory": other_theory()}, "model: expected a HeadModel with the theory's head"),
        (
            {"theory": MixtureTheory(mixture(d=25), SoftmaxHead(3), 4.0)},
            r"model: expected directions of shape \(3, 25\)",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        softmax().probe(**options)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (plain_batch(0), r"sample: expected at least one sample, got \(0,\)"),
        (torch.zeros(3, 5), r"sample: expected \(inputs, targets\), got Tensor"),
        ((torch.zeros(3, 5),) * 3, r"sample: expected \(inputs, targets\), got tuple"),
        ((torch.zeros(3, 5), torch.tensor(1)), "sample: expected at least one sample"),
        (None, r"sample: expected \(inputs, targets\), got NoneType"),
    ],
)
def test_bad_samples_are_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        SpectralProbe(plain(), nn.CrossEntropyLoss(), sample)


@pytest.mark.parametrize(
    ("model", "got"),
    [(nn.Sequential(), "got none"), (frozen(nn.Linear(5, 3)), "got .*'bias', 'weight'")],
)
def test_a_model_without_trained_parameters_is_refused(model, got):
    with pytest.raises(ValueError, match=f"expected at least one parameter .*{got}"):
        SpectralProbe(model, nn.CrossEntropyLoss(), plain_batch())


def test_a_theory_of_head_models_refuses_others():
    with pytest.raises(ValueError, match=r"model: expected a HeadModel .*, got Linear"):
        SpectralProbe(plain(), nn.CrossEntropyLoss(), plain_batch(), theory=softmax().theory)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eigenvalues", 0),
        ("smallest", -1),
        ("tolerance", 0.0),
        ("tolerance", math.nan),
        ("width", 0),
        ("max_products", 0),
        ("draws", 0),
    ],
)
def test_bad_measurements_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field}: expected"):
        Measurement(**{field: value})


# In a plain loop.


def test_ten_lines_in_a_plain_loop():
    kept = Kept()
    law, model = mixture(), softmax().model
    loss, data = nn.CrossEntropyLoss(), generator(9)
    theory = MixtureTheory(law, model.head, aspect_ratio=4, sgd=SGD(scaled_learning_rate=0.5))
    probe = SpectralProbe(model, loss, lambda g: law.sample(4 * D, g), sinks=[kept], theory=theory)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5 / D)
    for step in range(2 * D):
        if step % D == 0:
            probe(step)
        inputs, targets = law.sample(1, data)
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        optimiser.step()
    assert [record.step for record in kept.records] == [0, D]
    assert all(record.failure == "" for record in kept.records)
    # One run deviates from the effective dynamics by the order of 1/sqrt(d).
    last = kept.records[-1]
    assert np.abs(last.measured.gram - last.forecast.gram).max() < 5 / math.sqrt(D)
