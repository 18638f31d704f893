"""Eigenvectors followed from one probing to the next, on matrices whose eigenvectors are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from spectrain.probes.curvature.block import Block
from spectrain.probes.curvature.module_curvature import HessianOperator
from spectrain.probes.measurement import Measurement
from spectrain.probes.probe import SpectralProbe
from spectrain.probes.records.codec import decode, encode
from spectrain.probes.records.record import Record
from spectrain.probes.tracking import Tracker, degenerate_groups, squared_cosines, subspace_overlaps
from spectrain.views.sinks.scalars import scalars

SIZE = 12
ALL = Block("all", ("w",))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rotation(size, seed):
    noise = torch.randn(size, size, dtype=torch.float64, generator=generator(seed))
    return torch.linalg.qr(noise).Q


def follow(tracker, vectors, values, largest=None, gradient=None, weights=None):
    """Follow vectors (N, k) of eigenvalues given in order."""
    zeros = torch.zeros(len(vectors), dtype=torch.float64)
    return tracker.follow(
        "hessian",
        ALL,
        torch.tensor(values, dtype=torch.float64),
        vectors,
        torch.zeros(len(values), dtype=torch.float64),
        len(values) if largest is None else largest,
        {"w": zeros if gradient is None else gradient},
        {"w": zeros if weights is None else weights},
    )


def branches(track):
    return track.top.branches.tolist()


def test_branches_keep_their_numbers_across_a_crossing():
    frame, tracker = rotation(SIZE, 1), Tracker()
    assert branches(follow(tracker, frame[:, :3], [5.0, 4.0, 1.0])) == [0, 1, 2]
    # Signs of eigenvectors are arbitrary.
    crossed = frame[:, [1, 0, 2]] * torch.tensor([-1.0, 1.0, -1.0])
    assert branches(follow(tracker, crossed, [6.0, 4.5, 1.0])) == [1, 0, 2]


def test_branches_are_recognised_after_a_degeneracy_has_mixed_their_vectors():
    """At the crossing itself any basis of the common space may come out, here one at 45 degrees."""
    frame, tracker = rotation(SIZE, 1), Tracker()
    follow(tracker, frame[:, :3], [5.0, 4.0, 1.0])
    mixed = frame[:, :2] @ torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / 2**0.5
    at_crossing = follow(tracker, torch.cat([mixed, frame[:, 2:3]], 1), [4.5, 4.5, 1.0])
    assert sorted(branches(at_crossing)) == [0, 1, 2]
    assert at_crossing.top.subspace_overlap.tolist() == pytest.approx([0.5, 1.0, 1.0])
    after = follow(tracker, frame[:, [1, 0, 2]], [5.0, 4.0, 1.0])
    assert branches(after) == [1, 0, 2]


@pytest.mark.parametrize("seed", range(5))
def test_a_degenerate_space_of_any_dimension_keeps_its_branches(seed):
    """m equal eigenvalues in a random basis at every probing, then parted as they were."""
    frame, m, tracker = rotation(SIZE, seed), 4, Tracker()
    follow(tracker, frame[:, :m], [4.0, 3.0, 2.0, 1.0])
    for step in range(3):
        follow(tracker, frame[:, :m] @ rotation(m, 10 * seed + step), [2.0] * m)
    assert branches(follow(tracker, frame[:, :m], [4.0, 3.0, 2.0, 1.0])) == [0, 1, 2, 3]


def test_slow_rotations_are_followed_however_far_they_lead():
    frame, tracker = rotation(SIZE, 2), Tracker()
    follow(tracker, frame[:, :2], [2.0, 1.0])
    for angle in np.linspace(0, math.pi / 2, 9):
        turned = math.cos(angle) * frame[:, 0] + math.sin(angle) * frame[:, 2]
        track = follow(tracker, torch.stack([turned, frame[:, 1]], 1), [2.0, 1.0])
        assert branches(track) == [0, 1]


def test_a_new_eigenvector_gets_a_new_number_and_a_lost_one_is_never_used_again():
    frame, tracker = rotation(SIZE, 3), Tracker()
    follow(tracker, frame[:, :2], [2.0, 1.0])
    assert branches(follow(tracker, frame[:, [2, 0]], [3.0, 2.0])) == [2, 0]
    assert branches(follow(tracker, frame[:, [0, 1]], [2.0, 1.0])) == [0, 3]


def test_a_newcomer_in_a_degenerate_space_is_told_from_the_branch_that_was_there():
    frame, tracker = rotation(SIZE, 4), Tracker()
    follow(tracker, frame[:, :1], [2.0])
    mixed = frame[:, :2] @ rotation(2, 9)
    assert sorted(branches(follow(tracker, mixed, [2.0, 2.0]))) == [0, 1]
    assert branches(follow(tracker, frame[:, [1, 0]], [3.0, 2.0])) == [1, 0]


def test_ends_are_followed_apart():
    frame, tracker = rotation(SIZE, 5), Tracker()
    track = follow(tracker, frame[:, :4], [2.0, 1.0, -3.0, -1.0], largest=2)
    assert (branches(track), track.bottom.branches.tolist()) == ([0, 1], [0, 1])
    start = tracker.start("hessian", "all", SIZE)
    assert torch.equal(start, frame[:, :4])
    assert tracker.start("information", "all", SIZE) is None
    assert tracker.start("hessian", "all", SIZE + 1) is None


def test_subspace_overlaps_are_squared_norms_of_projections():
    before, now = rotation(SIZE, 6)[:, :4], rotation(SIZE, 7)[:, :5]
    found = subspace_overlaps(before, now)
    expected = [
        float((before[:, :j].T @ now[:, :j]).square().sum() / j) if j <= 4 else math.nan
        for j in range(1, 6)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    same = subspace_overlaps(before, before @ rotation(4, 8))
    assert float(same[-1]) == pytest.approx(1)


def test_shares_of_a_direction_sum_to_its_squared_length_over_a_basis():
    frame, direction = rotation(SIZE, 9), torch.randn(SIZE, generator=generator(1)).double()
    shares = squared_cosines(frame, direction)
    assert float(shares.sum()) == pytest.approx(1)
    assert squared_cosines(frame, 3 * frame[:, 2])[2] == pytest.approx(1)
    assert bool(squared_cosines(frame, None).isnan().all())
    assert bool(squared_cosines(frame, 0 * direction).isnan().all())


def test_groups_are_of_neighbours_that_values_or_errors_do_not_separate():
    values = torch.tensor([5.0, 4.99, 3.0, 2.9, -1.0])
    errors = torch.tensor([0.0, 0.0, 0.06, 0.05, 0.0])
    assert degenerate_groups(values, errors) == [[0, 1], [2, 3], [4]]


# In a probe.


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def batch(n=60):
    inputs = torch.randn(n, 9, dtype=torch.float64, generator=generator(2))
    return inputs, torch.randint(3, (n,), generator=generator(3))


LEAN = Measurement(eigenvalues=3, smallest=2, density=False, width=6, max_products=96)


def moved(model, size=1e-2):
    source = generator(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn(parameter.shape, generator=source)


def test_a_probe_reports_what_dense_algebra_finds():
    """Overlaps, gradient and update in the eigenvectors of two dense Hessians."""
    model, data, loss = network(), batch(), nn.CrossEntropyLoss()
    whole, unit = Block("all"), Block("unit", ("0.weight",), (2, 5))
    probe = SpectralProbe(model, loss, data, blocks=[whole, unit], measurement=LEAN)

    def dense(block):
        operator = HessianOperator(model, loss, data, block)
        vectors = torch.linalg.eigh(operator @ torch.eye(operator.size).double()).eigenvectors
        named = dict(model.named_parameters())
        gradient = dict(
            zip(
                named,
                torch.autograd.grad(loss(model(data[0]), data[1]), [*named.values()]),
                strict=True,
            )
        )
        if block.rows:
            return (
                vectors.flip(1)[:, :3],
                gradient["0.weight"][[2, 5]].flatten(),
                named["0.weight"][[2, 5]].flatten().detach(),
            )
        flat = torch.cat([g.flatten() for g in gradient.values()])
        return (
            vectors.flip(1)[:, :3],
            flat,
            torch.cat([p.flatten() for p in named.values()]).detach(),
        )

    first = probe(0)
    assert first.failure == ""
    assert all(np.isnan(track.top.update).all() for track in first.tracks)
    before = {block.name: dense(block) for block in (whole, unit)}
    moved(model)
    record = probe(1)
    for block in (whole, unit):
        vectors, gradient, weights = dense(block)
        old_vectors, _, old_weights = before[block.name]
        track = record.track("hessian", block.name)
        assert_close = lambda a, b: np.testing.assert_allclose(a, b, atol=5e-3)  # noqa: E731
        assert_close(track.top.subspace_overlap, subspace_overlaps(old_vectors, vectors))
        assert_close(track.top.gradient, squared_cosines(vectors, gradient))
        assert_close(track.top.update, squared_cosines(vectors, weights - old_weights))
        assert track.top.branches.tolist() == [0, 1, 2]
        tags = scalars(record)
        place = f"measured/hessian/{block.name}"
        assert tags[f"{place}/gradient_share"] == pytest.approx(track.top.gradient.sum())
        assert tags[f"{place}/branch_top_3"] == 2
    assert record.track("hessian", "none") is None


def test_a_search_starts_from_the_vectors_found_before_unless_a_density_is_wanted():
    """The eigenvalues are the same to the tolerance, and fewer passes find them."""
    model, data, loss = network(), batch(), nn.CrossEntropyLoss()
    probe = SpectralProbe(model, loss, data, measurement=LEAN)
    cold = probe(0)
    warm = probe(1)
    assert [track.warm for track in cold.tracks] == [False, False]
    # Nothing is searched for the information matrix of few samples.
    assert [track.warm for track in warm.tracks] == [True, False]
    assert [track.passes for track in warm.tracks][1] == 0
    for a, b in zip(cold.measured.spectra, warm.measured.spectra, strict=True):
        for left, right in zip((*a.top, *a.bottom), (*b.top, *b.bottom), strict=True):
            assert left.value == pytest.approx(right.value, abs=2e-3 * a.top[0].value)
    assert sum(t.passes for t in warm.tracks) < sum(t.passes for t in cold.tracks)
    with_density = SpectralProbe(model, loss, data, measurement=replace(LEAN, density=True))
    with_density(0)
    assert not any(track.warm for track in with_density(1).tracks)


class Quadratic(nn.Module):
    """Outputs whose mean square has a Hessian that is orthogonal to where it was at first."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, scales):
        return scales * self.weight


