"""A config becomes objects: what it names is built, what is open has its default."""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.data.test_tokenizers import gpt2_tokenizer
from tests.recipes import pretraining, tiny
from vlp_jax import build, defaults, recipe
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.core.types import Example
from vlp_jax.data.captions import spread_captions
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.transforms.crop import RandomResizedCrop, WholePicture
from vlp_jax.objectives.mixture import Schedule


class Words:
    """What a model is told about its tokenizer."""

    vocab_size, length, bos_id, eos_id, pad_id, mask_id = 300, 8, 2, 3, 0, 1


def model_of(config: ConfigDict):
    return build.make_model(config, build.make_preprocessing(config), Words)


def initialised(config: ConfigDict):
    """The model and what gives its variables."""
    model = model_of(config)
    size = build.make_preprocessing(config).image_size
    return model, build.init_function(model, size, Words.length)


# ---- blocks and their settings


def test_keywords_are_the_plain_settings_of_a_block():
    block = ConfigDict({"a": 1, "b": [1, 2], "c": None, "d": {"e": 5}, "f": "x"})
    assert build.keywords(block, "f") == {"a": 1, "b": (1, 2), "c": None}


def test_settings_are_listed_by_their_dotted_paths():
    config = ConfigDict({"a": 1, "b": {"c": None, "d": {"e": (2, 3)}}, "empty": {}})
    assert build.settings(config) == {"a": 1, "b.c": None, "b.d.e": (2, 3)}


def test_what_is_left_out_keeps_the_default_of_its_kind():
    source = build.pick(SOURCES, recipe.source("digit_scenes", size=7), "data")
    assert (source.split, len(source), source.canvas) == ("train", 7, 48)


def test_a_keyword_of_another_kind_is_an_error():
    with pytest.raises(ConfigError, match="data of kind 'digit_scenes'.*'root'"):
        build.pick(SOURCES, recipe.source("digit_scenes", root="/tmp"), "data")


def test_what_is_picked_has_to_be_named():
    with pytest.raises(ConfigError, match="^data.kind is not given; known: digit_sc"):
        build.pick(SOURCES, recipe.source(), "data")
    block = recipe.source("digit_scene")
    with pytest.raises(ConfigError, match="unknown data.kind 'digit_scene'.*scenes'"):
        build.pick(SOURCES, block, "data")


# ---- the parts of a run


@pytest.mark.parametrize("pair", [(5.0,), (2.0, 1.0), (0.0, 1.0, 2.0)])
def test_bounds_are_two_numbers_in_order(pair):
    chosen = pretraining()
    chosen.bounds.logit_scale = pair
    with pytest.raises(ConfigError, match=r"bounds.logit_scale is .*\(low, high\)"):
        build.make_bounds(chosen)


def test_bounds_by_parameter():
    chosen = pretraining()
    chosen.bounds.logit_bias = [-20.0, 0.0]
    expected = {"logit_scale": (0.0, 4.6051702), "logit_bias": (-20.0, 0.0)}
    assert build.make_bounds(chosen) == expected


class Captions:
    """Ten samples with a caption each; those in `broken` cannot be read."""

    def __init__(self, *broken: int):
        self.broken, self.read = broken, []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Example:
        self.read.append(index)
        if index in self.broken:
            raise BadSample("image_missing")
        return Example(np.zeros((2, 2, 3), np.uint8), (f"picture {index}",), "x")


@pytest.mark.parametrize(
    ("samples", "read"),
    [(1, [0]), (4, [0, 3, 6, 9]), (10, [*range(10)]), (99, [*range(10)])],
)
def test_a_tokenizer_is_trained_on_captions_from_all_over_the_data(samples, read):
    source = Captions(3, 4)
    chosen = tiny(tokenizer__train_samples=samples, tokenizer__length=9)
    texts = spread_captions(source, chosen.tokenizer.train_samples)
    tokenizer = build.make_tokenizer(chosen, texts)
    assert source.read == read and tokenizer.length == 9


def test_a_tokenizer_needs_captions():
    chosen = tiny(tokenizer__train_samples=0)
    with pytest.raises(ConfigError, match="tokenizer.train_samples is 0; expected"):
        build.make_tokenizer(chosen, ["a text"])


