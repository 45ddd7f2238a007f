"""The search for the largest batch, on programs whose memory is a formula."""

import pytest

from vlp_jax.planning.hlo import Found
from vlp_jax.planning.program import Compiled, Memory
from vlp_jax.planning.search import Search, round_down

GIB = 2**30


class Program:
    """Memory by a formula of the pairs on a device; what is too large is refused."""

    shares = 16
    state_bytes = GIB / 2

    def __init__(self, gib, limit, seconds=10.0):
        self.gib, self.limit, self.seconds = gib, limit, seconds
        self.compiled = []

    def compile(self, batch_size):
        pairs = batch_size // self.shares
        self.compiled.append(pairs)
        needed = self.gib(pairs) * GIB
        if needed > self.limit * GIB:
            return Compiled(1.0, 1.0, needed)
        memory = Memory(needed, 0.0, 0.0, needed)
        return Compiled(self.seconds, 1.0, needed, memory, Found((), 0))


def largest(gib, start, guess, limit=16):
    program, said = Program(gib, limit), []
    search = Search(program, limit * GIB, said.append)
    found = search.largest(start, guess)
    assert len(said) == len(set(program.compiled)) == len(program.compiled)
    # A program that is refused costs the compiler a fraction of one that fits.
    assert sum(gib(pairs) <= limit for pairs in program.compiled) <= 7
    return found


@pytest.mark.parametrize("start", [8, 64, 500, 5000, None])
@pytest.mark.parametrize("guess", [20, 90, 700])
def test_a_line_is_found_in_few_compilations(start, guess):
    assert 133 <= largest(lambda pairs: 2 + pairs / 10, start, guess) <= 140


def test_the_end_of_a_bent_line():
    """The compiler saves more when memory is short: less is needed than predicted."""
    found = largest(lambda pairs: 2 + min(pairs / 10, 6 + pairs / 20), 32, 60)
    assert 0.95 * 160 <= found <= 160


def test_nothing_fits():
    assert largest(lambda pairs: 20 + pairs, None, 50) == 0
    assert largest(lambda pairs: 20 + pairs, 64, 50) == 0


def test_only_one_pair_fits():
    assert largest(lambda pairs: 15 * pairs, 64, 50) == 1


def test_no_compilation_begins_that_would_end_too_late():
    program = Program(lambda pairs: 1 + pairs / 100, 16, seconds=600.0)
    search = Search(program, 16 * GIB, lambda text: None)
    assert search.largest(64, 128) == 64
    assert sorted(program.compiled) == [32, 64]


def test_memory_of_the_plan_not_only_of_the_chip():
    """--hbm_gib may be less than what the compiler allows."""
    program = Program(lambda pairs: pairs, limit=100)
    assert Search(program, 10 * GIB, lambda text: None).largest(64, 20) in range(9, 11)


def test_rounding():
    assert [round_down(n) for n in (0, 1, 7, 15, 16, 31, 200)] == [
        1,
        1,
        7,
        15,
        16,
        24,
        200,
    ]