def test_an_outlier_orthogonal_to_the_warm_start_is_found():
    size, model = 200, Quadratic(200)
    bulk = torch.linspace(0.5, 1, size, dtype=torch.float64)
    loss = lambda outputs, _: outputs.square().sum(1).mean() / 2  # noqa: E731
    samples = []
    probe = SpectralProbe(
        model,
        loss,
        lambda _: (samples[-1].sqrt()[None], torch.zeros(1)),
        measurement=replace(LEAN, smallest=0, max_products=180),
    )
    for place in (3, 100):
        spectrum = bulk.clone()
        spectrum[place] = 5.0
        samples.append(spectrum)
        record = probe(len(samples))
        assert record.failure == ""
        assert record.measured.spectra[0].top[0].value == pytest.approx(5, abs=1e-6)
    assert record.tracks[0].warm
    assert record.tracks[0].top.branches[0] == 3


def test_without_tracking_nothing_is_kept():
    probe = SpectralProbe(
        network(), nn.CrossEntropyLoss(), batch(), measurement=replace(LEAN, tracking=False)
    )
    assert probe(0).tracks == ()
    assert probe.state_dict()["tracker"] == {"seen": {}, "weights": {}}


def test_a_restored_probe_goes_on_with_its_branches(tmp_path):
    model, data, loss = network(), batch(), nn.CrossEntropyLoss()
    probe = SpectralProbe(model, loss, data, measurement=LEAN)
    probe(0)
    torch.save(probe.state_dict(), tmp_path / "state")
    restored = SpectralProbe(model, loss, data, measurement=LEAN)
    restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    moved(model)
    expected, found = (encode(replace(p(1), seconds={})) for p in (probe, restored))
    assert found == expected
    assert found["tracks"][0]["warm"]