def test_a_tokenizer_with_a_path_is_loaded(tmp_path):
    build.make_tokenizer(tiny(), ["a text"]).save(str(tmp_path))
    chosen = tiny(tokenizer__path=str(tmp_path), tokenizer__length=5)
    chosen.tokenizer.canonicalise = "siglip"
    tokenizer = build.make_tokenizer(chosen, None)  # no data are looked at
    assert (tokenizer.length, tokenizer.canonicalise) == (5, "siglip")


@pytest.mark.parametrize(
    ("kind", "chosen", "added"),
    [("two_tower", None, 0), ("captioner", None, 1), ("captioner", False, 0)],
)
def test_a_tokenizer_starts_texts_for_models_that_write(tmp_path, kind, chosen, added):
    """GPT-2's does not by itself."""
    gpt2_tokenizer().save_pretrained(tmp_path)
    config = tiny(tokenizer__path=str(tmp_path), tokenizer__length=5)
    config.tokenizer.add_start, config.model.kind = chosen, kind
    tokenizer = build.make_tokenizer(config, None)
    assert tokenizer("red")[1].sum() == 2 + added


def test_a_model_can_be_initialised_without_data():
    init = build.init_function(model_of(tiny()), image_size=24, length=8)
    shapes = jax.eval_shape(init, jax.random.key(0))["params"]
    assert shapes["text"]["token_embedding"].shape == (300, 32)
    assert shapes["image"]["position_embedding"].shape == (5, 32)  # 2 x 2 and a class


def test_texts_are_cut_only_where_the_model_does_not_read_their_end():
    words = SimpleNamespace(length=24)
    lengths = functools.partial(build.make_text_lengths, tokenizer=words)
    first, last = (
        SimpleNamespace(text=SimpleNamespace(pool=x)) for x in ("eos", "last")
    )
    assert lengths(tiny(), first) is lengths(tiny(), last) is None
    chosen = tiny(data__text_lengths=(16, 8))
    assert lengths(chosen, first) == (8, 16, 24)
    with pytest.raises(ConfigError, match="data.text_lengths cuts padding, but"):
        lengths(chosen, last)


def test_objectives_have_a_weight():
    chosen = tiny(objectives__sigmoid__weight=0.5)
    mixture = build.make_objective(chosen, build.make_mesh(chosen), Words)
    assert mixture.weights["contrastive"] == 1.0 and mixture.weights["sigmoid"] == 0.5
    assert set(mixture.active) == {"contrastive", "sigmoid"}


def test_weight_zero_everywhere():
    config = recipe.pretraining()
    with pytest.raises(ConfigError, match="every objective has weight 0"):
        build.make_objective(config, build.make_mesh(config), Words)
    config.objectives.contrastive.weight = 1.0
    mixture = build.make_objective(config, build.make_mesh(config), Words)
    assert list(mixture.active) == ["contrastive"]
    assert jax.device_count() == 8


def test_weights_have_schedules():
    chosen = tiny(objectives__sigmoid__weight=0.5)
    chosen.objectives.sigmoid.schedule.update(start_step=100, ramp_steps=50)
    mixture = build.make_objective(chosen, build.make_mesh(chosen), Words)
    assert mixture.schedules == {"sigmoid": Schedule(100, 50)}
    full = defaults.resolved(chosen).objectives
    assert full.sigmoid.schedule.to_dict() == {
        "start_step": 100,
        "ramp_steps": 50,
        "end_step": None,
    }
    assert full.contrastive.schedule.start_step == 0
    chosen.objectives.contrastive.schedule.start_step = 1
    with pytest.raises(ConfigError, match="no objective counts at step 0"):
        build.make_objective(chosen, build.make_mesh(chosen), Words)


def test_an_objective_is_told_of_the_tokens_what_it_asks_for():
    class Marked(Words):
        word_borders = np.ones((2, 300), bool)

    chosen = tiny(objectives__masked_lm__weight=1.0)
    chosen.objectives.masked_lm.update(whole_word=True, share=0.3)
    mixture = build.make_objective(chosen, build.make_mesh(chosen), Marked)
    masked_lm = mixture.objectives["masked_lm"]
    assert masked_lm.special == (1, 0, 2, 3) and masked_lm.vocab_size == 300
    assert masked_lm.word_borders is Marked.word_borders
    assert masked_lm.whole_word and masked_lm.share == 0.3
    assert set(mixture.derived) == {"masked", "masked_tokens"}
    assert "mask_id" not in chosen.objectives.masked_lm


