"""What every format has in common: it gives back what was written, or parts of it."""

import pytest

from tests.features.formats.written import assert_same, columns
from vlp_jax.features.formats import FORMATS


@pytest.fixture(params=list(FORMATS))
def form(request):
    return FORMATS[request.param]


def test_what_is_written_is_read(form, tmp_path):
    path, expected = tmp_path / f"x.{form.ENDING}", columns()
    form.write(path, expected)
    assert_same(form.read(path, tuple(expected)), expected)
    for some in (("label",), ("captions_count", "text_embedding"), ("labels_count",)):
        assert_same(form.read(path, some), {key: expected[key] for key in some})


def test_equal_columns_are_equal_bytes(form, tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        form.write(path, columns())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_shard_without_samples(form, tmp_path):
    form.write(tmp_path / "x", columns([]))
    assert (tmp_path / "x").exists()


def test_samples_without_texts(form, tmp_path):
    whole = columns()
    few = {key: whole[key] for key in ("index", "name", "image_embedding")}
    form.write(tmp_path / "x", few)
    assert_same(form.read(tmp_path / "x", tuple(few)), few)
