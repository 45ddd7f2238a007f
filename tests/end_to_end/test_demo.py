"""The demo in a browser: words are typed, buttons clicked, the right pictures seen."""

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tests.end_to_end.browser import Browser
from tests.end_to_end.outcomes import assert_refused
from tests.processes import wait_until
from vlp_jax.data.sources.digit_scenes import DigitScenes

# Of the pictures; that they are shown as they are is what the second one tests.
NAMES = (
    "zero.png",
    "<img src=x onerror=\"document.title='run'\">${document.title='run'}{{1}}.png",
    "below/two.png",
    "three.png",
)
EVIL = "<img src=x onerror=\"document.title='run'\"> ${document.title='run'} {{1}}"

# name: (flags, words of the message), for assert_refused.
WRONG = {
    "no checkpoint": ((), ("--checkpoint=runs/quickstart",)),
    "folder that is not there": (
        ("--checkpoint=W", "--port=0", "--images=DIR/gone"),
        ("--images=DIR/gone: no such folder", "leave the flag out"),
    ),
    "no port": (("--checkpoint=W", "--port=70000"), ("--port is 70000",)),
}


def test_what_has_to_be_installed_is_named(program, tmp_path):
    (tmp_path / "gradio.py").write_text("raise ImportError('no gradio here')")
    started = program.start("demo", "--checkpoint=W", PYTHONPATH=str(tmp_path))
    found = program.wait(started)
    assert found.code == 78 and len(found.err.splitlines()) == 1
    assert 'needs gradio (no gradio here): pip install "gradio>=6.31"' in found.err


class Trained(NamedTuple):
    checkpoint: Path
    pictures: Path
    captions: dict[str, str]


@pytest.fixture(scope="module")
def trained(program, write_recipe, tmp_path_factory) -> Trained:
    """A model that has learned four pictures by heart, and their folder."""
    folder = tmp_path_factory.mktemp("demo")
    scenes = DigitScenes(size=400, canvas=24, digit_counts=(1,))
    chosen = [next(s for s in scenes if s.label == digit) for digit in range(4)]
    captions = dict(zip(NAMES, (s.captions[0] for s in chosen), strict=True))
    for name, scene in zip(NAMES, chosen, strict=True):
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path)
    rows = [{"image": name, "caption": caption} for name, caption in captions.items()]
    table = folder / "captions.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = write_recipe(
        folder,
        "config.data.train.update(kind='image_folder', size=None, canvas=None)",
        f"config.data.train.root = {str(folder / 'pictures')!r}",
        f"config.data.train.captions = {str(table)!r}",
        "config.batch_size = 4",
        "config.steps = 60",
        "config.learning_rate.update(peak=3e-3, warmup_steps=5)",
        "config.checkpoint.every = 60",
        "del config.evaluation.evaluators.retrieval",
    )
    workdir = folder / "run"
    program("train", f"--config={recipe}", f"--workdir={workdir}").check()
    (folder / "pictures" / "broken.png").write_text("no picture")
    return Trained(workdir, folder / "pictures", captions)


@pytest.mark.parametrize("case", WRONG)
def test_it_is_explained(program, trained, tmp_path, case):
    pytest.importorskip("gradio")
    assert_refused(program, "demo", *WRONG[case], trained.checkpoint, tmp_path)


class Outside:
    """A proxy that programs would take to other machines: it notes and refuses."""

    def __init__(self):
        self.asked = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._refuse, daemon=True).start()

    def _refuse(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.asked.append(connection.recv(200))
            connection.close()


class Demo:
    """A running demo: where it listens, and what it has printed."""

    def __init__(self, program, *flags: str, **variables: str):
        self.program = program
        self.process = program.start("demo", "--port=0", *flags, **variables)
        self.out = program.folder / f"{self.process.number}.out"
        wait_until(lambda: "Next: open" in self.said, self.process, every=0.1)
        self.url = self.said.partition("Next: open ")[2].split()[0]

    @property
    def said(self) -> str:
        return self.out.read_text()

    def end(self):
        """Ctrl-C, and how it went."""
        os.kill(self.process.pid, signal.SIGINT)
        return self.program.wait(self.process)


@pytest.fixture(scope="module")
def outside():
    return Outside()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def demo(program, trained, index, outside):
    pytest.importorskip("gradio")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), outside.address)
    running = Demo(
        program,
        f"--checkpoint={trained.checkpoint}",
        f"--images={trained.pictures}",
        f"--index={index}",
        no_proxy="127.0.0.1,localhost",
        **proxies,
    )
    yield running


@pytest.fixture(scope="module")
def browser(demo):
    opened = Browser()
    opened.driver.get(demo.url)
    opened.wait("#search_found figure")
    yield opened
    opened.quit()


def names(browser, place: str) -> list[str]:
    return browser.attributes(f"#{place} figure", "title")


def open_tab(browser, title: str) -> None:
    tabs = [x for x in browser.find("button[role=tab]") if x.text == title]
    tabs[0].click()
    browser.wait(f"#{title.lower()}_button")


def take_sample(browser, tab: str) -> None:
    """Clicks for one of the pictures, and waits until it is there."""

    def sources() -> list[str]:
        return browser.attributes(f"#{tab}_picture img", "src")

    before = sources()
    browser.wait(f"#{tab}_sample").click()
    wait_until(lambda: sources() not in (before, []), seconds=20, every=0.05)