def test_a_state_without_vectors_is_small_and_begins_branches_under_new_numbers(tmp_path):
    model, data, loss = network(), batch(), nn.CrossEntropyLoss()
    probe = SpectralProbe(model, loss, data, measurement=LEAN)
    used = set(probe(0).tracks[0].top.branches)
    state = probe.state_dict(vectors=False)
    assert not any(each.numel() for each in tree_leaves(state) if isinstance(each, torch.Tensor))
    torch.save(state, tmp_path / "state")
    restored = SpectralProbe(model, loss, data, measurement=LEAN)
    with pytest.warns(RuntimeWarning, match="holds no eigenvectors"):
        restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    moved(model)
    track = restored(1).tracks[0]
    assert not track.warm
    assert not used & set(track.top.branches)
    assert np.isnan(track.top.subspace_overlap).all()
    assert np.isnan(track.top.update).all()
    assert restored(2).tracks[0].top.branches[0] not in used
    assert restored(3).tracks[0].warm


@pytest.mark.parametrize(("width", "stored"), [(4000, True), (5000, False)])
def test_a_state_has_vectors_unless_the_model_has_more_than_a_million_parameters(width, stored):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, width), nn.Tanh(), nn.Linear(width, 200))
    data = torch.randn(4, 20), torch.randint(200, (4,))
    biases = [Block("biases", ("2.bias",))]
    probe = SpectralProbe(model, nn.CrossEntropyLoss(), data, measurement=LEAN, blocks=biases)
    probe(0)
    leaves = tree_leaves(probe.state_dict())
    assert any(isinstance(each, torch.Tensor) and each.numel() for each in leaves) == stored


