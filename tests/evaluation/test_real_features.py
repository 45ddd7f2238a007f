"""Features of a real model, from a config: a random tower tells red from blue."""

import jax
import numpy as np
import pytest
from PIL import Image

from tests.recipes import tiny
from vlp_jax import build, recipe
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.parallel.mesh import MeshSpec


class Words:
    """What a model is told about its tokenizer."""

    vocab_size, length, eos_id = 300, 8, 3
    pad_id, mask_id, bos_id = 0, 1, 2


def no_texts(texts):
    raise AssertionError("a text is read")


@pytest.fixture(scope="module")
def predictor():
    config = tiny()
    preprocessing = build.make_preprocessing(config)
    model = build.make_model(config, preprocessing, Words)
    variables = jax.jit(build.init_function(model, 24, 8))(jax.random.key(0))
    mesh = MeshSpec().make()
    return ModelPredictor(model, variables, preprocessing, no_texts, mesh, 16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """train and test, with a folder of noisy pictures for every colour."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    colours = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}
    for split, count in (("train", 12), ("test", 6)):
        for name, colour in colours.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noise = rng.integers(-40, 40, (24, 24, 3))
                pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    (root / "train" / "red" / "0.png").write_bytes(b"no picture")
    return root


@pytest.mark.long
def test_evaluators_that_learn_from_one_folder_and_look_at_another(predictor, folders):
    block = recipe.evaluation()
    block.train = recipe.source("image_folder", root=str(folders / "train"))
    block.data = recipe.source("image_folder", root=str(folders / "test"))
    block.evaluators.knn = recipe.evaluator("knn", k=5)
    block.evaluators.probe = recipe.evaluator("linear_probe", shots=(2,))
    found = {
        name: evaluator.run(predictor)
        for name, evaluator in build.make_evaluators(block).items()
    }
    assert found["knn"].metrics["acc1"] == 1.0
    assert np.isnan(found["knn"].metrics["acc5"])
    assert found["probe"].metrics["lp_acc1"] == 1.0
    assert found["probe"].metrics["lp_acc1_2_shot"] > 0.6
    for report in found.values():
        assert report.details["class_names"] == ("blue", "green", "red")
        assert report.details["train_skipped"] == {"image_unreadable": 1}
        assert report.details["train_samples"] == 35 and report.dataset.endswith("test")
