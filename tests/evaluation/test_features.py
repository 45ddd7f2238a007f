"""Embeddings with labels: whose pictures are read, and which labels are refused."""

import numpy as np
import pytest

from tests.evaluation.labelled import Labelled, Seeing
from tests.evaluation.predictors import Wrapped
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.evaluation.features import (
    EvenlySpread,
    check_same_classes,
    class_count,
    read_features,
)

TABLE = np.arange(30).reshape(10, 3)


def test_features_are_in_the_order_of_the_source():
    source = Labelled([4, 2, 9, 0], [1, 0, 2, 1])
    broken = Wrapped(source, {1: BadSample("image_missing")})
    found = read_features(broken, Seeing(TABLE))
    np.testing.assert_array_equal(found.embeddings, TABLE[[4, 9, 0]])
    assert found.labels.tolist() == [1, 2, 1]
    assert found.skipped == {"image_missing": 1}
    assert read_features(source, Seeing(TABLE), limit=2).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("label", "names", "said"),
    [
        (None, "ab", r"a label in 0..1 on .* row 1 of labelled has None"),
        (2, "ab", r"a label in 0..1 on .* has 2"),
        (None, (), "a label on .* has None"),
        (-1, (), "a label on .* has -1"),
    ],
)
def test_labels_that_cannot_be_used(label, names, said):
    source = Labelled([0, 1], [0, 1], class_names=names)
    source.labels = [0, label]
    with pytest.raises(ConfigError, match=f"needs {said}"):
        read_features(source, Seeing(TABLE))


@pytest.mark.parametrize(("size", "rows"), [(3, [0, 2, 4]), (7, [*range(7)]), (9, 7)])
def test_samples_are_spread_over_the_source(size, rows):
    source = Labelled(np.arange(7), [0] * 7)
    spread = EvenlySpread(source, size)
    rows = [*range(7)] if rows == 7 else rows
    assert [spread[i].name for i in range(len(spread))] == [f"row {r}" for r in rows]
    assert (spread.name, spread.class_names) == (source.name, source.class_names)


def test_classes_are_the_same_in_both_sources():
    def named(names):
        return Labelled([0], [0], f"of {names}", names)

    check_same_classes(named("abc"), named("abc"), "knn")
    check_same_classes(named(""), named("abc"), "knn")  # labels without names
    with pytest.raises(ConfigError, match="abc has 3 .*class 1 is 'b' and 'x'"):
        check_same_classes(named("abc"), named("axc"), "knn")
    with pytest.raises(ConfigError, match="class 2 is in one of them only"):
        check_same_classes(named("abc"), named("ab"), "knn")


def test_classes_are_counted_by_names_or_labels():
    source = Labelled([0, 1], [0, 3], class_names=())
    found = read_features(source, Seeing(TABLE))
    assert class_count(found, found, source) == 4
    source.class_names = "abcdef"
    assert class_count(found, found, source) == 6
