"""Pages escape what is put into them, and are written whole or not at all."""

import base64
import io

import jinja2
import numpy as np
import pytest
from PIL import Image

from tests.core.parsed_page import EVIL, Page, picture
from vlp_jax.core.pages import TINY, data_uri, render, write_text


def test_tiny_pictures_keep_their_pixels():
    assert data_uri(picture(48))["source"].startswith("data:image/png;base64,")
    large = data_uri(picture(300))
    assert large["source"].startswith("data:image/jpeg") and not large["is_tiny"]


def decoded(uri: dict) -> Image.Image:
    _, _, code = uri["source"].partition(";base64,")
    return Image.open(io.BytesIO(base64.b64decode(code)))


@pytest.mark.parametrize("shape", [(TINY, TINY, 3), (1, 1, 3), (3, TINY, 3)])
def test_a_tiny_picture_is_kept_exactly(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    uri = data_uri(pixels)
    assert uri["is_tiny"]
    np.testing.assert_array_equal(np.asarray(decoded(uri)), pixels)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((300, 600, 3), (192, 96)),  # (width, height) of what is shown
        ((600, 300, 3), (96, 192)),
        ((10, TINY + 1, 3), (TINY + 1, 10)),  # never enlarged
    ],
)
def test_a_larger_picture_keeps_its_form(shape, shown):
    found = decoded(data_uri(np.full(shape, 90, np.uint8)))
    assert (found.format, found.size) == ("JPEG", shown)


def test_a_page_says_how_large_its_pictures_are():
    pixels = np.full((300, 600, 3), 90, np.uint8)
    assert decoded(data_uri(pixels, side=320)).size == (320, 160)
    assert decoded(data_uri(pixels, side=800)).size == (600, 300)


def test_what_is_drawn_stays_as_it_is():
    pixels = picture(300)
    uri = data_uri(pixels, drawn=True)
    assert not uri["is_tiny"] and decoded(uri).format == "PNG"
    np.testing.assert_array_equal(np.asarray(decoded(uri)), pixels)


def test_values_are_escaped_and_a_missing_one_is_an_error(tmp_path):
    template = tmp_path / "page.html"
    (tmp_path / "part.html").write_text("<b>{{ text }}</b>")
    template.write_text("\n\n<p>{{ text }}</p>{% include 'part.html' %}")
    found = render(template, text=EVIL)
    assert found.startswith("<p>&lt;script&gt;") and "<script" not in found
    page = Page(found)
    assert page.words == [EVIL, EVIL] and page.count("b") == 1
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        render(template, texts=EVIL)


def test_a_file_is_written_whole_with_its_folder(tmp_path):
    path = tmp_path / "deep" / "er" / "page.html"
    write_text(str(path), "one")
    write_text(path, "zwölf")
    assert path.read_bytes() == "zwölf".encode()
    write_text(path, "broken \udcff name")  # a file name that is no UTF-8
    assert path.read_text() == "broken \\udcff name"
    assert [found.name for found in path.parent.iterdir()] == ["page.html"]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write_text(path, "old")

    def full(one, other):
        raise OSError("No space left on device")

    monkeypatch.setattr("vlp_jax.core.pages.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["page.html"]


def test_a_page_fills_the_frame_that_all_pages_share(tmp_path):
    template = tmp_path / "mine.html"
    main = "{% block main %}<p>{{ number(1234567) }}</p>{% endblock %}"
    template.write_text(f"{{% extends 'page.html' %}}{main}")
    source = render(template, title=EVIL, facts={"a fact": EVIL})
    page = Page(source)
    assert source.startswith("<!DOCTYPE html>") and "<script" not in source
    assert page.words.count(EVIL) == 3  # in the tab, above the page and as a fact
    assert "a fact" in page.words and "1,234,567" in page.words
    assert "http" not in source and page.count("main") == page.count("style") == 1
