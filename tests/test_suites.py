"""An evaluation of many datasets: an evaluator for each folder, as its type asks."""

import pytest

from tests.data import clip_benchmark_folders as folders
from vlp_jax import build, recipe
from vlp_jax.core.errors import ConfigError
from vlp_jax.suites import expanded


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders.classification(tmp_path / "all" / "wds_colours")
    folders.classification(tmp_path / "all" / "wds_colours", split="train")
    folders.retrieval(tmp_path / "all" / "wds_pairs")
    config = recipe.evaluation()
    config.suite = True
    config.data.update(kind="clip_benchmark", root=str(tmp_path / "all"))
    config.evaluators.classes = recipe.evaluator("zero_shot", limit=2)
    config.evaluators.pairs = recipe.evaluator("retrieval", recall_at=(1,))
    return config


def test_each_folder_gets_the_evaluator_of_its_type(config):
    found = build.make_evaluators(expanded(config))
    assert list(found) == ["wds_colours", "wds_pairs"]
    classes, pairs = found.values()
    assert classes.limit == 2 and classes.templates == ("a {}", "{}, plain.")
    assert classes.source.name == "clip_benchmark/wds_colours/test"
    assert pairs.recall_at == (1,) and len(pairs.source) == 3
    assert list(config.evaluators) == ["classes", "pairs"] and config.suite
    config.data.split = "train"
    assert list(expanded(config).evaluators) == ["wds_colours"]


def test_a_dot_in_a_name_is_none_in_the_label(config, tmp_path):
    folders.classification(tmp_path / "all" / "wds_imagenet.v2")
    found = build.make_evaluators(expanded(config))
    assert list(found) == ["wds_colours", "wds_imagenet_v2", "wds_pairs"]
    source = found["wds_imagenet_v2"].source
    assert source.name == "clip_benchmark/wds_imagenet.v2/test"
    folders.retrieval(tmp_path / "all" / "wds_imagenet_v2")
    found = build.make_evaluators(expanded(config))
    assert [type(found[f"wds_imagenet_v2{end}"]).__name__ for end in ("", "_")] == [
        "ZeroShot",
        "Retrieval",
    ]


def test_without_a_suite_nothing_changes(config):
    config.suite = False
    assert expanded(config) is config


def test_what_cannot_be_expanded_is_explained(config, tmp_path):
    folders.multilabel(tmp_path / "all" / "wds_many")
    with pytest.raises(ConfigError, match="wds_many needs an evaluator of kind 'multi"):
        expanded(config)
    config.evaluators.many = recipe.evaluator("multi_label", limit=1)
    assert expanded(config).evaluators.wds_many.kind == "multi_label"
    config.data.root = None
    with pytest.raises(ConfigError, match="suite is for data of kind 'clip_benchmark'"):
        expanded(config)
