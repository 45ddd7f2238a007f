"""Which sources a config names, how often each is read, and what is refused."""

import collections
import itertools

import numpy as np
import pytest

from tests.recipes import pretraining
from vlp_jax import recipe
from vlp_jax.core.errors import ConfigError
from vlp_jax.data import order
from vlp_jax.data.fingerprint import difference
from vlp_jax.data.mixture import Mixture
from vlp_jax.data.order import BlockOrder, MixedOrder, Order
from vlp_jax.data.sources.digit_scenes import DigitScenes
from vlp_jax.feed import Feed, steps_of


def config(**mixture):
    """A mixture of digit scenes: name -> keywords of recipe.mixed."""
    chosen = recipe.pretraining()
    for name, keywords in mixture.items():
        chosen.data.mixture[name] = recipe.mixed("digit_scenes", canvas=24, **keywords)
    return chosen


def drawn(feed: Feed, count: int) -> collections.Counter:
    """How many of the first positions each source fills."""
    names = list(feed.source.sources)
    ends = np.cumsum([len(source) for source in feed.source.sources.values()])
    found = [feed.order(position) for position in range(count)]
    return collections.Counter(names[n] for n in np.searchsorted(ends, found, "right"))


def test_one_source_is_read_as_it_is():
    chosen = config()
    chosen.data.train.update(kind="digit_scenes", size=20)
    feed = Feed(chosen)
    assert isinstance(feed.source, DigitScenes) and feed.order == Order(20, 0)
    assert feed.pass_size == 20
    assert feed.fingerprint["samples"] == 20
    assert set(feed.fingerprint["parts"]) == {"train", "order"}
    assert feed.source.fingerprint.items() <= feed.fingerprint["parts"].items()
    only = Feed(config(a={"size": 20}))
    assert isinstance(only.source, DigitScenes)


def test_without_weights_a_pass_reads_every_sample_once():
    chosen = config(b={"size": 30})
    chosen.data.train.update(kind="digit_scenes", size=20)
    feed = Feed(chosen)
    assert list(feed.source.sources) == ["train", "b"] and feed.pass_size == 50
    assert sorted(map(feed.order, range(50))) == list(range(50))


def test_weights_are_shares_of_the_samples(monkeypatch):
    monkeypatch.setattr(order, "CYCLE", 1000)
    feed = Feed(config(a={"size": 20, "weight": 3.0}, b={"size": 30, "weight": 1.0}))
    assert drawn(feed, 1000) == {"a": 750, "b": 250}


def test_a_repeat_is_a_share_of_a_pass(monkeypatch):
    monkeypatch.setattr(order, "CYCLE", 1000)
    feed = Feed(config(a={"size": 20, "repeat": 3.0}, b={"size": 40}))
    assert feed.pass_size == 100
    assert drawn(feed, 1000) == {"a": 600, "b": 400}


def test_the_samples_of_a_mixture_are_those_of_its_sources():
    feed = Feed(config(a={"size": 20}, b={"size": 30, "split": "test"}))
    mixture = feed.source
    assert isinstance(mixture, Mixture) and len(mixture) == 50
    for index, name, own in ((0, "a", 0), (19, "a", 19), (20, "b", 0), (49, "b", 29)):
        expected = mixture.sources[name][own]
        assert mixture[index].captions == expected.captions
        np.testing.assert_array_equal(mixture[index].image, expected.image)
    assert set(mixture.fingerprint) == {"a/train", "b/test"}
    assert mixture.name == "a (digit_scenes/train, 20) + b (digit_scenes/test, 30)"


@pytest.mark.parametrize(
    ("mixture", "said"),
    [
        ({"a": {"weight": 1.0}, "b": {}}, "a have a weight and b have none"),
        ({"a": {"weight": 1.0, "repeat": 2.0}}, "has both a weight .* and a repeat"),
        ({"a": {"weight": -1.0}}, "data.mixture.a.weight is -1.0; expected a positive"),
        ({"a": {"splitt": "x"}}, "splitt"),
        ({}, "data.train.kind is not given"),
    ],
)
def test_mixtures_that_are_refused(mixture, said):
    with pytest.raises((ConfigError, KeyError), match=said):
        Feed(config(**mixture))


def test_two_sources_of_one_name():
    chosen = config(train={"size": 20})
    chosen.data.train.kind = "digit_scenes"
    with pytest.raises(ConfigError, match="data.mixture has a source 'train' beside"):
        Feed(chosen)


class Shards(DigitScenes):
    """Digit scenes that say where their shards end."""

    remote = False

    def __init__(self, size: int = 60):
        super().__init__(size=size, canvas=24)
        self.blocks = np.array([10, 20, size])


def test_shards_are_read_in_blocks_when_they_are_remote_or_when_asked(monkeypatch):
    monkeypatch.setitem(recipe.SOURCES, "shards", Shards)
    chosen = config()
    chosen.data.train.kind = "shards"
    assert isinstance(Feed(chosen).order, Order)
    before = Feed(chosen).fingerprint["parts"]
    chosen.data.order = "blocks"
    assert isinstance(Feed(chosen).order, BlockOrder)
    assert difference(before, Feed(chosen).fingerprint["parts"]) == "1 changed: order"
    chosen.data.mixture.other = recipe.mixed("shards", size=30)
    assert isinstance(Feed(chosen).order, MixedOrder)
    assert all(isinstance(order, BlockOrder) for order in Feed(chosen).order.orders)
    chosen.data.order = None
    monkeypatch.setattr(Shards, "remote", True)
    assert isinstance(Feed(chosen).order, MixedOrder)  # remote ones among them
    del chosen.data.mixture.other
    assert isinstance(Feed(chosen).order, BlockOrder)
    chosen.data.train.kind, chosen.data.order = "digit_scenes", "blocks"
    with pytest.raises(ConfigError, match="digit_scenes/train has no shards"):
        Feed(chosen)
    chosen.data.order = "block"
    with pytest.raises(ConfigError, match="unknown data.order 'block'"):
        Feed(chosen)


def test_bad_samples_are_replaced_from_their_own_source():
    feed = Feed(config(a={"size": 20, "weight": 1.0}, b={"size": 30, "weight": 1.0}))
    for position, probe in itertools.product(range(200), range(1, 8)):
        index = feed.order(position)
        assert (index < 20) == (feed.order.substitute(index, probe) < 20)


def test_epochs_stand_in_for_steps():
    chosen = pretraining(batch_size=100, epochs=2.5)
    assert steps_of(chosen, 1000) == 25  # in place of the recipe's own steps
    chosen.epochs = 0.01
    assert steps_of(chosen, 1000) == 1
    chosen.epochs = 0.0
    with pytest.raises(ConfigError, match="epochs is 0.0; expected a positive"):
        steps_of(chosen, 1000)
    assert steps_of(pretraining(), 1000) == 10
