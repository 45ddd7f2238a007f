"""A sample of every position, or another in place of a bad one, whatever the stream."""

import numpy as np
import pytest

from tests.data.numbered import Numbers, prepare, samples, tokenize
from vlp_jax.core.errors import BAD_SAMPLE_CAUSES, BadSample, RunError
from vlp_jax.data.order import Order
from vlp_jax.data.pairs import PairSamples
from vlp_jax.data.samples import PROBES


def test_a_position_is_the_same_sample_every_time():
    one, other, another = samples()[123], samples()[123], samples(seed=1)[123]
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])
    assert (one["image"] != another["image"]).any()


# ---- bad ones


def test_substitutes_depend_on_nothing_but_the_index():
    bad = {3: "image_empty"}
    for seed in (0, 1):
        found, good = samples(seed=seed, bad=bad), samples(seed=seed)
        position = next(i for i in range(40) if int(good[i]["sample_id"]) == 3)
        assert int(found[position]["sample_id"]) == (3 + 7919) % 40


@pytest.mark.parametrize("size", [2, 7907, 7919])
def test_a_substitute_is_never_the_bad_sample_itself(size):
    found = samples(size, bad={0: "image_missing"})
    position = next(i for i in range(size) if found.order(i) == 0)
    assert found[position]["sample_id"] != 0
    assert found[position]["bad"].sum() == 1


def test_a_picture_that_cannot_be_prepared_is_bad():
    def fail_on_seven(image, rng):
        if image[0, 0, 0] == 7:
            raise BadSample("image_truncated")
        return prepare(image, rng)

    found = PairSamples(Numbers(40), Order(40, 0), fail_on_seven, tokenize, 0)
    counts = sum(found[position]["bad"] for position in range(40))
    assert dict(zip(BAD_SAMPLE_CAUSES, counts, strict=True))["image_truncated"] == 1
    assert found.describe_bad() == "image_truncated: number 7"


def test_every_attempt_is_counted_by_its_cause():
    order = Order(40, 0)
    first = order(0)
    causes = ["image_missing", "image_empty", "image_missing"]
    bad = {order.substitute(first, probe): cause for probe, cause in enumerate(causes)}
    found = samples(bad=bad)[0]
    assert int(found["sample_id"]) == order.substitute(first, 3)
    counts = dict(zip(BAD_SAMPLE_CAUSES, found["bad"].tolist(), strict=True))
    assert counts == dict.fromkeys(BAD_SAMPLE_CAUSES, 0) | {
        "image_missing": 2,
        "image_empty": 1,
    }


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_samples_are_tried_and_no_more(more):
    order = Order(40, 0)
    tried = [order.substitute(order(0), probe) for probe in range(PROBES)]
    found = samples(bad=dict.fromkeys(tried[: PROBES - 1 + more], "image_missing"))
    if not more:
        assert int(found[0]["sample_id"]) == tried[-1]
        return
    said = f"numbers: 8 samples in a row cannot be used, from index {tried[0]} on "
    with pytest.raises(RunError, match=said + r"\(image_missing: .*check the data"):
        found[0]


def test_a_few_bad_samples_of_each_cause_are_named():
    found = samples()
    for number in (3, 1, 2, 1, 5, 4, 6, 7):
        found.remember_bad("image_missing", f"{number}.jpg")
    found.remember_bad("caption_missing", "mute.jpg")
    assert found.describe_bad() == (
        "caption_missing: mute.jpg; image_missing: 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg"
    )
    assert samples().describe_bad() == ""
