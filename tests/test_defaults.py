"""What a config leaves open has the default of its builder, the rest stays."""

from tests.recipes import pretraining
from tests.test_build import model_of
from vlp_jax import defaults, recipe


def test_the_resolved_config_has_every_default_and_builds_the_same():
    chosen = pretraining(learning_rate__peak=1e-3, model__embedding_size=16)
    chosen.data.train.kind = "digit_scenes"
    chosen.model.image.size = "S/16"
    chosen.model.text.update(width=32, depth=1, heads=2)
    full = defaults.resolved(chosen)
    assert full.preprocessing.mean == (0.48145466, 0.4578275, 0.40821073)
    assert (full.preprocessing.image_size, full.preprocessing.resize) == (
        224,
        "shortest",
    )
    assert (full.optimizer.b2, full.learning_rate.decay) == (0.98, "cosine")
    assert (full.model.image.width, full.model.image.patch_size) == (384, 16)
    assert full.data.train.split == "train" and full.data.train.root is None
    assert full.data.crop.scale is None  # None: no crop at all
    assert chosen.preprocessing.mean is None  # the original is as it was

    assert model_of(chosen) == model_of(full)


def test_an_evaluation_and_a_dataset_are_resolved_as_well():
    block = recipe.evaluation()
    block.evaluators.mine = recipe.evaluator("retrieval")
    block.data.kind = "digit_scenes"
    full = defaults.resolved(block)
    assert full.data.split == "train" and full.evaluators.mine.gallery is not None
    assert block.data.split is None and block.evaluators.mine.gallery is None
    assert defaults.resolved(recipe.dataset("digit_scenes", size=7)).data.canvas == 48


def test_an_unknown_kind_is_left_for_the_one_who_builds_it():
    chosen = pretraining()
    chosen.data.train.kind, chosen.model.image.kind = "nothing", "nothing"
    full = defaults.resolved(chosen)
    assert full.data.train.split is None and full.model.image.width is None
