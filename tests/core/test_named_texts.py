"""Texts from a set, a file or a tuple, and what is said of anything else."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.core.named_texts import named_texts

SETS = {"pets": ["cat", "dog"], **{f"set_{n}": ["x"] for n in range(9)}}


def test_a_set_a_file_or_texts(tmp_path, monkeypatch):
    assert named_texts("pets", SETS, "words") == ("cat", "dog")
    assert named_texts(["a", "b"], SETS, "words") == ("a", "b")
    assert named_texts((), SETS, "words") == ()
    # A byte order mark, Windows' ends of lines, spaces inside, lines at the end.
    data = "\ufeffone  word\r\n zwölf\t\r\n\r\n".encode()
    (tmp_path / "pets").write_bytes(b"a file of that name\n")
    (tmp_path / "mine.txt").write_bytes(data)
    assert named_texts(str(tmp_path / "mine.txt"), SETS, "w") == ("one  word", "zwölf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_texts("mine.txt", SETS, "w") == named_texts("~/mine.txt", SETS, "w")
    assert named_texts("pets", SETS, "w") == ("cat", "dog")  # the set, not the file


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pest", "unknown words 'pest'.*; known: pets, set_0, .* and 2 more; did you "),
        ("no.txt", "and no text file with one a line; known: "),
        (3, "words is 3; expected the name of a set, a text file"),
        (("a", 3), "expected the name of a set"),
        ("gap.txt", "gap.txt, line 2: empty; expected one of words"),
        ("empty.txt", "empty.txt, line 1: empty"),
        ("latin.txt", "words: 'latin.txt' cannot be read .*save it as UTF-8"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gap.txt").write_text("a\n\nb\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes("zwölf".encode("latin-1"))
    with pytest.raises(ConfigError, match=said) as caught:
        named_texts(given, SETS, "words")
    assert "\n" not in str(caught.value)
