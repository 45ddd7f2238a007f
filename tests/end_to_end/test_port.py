"""port as a person starts it: a run becomes a model of transformers and comes back."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
from scipy.special import softmax

import vlp_jax
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.outcomes import assert_error, assert_explained, fingerprint
from tests.porting.tiny_models import clip, save
from vlp_jax.core.errors import FAILED


@pytest.fixture(scope="module")
def exported(program, tiny_run, tmp_path_factory):
    """(the folder of transformers, what port printed)."""
    folder = tmp_path_factory.mktemp("port") / "hf"
    flags = f"--source=vlp:{tiny_run.workdir}", f"--target=hf:{folder}"
    return folder, program("port", *flags).check()


def test_a_run_becomes_a_model_of_transformers(exported, tiny_run):
    folder, found = exported
    assert found.err == ""
    assert "tiny," in found.out and "parameters" in found.out
    assert (
        "computed by this package" in found.out
        and "computed by transformers" in found.out
    )
    said = " ".join(found.out.split())
    assert said.count("100% of the pictures") == 2
    assert "'shortest_floor' in place of 'shortest'" in said
    assert f"from_pretrained('{folder}')" in found.out.replace("\n", "")
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    card = (folder / "README.md").read_text()
    assert "computed by transformers" in card
    assert "Trained with vlp_jax and written by" in card
    assert f"from `vlp:{tiny_run.workdir.name}`" in card
    parent = str(tiny_run.workdir.parent).encode()  # is nobody else's business
    assert not any(parent in path.read_bytes() for path in folder.iterdir())


def test_the_scripts_of_the_readme_answer_alike(
    exported, tiny_run, tmp_path, monkeypatch
):
    """Plain PyTorch on the export, this package on the export, and on the run."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "quickstart").symlink_to(exported[0])
    picture = load_sample_image("flower.jpg")[:400, :400]
    Image.fromarray(picture).save(tmp_path / "picture.png")
    monkeypatch.chdir(tmp_path)
    scripts = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    torch_side, our_side = ({}, {})
    printed = []
    for script, names in zip(scripts, (torch_side, our_side), strict=True):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(script, names)
        printed.append(out.getvalue())
    model = vlp_jax.load(str(tiny_run.workdir))
    images = model.encode_image(picture)
    logits = model.logit_scale * images @ model.encode_text(torch_side["prompts"]).T
    assert len(torch_side["prompts"]) == 10
    np.testing.assert_allclose(json.loads(printed[0]), softmax(logits, -1), atol=1e-5)
    found = [float(x) for x in printed[1].strip("[]\n").split()]
    np.testing.assert_allclose(found, logits[0, 1:3], rtol=1e-5)


def test_it_comes_back_and_is_evaluated(program, exported, tiny_run, tmp_path):
    """With the same metrics as the run, and as the export where it lies."""
    folder, _ = exported
    flags = f"--source=hf:{folder}", f"--target=vlp:{tmp_path / 'ours'}"
    found = program("port", *flags).check()
    # The source, by its own library.
    assert "computed by transformers" in " ".join(found.out.split())
    scenes = [
        f"--config.evaluators.{name}.data.{setting}"
        for name in ("retrieval", "zero_shot")
        for setting in ("size=24", "canvas=24")
    ]

    def metrics(checkpoint: str, output) -> list[dict]:
        config = "--config=configs/evaluate/digit_scenes.py", "--config.batch_size=32"
        flags = f"--checkpoint={checkpoint}", f"--output={output}", *config, *scenes
        assert program("evaluate", *flags).check().err == ""
        paths = sorted(output.glob("*.json"))
        return [json.loads(path.read_text())["metrics"] for path in paths]

    expected = metrics(f"vlp:{tiny_run.workdir}", tmp_path / "run")
    assert len(expected) == 2 and all(expected)
    assert metrics(tmp_path / "ours", tmp_path / "back") == expected
    assert metrics(f"hf:{folder}", tmp_path / "export") == expected


