"""The page has the tabs that a model can serve, and an address of its own."""

import asyncio
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.showing.few_pictures import save
from tests.showing.test_views import make_views
from vlp_jax.core.errors import ConfigError

gradio = pytest.importorskip("gradio")

from vlp_jax.showing import page  # noqa: E402


def tabs(*abilities: str, folder) -> list[str]:
    save(folder / "pictures", "red.png", "blue.png")
    views = make_views(folder / "pictures", folder / "index", *abilities)
    made = page.make_page(views, "title", "about", ())
    return [x.label for x in made.blocks.values() if isinstance(x, gradio.Tab)]


@pytest.mark.parametrize(
    ("abilities", "expected"),
    [
        ("embed", "Search Similar Describe Classify"),
        ("match attend", "Describe Look"),
        ("generate", "Caption"),
        ("answer match", "Describe Ask"),
        (
            "embed match generate answer attend",
            "Search Similar Describe Classify Caption Ask Look",
        ),
    ],
)
def test_tabs_are_those_that_the_model_can_serve(abilities, expected, tmp_path):
    assert tabs(*abilities.split(), folder=tmp_path) == expected.split()


def test_only_what_was_sent_is_opened(tmp_path):
    outside = save(tmp_path / "outside", "red.png") / "red.png"

    def of(path) -> str | None:
        return page.sent_file(SimpleNamespace(path=str(path)))

    with page.kept_until_the_end():
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        inside = save(folder / "sent", "red.png") / "red.png"
        assert of(inside) == os.path.realpath(inside)
        (folder / "link.png").symlink_to(outside)
        ways_out = (folder / "link.png", folder / ".." / "red.png", f"{folder}_/a.png")
        for path in (outside, folder, "red.png", "", *ways_out):
            assert of(path) is None
        assert page.sent_file(None) is None
    assert not folder.exists() and of(inside) is None


def test_an_address_of_its_own():
    with page.reserve("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
        assert page.url_of(free) == f"http://127.0.0.1:{port}" and port > 0
        with pytest.raises(ConfigError, match=f"--port={port} cannot be opened: Addr"):
            page.reserve("127.0.0.1", port)  # before it answers, too
    with pytest.raises(ConfigError, match="--host=.a --port=0 cannot be opened"):
        page.reserve(".a", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port={port} cannot be opened: Addr"):
            page.reserve("127.0.0.1", port)
    with pytest.raises(ConfigError, match="--host=203.0.113.1 --port=0 cannot be open"):
        page.reserve("203.0.113.1", 0)


def test_no_address_is_fetched():
    with pytest.raises(page.gr.Error, match="not named by an address"):
        asyncio.run(page.nothing_fetched("http://example.com/a.png"))
    assert asyncio.run(page.nothing_fetched("/a/b.png")) == "/a/b.png"
