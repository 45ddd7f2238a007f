"""The three layouts of a folder, and what each refuses, drops and postpones."""

import os
import textwrap

import pytest

from tests.data.tars import BLUE, GREEN, RED
from vlp_jax.core.errors import BadSample, ConfigError
from vlp_jax.data.captions import MAX_CAPTION
from vlp_jax.data.files import LIMITS
from vlp_jax.data.sources.image_folder import ImageFolder
from vlp_jax.data.transforms.image import decode_image


def write(root, files: dict[str, bytes | str]):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else textwrap.dedent(content)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(root)


def refused(root, table: str | bytes, name="pairs.csv", **keywords) -> str:
    write(root, {name: table})
    with pytest.raises(ConfigError) as caught:
        ImageFolder(str(root), captions=name, **keywords)
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)


# ---- captions tables


def test_csv_groups_rows_in_order_of_first_appearance(tmp_path):
    table = """\
        image,caption
        b/2.jpg,"a blue square, small"
        1.jpg,a red square
        ./b/2.jpg,  azure\t box
        1.jpg,
        missing.jpg,nobody saw it
        """
    root = write(tmp_path, {"1.jpg": RED, "b/2.jpg": BLUE, "pairs.csv": table})
    source = ImageFolder(root, captions="pairs.csv")
    assert len(source) == 3
    assert source[0].name == "b/2.jpg"
    assert source[0].captions == ("a blue square, small", "azure box")
    assert source[0].image == BLUE and source[0].label is None
    assert source[1].captions == ("a red square",)
    assert source.dropped == {"caption_missing": 1}
    assert source.class_names == ()
    assert source.name == f"image_folder/{tmp_path.name}/pairs"
    with pytest.raises(BadSample, match=r"missing\.jpg") as caught:
        source[2]
    assert caught.value.cause == "image_missing"


def test_tsv_with_byte_order_mark_and_other_columns(tmp_path):
    table = b"\xef\xbb\xbftitle\tfilepath\nun caf\xc3\xa9, noir\t1.jpg\n"
    root = write(tmp_path, {"1.jpg": RED, "pairs.tsv": table})
    source = ImageFolder(
        root, captions="pairs.tsv", image_column="filepath", caption_column="title"
    )
    assert source[0].captions == ("un café, noir",)


def test_jsonl_takes_lists_and_drops_nulls(tmp_path):
    table = """\
        {"image": "1.jpg", "caption": ["a red square", "", "rouge"]}

        {"image": "2.jpg", "caption": null}
        {"image": "2.jpg", "caption": "bleu \\ud800"}
        """
    root = write(tmp_path, {"1.jpg": RED, "2.jpg": BLUE, "pairs.jsonl": table})
    source = ImageFolder(root, captions="pairs.jsonl")
    assert [source[i].captions for i in range(2)] == [
        ("a red square", "rouge"),
        ("bleu",),
    ]
    assert source.dropped == {"caption_missing": 2}


def test_table_is_found_by_absolute_and_by_working_path(tmp_path, monkeypatch):
    root = write(tmp_path / "images", {"1.jpg": RED})
    write(tmp_path, {"pairs.csv": "image,caption\n1.jpg,red\n"})
    assert len(ImageFolder(root, captions=str(tmp_path / "pairs.csv"))) == 1
    monkeypatch.chdir(tmp_path)
    assert len(ImageFolder("images", captions="pairs.csv")) == 1


def test_captions_of_another_kind(tmp_path):
    root = write(tmp_path, {"1.jpg": RED})
    with pytest.raises(ConfigError, match=r"\('txt',\); expected the name of a table"):
        ImageFolder(root, captions=("txt",))


def test_broken_pictures_are_left_to_the_decoder(tmp_path):
    names = {"empty.jpg": b"", "page.jpg": b"<html>", "cut.jpg": RED[:300]}
    table = "image,caption\n" + "".join(f"{name},x\n" for name in names)
    source = ImageFolder(write(tmp_path, names | {"t.csv": table}), captions="t.csv")
    causes = []
    for index in range(3):
        with pytest.raises(BadSample) as caught:
            decode_image(source[index].image)
        causes.append(caught.value.cause)
    assert causes == ["image_empty", "image_unreadable", "image_truncated"]


def test_unreadable_paths_are_bad_samples(tmp_path, monkeypatch):
    rows = '{"image": "d", "caption": "x"}\n{"image": "a\\u0000", "caption": "x"}\n'
    rows += '{"image": "1.jpg", "caption": "x"}\n{"image": "1.jpg/a", "caption": "x"}\n'
    root = write(tmp_path, {"d/1.jpg": RED, "1.jpg": RED, "t.jsonl": rows})
    monkeypatch.setitem(LIMITS, "image", 100)
    source = ImageFolder(root, captions="t.jsonl")
    causes = []
    for index in range(4):
        with pytest.raises(BadSample) as caught:
            source[index]
        causes.append(caught.value.cause)
    unreadable, large = "image_unreadable", "image_too_large"
    assert causes == [unreadable, unreadable, large, "image_missing"]


def test_missing_column_is_named_with_the_nearest(tmp_path):
    message = refused(tmp_path, "imge,caption\n1.jpg,red\n")
    assert "line 2: no column 'image'; the columns are: imge, caption" in message
    assert "did you mean 'imge'?" in message
    message = refused(tmp_path, '{"image": "1.jpg", "text": "red"}\n', "t.jsonl")
    assert "line 1: no column 'caption'; the columns are: image, text" in message


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../1.jpg", "a/../../1.jpg", "..\\1.jpg"]
)
def test_paths_that_leave_the_root_are_refused(tmp_path, path):
    message = refused(tmp_path, f"image,caption\n1.jpg,red\n{path},blue\n")
    assert "line 3" in message and "may lie outside the folder" in message


