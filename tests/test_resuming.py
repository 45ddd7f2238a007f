"""What may change between two legs of a run, and what makes it another run."""

import copy
import functools
import json

import pytest

from configs import quickstart
from configs.pretrain import clip_rn50, siglip_vit_b16
from configs.scenes import albef
from tests.recipes import pretraining
from vlp_jax import defaults
from vlp_jax.checkpoint import description
from vlp_jax.core.errors import ConfigError
from vlp_jax.recipe import mixed
from vlp_jax.resuming import Previous, changed_data, changed_settings
from vlp_jax.trained import CONFIG, DATA


def resolved(**changed) -> dict:
    """A training config as a checkpoint has it, dotted settings changed ('a__b')."""
    sizes = {"model__image__size": "S/16", "model__text__size": "S"}
    config = pretraining(**{"data__train__kind": "digit_scenes", **sizes, **changed})
    return json.loads(defaults.resolved(config).to_json_best_effort())


BEFORE = resolved()
ANOTHER_RUN = {
    "batch_size": 512,
    "seed": 1,
    "ema_decay": 0.99,
    "trainable": ("^text",),
    "preprocessing__image_size": 256,
    "tokenizer__length": 64,
    "model__embedding_size": 256,
    "model__image__size": "B/16",
    "model__image__dtype": "bfloat16",
    "model__image__patch_dropout": 0.5,
    "model__text__heads": 4,
    "objectives__contrastive__weight": 0.5,
    "objectives__contrastive__dtype": "bfloat16",
    "optimizer__weight_decay": 0.1,
    "learning_rate__peak": 1e-3,
    "bounds__logit_scale": (0.0, 3.0),
    "data__order": "blocks",
    "data__train__weight": 2.0,
    "data__train__caption_column": "alt",
    "data__train__caption_weights": (0.9, 0.1),
    "data__decoder": "pillow",
    "questions__answer_length": 9,
    "questions__answer_count": 100,
    "questions__answers": "list.txt",
}
THE_SAME_RUN = {
    "name": "mine",
    "steps": 20,
    "epochs": 3.0,
    "stop_after": 5,
    "log_every": 1,
    "data__train__root": "/elsewhere",
    "data__train__urls": "/elsewhere/*.tar",
    "data__threads": 8,
    "data__workers": 2,
    "data__text_lengths": (16, 32),
    "nonfinite__rollbacks": 9,
    "watchdog": 60.0,
    "data__max_bad_share": 0.5,
    "data__log_samples": True,
    "model__image__remat": "full",
    "model__text__scan": True,
    "model__image__attention": "cudnn",
    "objectives__contrastive__implementation": "ring",
    "objectives__contrastive__tile_size": 64,
    "mesh__fsdp": 8,
    "zero": True,
    "accumulation": 4,
    "wandb__project": "mine",
    "profile__first_step": 3,
    "checkpoint__keep": 9,
    "evaluation__every": 100,
    "evaluation__data__kind": "image_folder",
    "initialise__weights": "ema",
}


@pytest.mark.fault("F16")
@pytest.mark.parametrize("path", ANOTHER_RUN)
def test_what_is_refused(path):
    free, refused = changed_settings(BEFORE, resolved(**{path: ANOTHER_RUN[path]}))
    if path == "model__image__size":  # only a name: what it stands for counts
        assert "model.image.width: 384 -> 768" in refused
        assert free == ["model.image.size: S/16 -> B/16"]
    else:
        names = [line.split(":")[0] for line in refused]
        assert (names, free) == ([path.replace("__", ".")], [])


@pytest.mark.fault("F16")
@pytest.mark.parametrize("path", THE_SAME_RUN)
def test_what_may_change(path):
    free, refused = changed_settings(BEFORE, resolved(**{path: THE_SAME_RUN[path]}))
    assert path.replace("__", ".") in {line.split(":")[0] for line in free}
    assert refused == []


def test_questions_are_compared_as_pairs_are():
    asked = {"questions__train__kind": "digit_scenes"}
    before = resolved(**asked)
    free, refused = changed_settings(before, resolved(**asked, questions__length=9))
    assert (free, refused) == ([], ["questions.length: 77 -> 9"])
    # What is written out is the same run.
    same = {"questions__length": 77, "questions__batch_size": 256}
    assert changed_settings(before, resolved(**asked, **same)) == ([], [])
    moved = resolved(**asked, questions__train__root="/elsewhere")
    assert changed_settings(before, moved)[1] == []
    assert (
        "questions.train.kind: None -> digit_scenes"
        in (changed_settings(BEFORE, before)[1])
    )


def test_contrasts_are_compared_as_pairs_are():
    before = resolved(contrasts__train__kind="digit_scenes")
    assert before["contrasts"]["batch_size"] == 256
    moved = resolved(
        contrasts__train__kind="digit_scenes", contrasts__train__root="/elsewhere"
    )
    assert changed_settings(before, moved)[1] == []
    refused = changed_settings(BEFORE, before)[1]
    assert "contrasts.train.kind: None -> digit_scenes" in refused


def test_a_checkpoint_older_than_other_streams_goes_on():
    before = resolved()
    del before["questions"], before["contrasts"]
    assert changed_settings(before, resolved()) == ([], [])


