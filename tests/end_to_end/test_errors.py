"""What a person gets wrong: exit code 78, at most two lines, and nothing is touched."""

import pytest

from tests.end_to_end.outcomes import assert_explained, assert_refused
from tests.end_to_end.same_run import TINY

FOLDER = "--config.data.train.kind=image_folder"


# name: (flags, words of the message), for assert_refused.
TRAIN = {
    "misspelt section": (
        (TINY, "--workdir=W", "--config.modle.image.width=1"),
        (
            "unknown setting 'modle'; did you mean 'model'?",
            "--config.modle.image.width",
        ),
    ),
    "misspelt setting": (
        (TINY, "--workdir=W", "--config.batch_size=8", "--config.model.image.widht=1"),
        (
            "unknown setting 'widht'; did you mean 'width'?",
            "--config.model.image.widht",
        ),
    ),
    "setting like no other": (
        (TINY, "--workdir=W", "--config.xyz=1"),
        ("unknown setting 'xyz'", "--help_config"),
    ),
    "value of another type": (
        (TINY, "--workdir=W", "--config.batch_size=many"),
        ("--config.batch_size=many", "invalid literal for int()"),
    ),
    "misspelt flag": (
        (TINY, "--wrkdir=W"),
        ("'wrkdir'", "did you mean: workdir?", "--help"),
    ),
    "words without a flag": ((TINY, "--workdir=W", "more"), ("argument 'more'",)),
    "no workdir": ((TINY,), ("--config=configs/quickstart.py --workdir=runs/",)),
    "no recipe": (
        ("--workdir=W",),
        ("--config=configs/quickstart.py --workdir=runs/",),
    ),
    "setting without a recipe": (
        ("--workdir=W", "--config.steps=3"),
        ("--config.steps", "give --config=FILE.py"),
    ),
    "recipe that is not there": (
        ("--config=configs/quikstart.py", "--workdir=W"),
        ("configs/quikstart.py: no such file", "configs/quickstart.py"),
    ),
    "recipe of another program": (
        ("--config=configs/evaluate/image_folder.py", "--workdir=W"),
        ("not meant for this program", "configs/quickstart.py"),
    ),
    "unknown kind of source": (
        (TINY, "--workdir=W", "--config.data.train.kind=digit_scene"),
        ("data.train.kind 'digit_scene'", "image_folder", "'digit_scenes'?"),
    ),
    "setting of another kind": (
        (TINY, "--workdir=W", "--config.data.train.root=DIR"),
        ("'digit_scenes' has no setting 'root'", "it knows: split, size, canvas"),
    ),
    "nothing to learn": (
        (TINY, "--workdir=W", "--config.objectives.contrastive.weight=0"),
        ("every objective has weight 0", "--config.objectives.contrastive.weight=1"),
    ),
    "no folder given": (
        ("--config=configs/quickstart.py", "--workdir=W", FOLDER),
        ("needs the setting 'root'",),
    ),
    "folder that is not there": (
        (
            "--config=configs/quickstart.py",
            "--workdir=W",
            FOLDER,
            "--config.data.train.root=DIR/missing",
            "--config.data.train.captions=captions.csv",
        ),
        ("no folder 'DIR/missing'", "set root"),
    ),
    "captions file that is not there": (
        (
            "--config=configs/quickstart.py",
            "--workdir=W",
            FOLDER,
            "--config.data.train.root=DIR",
            "--config.data.train.captions=pairs.csv",
        ),
        ("no captions table 'pairs.csv'", "looked in 'DIR'"),
    ),
    "captions without the column": (
        (
            "--config=configs/quickstart.py",
            "--workdir=W",
            FOLDER,
            "--config.data.train.root=DIR",
            "--config.data.train.captions=captions.csv",
            "--config.data.train.caption_column=text",
        ),
        (
            "DIR/captions.csv",
            "no column 'text'",
            "columns are: image, caption",
            "caption_column",
        ),
    ),
    "tokenizer folder that is not there": (
        (TINY, "--workdir=DIR/new", "--config.tokenizer.path=./tokenizer"),
        ("no tokenizer folder './tokenizer'", "give one, or a hub name"),
    ),
    "average that is not kept": (
        (
            "--config=configs/quickstart.py",
            "--workdir=W",
            "--config.evaluation.weights=ema",
        ),
        ("keeps no moving average", "--config.ema_decay=0.999"),
    ),
    "sigmoid loss of a model without a bias": (
        (TINY, "--workdir=W", "--config.objectives.sigmoid.weight=1"),
        ("objectives.sigmoid needs a bias", "--config.model.logit_bias_init=-10"),
    ),
    "more negatives than the batch has": (
        (
            TINY,
            "--workdir=W",
            "--config.objectives.info_nce.weight=1",
            "--config.objectives.info_nce.negatives=16",
        ),
        ("negatives is 16; expected 1 to 15",),
    ),
    "longer warm-up than training": (
        (TINY, "--workdir=W", "--config.learning_rate.warmup_steps=41"),
        ("warmup_steps is 41", "must lie within the run's 40 steps"),
    ),
    "heads that do not divide the width": (
        (TINY, "--workdir=DIR/new", "--config.model.image.heads=5"),
        ("a width of 32 cannot be split over 5 heads",),
    ),
    "lock of what is no parameter": (
        (TINY, "--workdir=DIR/new", "--config.trainable=txt/"),
        ("trainable: 'txt/' is found in no parameter path", "did you mean 'text'?"),
    ),
    "initial values from nowhere": (
        (TINY, "--workdir=DIR/new", "--config.initialise.checkpoint=DIR/gone"),
        ("no checkpoint at DIR/gone", "workdir of a training run"),
    ),
    "initial values of another shape": (
        (
            TINY,
            "--workdir=DIR/new",
            "--config.initialise.checkpoint=W",
            "--config.model.image.width=48",
        ),
        (
            "wrong shape: image/class_token (expected [48], got [32])",
            "--config.initialise.parts=",
        ),
    ),
    "another model and schedule on resume": (
        (
            TINY,
            "--workdir=W",
            "--config.steps=50",
            "--config.log_every=2",
            "--config.model.image.width=48",
            "--config.seed=1",
            "--config.model.image.remat=full",
        ),
        (
            "begun with other settings (model.image.width: 32 -> 48; seed: 0 -> 1)",
            "--accept_changes",
        ),
    ),
    "checkpoint of another shape": (
        (
            TINY,
            "--workdir=W",
            "--accept_changes",
            "--config.steps=50",
            "--config.model.image.width=48",
        ),
        (
            "wrong shape: params/image/class_token (expected [48], got [32])",
            "Use the settings that it was saved with, or another workdir",
        ),
    ),
}


