import pytest

from spectrain.theory.spectrum import Eigenpair, Spectrum
from spectrain.theory.transitions import TransitionTracker


def spectrum(top=(), bottom=(), matrix="hessian", block="class 0"):
    def pairs(values):
        return tuple(Eigenpair(value=value, error=0.0) for value in values)

    return Spectrum(matrix, block, 100, pairs(top), pairs(bottom))


def followed(*tops):
    """Kinds of the transitions at each of the records after the first."""
    tracker = TransitionTracker()
    assert tracker.update([spectrum(tops[0])]) == ()
    return [[change.kind for change in tracker.update([spectrum(top)])] for top in tops[1:]]


def test_outliers_appear_and_disappear():
    tracker = TransitionTracker()
    tracker.update([spectrum([3.0])])
    (change,) = tracker.update([spectrum([3.0, 2.0])])
    assert (change.matrix, change.block, change.side) == ("hessian", "class 0", "top")
    assert (change.kind, change.before, change.after) == ("appears", 1, 2)
    (change,) = tracker.update([spectrum([])])
    assert (change.kind, change.before, change.after) == ("disappears", 2, 0)
    assert tracker.update([spectrum([])]) == ()


def test_the_bottom_is_followed_by_itself():
    tracker = TransitionTracker()
    tracker.update([spectrum([1.0], [-2.0, -1.0])])
    (change,) = tracker.update([spectrum([1.0], [-2.0])])
    assert (change.side, change.kind, change.before, change.after) == ("bottom", "disappears", 2, 1)


def test_blocks_and_matrices_are_followed_by_themselves():
    tracker = TransitionTracker()
    tracker.update([spectrum([1.0]), spectrum([1.0], matrix="information")])
    assert tracker.update([spectrum([], block="class 1")]) == ()  # never seen before
    (change,) = tracker.update([spectrum([1.0]), spectrum([], matrix="information")])
    assert (change.matrix, change.kind) == ("information", "disappears")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pair_splits_beyond_four_percent_and_merges_below_one(sign):
    tracker = TransitionTracker()

    def kinds(distance):
        values = [sign * 1.0, sign * (1 - distance)]
        sides = {"top": values} if sign > 0 else {"bottom": values}
        return [change.kind for change in tracker.update([spectrum(**sides)])]

    assert kinds(0.005) == []
    # Between the two distances nothing happens, whichever way it goes.
    assert kinds(0.03) == []
    assert kinds(0.05) == ["splits"]
    assert kinds(0.02) == []
    assert kinds(0.05) == []
    assert kinds(0.005) == ["merges"]
    assert kinds(0.039) == []


def test_a_hovering_pair_does_not_split_again_and_again():
    wobble = [[1.0, 1 - 0.015 - 0.01 * (step % 2)] for step in range(20)]
    assert followed([1.0, 0.9], *wobble) == [[]] * 20
    assert followed([1.0, 1.0], *wobble) == [[]] * 20


def test_three_that_fall_apart_are_two_splits():
    assert followed([1.0, 1.0, 1.0], [1.0, 0.95, 0.9]) == [["splits", "splits"]]


def test_neighbours_are_compared_among_those_that_stay():
    """A third one that leaves does not make the first two split or merge."""
    assert followed([1.0, 0.999, 0.5], [1.0, 0.999]) == [["disappears"]]
    assert followed([1.0, 0.5], [1.0, 0.5, 0.4999]) == [["appears"]]


def test_a_restored_tracker_goes_on():
    tracker = TransitionTracker()
    tracker.update([spectrum([1.0, 0.999])])
    other = TransitionTracker()
    other.load_state_dict(tracker.state_dict())
    assert [change.kind for change in other.update([spectrum([1.0, 0.9])])] == ["splits"]
    # The state that was handed over does not change with either of them.
    assert [change.kind for change in tracker.update([spectrum([1.0, 0.9])])] == ["splits"]


def test_a_state_of_before_goes_on_with_its_words_for_the_sides():
    """Checkpoints of earlier versions say "right" and "left"."""
    other = TransitionTracker()
    other.load_state_dict(
        {"pairs": {"hessian/class 0/right": [False, True], "hessian/class 0/left": [False]}}
    )
    found = other.update([spectrum([1.0, 0.9], [])])
    assert [(change.side, change.kind) for change in found] == [
        ("top", "splits"),
        ("bottom", "disappears"),
    ]