def test_nothing_has_changed():
    assert changed_settings(BEFORE, resolved()) == ([], [])


def test_a_crop_is_a_change():
    """With its scale, the other settings of it get their defaults."""
    free, refused = changed_settings(BEFORE, resolved(data__crop__scale=(0.9, 1.0)))
    assert "data.crop.scale: None -> [0.9, 1.0]" in refused and free == []


def test_a_checkpoint_of_an_older_version():
    """It lacks settings that exist now, and has some that are gone."""
    before = resolved()
    del before["zero"], before["objectives"]["info_nce"], before["optimizer"]["b2"]
    before["old"], before["model"]["relic"] = 3, True
    free, refused = changed_settings(before, resolved())
    assert free == ["model.relic: True -> None", "old: 3 -> None"]
    assert refused == []
    now = resolved(objectives__info_nce__weight=0.3, optimizer__b2=0.5)
    assert changed_settings(before, now)[1] == [
        "objectives.info_nce.weight: 0.0 -> 0.3",
        "optimizer.b2: 0.98 -> 0.5",
    ]


LATER = (  # settings that checkpoints of the first versions lack
    *("labels", "texts", "class_names", "prompts", "lora", "layer_decay"),
    *("share_encoder", "data.train.style", "model.conditional_prompts"),
    *("model.image.prompts", "model.image.deep_prompts"),
    "questions.mixture.more.style",
)


@pytest.mark.parametrize("recipe", [quickstart, albef, clip_rn50, siglip_vit_b16])
def test_a_checkpoint_without_later_settings_goes_on(recipe):
    """Their defaults are those of the kinds that the run is of."""
    config = recipe.get_config()
    with config.unlocked():
        config.questions.mixture.more = mixed("digit_scenes")
    now = json.loads(defaults.resolved(config).to_json_best_effort())
    before = copy.deepcopy(now)
    for path in LATER:
        *sections, key = path.split(".")
        functools.reduce(lambda place, name: place[name], sections, before).pop(key)
    assert changed_settings(before, now) == ([], [])
    now["labels"]["train"]["kind"] = "digit_scenes"
    assert changed_settings(before, now)[1] == [
        "labels.train.kind: None -> digit_scenes"
    ]


def test_a_bound_more_or_less():
    now = resolved()
    now["bounds"]["logit_bias"] = [-10.0, 0.0]
    said = "bounds.logit_bias: {} -> {}"
    assert changed_settings(BEFORE, now)[1] == [said.format(None, [-10.0, 0.0])]
    assert changed_settings(now, BEFORE)[1] == [said.format([-10.0, 0.0], None)]


# ---- data


def data(samples: int, **parts: str) -> dict:
    return {"samples": samples, "parts": parts}


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("now", "said"),
    [
        (data(30, a="1", b="2", c="3"), []),
        (data(20, a="1", b="2"), ["data: 30 -> 20 samples; 1 missing: c"]),
        (data(30, a="1", b="9", c="3"), ["data: 1 changed: b"]),
        (
            data(1030, a="1", b="9", d="4"),
            ["data: 30 -> 1,030 samples; 1 missing: c; 1 new: d; 1 changed: b"],
        ),
    ],
)
def test_other_data(now, said):
    assert changed_data(data(30, a="1", b="2", c="3"), now) == said


# ---- both


@pytest.fixture
def previous(tmp_path):
    folder = tmp_path / "checkpoints" / "5" / description.FOLDER
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(BEFORE))
    (folder / DATA).write_text(json.dumps(data(30, a="1", b="2")))
    return Previous(tmp_path, 5, {})


def files(config: dict, found: dict) -> dict[str, bytes]:
    return {CONFIG: json.dumps(config).encode(), DATA: json.dumps(found).encode()}


def test_all_is_said_at_once_in_two_lines(previous):
    changed = files(resolved(seed=1, steps=20), data(30, a="7", b="2"))
    with pytest.raises(ConfigError) as caught:
        previous.changes(changed, accept=False)
    assert str(caught.value).splitlines() == [
        "this run was begun with other settings (seed: 0 -> 1) and on other data "
        "(1 changed: a)",
        "Use the old ones, or another --workdir; --accept_changes goes on with the new",
    ]
    assert previous.changes(changed, accept=True) == [
        "seed: 0 -> 1",
        "steps: 10 -> 20",
        "data: 1 changed: a",
    ]
    same = files(resolved(steps=20), data(30, a="1", b="2"))
    assert previous.changes(same, accept=False) == ["steps: 10 -> 20"]


def test_many_changes_are_cut_short(previous):
    now = resolved(
        model__image__size="L/14",
        model__text__size="L",
        seed=3,
        batch_size=7,
        learning_rate__peak=1.0,
    )
    with pytest.raises(ConfigError) as caught:
        previous.changes(files(now, data(30, a="1", b="2")), accept=False)
    first, second = str(caught.value).splitlines()
    assert first.count(" -> ") == 8 and first.endswith(" more)")


def test_a_fresh_run_has_nothing_to_compare(tmp_path):
    fresh = Previous.find(tmp_path, strict=True)
    assert fresh.step == 0 and fresh.changes({}, accept=False) == []
