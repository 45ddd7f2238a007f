"""JSON read through a window gives what json.load gives, and says what is broken."""

import json

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data import json_entries
from vlp_jax.data.json_entries import entries, expected_form

DOCUMENT = {
    "info": {"year": 2017, "nested": [1, 2]},
    "count": 12345678901234567890,
    "images": [{"id": 1, "name": 'é \U0001f436 \\ " ]}'}, {"id": 2, "name": ""}],
    "none": [],
    "numbers": [1, -2.5e10, 31415926535, True, None, "x"],
    "annotations": [{"segmentation": [[1.25, 2.5] * 40]}, [], {}],
}
LISTS = [
    (key, entry)
    for key, value in DOCUMENT.items()
    if isinstance(value, list)
    for entry in value
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 2**20])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}])
def test_entries_come_as_json_load_has_them(tmp_path, monkeypatch, chunk, style):
    monkeypatch.setattr(json_entries, "CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DOCUMENT, ensure_ascii=False, **style), encoding="utf-8")
    assert list(entries(path)) == LISTS
    numbers = [1, 23, 456, -7.5, 8e3]
    path.write_text(json.dumps(numbers, **style))
    assert list(entries(path)) == [("", number) for number in numbers]


@pytest.mark.parametrize("text", ["[]", "{}", ' {"a": 1}\n', '{"a": []}', "\ufeff[]"])
def test_files_without_entries(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert list(entries(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>Not Found</html>",
        "[1, 2",
        '[{"id": 1}, {"id"',
        '{"images": [{"id": 1} {"id": 2}]}',
        '{"images": [1], annotations: []}',
        "[" * 100_000,
        '["caf\xe9"]',
    ],
)
def test_what_is_not_json_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        list(entries(path))
    message = str(caught.value)
    assert message.startswith(f"{path} is not JSON, or only a part of it (")
    assert message.endswith("); download it again") and "\n" not in message


def test_the_search_for_an_end_is_limited(tmp_path, monkeypatch):
    """A quote that is never closed does not bring the whole file into memory."""
    monkeypatch.setattr(json_entries, "CHUNK", 1000)
    monkeypatch.setattr(json_entries, "LONGEST_ENTRY", 10_000)
    path = tmp_path / "a.json"
    path.write_text('["' + "x" * 10**6)
    window = None
    with open(path) as file:
        window = json_entries._Window(file)
        with pytest.raises(ValueError):
            list(window.entries())
    assert len(window.text) < 50_000


def test_another_form_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a.json: .*no 'caption'\); expected a list"):
        with expected_form(tmp_path / "a.json", "a list of captions"):
            {"id": 1}["caption"]
    with pytest.raises(ConfigError, match="expected a list"):
        with expected_form(tmp_path / "a.json", "a list of captions"):
            int("text")
    with pytest.raises(ConfigError, match="^as it was$"):
        with expected_form(tmp_path / "a.json", "a list of captions"):
            raise ConfigError("as it was")
