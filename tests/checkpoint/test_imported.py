"""Checkpoints that no run has written: whole or not at all, and used like any other."""

import errno
import os

import numpy as np
import pytest

from tests.checkpoint.saved import flip, largest
from tests.porting.tiny_models import clip, save
from tests.saved_runs import begun
from vlp_jax import endpoints, trained
from vlp_jax.checkpoint import imported
from vlp_jax.checkpoint.manifest import damage
from vlp_jax.checkpoint.steps import find_checkpoint
from vlp_jax.checkpoint.storage import saved_parameters
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError, RunError

VALUES = {"params": {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}}
FILES = {"config.json": b"{}", "tokenizer/merges.txt": b"a b\n\x00\xff"}


def test_it_is_found_and_its_weights_listed(tmp_path):
    imported.write_imported(tmp_path / "new", VALUES, FILES)
    assert find_checkpoint(tmp_path / "new") == tmp_path / "new"
    assert damage(tmp_path / "new") == ""
    found = saved_parameters(tmp_path / "new", "model")
    assert {k: v.shape for k, v in found.items()} == {"a/kernel": (2, 3)}
    assert (tmp_path / "new/description/tokenizer/merges.txt").read_bytes() == (
        FILES["tokenizer/merges.txt"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError, match="new is there already; name another"):
        imported.write_imported(tmp_path / "new", VALUES, FILES)
    assert list((tmp_path / "new").iterdir()) == []


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(imported, "write_manifest", full)
    with pytest.raises(ConfigError, match="new cannot be written: No space left"):
        imported.write_imported(tmp_path / "new", VALUES, FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A CLIP of transformers, imported."""
    folder = tmp_path_factory.mktemp("imported")
    model = endpoints.read(f"hf:{save(clip(), folder / 'theirs')}")
    return model, endpoints.write(f"vlp:{folder / 'ours'}", model)


@pytest.mark.parametrize("part", ["model", "description"])
def test_a_flipped_bit_is_noticed(tmp_path, theirs, part):
    folder = endpoints.write(f"vlp:{tmp_path / 'copy'}", theirs[0])
    flip(largest(folder / part))
    for use in (
        lambda: find_checkpoint(folder),
        lambda: endpoints.read(str(folder)),
        lambda: trained.load_checkpoint(str(folder), 8, "model"),
    ):
        with pytest.raises(RunError, match=f"copy is damaged .{part}/.* has another"):
            use()


def test_it_is_a_model_that_predicts(theirs):
    model, folder = theirs
    found = trained.load_checkpoint(str(folder), batch_size=8, weights="model")
    assert (found.path, found.step) == (folder, 0)
    loaded = trees.flatten(found.predictor.variables["params"])
    assert loaded.keys() == model.parameters.keys()
    for path, leaf in loaded.items():
        np.testing.assert_array_equal(leaf, model.parameters[path], err_msg=path)
    with pytest.raises(ConfigError, match="keeps no moving average"):
        trained.load_checkpoint(str(folder), 8, "ema")


def test_a_run_starts_from_it(theirs, tmp_path):
    """With its weights and its tokenizer."""
    model, folder = theirs
    towers = {
        f"model__{tower}__{key}": model.config.model[tower][key]
        for tower, keys in (
            ("image", ("patch_size", "width", "depth", "heads")),
            ("text", ("width", "depth", "heads")),
        )
        for key in keys
    }
    run, state = begun(
        tmp_path / "run",
        initialise__checkpoint=str(folder),
        preprocessing__image_size=12,
        tokenizer__length=16,
        model__embedding_size=12,
        **towers,
    )
    found = trees.flatten(state.params)
    assert found.keys() == model.parameters.keys()
    for path, leaf in found.items():
        np.testing.assert_array_equal(leaf, model.parameters[path], err_msg=path)
    texts = ["a red cat", "一朵花"]
    np.testing.assert_array_equal(run.tokenizer(texts)[0], model.tokenizer(texts)[0])