def test_records_written_before_there_were_tracks_can_be_read():
    old = encode(Record(3))
    del old["tracks"]
    assert decode(old).tracks == ()


def test_a_failed_probing_leaves_the_branches_as_they_were():
    model, (inputs, targets) = network(), batch()
    broken = []
    probe = SpectralProbe(
        model,
        nn.CrossEntropyLoss(),
        lambda _: (inputs * math.nan if broken else inputs, targets),
        measurement=LEAN,
    )
    probe(0)
    broken.append(True)
    with pytest.warns(RuntimeWarning, match="could not have loss"):
        assert probe(1).tracks == ()
    broken.clear()
    assert all((t.top.branches == [0, 1, 2]).all() for t in probe(2).tracks)


def test_layers_may_be_frozen_and_thawed_during_the_training():
    model, data, loss = network(), batch(), nn.CrossEntropyLoss()
    probe = SpectralProbe(model, loss, data, measurement=LEAN)
    probe(0)
    model[0].requires_grad_(False)
    frozen = probe(1)
    assert frozen.failure == ""
    assert frozen.tracks[0].top.branches.tolist() == [3, 4, 5]
    assert np.isnan(frozen.tracks[0].top.subspace_overlap).all()
    assert probe(2).tracks[0].top.branches.tolist() == [3, 4, 5]
    model[0].requires_grad_()
    moved(model)
    thawed = probe(3)
    assert thawed.failure == ""
    assert thawed.tracks[0].top.branches.tolist() == [6, 7, 8]
    assert np.isfinite(thawed.tracks[0].top.update).all()
