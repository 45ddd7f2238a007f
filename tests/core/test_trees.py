"""Paths, and what is said when two trees differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError


def shape(*size, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(size, dtype)


MODEL = {
    "image": {"block_0": {"kernel": shape(2, 3)}, "bias": shape(3)},
    "scale": shape(),
}


def problem(given, **keywords) -> str:
    with pytest.raises(ConfigError) as caught:
        trees.check_same(MODEL, given, "the checkpoint", **keywords)
    return str(caught.value)


def test_paths_and_sizes():
    assert list(trees.flatten(MODEL)) == ["image/bias", "image/block_0/kernel", "scale"]
    assert trees.count(MODEL) == 6 + 3 + 1
    named = trees.map_with_path(lambda path, leaf: f"{path} {leaf.ndim}", MODEL)
    assert named["image"]["block_0"]["kernel"] == "image/block_0/kernel 2"


def test_collections_as_one_tree_and_apart_again():
    collections = {"params": MODEL, "statistics": {"image": {"mean": shape(3)}}}
    one = trees.union(collections)
    assert set(trees.flatten(one)) == {*trees.flatten(MODEL), "image/mean"}
    assert trees.apart(one, collections) == collections
    some = trees.unflatten({"image/mean": 1, "scale": 2})
    assert trees.apart(some, collections) == {
        "params": {"scale": 2},
        "statistics": {"image": {"mean": 1}},
    }
    assert trees.union({"params": MODEL}) is MODEL


def test_equal_trees():
    trees.check_same(MODEL, jax.tree.map(lambda x: x, MODEL), "the checkpoint")


def test_four_lists():
    given = {
        "image": {"bias": shape(4), "block_1": {"kernel": shape(2, 3)}},
        "scale": shape(dtype=jnp.bfloat16),
    }
    assert problem(given, advice=". Do this") == (
        "the checkpoint does not fit: "
        "1 missing: image/block_0/kernel; "
        "1 unexpected: image/block_1/kernel; "
        "1 wrong shape: image/bias (expected [3], got [4]); "
        "1 wrong dtype: scale (expected float32, got bfloat16). Do this"
    )


def test_only_what_applies_is_listed():
    said = problem({"image": MODEL["image"]})
    assert said == "the checkpoint does not fit: 1 missing: scale"


def test_long_lists_are_cut():
    extra = {f"extra_{i}": shape() for i in range(5)}
    said = problem(MODEL | extra, shown=2)
    assert said.endswith("5 unexpected: extra_0, extra_1, ...")


def test_a_tree_comes_apart_and_together_again():
    tree = {"image": {"a": {"kernel": 1, "bias": 2}}, "text": {"kernel": 3}, "s": 4}
    chosen, rest = trees.split(tree, lambda path: "kernel" in path)
    assert chosen == {"image": {"a": {"kernel": 1}}, "text": {"kernel": 3}}
    assert rest == {"image": {"a": {"bias": 2}}, "s": 4}
    assert trees.merge(chosen, rest) == tree == trees.merge(rest, chosen)
    everything, nothing = trees.split(tree, lambda path: True)
    assert everything == tree and nothing == {}
    assert trees.merge(everything, nothing) is everything


def test_patterns_choose_paths():
    paths = ["image/norm/scale", "image_projection/kernel", "text/norm/scale"]
    assert trees.matching(["^image"], paths, "parts") == set(paths[:2])
    assert trees.matching(["image/", "^text"], paths, "parts") == {paths[0], paths[2]}
    assert trees.matching(["scale$"], paths, "parts") == {paths[0], paths[2]}
    assert trees.matching([], paths, "parts") == set()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("^txt/", "parts: '^txt/' is found in no parameter path; they begin with "),
        ("^txt/", "begin with image, text; did you mean 'text'?"),
        ("image/nrm", "did you mean 'image/norm'?"),
        ("(", "parts is ['^text', '(']; expected regular expressions"),
        (5, "parts is ['^text', 5]; expected regular expressions"),
    ],
)
def test_a_pattern_that_chooses_nothing_is_a_mistake(pattern, said):
    paths = ["image/norm/scale", "text/norm/scale"]
    with pytest.raises(ConfigError) as caught:
        trees.matching(["^text", pattern], paths, "parts")
    assert said in str(caught.value)


def test_a_digest_tells_values_and_paths_apart():
    one = {"params": {"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float32)}}
    same = {"params": {"b": np.zeros(2, np.float32), "a": np.ones((2, 3), np.float32)}}
    other = {"params": {"a": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)}}
    assert trees.digest(one) == trees.digest(same) != trees.digest(other)
    moved = {"params": {"c": one["params"]["a"], "b": one["params"]["b"]}}
    assert trees.digest(moved) != trees.digest(one) and len(trees.digest(one)) == 20