def test_tables_with_rows_that_cannot_be_used_name_the_line(tmp_path):
    header = "image,caption\n1.jpg,red\n"
    latin = header.encode() + b"2.jpg,caf\xe9\n"
    assert "pairs.csv, line 3: not UTF-8" in refused(tmp_path, latin)
    assert "line 3: the image is ''" in refused(tmp_path, header + ",a dog\n")
    assert "is a URL" in refused(tmp_path, header + "http://x.org/1.jpg,a dog\n")
    assert "no usable caption" in refused(tmp_path, "image,caption\n1.jpg,\n")
    bad_caption = '{"image": "1.jpg", "caption": ["x", 3]}\n'
    assert "the caption is ['x', 3]" in refused(tmp_path, bad_caption, "t.jsonl")
    assert "known: .csv, .jsonl, .tsv" in refused(tmp_path, header, "pairs.txt")


def test_missing_folder_table_and_pictures(tmp_path):
    with pytest.raises(ConfigError, match="no folder '/nowhere/at/all'"):
        ImageFolder("/nowhere/at/all")
    with pytest.raises(ConfigError, match="no captions table 'x.csv'; looked in"):
        ImageFolder(str(tmp_path), captions="x.csv")
    with pytest.raises(ConfigError, match=r"no pictures in .* looked for \.bmp"):
        ImageFolder(write(tmp_path, {"notes.md": "hello"}))
    with pytest.raises(ConfigError, match="1 pictures in .* and no captions"):
        ImageFolder(write(tmp_path, {"1.jpg": RED}))


# ---- caption files


def test_caption_files_one_caption_a_line(tmp_path):
    files = {"b/2.PNG": BLUE, "b/2.txt": "a blue box\n\n  azure  \n", "1.jpg": RED}
    files |= {"1.txt": b"\xef\xbb\xbfred\r\n", "alone.jpg": GREEN, ".hidden.jpg": RED}
    source = ImageFolder(write(tmp_path, files))
    assert [source[i].name for i in range(len(source))] == ["1.jpg", "b/2.PNG"]
    assert source[0].captions == ("red",) and source[0].image == RED
    assert source[1].captions == ("a blue box", "azure")
    assert source.dropped == {"caption_missing": 1}
    os.remove(tmp_path / "1.txt")
    with pytest.raises(BadSample) as caught:
        source[0]
    assert caught.value.cause == "caption_missing"


@pytest.mark.parametrize(
    "text, cause",
    [
        (b" \n\t\n", "caption_missing"),
        (b"", "caption_missing"),
        (b"caf\xe9", "caption_unreadable"),
        (b"x" * (MAX_CAPTION + 1), "caption_too_long"),
        (b"x\n" * 2**20, "caption_too_long"),
    ],
)
def test_unusable_caption_files_are_bad_samples(tmp_path, text, cause):
    source = ImageFolder(write(tmp_path, {"1.jpg": RED, "1.txt": text}))
    with pytest.raises(BadSample) as caught:
        source[0]
    assert caught.value.cause == cause


# ---- class folders


def test_class_folders(tmp_path):
    files = {"sea_otter/x/1.jpg": RED, "dog/2.jpeg": BLUE, "dog/1.jpg": RED}
    files |= {"stray.jpg": RED, ".cache/1.jpg": RED, "ant/readme.md": "no pictures"}
    root = write(tmp_path, files)
    source = ImageFolder(root, templates=("a {}", "one {} here"))
    assert source.class_names == ("ant", "dog", "sea otter")
    found = [(e.name, e.label) for e in (source[i] for i in range(len(source)))]
    assert found == [("dog/1.jpg", 1), ("dog/2.jpeg", 1), ("sea_otter/x/1.jpg", 2)]
    assert source[2].captions == ("a sea otter", "one sea otter here")
    assert source.dropped == {"class_missing": 1}
    named = ImageFolder(root, class_names=("Ant", "Hound", "Otter"))
    assert named[0].captions == ("a photo of a Hound",)
    (tmp_path / "names.txt").write_text("Ant\nHound\nOtter\n")
    listed = ImageFolder(root, class_names=str(tmp_path / "names.txt"))
    assert listed.class_names == named.class_names
    with pytest.raises(ConfigError, match="10 class_names for 3 class folders"):
        ImageFolder(root, class_names="cifar10")
    with pytest.raises(ConfigError, match="2 class_names for 3 class folders"):
        ImageFolder(root, class_names=("Ant", "Hound"))
    with pytest.raises(ConfigError, match="template 'a photo' has no '{}'"):
        ImageFolder(root, templates=("a photo",))


def test_linked_class_folders_are_followed_and_loops_end(tmp_path):
    write(tmp_path / "elsewhere", {"1.jpg": RED})
    root = write(tmp_path / "root", {"dog/1.jpg": BLUE})
    os.symlink(tmp_path / "elsewhere", tmp_path / "root" / "cat")
    os.symlink(tmp_path / "root", tmp_path / "root" / "dog" / "loop")
    source = ImageFolder(root)
    assert [source[i].name for i in range(len(source))] == ["cat/1.jpg", "dog/1.jpg"]
