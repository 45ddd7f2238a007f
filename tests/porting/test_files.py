"""Files of weights are read whole, in parts and in half precision; others refused."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.porting.tiny_models import (
    assert_refused,
    short,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.porting import files

NAME = "model.safetensors"
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([np.nan, -0.0, 1e-42], np.float32),
    "c": np.array(3, np.float32),
}


def refused(folder, *said):
    assert_refused(lambda: files.read_safetensors(folder, NAME), *said)


def in_parts(folder, **weight_map):
    save_file({"a": ARRAYS["a"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": ARRAYS["b"]}, folder / "model-00002-of-00002.safetensors")
    parts = {f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    listed = dict(zip("ab", sorted(parts), strict=True)) | weight_map
    (folder / f"{NAME}.index.json").write_text(json.dumps({"weight_map": listed}))


def test_what_was_written_is_read_to_the_bit(tmp_path):
    files.write_safetensors(tmp_path / NAME, ARRAYS)
    found = files.read_safetensors(tmp_path, NAME)
    assert found.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert found[key].tobytes() == array.tobytes() and found[key].dtype == "float32"
        assert found[key].shape == array.shape
    with safe_open(tmp_path / NAME, framework="np") as file:
        assert file.metadata() == {"format": "pt"}


def test_who_may_read_them(tmp_path):
    """As of every other new file, by this person's umask."""
    (tmp_path / "other").touch()
    files.write_safetensors(tmp_path / NAME, ARRAYS)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_strides_and_scalars_are_written_as_they_are_meant(tmp_path):
    wide = np.arange(6, dtype=np.float32).reshape(2, 3).T
    files.write_safetensors(tmp_path / NAME, {"x": wide, "s": np.float32(2)})
    found = files.read_safetensors(tmp_path, NAME)
    np.testing.assert_array_equal(found["x"], wide)
    assert found["s"].shape == () and found["s"] == 2


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    """Which holds each number of half precision; double is rounded, integers stay."""
    given = np.random.default_rng(0).normal(size=50).astype(dtype)
    save_file({"x": given, "n": np.arange(3)}, tmp_path / NAME)
    found = files.read_safetensors(tmp_path, NAME)
    assert found["x"].dtype == np.float32 and found["n"].dtype == np.int64
    np.testing.assert_array_equal(found["x"], given.astype(np.float32))


def test_a_type_that_numpy_lacks(tmp_path):
    import torch
    from safetensors.torch import save_file as save

    save({"x": torch.zeros(4).to(torch.float8_e4m3fn)}, tmp_path / NAME)
    refused(tmp_path, str(tmp_path / NAME), "float8_e4m3fn", "expected float32")


def test_parts_are_put_together(tmp_path):
    in_parts(tmp_path)
    found = files.read_safetensors(tmp_path, NAME)
    assert found.keys() == {"a", "b"}
    np.testing.assert_array_equal(found["a"], ARRAYS["a"])


def test_one_file_goes_before_parts(tmp_path):
    """As transformers chooses: an index of an earlier save may lie beside."""
    in_parts(tmp_path)
    files.write_safetensors(tmp_path / NAME, ARRAYS)
    assert files.read_safetensors(tmp_path, NAME).keys() == ARRAYS.keys()


def test_links_of_a_cache_are_followed(tmp_path):
    """The hub's cache keeps the files elsewhere, and links to them."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    in_parts(tmp_path / "blobs")
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert files.read_safetensors(tmp_path / "snapshot", NAME).keys() == {"a", "b"}


@pytest.mark.parametrize("path", ["../x.safetensors", "/etc/passwd", "b/../../x"])
def test_an_index_names_no_file_elsewhere(tmp_path, path):
    (tmp_path / "in").mkdir()
    save_file({"c": ARRAYS["a"]}, tmp_path / "x.safetensors")
    in_parts(tmp_path / "in", c=path)
    refused(tmp_path / "in", f"{NAME}.index.json", path, "not in its folder")


@pytest.mark.parametrize(
    "content", [{}, {"weight_map": []}, {"weight_map": {"a": 3}}, {"weight_map": {}}]
)
def test_an_index_without_files(tmp_path, content):
    (tmp_path / f"{NAME}.index.json").write_text(json.dumps(content))
    refused(tmp_path, f"{NAME}.index.json", "weight_map")


def test_a_part_that_is_missing(tmp_path):
    in_parts(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    refused(tmp_path, "no weights at", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut(tmp_path, share):
    big = {"x": np.zeros((50, 50), np.float32)}
    files.write_safetensors(tmp_path / NAME, big)
    content = (tmp_path / NAME).read_bytes()
    cut = content[: int(share * len(content))]
    (tmp_path / NAME).write_bytes(cut)
    refused(tmp_path, str(tmp_path / NAME), "damaged", f"{len(cut):,} bytes")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + b"x" * 100, struct.pack("<Q", 2**62) + b"{}", b"{}"]
)
def test_what_is_no_safetensors_file(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    refused(tmp_path, str(tmp_path / NAME), "no safetensors file")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "open_clip_pytorch_model.pt"])
def test_a_pickle_alone_is_not_opened(tmp_path, name):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    import pickle

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    refused(tmp_path, name, "a pickle", f"expected {NAME}")
    assert not (tmp_path / "ran").exists()


def test_no_file_at_all(tmp_path):
    refused(tmp_path, f"no weights at {tmp_path / NAME}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ("[1]", "holds no JSON object"),
        (b"\xff\xfe", "is no JSON"),
    ],
)
def test_json_that_cannot_be_used(tmp_path, content, said):
    if content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=f"config.json {said}") as error:
        files.read_json(tmp_path / "config.json")
    assert short(error)


def test_json_comes_back(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": "é一", "a": [1, None]})
    assert files.read_json(tmp_path / "x.json") == {"b": "é一", "a": [1, None]}
    assert (tmp_path / "x.json").read_text(encoding="utf-8").endswith('"é一"\n}\n')


def test_what_a_config_breaks_is_said_of_its_file():
    for spoilt in (lambda: {}["width"], lambda: 3 // 0, lambda: "x".shape):
        with pytest.raises(ConfigError, match="a/config.json lacks a sett") as error:
            with files.said_by("a/config.json"):
                spoilt()
        assert short(error)
    with pytest.raises(ConfigError, match="^ours$"), files.said_by("a/config.json"):
        raise ConfigError("ours")
