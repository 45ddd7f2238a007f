"""Braces, patterns and folders, and what is refused."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.data.shards.names import braces, common_folder, find_shards


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.tar", ["a.tar"]),
        ("{00..03}.tar", ["00.tar", "01.tar", "02.tar", "03.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
        ("{a,b{1..2},}x", ["ax", "b1x", "b2x", "x"]),
        ("{{a,b},c}", ["a", "b", "c"]),
        ("{x}", ["{x}"]),
        ("{{0..1}}", ["{0}", "{1}"]),
        ("a}b", ["a}b"]),
    ],
)
def test_braces_expand_as_in_a_shell(text, words):
    assert braces(text) == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{0..1", "opens a brace"),
        ("{0..99999999}", "names 99,999,999 files"),
        ("{0..9999}{0..9999}", "names more than 1,000,000 files"),
        ("{" + ",".join(["{0..999999}"] * 50) + "}", "names more than 1,000,000 files"),
        ("{0.." + "9" * 5000 + "}", "has a number of more than 18 digits"),
        ("{" * 1500 + "}" * 1500, "has 1,500 braces; expected at most 100"),
    ],
)
def test_braces_that_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        braces(text)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tar", "a.tar", "c.txt", ".hidden.tar", "x y/d.tar", "x y/e.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        ("D", ["a.tar", "b.tar"]),
        ("D/*.tar", ["a.tar", "b.tar"]),
        ("D/{b,a}.tar", ["b.tar", "a.tar"]),
        ("D/**/[de].tar", ["x y/d.tar", "x y/e.tar"]),
        ("D/b.tar D/a.tar", ["b.tar", "a.tar"]),
        ("D/b.tar::D/a.tar\n", ["b.tar", "a.tar"]),
        (("D/b.tar", "D/x y"), ["b.tar", "x y/d.tar", "x y/e.tar"]),
        ("D/x y", ["x y/d.tar", "x y/e.tar"]),
        (["file:D/a.tar"], ["a.tar"]),
        ("D/{none,a}.tar", ["none.tar", "a.tar"]),  # a name may turn out missing later
    ],
)
def test_what_a_user_means(folder, urls, names):
    def fill(text):
        return text.replace("D", str(folder))

    urls = fill(urls) if isinstance(urls, str) else [fill(url) for url in urls]
    assert find_shards(urls, ".tar") == tuple(f"{folder}/{name}" for name in names)


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("D/*.zip", r"\*.zip' finds no .tar file"),
        ("D/empty", "empty' finds no .tar file"),
        ("D/gone", "there is no file or folder '.*gone'"),
        ("", "urls is empty"),
        ((), "urls is empty"),
        ((3,), "expected names of files"),
        (3, "urls is 3; expected names of files"),
        (("D/a.tar", "D/*.tar"), "a.tar is named twice"),
        ("pipe:curl http://x/a.tar", "would run a command"),
        (("D/a.tar", "pipe:cat D/b.tar"), "would run a command"),
        ("nothing://x/a*.tar", "Protocol not known"),
    ],
)
def test_what_is_refused(folder, urls, said):
    (folder / "empty").mkdir()

    def fill(text):
        return text.replace("D", str(folder)) if isinstance(text, str) else text

    urls = [fill(url) for url in urls] if isinstance(urls, tuple) else fill(urls)
    with pytest.raises(ConfigError, match=said) as caught:
        find_shards(urls, ".tar")
    assert str(caught.value).count("\n") == 0


def test_array_records_are_numbered_after_their_ending(tmp_path):
    for number in range(2):
        (tmp_path / f"x-train.array_record-0000{number}-of-00002").touch()
    (tmp_path / "features.json").touch()
    assert len(find_shards(str(tmp_path), ".array_record")) == 2


def test_remote_folders_and_patterns():
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("/shelf/b.tar", "/shelf/a.tar", "/shelf/notes.txt"):
        memory.pipe_file(name, b"")
    both = ("memory:///shelf/a.tar", "memory:///shelf/b.tar")
    found = [
        find_shards(urls, ".tar")
        for urls in (
            "memory://shelf",
            "memory://shelf/*.tar",
            "memory://shelf/{a,b}.tar",
        )
    ]
    assert [[n.replace(":///", "://") for n in names] for names in found] == [
        [n.replace(":///", "://") for n in both]
    ] * 3
    memory.rm("/shelf", recursive=True)


def test_names_within_the_common_folder():
    names = ["s3://b/set/one/0.tar?token=1", "s3://b/set/two/0.tar"]
    assert common_folder(names) == ("s3://b/set", ["one/0.tar", "two/0.tar"])
    assert common_folder(["/d/a.tar"]) == ("/d", ["a.tar"])
    assert common_folder(["/a.tar", "/b/c.tar"]) == ("", ["a.tar", "b/c.tar"])
