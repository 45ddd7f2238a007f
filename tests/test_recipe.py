"""What recipes start from: every setting of every kind exists, and none is made up."""

import pytest

from tests.builders_of_kinds import TABLE
from tests.recipes import pretraining
from vlp_jax import recipe
from vlp_jax.core.lookup import parameters_of
from vlp_jax.data.sources import SOURCES


def test_every_keyword_of_every_kind_can_be_set():
    block = recipe.source()
    for builder in SOURCES.values():
        assert set(parameters_of(builder)) <= set(block)
    assert all(value is None for value in block.values())
    assert (
        block.get_type("captions") is object
    )  # of one kind a table, of another fields


@pytest.mark.parametrize("start", [recipe.pretraining, recipe.evaluation])
def test_a_recipe_cannot_set_what_does_not_exist(start):
    config = start()
    with pytest.raises(AttributeError, match="batch_size"):
        config.batchsize = 8
    with pytest.raises(KeyError, match="batch_size"):
        config.update(batchsize=8)


def test_evaluators_take_any_name():
    config = recipe.pretraining()
    config.evaluation.evaluators.mine = recipe.evaluator("retrieval")
    config.evaluation = recipe.evaluation()
    config.evaluation.evaluators.other = recipe.evaluator("zero_shot")
    assert list(config.evaluation.evaluators) == ["other"]


def test_evaluator_settings_keep_their_types():
    block = recipe.evaluator("retrieval")
    block.recall_at = (1, 5)
    with pytest.raises(TypeError):
        block.recall_at = 5
    assert block.get_type("limit") is int and block.get_type("templates") is object


def test_class_names_are_a_name_or_several():
    assert all("class_names" in recipe.source(kind) for kind in ("tfds", "imagenet"))
    assert recipe.source("image_folder").get_type("class_names") is object


def test_a_block_has_what_was_chosen():
    assert recipe.block(TABLE, "one", a=4).to_dict() == {
        **dict.fromkeys("bcdefgh"),
        **{"kind": "one", "given": None, "a": 4},
    }
    open_block = recipe.block(TABLE, None, a=4)
    assert (open_block.kind, open_block.a) == (None, 4)
    with pytest.raises(TypeError):
        recipe.block(TABLE, "one", a="four")


def test_a_tower_has_a_size_beside_its_keywords():
    found = recipe.part("image", "vit")
    assert (found.kind, found.size, found.get_type("size")) == ("vit", None, str)
    assert "vocab_size" not in found  # comes from the tokenizer


def test_a_source_of_a_mixture_has_a_weight_or_a_repeat():
    found = recipe.mixed("digit_scenes", weight=2.0, size=7)
    assert (found.kind, found.size, found.weight, found.repeat) == (
        *("digit_scenes", 7, 2.0, None),
    )
    assert found.get_type("weight") is found.get_type("repeat") is float
    assert "weight" not in recipe.source("digit_scenes")


def test_a_dataset_is_a_source_alone():
    found = recipe.dataset("digit_scenes", size=7)
    assert list(found) == ["data"] and found.data.size == 7
    with pytest.raises(AttributeError):
        found.dtaa = 3


def test_an_evaluator_uses_data_of_its_own_where_it_has_them():
    own = recipe.source("digit_scenes", split="test")
    assert recipe.evaluator("retrieval", own).data.split == "test"
    assert recipe.evaluator("retrieval").data.kind is None
    found = recipe.evaluator("knn", train=own, k=5)
    assert (found.train.split, found.data.kind, found.k) == ("test", None, 5)


def test_two_recipes_share_nothing():
    one, other = pretraining(), pretraining()
    one.data.train.kind, one.model.image.width = "digit_scenes", 8
    one.data.mixture.more = recipe.mixed("digit_scenes")
    assert other.data.train.kind is other.model.image.width is None
    assert not other.data.mixture
