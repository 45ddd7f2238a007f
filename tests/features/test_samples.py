"""Batches of spans: good samples in order, bad ones counted, and not too many."""

import pytest

from tests.features.embedding import Listed, plain
from vlp_jax.core.errors import BadSample, RunError
from vlp_jax.data.shards.folder import Counts
from vlp_jax.features.samples import Samples, some_of


def prepared(image):
    if image[0, 0, 0] == 5:
        raise BadSample("image_truncated")
    return image[:1, :1]


def samples(source, before=None, **given):
    keys = ("index", "name", "image_embedding", *given.pop("keys", ()))
    settings = {"threads": 2, "max_bad_share": 0.1} | given
    return Samples(source, prepared, keys, before=before or Counts(), **settings)


def walked(found, spans, size=3):
    counts = [Counts() for _ in spans]
    batches = [list(batches) for batches in found.spans(spans, size, counts)]
    return batches, counts


def numbers(batches):
    return [[one.index for one in batch] for batch in batches]


def test_batches_end_with_their_span(capsys):
    bad = {3: BadSample("image_missing"), 8: BadSample("image_empty")}
    source = Listed(*(bad.get(n) or plain(n) for n in range(10)))
    spans = [range(0, 5), range(8, 9), range(5, 10)]
    (first, second, third), counts = walked(samples(source), spans)
    assert numbers(first) == [[0, 1, 2], [4]]
    assert numbers(second) == [] and numbers(third) == [[6, 7, 9]]
    assert [own.samples for own in counts] == [4, 0, 3]
    assert counts[0].named == {"image_missing": ["sample 3"]}
    assert counts[2].named == {
        "image_truncated": ["5.png"],
        "image_empty": ["sample 8"],
    }
    one = first[1][0]
    assert one.picture.tolist() == [[[4, 4, 4]]] and one.example.image == b""
    assert one.example.name == "4.png"
    assert "samples embedded 11/11" in capsys.readouterr().out


def test_too_many_bad_samples():
    bad = [BadSample("image_missing")] * 150
    source = Listed(*bad, *[plain(1)] * 850)
    with pytest.raises(RunError, match="101 of 101 samples could not be used, more"):
        walked(samples(source), [range(1000)])
    batches, counts = walked(samples(source, max_bad_share=0.15), [range(1000)])
    assert counts[0].samples == 850
    before = Counts(samples=0)
    before.bad["image_empty"], before.named["image_empty"] = 90, ["a"]
    with pytest.raises(RunError, match="101 of .* image_empty: a; 11 image_missing"):
        walked(samples(source, before), [range(1000)])


def test_what_no_column_is_there_for():
    source = Listed(plain(1), plain(2, label=3))
    with pytest.raises(RunError, match=r"2.png of listed has label, and none of the 8"):
        walked(samples(source), [range(2)])
    walked(samples(source, keys=("label",)), [range(2)])


def test_a_look_at_some():
    bad = BadSample("image_missing")
    source = Listed(*(bad if n == 10 else plain(n) for n in range(80)))
    assert [one.name for one in some_of(source)] == [
        f"{n}.png" for n in (0, 11, 20, 30, 40, 50, 60, 70)
    ]
    few = Listed(*[bad] * 3, plain(3), bad)
    assert [one.name for one in some_of(few)] == ["3.png"]
    assert some_of(Listed(bad, bad)) == []
