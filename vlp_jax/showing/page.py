"""The page in a browser, by gradio. Nothing on it comes from, or goes to, elsewhere."""

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import fastapi  # noqa: E402
import gradio as gr  # noqa: E402
import uvicorn  # noqa: E402

from vlp_jax.core.errors import ConfigError  # noqa: E402
from vlp_jax.evaluation import prompts  # noqa: E402
from vlp_jax.showing.guard import OWN_NAMES, OnlyFromHere  # noqa: E402
from vlp_jax.showing.views import ASSETS, Views, html  # noqa: E402

WAIT_SECONDS = 1  # for open connections when it ends
LARGEST = "64mb"  # of a picture that is sent
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")


class Tab(NamedTuple):
    """A tab about a picture: what it needs of the model, and what it asks for.

    fields: the views -> what is typed beside the picture.
    """

    title: str
    needs: tuple[str, ...]  # any of these abilities
    answer: Callable[..., str]
    button: str
    fields: Callable[[Views], list[Any]]


def _texts(views: Views) -> list[Any]:
    known = f"; without any, the {len(views.texts):,} given" if views.texts else ""
    return [gr.Textbox(label=f"Texts, one a line{known}", lines=4, max_lines=12)]


def _labels(views: Views) -> list[Any]:
    if not views.encoder.can("embed"):  # a head knows its classes
        return []
    given = views.pictures.suggestions
    return [
        gr.Textbox(
            ", ".join(given.labels or views.encoder.class_names),
            label="Labels, one a line or with commas",
            lines=3,
            max_lines=12,
            placeholder="a cat, a dog, a bird",
        ),
        gr.Dropdown(
            sorted(prompts.names()),
            value=given.prompts,
            label="Prompts: a set, or your own, such as: a photo of a {}",
            allow_custom_value=True,
        ),
    ]


def _line(label: str, placeholder: str = "") -> list[Any]:
    return [gr.Textbox(label=label, placeholder=placeholder, max_lines=1)]


TABS = (
    Tab("Similar", ("embed",), Views.similar, "Search", lambda views: []),
    Tab("Describe", ("embed", "match"), Views.describe, "Compare", _texts),
    Tab("Classify", ("embed", "classify"), Views.classify, "Classify", _labels),
    Tab(
        "Caption",
        ("generate",),
        Views.caption,
        "Write",
        lambda views: _line("It begins with (may stay empty)"),
    ),
    Tab(
        "Ask",
        ("answer",),
        Views.ask,
        "Ask",
        lambda views: _line("Question", views.pictures.suggestions.question),
    ),
    Tab(
        "Look",
        ("attend",),
        Views.look,
        "Show where",
        lambda views: _line(
            "What it shows; each word becomes a map",
            views.pictures.suggestions.example,
        ),
    ),
)


def make_page(views: Views, title: str, about: str, notes: Sequence[str]) -> gr.Blocks:
    """The page with the tabs that the model can serve."""
    can = views.encoder.can
    with gr.Blocks(title=title, analytics_enabled=False) as page:
        top = html("header.html", name=title, about=about, notes=notes)
        gr.HTML(top, apply_default_css=False)
        with gr.Tabs():
            if can("embed"):
                _search_tab(views)
            for tab in TABS:
                if any(can(ability) for ability in tab.needs):
                    _picture_tab(tab, views)
    return page


def _search_tab(views: Views) -> None:
    with gr.Tab("Search", elem_id="search"):
        with gr.Row():
            words = gr.Textbox(
                show_label=False,
                container=False,
                placeholder=f"words, such as: {views.pictures.suggestions.example}",
                max_lines=1,
                scale=5,
                autofocus=True,
                elem_id="words",
            )
            button = gr.Button(
                "Search",
                variant="primary",
                scale=1,
                min_width=120,
                elem_id="search_button",
            )
        found = gr.HTML(views.first(), apply_default_css=False, elem_id="search_found")
    gr.on([button.click, words.submit], _plain(views.search), words, found, **QUEUED)