@pytest.mark.long
def test_other_sizes(program, tiny_run, tmp_path):
    """transformers loads the model at them and computes the same."""
    folder = tmp_path / "hf"
    flags = f"--source=vlp:{tiny_run.workdir}", f"--target=hf:{folder}"
    sizes = "--image_size=36", "--text_length=16"
    found = program("port", *flags, *sizes).check()
    said = " ".join(found.out.split())
    assert "resized pictures 24 -> 36 pixels; texts 24 -> 16 tokens; image/pos" in said
    assert "computed by transformers" in said
    assert said.count("14 of 14 texts have the same tokens") == 2
    config = json.loads((folder / "config.json").read_text())
    assert config["vision_config"]["image_size"] == 36
    assert config["text_config"]["max_position_embeddings"] == 16
    assert "Resized there: pictures 24" in (folder / "README.md").read_text()


# Flags; W is the folder of a run, HF one of transformers, NEW is not there yet.
WRONG = {
    "no target": (("--source=vlp:W",), ("--source=vlp:runs/quickstart --target=hf:",)),
    "unknown format": (
        ("--source=vlp:W", "--target=onnx:NEW"),
        ("'onnx:NEW' is no endpoint", "hf:DIR"),
    ),
    "target that is there": (
        ("--source=vlp:W", "--target=hf:HF"),
        ("HF is there already; name another",),
    ),
    "source that is not there": (
        ("--source=hf:NEW", "--target=vlp:NEW"),
        ("no folder 'NEW'", "config.json"),
    ),
    "unknown weights": (
        ("--source=vlp:W", "--target=hf:NEW", "--weights=emma"),
        ("unknown weights 'emma'", "ema"),
    ),
    "pixels that are no patches": (
        ("--source=vlp:W", "--target=hf:NEW", "--image_size=30"),
        ("image_size 30 is not a multiple of model.image.patch_size 12",),
    ),
    "pixels that are no number": (
        ("--source=vlp:W", "--target=hf:NEW", "--image_size=big"),
        ("flag --image_size=big: invalid literal for int() with base 10: 'big'\n",),
    ),
    "longer texts": (
        ("--source=vlp:W", "--target=hf:NEW", "--text_length=40"),
        ("text_length is 40, and the model has learned 24 positions",),
    ),
    "average of a foreign model": (
        ("--source=hf:HF", "--target=vlp:NEW", "--weights=ema"),
        ("one set of weights",),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_explained(program, tiny_run, exported, tmp_path, case):
    folder, _ = exported

    def fill_in(text: str) -> str:
        for name, path in (("W", tiny_run.workdir), ("HF", folder)):
            text = text.replace(f":{name}", f":{path}").replace(
                f"{name} is", f"{path} is"
            )
        return text.replace("NEW", str(tmp_path / "new"))

    before = fingerprint(folder)
    flags, said = WRONG[case]
    assert_explained(program("port", *map(fill_in, flags)), *map(fill_in, said))
    assert fingerprint(folder) == before and not (tmp_path / "new").exists()


@pytest.mark.long
def test_sides_that_disagree_end_it(program, tmp_path):
    """Markup in the tokenizer that transformers alone obeys: the proof fails."""
    folder = save(clip(), tmp_path / "theirs")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append(
        dict(content["added_tokens"][0], id=40, content="a", special=True)
    )
    (folder / "tokenizer.json").write_text(json.dumps(content))
    flags = f"--source=hf:{folder}", f"--target=vlp:{tmp_path / 'ours'}"
    found = program("port", *flags)
    assert_error(found, FAILED, "its own library computes something else")
    assert "computed by transformers" in found.out
    assert not (tmp_path / "ours").exists()


def test_help_names_its_own_flags(program):
    said = program("port", "--help").check().out
    assert "--source" in said and "--image_size" in said and "--config" not in said
