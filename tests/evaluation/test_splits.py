"""Examples are drawn class by class, the same for the same seed."""

import numpy as np
import pytest

from vlp_jax.core.errors import RunError
from vlp_jax.evaluation.splits import draw_shots, split

LABELS = np.random.default_rng(0).permutation([0] * 10 + [3] * 25 + [7] * 2)


def counts(part):
    return dict(zip(*np.unique(LABELS[part], return_counts=True), strict=True))


def test_a_share_of_every_class_is_held_out():
    kept, held_out = split(LABELS, 0.2)
    assert counts(held_out) == {0: 2, 3: 5, 7: 1}
    assert sorted([*kept, *held_out]) == [*range(37)]
    assert kept.tolist() == sorted(kept)
    again = split(LABELS, 0.2)[1]
    np.testing.assert_array_equal(again, held_out)
    assert not np.array_equal(split(LABELS, 0.2, seed=1)[1], held_out)


def test_a_single_example_stays_in_training():
    kept, held_out = split(np.array([0, 1, 1]), 0.5)
    assert 0 in kept and len(held_out) == 1
    with pytest.raises(RunError, match="every class has a single one.*or set l2"):
        split(np.arange(4), 0.5)


def test_shots_of_every_class_and_others_to_choose_by():
    labels = LABELS[LABELS != 7]
    shots, held_out = draw_shots(labels, 5, seed=0, hold_out=True)
    assert np.bincount(labels[shots])[[0, 3]].tolist() == [5, 5]
    assert np.bincount(labels[held_out])[[0, 3]].tolist() == [4, 4]
    assert not set(shots) & set(held_out)
    assert len(draw_shots(labels, 10, seed=0, hold_out=False)[1]) == 0


def test_a_draw_holds_the_smaller_ones_and_depends_on_the_class_alone():
    four, two = (set(draw_shots(LABELS[LABELS != 7], n, 3, True)[0]) for n in (4, 2))
    assert two < four
    alone = np.where(LABELS == 3, 3, 0)  # other classes are joined
    same = [draw_shots(x, 2, 5, False)[0] for x in (LABELS, alone)]
    assert {i for i in same[0] if LABELS[i] == 3} == {
        i for i in same[1] if LABELS[i] == 3
    }
    other = draw_shots(LABELS, 2, 6, False)[0]
    assert set(other) != set(same[0])


def test_classes_are_drawn_independently():
    labels = np.repeat([0, 1], 20)
    shots, _ = draw_shots(labels, 5, 0, hold_out=False)
    assert set(shots[:5] + 20) != set(shots[5:])


def test_too_few_examples_for_the_shots():
    with pytest.raises(RunError, match="2 shots and 2 .* need 4 .* class 7 has 2;"):
        draw_shots(LABELS, 2, 0, hold_out=True)
    with pytest.raises(RunError, match="3 shots need 3 .* class 7 has 2; lower shots$"):
        draw_shots(LABELS, 3, 0, hold_out=False)
