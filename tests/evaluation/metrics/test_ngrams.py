"""Runs of tokens and how often they occur."""

from vlp_jax.evaluation.metrics.ngrams import ngram_counts


def test_runs_of_up_to_three():
    assert ngram_counts("a b a b".split(), 3) == {
        ("a",): 2,
        ("b",): 2,
        ("a", "b"): 2,
        ("b", "a"): 1,
        ("a", "b", "a"): 1,
        ("b", "a", "b"): 1,
    }


def test_a_text_shorter_than_a_run_has_none():
    assert ngram_counts(["a"], 4) == {("a",): 1}
    assert not ngram_counts([], 4)