@pytest.mark.parametrize("case", TRAIN)
def test_it_is_explained(program, tiny_run, tmp_path, case):
    assert_refused(program, "train", *TRAIN[case], tiny_run.workdir, tmp_path)


def test_a_batch_that_the_devices_cannot_share(program, tmp_path):
    flags = (TINY, f"--workdir={tmp_path / 'run'}", "--config.batch_size=12")
    found = program("train", *flags, devices=8)
    assert_explained(found, "batch_size 12", "8 devices", "for example 16")
    assert not (tmp_path / "run").exists()


def test_a_mesh_that_is_no_arrangement_of_the_devices(program, tmp_path):
    flags = (TINY, f"--workdir={tmp_path / 'run'}", "--config.mesh.fsdp=3")
    found = program("train", *flags, devices=8)
    assert_explained(found, "does not fill 8 devices")
    assert not (tmp_path / "run").exists()


RECIPES = {
    "no number of steps": (
        "config.steps = None",
        ("steps is not given", "--config.steps"),
    ),
    "a setting that does not exist": (
        "config.learning_rate.peek = 1e-3",
        ("unknown setting 'peek'; did you mean 'peak'?",),
    ),
    "an update with one": (
        "config.data.train.update(kind='digit_scenes', canvass=48)",
        ("unknown setting 'canvass'; did you mean 'canvas'?",),
    ),
    "a value of another type": (
        "config.batch_size = 'many'",
        ("TypeError", "batch_size"),
    ),
    "a line that is no Python": ("config.steps = = 3", ("SyntaxError", "line")),
    "a package that is not there": (
        "import nonsense_",
        ("No module named 'nonsense_'",),
    ),
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_with(program, recipe_file, tmp_path, case):
    line, said = RECIPES[case]
    path = recipe_file(line)
    found = program("train", f"--config={path}", f"--workdir={tmp_path / 'run'}")
    assert_explained(found, *said)
    assert not (tmp_path / "run").exists()
