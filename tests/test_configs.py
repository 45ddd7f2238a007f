"""Every shipped config loads, builds its objects, and says the truth about itself."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from tests.data import clip_benchmark_folders as folders
from vlp_jax import build, defaults, runs
from vlp_jax.core import trees
from vlp_jax.core.lookup import parameters_of
from vlp_jax.data.sources import SOURCES
from vlp_jax.data.sources.sugar_crepe import SPLITS
from vlp_jax.settings import SECTIONS
from vlp_jax.suites import expanded
from vlp_jax.training.state import variables_of

ROOT = Path(__file__).parents[1]
FILES = sorted(p.relative_to(ROOT) for p in (ROOT / "configs").rglob("*.py"))
# What a named tokenizer would be; fetching it takes a network.


def words(vocab_size, length, bos_id, eos_id, mask_id=None):
    """What a model and its objectives are told of a tokenizer."""
    return SimpleNamespace(
        vocab_size=vocab_size,
        length=length,
        bos_id=bos_id,
        eos_id=eos_id,
        mask_id=mask_id,
        pad_id=0,
        with_length=lambda length: None,
        word_borders=None if mask_id is None else np.ones((2, vocab_size), bool),
    )


TOKENIZERS = {
    "openai/clip": words(49_408, 77, 49_406, 49_407),
    "google/siglip": words(32_000, 64, None, 1),
    "google-bert/bert": words(30_522, None, 101, 102, 103),
}


def load(path: Path):
    return importlib.import_module(".".join(path.with_suffix("").parts))


def section_of(config: ConfigDict) -> str:
    """What tells apart a recipe, an evaluation and a dataset."""
    return next(key for key in ("objectives", "evaluators", "data") if key in config)


def load_configs(section: str) -> dict[str, ConfigDict]:
    found = {str(path): load(path).get_config() for path in FILES}
    return {k: c for k, c in found.items() if section_of(c) == section}


TRAINING, EVALUATIONS = load_configs("objectives"), load_configs("evaluators")
DATASETS = load_configs("data")


def write_selections(root: Path) -> str:
    """The files of SugarCrepe and Winoground with an entry each, without pictures."""
    (root / "val2017").mkdir(parents=True)
    entry = {"filename": "000000000001.jpg", "caption": "a b", "negative_caption": "b"}
    for split in SPLITS:
        (root / f"{split}.json").write_text(json.dumps({"0": entry}))
    pair = {"image_0": "a", "image_1": "b", "caption_0": "a b", "caption_1": "b a"}
    (root / "examples.jsonl").write_text(json.dumps(pair))
    return str(root)


def write_questions(root: Path) -> str:
    """The files of VQA v2 with a question about a picture, that is empty."""
    (root / "val2014").mkdir(parents=True)
    (root / "val2014" / "COCO_val2014_000000000001.jpg").touch()
    asked = {"image_id": 1, "question_id": 1, "question": "what is it?"}
    answers = {"question_id": 1, "answers": [{"answer": "net"}] * 10}
    for name, content in (
        ("v2_OpenEnded_mscoco_val2014_questions.json", {"questions": [asked]}),
        ("v2_mscoco_val2014_annotations.json", {"annotations": [answers]}),
    ):
        (root / name).write_text(json.dumps(content))
    return str(root)


@pytest.fixture
def pictures(tmp_path) -> str:
    """A folder of two classes that every image_folder config can open."""
    for name in ("cats", "dogs"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "data" / name / "1.png")
    return str(tmp_path / "data")


def test_the_shipped_configs():
    assert "configs/quickstart.py" in TRAINING
    assert {
        f"configs/pretrain/{name}.py"
        for name in (
            "clip_vit_b32",
            "clip_vit_b16",
            "clip_vit_l14",
            "clip_rn50",
            "siglip_vit_b16",
            "vit_bert",
            "albef_vit_b16",
            "joint_mlm_itm_vqa",
            "vilt_b32",
            "blip_vit_b16",
            "coca_vit_b32",
        )
    } <= set(TRAINING)
    scenes = ("albef", "blip", "coca", "joint", "simvlm", "vilt")
    assert {f"configs/scenes/{name}.py" for name in scenes} <= set(TRAINING)
    transfer = {f"configs/transfer/{name}.py" for name in ("lit", "captioner", "vqa")}
    assert transfer <= set(TRAINING)
    assert {
        f"configs/evaluate/{name}.py"
        for name in (
            "digit_scenes",
            "image_folder",
            "image_classes",
            "knn",
            "linear_probe",
            "clip_benchmark",
            "sugar_crepe",
            "winoground",
            "matching",
            "captioning",
            "vqa",
            "reranked_retrieval",
        )
    } <= set(EVALUATIONS)
    assert {
        f"configs/data/{name}.py"
        for name in (
            "digit_scenes",
            "webdataset",
            "parquet",
            "cc12m",
            "conceptual_captions",
            "coco_captions",
            "coco_captions_tfds",
            "flickr30k",
            "visual_genome",
            "vqa_v2",
            "imagenet",
            "imagenet_tfds",
            "cifar10",
            "lvis",
        )
    } <= set(DATASETS)


@pytest.mark.parametrize("name", TRAINING)
def test_a_training_recipe_builds(name, tmp_path, pictures, monkeypatch):
    """All objects are made, and the state's shapes: no array of a large model is."""
    config = load(Path(name)).get_config()
    if config.data.train.kind == "image_folder":
        config.data.train.root = pictures
    for block in (config[section] for section in SECTIONS.values()):
        if block.train.kind == "digit_scenes":
            block.train.size = 400  # all of them are read for answers and tokens
    if config.initialise.parts in (None, ("^text/",)):  # the other run's tokenizer
        config.initialise.update(checkpoint=None, parts=None)
        config.prompts.start = None
    if config.questions.train.kind == "vqa_v2":
        root = write_questions(tmp_path / "vqa")
        config.questions.train.update(root=root, split="val")
    if config.tokenizer.path is not None:
        path = config.tokenizer.path
        tokenizer = next(x for name, x in TOKENIZERS.items() if path.startswith(name))
        length = 76 if "coca" in name else tokenizer.length
        assert length in (None, config.tokenizer.length)
        tokenizer = SimpleNamespace(
            **vars(tokenizer) | {"length": config.tokenizer.length}
        )
        monkeypatch.setattr(runs.TrainingRun, "_tokenizer", lambda run: tokenizer)
    run = runs.TrainingRun(config, tmp_path / "run")
    shapes = run.learner.state_shapes()
    parameters = trees.count(variables_of(shapes)["params"])
    said = re.search(r"([\d.]+) M parameters", load(Path(name)).__doc__)
    assert said is None or float(said[1]) == pytest.approx(parameters / 1e6, abs=0.05)
    assert parameters > 1e5
    assert run.plan.last_step == config.steps
    assert run.learner.objective.active
    assert defaults.resolved(config).model.kind == config.model.kind
    rate = run.learner.learning_rate
    assert float(rate(config.learning_rate.warmup_steps)) == pytest.approx(
        config.learning_rate.peak
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", EVALUATIONS)
def test_an_evaluation_builds(name, pictures, tmp_path):
    config = load(Path(name)).get_config()
    for block in (config.data, config.train):
        if block.kind == "image_folder":
            block.root = pictures
    if config.data.kind in ("sugar_crepe", "winoground"):
        config.data.root = write_selections(tmp_path / "selections")
    if config.data.kind == "vqa_v2":
        config.data.root = write_questions(tmp_path / "vqa")
    if config.suite:
        config.data.root = str(tmp_path / "suite")
        for made in (folders.classification, folders.multilabel, folders.retrieval):
            made(tmp_path / "suite" / made.__name__)
        config = expanded(config)
        assert len(config.evaluators) == 3
    evaluators = build.make_evaluators(config)
    assert list(evaluators) == list(config.evaluators)
    assert all(len(evaluator.source) for evaluator in evaluators.values())


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_what_its_kind_needs(name):
    """Files are the user's; what is set must be a setting of the kind."""
    block = DATASETS[name].data
    kind = parameters_of(SOURCES[block.kind])
    chosen = build.keywords(block, "kind")
    assert {key for key, value in chosen.items() if value is not None} <= set(kind)
    assert set(build.settings(defaults.resolved(DATASETS[name]))) == {
        f"data.{key}" for key in block
    }
    with pytest.raises(AttributeError, match="kind"):
        DATASETS[name].data.kid = "webdataset"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_config_says_how_it_is_run(path):
    """Its command names the file itself, so that it can be copied."""
    commands = re.findall(r"--config=(\S+)", load(path).__doc__)
    assert all(command == str(path) for command in commands)
    assert load(path).__doc__.strip()


def unset(config: ConfigDict) -> list[tuple[ConfigDict, str]]:
    """Every (block, key) that a recipe leaves open."""
    found = []
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            found += unset(value)
        elif value is None:
            found.append((config, key))
    return found


@pytest.mark.parametrize("name", [*TRAINING, *EVALUATIONS, *DATASETS])
def test_what_is_left_open_can_be_set_on_the_command_line(name):
    """It has a type to parse, and is no reference that two settings share."""
    open_settings = unset((TRAINING | EVALUATIONS | DATASETS)[name])
    assert len(open_settings) > 10
    types = {block.get_type(key) for block, key in open_settings}
    assert types <= {bool, int, float, str, tuple, object}
    references = {id(block.get_ref(key)) for block, key in open_settings}
    assert len(references) == len(open_settings)
