"""Answers are HTML: scores in order, texts escaped, what is wrong in a sentence."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.core.parsed_page import EVIL, Page
from tests.models import tiny_writer
from tests.models.tiny_writer import PICTURES, QUESTIONS
from tests.showing.few_pictures import Colours, save
from vlp_jax.core.errors import BadSample
from vlp_jax.encoder import Encoder
from vlp_jax.showing.index import Indexer
from vlp_jax.showing.pictures import PictureFolder
from vlp_jax.showing.views import MOST_TEXTS, Views, html, lines, reduced

ALL = ("embed", "match", "generate", "answer", "attend")
NAMES = ("red.png", "green.png", "blue.png")


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "pictures", *NAMES)


@pytest.fixture
def views(folder, tmp_path):
    return make_views(folder, tmp_path / "index")


def make_views(folder, place, *abilities, texts=("red things", "blue things")):
    encoder = Colours(*(abilities or ALL))
    pictures, index = PictureFolder(str(folder)), None
    if encoder.can("embed"):
        indexer = Indexer(encoder.prepare_image, encoder.encode_image, 2)
        index = indexer.build(pictures, place)
    return Views(encoder, pictures, index, texts)


def parts(page: str, tag: str) -> list[str]:
    """The texts of the elements of a kind, in order."""
    found, depth = [], 0

    class Texts(Page):
        def handle_starttag(self, name, attrs):
            nonlocal depth
            super().handle_starttag(name, attrs)
            if name == tag:
                depth += 1
                found.append("")

        def handle_endtag(self, name):
            nonlocal depth
            super().handle_endtag(name)
            depth -= name == tag

        def handle_data(self, data):
            if depth:
                found[-1] += data

    Texts(page)
    return [" ".join(text.split()) for text in found]


def shown(page: str) -> list[str]:
    return [
        dict(attributes)["alt"]
        for tag, attributes in Page(page).elements
        if tag == "img"
    ]


def problem(page: str) -> str:
    assert Page(page).count("p", "problem") == 1 and not shown(page)
    (said,) = parts(page, "p")
    return said


def test_words_find_pictures(views):
    page = views.search("something green")
    assert shown(page)[0] == "green.png" and len(shown(page)) == 3
    assert parts(page, "b") == ["1.000", "0.000", "0.000"]
    sources = [a["src"] for tag, a in Page(page).elements if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_without_words_the_first_pictures_are_shown(views):
    for page in (views.first(), views.search("  ")):
        assert shown(page) == sorted(NAMES) and parts(page, "b") == []
        assert parts(page, "p") == ["3 pictures; the first 3:"]


def test_a_picture_finds_pictures(views, folder):
    assert shown(views.similar(str(folder / "blue.png")))[0] == "blue.png"
    assert problem(views.similar(None)) == "Choose a picture first."


def test_a_picture_that_is_gone_is_left_out(views, folder):
    (folder / "green.png").unlink()
    assert "green.png" not in shown(views.search("green"))
    assert "green.png" not in shown(views.first())
    assert all(views.sample().getpixel((0, 0)) != (0, 255, 0) for _ in range(4))
    for name in ("red.png", "blue.png"):
        (folder / name).unlink()
    assert views.sample() is None


def test_large_pictures_are_reduced(tmp_path):
    wide = Image.effect_noise((3000, 1500), 90).convert("RGB")
    for path in (tmp_path / "a.jpg", tmp_path / "a.png"):
        wide.save(path)
        found = reduced(path.read_bytes(), 400)
        assert found.size == (400, 200) and found.mode == "RGB"
    half = path.read_bytes()[:9000]
    with pytest.raises(BadSample, match="image_truncated"):
        reduced(half, 400)
    small = reduced(np.zeros((24, 12, 3), np.uint8), 400)
    assert small.size == (12, 24)


def test_samples_go_through_all_pictures(views):
    found = {views.sample().getpixel((0, 0)) for _ in NAMES}
    assert found == {(255, 0, 0), (0, 255, 0), (0, 0, 255)}


def test_texts_by_how_well_they_fit(views, folder):
    picture = str(folder / "blue.png")
    page = views.describe(picture, "")
    assert parts(page, "li") == ["blue things1.000", "red things0.000"]
    assert parts(page, "p") == ["2 texts, by cosine"]
    page = views.describe(picture, f"a {EVIL} green\n\nred and blue\nred and blue")
    assert parts(page, "li") == ["red and blue0.707", f"a {EVIL} green0.000"]
    assert "<script" not in page


def test_a_model_without_embeddings_tells_whether_texts_match(folder, tmp_path):
    views = make_views(folder, tmp_path, "match")
    page = views.describe(str(folder / "red.png"), "")
    assert parts(page, "p") == ["2 texts, by probability of a match"]
    assert parts(page, "li")[0] == "red things1.000"
    assert views.sample() is not None


def test_no_texts(folder, tmp_path):
    views = make_views(folder, tmp_path / "index", texts=())
    said = problem(views.describe(str(folder / "red.png"), " \n"))
    assert said == "Type some texts, one a line."


@pytest.mark.parametrize("template", ["photo", "a {}", "openai_simple7"])
def test_labels_have_probabilities(views, folder, template):
    """With a scale of 4, one cosine of 1 and two of 0: e^4 / (e^4 + 2) = 0.96466."""
    picture = str(folder / "red.png")
    page = views.classify(picture, "blue, red\ngreen, ", template)
    assert parts(page, "li") == ["red96.5 %", "blue1.8 %", "green1.8 %"]


def test_what_is_wrong_with_labels(views, folder):
    picture = str(folder / "red.png")
    said = problem(views.classify(picture, "one", "photo"))
    assert said == "Type two labels or more, one a line or with commas."
    for template in ("a photo", "", None, "/etc/hostname", str(folder / "red.png")):
        said = problem(views.classify(picture, "red, blue", template))
        assert said.startswith(f"template {template or ''!r} has no '{{}}' where the")


def test_a_model_with_a_head_has_its_own_labels(folder, tmp_path):
    views = make_views(folder, tmp_path / "index", "classify")
    page = views.classify(str(folder / "green.png"))
    assert parts(page, "li") == ["green100.0 %", "red0.0 %", "blue0.0 %"]


def test_captions_and_answers_are_escaped(views, folder):
    picture = str(folder / "red.png")
    assert parts(views.caption(picture, ""), "p") == ["<b>picture</b>"]
    assert parts(views.caption(picture, " a "), "p") == ["a <b>picture</b>"]
    assert parts(views.ask(picture, EVIL), "p") == [f"<{EVIL}>"]
    assert problem(views.ask(picture, " ")) == "Type a question."
    said = problem(views.ask(picture, "refuse"))
    assert said == "the model refuses <i>this</i>; ask another"


def test_where_it_looks(views, folder):
    page = views.look(str(folder / "red.png"), "the red <b> thing")
    assert shown(page) == ["red", "thing"]
    assert problem(views.look(str(folder / "red.png"), " ")).startswith("Type what")
    assert problem(views.look(str(folder / "red.png"), "of the")).startswith("None of")


def test_a_real_model_that_writes(tmp_path):
    model = SimpleNamespace(
        name="teller",
        parameters={},
        predictor=lambda mesh, size: tiny_writer.predictor(1, size),
    )
    encoder, path = Encoder(model, batch_size=8), tmp_path / "a.png"
    Image.fromarray(PICTURES[0]).save(path)
    views = Views(encoder, PictureFolder(str(tmp_path)), None, QUESTIONS)
    (written,) = encoder.generate(PICTURES[0])
    assert parts(views.caption(str(path), ""), "p") == [" ".join(written.split())]
    (answer,) = encoder.answer(PICTURES[0], QUESTIONS[0])
    assert parts(views.ask(str(path), QUESTIONS[0]), "p") == [" ".join(answer.split())]
    best = encoder.match(PICTURES[0], QUESTIONS).max()
    assert parts(views.describe(str(path), ""), "li")[0].endswith(f"{best:.3f}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "image empty"),
        (b"no picture", "image unreadable"),
        (None, "image missing"),
    ],
)
def test_a_picture_that_cannot_be_read(views, tmp_path, content, said):
    path = tmp_path / "sent.png"
    if content is not None:
        path.write_bytes(content)
    for ask in (
        lambda: views.similar(str(path)),
        lambda: views.describe(str(path), "a"),
        lambda: views.classify(str(path), "a, b", "photo"),
        lambda: views.caption(str(path), ""),
        lambda: views.ask(str(path), "what"),
        lambda: views.look(str(path), "red"),
    ):
        assert problem(ask()) == f"This picture cannot be used: {said}."


def test_names_of_files_are_text(tmp_path):
    name = "red_<img src=x onerror=alert(1)>'\"&${1}{{2}}.png"
    folder = save(tmp_path / "pictures", name, "blue.png")
    os.rename(os.fsencode(folder / "blue.png"), os.fsencode(folder) + b"/blue\xff.png")
    page = make_views(folder, tmp_path / "index").search("red")
    assert shown(page) == [name, "blue\\udcff.png"]
    assert parts(page, "span")[0] == name
    page.encode("utf-8")


def test_the_top_of_the_page_is_escaped():
    page = html("header.html", name=EVIL, about=EVIL, notes=(EVIL,))
    assert parts(page, "p") == [EVIL, EVIL] and parts(page, "h1") == [EVIL]


def test_lists_that_are_typed():
    assert lines(" a, b \n\n c \na, b") == ("a, b", "c")
    assert lines("a, b,, c\na", commas=True) == ("a", "b", "c")
    assert lines("") == lines(None) == ()
    with pytest.raises(Exception, match="1,001 texts; type 1,000 at most"):
        lines("\n".join(map(str, range(MOST_TEXTS + 1))))