def test_an_objective_says_what_the_model_lacks():
    chosen = tiny(objectives__sigmoid__weight=1.0)
    mixture = build.make_objective(chosen, build.make_mesh(chosen), Words)
    with pytest.raises(ConfigError, match="sigmoid needs a bias; set --config.model"):
        build.check_needs(chosen, mixture, *initialised(chosen))
    chosen.model.logit_bias_init = -10.0
    build.check_needs(chosen, mixture, *initialised(chosen))


def test_a_mesh_has_the_axes_of_the_config():
    mesh = build.make_mesh(tiny(mesh__fsdp=4))
    assert dict(mesh.shape) == {"data": 2, "fsdp": 4, "tensor": 1}
    assert build.make_mesh(tiny(), jax.devices()[:2]).size == 2


def test_evaluators_share_the_data_of_the_evaluation_or_have_their_own():
    block = recipe.evaluation()
    block.data = recipe.source("digit_scenes", size=20, canvas=24)
    own = recipe.source("digit_scenes", split="test", size=30, canvas=24)
    block.evaluators.shared = recipe.evaluator("retrieval")
    block.evaluators.own = recipe.evaluator("retrieval", own)
    found = build.make_evaluators(block)
    assert {name: len(x.source) for name, x in found.items()} == {
        "shared": 20,
        "own": 30,
    }
    block.evaluators.shared.data.kind = "nothing"
    with pytest.raises(ConfigError, match="unknown evaluators.shared.data.kind"):
        build.make_evaluators(block)


def test_an_evaluator_that_learns_has_a_second_source():
    block = recipe.evaluation()
    small = functools.partial(recipe.source, "digit_scenes", canvas=24)
    block.data, block.train = small(split="test", size=20), small(size=40)
    block.evaluators.shared = recipe.evaluator("knn")
    block.evaluators.own = recipe.evaluator("linear_probe", train=small(size=50))
    block.evaluators.without = recipe.evaluator("retrieval")
    found = build.make_evaluators(block)
    assert all(len(evaluator.source) == 20 for evaluator in found.values())
    assert (len(found["shared"].train), len(found["own"].train)) == (40, 50)
    full = defaults.resolved(block)
    assert full.train.split == full.evaluators.own.train.split == "train"
    assert full.evaluators.shared.train.split is None and block.train.split is None

    block.evaluators.without.train = small(size=60)
    with pytest.raises(ConfigError, match="without.train is given, but a retrieval le"):
        build.make_evaluators(block)
    block.evaluators.without.train.kind = block.train.kind = None
    with pytest.raises(ConfigError, match="^train.kind is not given; known: digit_sc"):
        build.make_evaluators(block)


def test_evaluators_of_runs_that_knew_no_second_source():
    block = recipe.evaluation()
    block.data = recipe.source("digit_scenes", size=20, canvas=24)
    block.evaluators.old = recipe.evaluator("retrieval")
    before = block.to_dict()
    del before["train"], before["evaluators"]["old"]["train"]
    assert len(build.make_evaluators(ConfigDict(before))["old"].source) == 20


def test_training_pictures_are_whole_unless_a_crop_is_given():
    chosen = tiny()
    preprocessing = build.make_preprocessing(chosen)
    found = build.training_images(chosen.data, preprocessing)
    assert isinstance(found, WholePicture)
    chosen.data.crop.scale = (0.5, 1.0)
    found = build.training_images(chosen.data, preprocessing)
    assert isinstance(found, RandomResizedCrop)
    assert (found.scale, found.image_size, found.decoder) == ((0.5, 1.0), 24, "fast")


def test_what_trains_is_told_by_its_path():
    chosen = tiny()
    init = build.init_function(model_of(chosen), image_size=24, length=8)
    assert build.make_trainable(chosen, init) is None
    chosen.trainable = ("^text/",)
    trains = build.make_trainable(chosen, init)
    assert trains("text/token_embedding") and not trains("logit_scale")
    chosen.trainable = ("^txt/",)
    with pytest.raises(ConfigError, match="trainable: '.txt/' is found in no"):
        build.make_trainable(chosen, init)


def test_initial_weights_only_where_they_are_wanted():
    assert build.make_initial_weights(tiny()) is None
    with pytest.raises(ConfigError, match="initialise needs the setting 'checkpoint'"):
        build.make_initial_weights(tiny(initialise__weights="ema"))
