"""The card of an export: readable by hubs, and its example runs as it is written."""

import contextlib
import io
import re

import numpy as np
import pytest

from tests.porting import tiny_captioner
from tests.porting.random_models import random_model
from tests.porting.tiny_models import clip, save
from vlp_jax import endpoints
from vlp_jax.porting import card
from vlp_jax.porting.files import write_json

RESNET = dict(kind="resnet", depths=(1,), stem_width=4)
GPT2 = dict(kind="gpt2", width=8, depth=1, heads=2)
ORIGIN = "Written by hand."
PROOFS = [["computed by hf", "embeddings differ by 1e-7"], ["computed by us"]]


@pytest.mark.parametrize("kind", card.USE)
def test_it_says_where_from_how_and_what_was_proved(tmp_path, kind):
    as_loaded(tmp_path, "clip", "CLIPModel")
    card.write(tmp_path, kind, "mine", ORIGIN, PROOFS)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    header = text.split("---")[1].strip().splitlines()
    assert header[0] == f"library_name: {card.LIBRARY[kind]}"
    assert header[1] == "pipeline_tag: zero-shot-image-classification"
    assert f"# mine\n\n{ORIGIN}\n" in text
    assert "- computed by hf; embeddings differ by 1e-7\n- computed by us\n" in text
    assert "Resized" not in text
    compile(example(text), "README.md", "exec")


def test_a_class_with_a_head_is_loaded_by_its_name(tmp_path):
    as_loaded(tmp_path, "vilt", "ViltForMaskedLM")
    card.write(tmp_path, "hf", "mine", ORIGIN, PROOFS)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: fill-mask\n" in text and "AutoModel" not in text
    assert 'ViltForMaskedLM.from_pretrained("DIR")' in example(text)
    compile(example(text), "README.md", "exec")


def as_loaded(folder, kind, name):
    write_json(folder / "config.json", {"model_type": kind, "architectures": [name]})


def test_it_says_what_is_not_as_it_was_trained(tmp_path):
    as_loaded(tmp_path, "clip", "CLIPModel")
    card.write(tmp_path, "hf", "mine", ORIGIN, PROOFS, ["one", "two 3 -> 4"])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"{ORIGIN}\n\nResized there: one; two 3 -> 4.\n\n```" in text


def test_where_a_model_comes_from(tmp_path, monkeypatch):
    """Folders of a person's machine are not published; names on the hub are."""
    written = "ritten by `python -m vlp_jax.port` from"
    (tmp_path / "org" / "model").mkdir(parents=True)
    there = card.origin("hf", str(tmp_path / "org" / "model"), 0)
    assert there == f"W{written} `hf:model`."
    assert card.origin("hf", "org/other", 0) == f"W{written} `hf:org/other`."
    monkeypatch.chdir(tmp_path)
    assert card.origin("hf", "org/model/", 0) == there
    ours = card.origin("vlp", str(tmp_path / "run"), 5)
    assert ours == f"Trained with vlp_jax and w{written} `vlp:run`."
    assert card.origin("vlp", "imports/b32", 0) == f"W{written} `vlp:b32`."


def example(text: str) -> str:
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


FOLDERS = {
    "a class of transformers": lambda folder: save(clip(), folder),
    "a captioner": lambda folder: endpoints.write(
        f"hf:{folder}", tiny_captioner.ours("gpt2")
    ),
    "our own": lambda folder: endpoints.write(
        f"hf:{folder}", random_model(RESNET, GPT2)
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_its_example_runs(tmp_path, monkeypatch, kind):
    """With the folder in place of DIR, as a person would."""
    from PIL import Image

    folder = FOLDERS[kind](tmp_path / "new")
    card.write(folder, "hf", "mine", ORIGIN, PROOFS)
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    code = example((folder / "README.md").read_text()).replace("DIR", str(folder))
    assert ("trust_remote_code=True" in code) == (kind == "our own")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert ("['" if kind == "a captioner" else "tensor([[") in out.getvalue()