def _picture_tab(tab: Tab, views: Views) -> None:
    name = tab.title.lower()
    with gr.Tab(tab.title, elem_id=name):
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                picture = gr.Image(
                    type="filepath",
                    image_mode=None,
                    format="png",
                    sources=["upload", "clipboard"],
                    show_label=False,
                    height=280,
                    buttons=[],
                    elem_id=f"{name}_picture",
                )
                picture.preprocess = sent_file
                picture.async_move_resource_to_block_cache = nothing_fetched
                sample = gr.Button(
                    "Take one of these pictures", size="sm", elem_id=f"{name}_sample"
                )
                fields = tab.fields(views)
                button = gr.Button(
                    tab.button, variant="primary", elem_id=f"{name}_button"
                )
            with gr.Column(scale=3, min_width=320):
                found = gr.HTML(apply_default_css=False, elem_id=f"{name}_found")
    answer = _plain(tab.answer.__get__(views))
    one_line = [x for x in fields if isinstance(x, gr.Textbox) and x.max_lines == 1]
    triggers = [button.click, *(field.submit for field in one_line)]
    if not fields:
        triggers.append(picture.change)
    gr.on(triggers, answer, [picture, *fields], found, **QUEUED)
    sample.click(_plain(views.sample), None, picture, **QUEUED)


# One answer at a time: they share the devices.
QUEUED = dict(concurrency_id="model", show_progress="minimal", api_visibility="private")


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def sent_file(payload: Any) -> str | None:
    """The path of a picture that was sent to the page; of no other file.

    In the place of what gr.Image does: it would open the file by itself.
    """
    path = payload and payload.path and os.path.realpath(payload.path)
    folder = os.path.realpath(os.environ.get("GRADIO_TEMP_DIR", os.devnull))
    return path if path and path.startswith(folder + os.sep) else None


async def nothing_fetched(path: str | None) -> str | None:
    """In the place of what gr.Image does: it would download what a URL names."""
    if path and "://" in path:
        raise gr.Error("A picture is sent as a file, not named by an address.")
    return path


def _plain(function: Callable) -> Callable:
    """A function that gradio may inspect, whatever `function` is."""
    return lambda *arguments: function(*arguments)


def reserve(host: str, port: int) -> socket.socket:
    """A socket with an address of its own; ConfigError where that is taken."""
    try:
        place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        reserved = socket.socket(place[0], socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(place[4])
        reserved.listen()  # who comes early waits
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--host={host} --port={port} cannot be opened: "
            f"{getattr(error, 'strerror', None) or error}; name another port, "
            "--port=0 for any that is free, or an address of this machine"
        ) from None
    return reserved


def url_of(reserved: socket.socket) -> str:
    """The address to type into a browser."""
    host, port = reserved.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(page: gr.Blocks, reserved: socket.socket, ready: Callable[[], None]) -> None:
    """Answers until Ctrl-C or SIGTERM; `ready` is called when browsers are let in."""
    app = fastapi.FastAPI(openapi_url=None)
    alone = reserved.getsockname()[0] in OWN_NAMES
    app.add_middleware(OnlyFromHere, alone=alone)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        max_file_size=LARGEST,
        theme=gr.themes.Default(
            primary_hue="blue", neutral_hue="slate", font=SANS, font_mono=MONO
        ),
        css=(ASSETS / "page.css").read_text(encoding="utf-8"),
    )
    # Without these, gradio 6 takes any path in a request for a file of its own.
    page.has_launched = page.is_running = True
    config = uvicorn.Config(
        app, log_level="error", timeout_graceful_shutdown=WAIT_SECONDS
    )
    server = uvicorn.Server(config)
    # uvicorn ends at either and passes it on, which is here the usual way to end.
    for number in ENDINGS:
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    ready()
    server.run(sockets=[reserved])
    for number in ENDINGS:  # who is impatient ends an answer that takes long
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def kept_until_the_end() -> Iterator[None]:
    """What people send to the page lies in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="vlp_jax_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
