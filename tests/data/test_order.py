"""Orders are permutations and pure functions of (seed, position); shares are kept."""

import collections
import itertools
import pickle

import numpy as np
import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data import order as order_module
from vlp_jax.data.order import CYCLE, BlockOrder, MixedOrder, Order, turns

ENDS = (7, 7, 20, 21, 40, 52, 60)  # an empty block, and one of a single sample


def walk(order, start: int, stop: int) -> list[int]:
    return [order(position) for position in range(start, stop)]


@pytest.mark.parametrize("interleave", [1, 2, 3, 7, 100])
def test_every_pass_of_a_block_order_is_a_permutation(interleave):
    order = BlockOrder(ENDS, seed=3, interleave=interleave)
    passes = [walk(order, 60 * n, 60 * (n + 1)) for n in range(3)]
    assert all(sorted(found) == list(range(60)) for found in passes)
    assert passes[0] != passes[1] != passes[2]


def test_blocks_are_read_from_start_to_end_and_few_at_a_time():
    sizes = [50] * 20
    order = BlockOrder(np.cumsum(sizes), seed=0, interleave=4)
    found = np.array(walk(order, 0, 1000))
    for block in range(20):
        own = found[found // 50 == block]
        assert own.tolist() == list(range(50 * block, 50 * (block + 1)))
    for window in range(5):
        assert len(set(found[200 * window : 200 * (window + 1)] // 50)) == 4
    first = found[:40] // 50  # its four blocks are mixed, not one after the other
    assert len(set(first.tolist())) == 4


def test_a_block_order_can_be_asked_anywhere_and_pickled():
    order = BlockOrder(ENDS, seed=1, interleave=2)
    expected = walk(order, 0, 240)
    other = pickle.loads(pickle.dumps(BlockOrder(ENDS, seed=1, interleave=2)))
    for position in np.random.default_rng(0).permutation(240):
        assert other(int(position)) == expected[position]
    assert walk(BlockOrder(ENDS, seed=2, interleave=2), 0, 60) != expected[:60]


def test_a_bad_sample_gives_way_to_its_neighbour_then_leaves_the_block():
    order = BlockOrder(ENDS, seed=1)
    assert order.substitute(7, 1) == 8 and order.substitute(19, 1) == 7
    assert order.substitute(20, 1) == 20  # alone in its block
    far = {order.substitute(7, probe) for probe in range(2, 8)}
    assert len(far) == 6 and not far & set(range(7, 13))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1, 1), [50_000, 50_000]),
        ((3, 1), [75_000, 25_000]),
        ((1, 1, 1), [33_334, 33_333, 33_333]),
        ((1e-9, 1), [1, 99_999]),
    ],
)
def test_turns(weights, expected):
    found = turns(weights)
    assert found.tolist() == expected and found.sum() == CYCLE


@pytest.mark.parametrize("weights", [(1, 0), (1, -1), (1, float("nan"))])
def test_weights_that_make_no_sense(weights):
    with pytest.raises(ConfigError, match="weights of a mixture.*expected positive"):
        turns(weights)


def test_a_mixture_keeps_its_shares_and_the_order_of_each_source(monkeypatch):
    monkeypatch.setattr(order_module, "CYCLE", 4000)
    orders = [Order(90, 1), BlockOrder(ENDS, 2), Order(1000, 3)]
    mixed = MixedOrder(orders, (2, 1, 1), seed=7)
    found = np.array(walk(mixed, 0, 8000))
    numbers = np.searchsorted([90, 150], found, "right")
    assert collections.Counter(numbers.tolist()) == {0: 4000, 1: 2000, 2: 2000}
    for number, start in enumerate((0, 90, 150)):
        own = (found[numbers == number] - start).tolist()
        assert own == walk(orders[number], 0, len(own))
    # The shares hold in small parts of the stream as well.
    parts = [np.bincount(part, minlength=3) for part in numbers.reshape(-1, 500)]
    assert np.abs(np.array(parts) - [250, 125, 125]).max() < 60
    assert mixed.size == 1150


def test_substitutes_come_from_the_same_source():
    mixed = MixedOrder([Order(90, 1), BlockOrder(ENDS, 2)], (1, 1), seed=7)
    for probe in range(1, 8):
        assert 0 <= mixed.substitute(89, probe) < 90
        assert 90 <= mixed.substitute(90, probe) < 150


def test_orders_pickle():
    mixed = MixedOrder([Order(90, 1), BlockOrder(ENDS, 2)], (1, 1), seed=7)
    expected = walk(mixed, 0, 300)
    assert walk(pickle.loads(pickle.dumps(mixed)), 0, 300) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 17, 1000])
def test_every_pass_is_a_permutation(size):
    order = Order(size, seed=3)
    for epoch in range(3):
        found = [order(epoch * size + i) for i in range(size)]
        assert sorted(found) == list(range(size))


def test_passes_and_seeds_differ():
    found = {
        (seed, epoch): tuple(Order(500, seed)(epoch * 500 + i) for i in range(500))
        for seed in (0, 1, 2)
        for epoch in range(3)
    }
    orders = [*found.values(), tuple(range(500))]
    for one, other in itertools.combinations(orders, 2):
        agree = sum(a == b for a, b in zip(one, other, strict=True))
        assert agree < 25  # of 500; chance gives one