def test_it_says_what_it_shows(demo, browser, trained):
    assert "5 of " in demo.said and "0 known, 4 new" in demo.said
    assert "left out  1 image_unreadable" in demo.said
    top = browser.wait(".top").text
    assert "tiny" in top and "Left out: 1 image_unreadable." in top
    tabs = [x.text for x in browser.find("button[role=tab]")]
    assert tabs == ["Search", "Similar", "Describe", "Classify"]
    assert sorted(names(browser, "search_found")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_words_find_the_right_picture(browser, trained, name):
    words = trained.captions[name]
    if name == NAMES[0]:
        browser.write("#words :is(input, textarea)", words)
        browser.wait("#search_button").click()
    else:
        browser.write("#words :is(input, textarea)", f"{words}\n")

    def found() -> bool:
        return names(browser, "search_found")[:1] == [name]

    wait_until(found, seconds=20, every=0.05)
    picture = browser.wait("#search_found figure img")
    assert int(picture.get_attribute("naturalWidth")) == 24
    assert len(names(browser, "search_found")) == 4
    caption = browser.wait("#search_found figcaption span").get_attribute("textContent")
    assert caption == name and browser.driver.title == "tiny"


def test_a_picture_that_is_sent_finds_itself(browser, trained):
    open_tab(browser, "Similar")
    field = browser.wait("#similar_picture input[type=file]", seen=False)
    field.send_keys(str(trained.pictures / "three.png"))
    browser.wait("#similar_found figure")
    assert names(browser, "similar_found")[0] == "three.png"
    scores = [float(x.text) for x in browser.find("#similar_found b")]
    assert scores[0] == 1 and scores == sorted(scores, reverse=True)


def test_a_file_that_is_no_picture_is_explained(browser, trained):
    open_tab(browser, "Describe")
    browser.wait("#describe_button").click()
    browser.wait("#describe_found .problem", "Choose a picture first.")
    field = browser.wait("#describe_picture input[type=file]", seen=False)
    field.send_keys(str(trained.pictures / "broken.png"))
    browser.wait("#describe_picture img", seen=False)
    browser.write("#describe textarea", "a one")
    browser.wait("#describe_button").click()
    browser.wait("#describe_found .problem", "cannot be used: image unreadable.")


def test_texts_are_shown_as_they_were_typed(browser, trained):
    open_tab(browser, "Describe")
    take_sample(browser, "describe")
    texts = [EVIL, "<script>document.title='run'</script>", *trained.captions.values()]
    browser.write("#describe textarea", "\n".join(texts))
    browser.wait("#describe_button").click()
    browser.wait("#describe_found li")
    shown = [x.text for x in browser.find("#describe_found li .text")]
    assert sorted(shown) == sorted(texts) and shown[0] in trained.captions.values()
    assert browser.driver.title == "tiny"


def test_labels_are_typed_and_have_probabilities(browser):
    open_tab(browser, "Classify")
    take_sample(browser, "classify")
    browser.write("#classify textarea", f"zero, one\n{EVIL}")
    browser.wait("#classify_button").click()
    browser.wait("#classify_found li")
    values = [x.text for x in browser.find("#classify_found b")]
    assert len(values) == 3
    assert abs(sum(float(value.split()[0]) for value in values) - 100) < 0.2


def test_nothing_leaves_the_machine(demo, browser, outside):
    browser.read_logs()
    assert len(browser.requests) > 20
    inline = ("data:", "blob:", "about:", "chrome:", "devtools:")
    others = [
        url for url in browser.requests if not url.startswith((demo.url, *inline))
    ]
    assert others == [] and outside.asked == []
    assert browser.complaints == []
    with urllib.request.urlopen(demo.url, timeout=20) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}]
)
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/upload"])
def test_another_page_gets_nothing(demo, headers, path):
    """Neither under another name for this machine, nor by what it sends itself."""
    request = urllib.request.Request(demo.url + path, headers=headers)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=20)


def test_it_ends_with_control_c(demo):
    found = demo.end()
    assert found.code == 0 and found.err == ""


@pytest.fixture(scope="module")
def again(demo, program, trained, index):
    """The same command once more."""
    pytest.importorskip("gradio")
    flags = (f"--checkpoint={trained.checkpoint}", f"--images={trained.pictures}")
    running = Demo(program, *flags, f"--index={index}")
    yield running
    os.kill(running.process.pid, signal.SIGTERM)
    assert program.wait(running.process).code == 0


def test_it_begins_with_what_it_kept(again, index):
    assert "4 known, 0 new" in again.said
    assert len(list(index.iterdir())) == 1


def test_files_of_the_machine_cannot_be_asked_for(again, trained):
    """By whoever talks to the server without the page."""
    path = str(trained.pictures / "three.png")
    with pytest.raises(urllib.error.HTTPError, match="Forbidden"):
        urllib.request.urlopen(f"{again.url}/gradio_api/file={path}", timeout=20)
    with urllib.request.urlopen(f"{again.url}/config", timeout=20) as answer:
        functions = json.load(answer)["dependencies"]
    similar = [x["id"] for x in functions if len(x["inputs"]) == 1][1]

    def about(name: str) -> str:
        """The answer to a search for pictures like this file."""
        sent = {"path": name, "meta": {"_type": "gradio.FileData"}}
        request = urllib.request.Request(
            f"{again.url}/gradio_api/run/predict",
            json.dumps({"data": [sent], "fn_index": similar}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    assert "three.png" in about(uploaded(again.url, path))  # one that was sent can
    for name in (path, "/etc/hostname", "a.svg", "http://example.com/a.png"):
        with pytest.raises(urllib.error.HTTPError, match="500"):
            about(name)


def uploaded(url: str, path: str) -> str:
    """Where a file lies once it was sent to the page."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n'
    body = part + b"Content-Type: image/png\r\n\r\n" + Path(path).read_bytes()
    request = urllib.request.Request(
        f"{url}/gradio_api/upload",
        body + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)[0]
