"""clip_benchmark's folders of each type, as it exports them, and broken ones."""

import pickle

import numpy as np
import pytest

from tests.data import clip_benchmark_folders as folders
from tests.data.sources.conftest import cause_of
from tests.data.tars import BLUE, RED, write_tar
from vlp_jax.core.errors import ConfigError
from vlp_jax.data.sources.clip_benchmark import ClipBenchmark, find_folders


def test_classes_and_prompts_come_with_the_folder(tmp_path):
    source = ClipBenchmark(folders.classification(tmp_path / "wds_colours"))
    assert (source.name, source.type) == (
        "clip_benchmark/wds_colours/test",
        "classification",
    )
    assert source.class_names == ("red thing", "blue {c}")
    assert source.templates == ("a {}", "{}, plain.")
    assert source.blocks.tolist() == [2, 3]
    found = [source[i] for i in range(3)]
    assert [example.label for example in found] == [0, 1, 0]
    assert [example.labels for example in found] == [None] * 3
    assert [example.image for example in found] == [RED, BLUE, RED]
    assert found[0].captions == ("a red thing", "red thing, plain.")
    assert found[2].name == "1.tar/s0000002"
    copied = pickle.loads(pickle.dumps(source))
    assert copied[1] == found[1] and copied.fingerprint == source.fingerprint


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path):
    """Not as a folder lists them: 10 comes after 9."""
    truth = [("red", "txt", f"number {n}") for n in range(12)]
    files = {"dataset_type.txt": "retrieval"}
    root = folders.write_folder(tmp_path, truth, files, per_shard=1)
    source = ClipBenchmark(root)
    assert [source[i].captions[0] for i in range(12)] == [x[2] for x in truth]


def test_every_line_of_a_text_is_a_caption(tmp_path):
    source = ClipBenchmark(folders.retrieval(tmp_path / "wds_pairs"))
    assert source.type == "retrieval"
    assert (source.class_names, source.templates) == ((), ())
    assert [source[i].captions for i in range(3)] == [
        ("a red one", "red again"),
        ("blue",),
        ("green", "", "another green", "last green"),
    ]


def test_captions_stand_as_they_were_written(tmp_path):
    """Blank ones and none at all too: they count, and the tokenizer cleans them."""
    texts = [" two  spaces\n\n", "cafe\u0301\x0bnew", "", " \n"]
    truth = [("red", "txt", text) for text in texts] + [("red", "cls", "0")]
    root = folders.write_folder(tmp_path, truth, {"dataset_type.txt": "retrieval"})
    source = ClipBenchmark(root)
    assert len(source) == 5 and not source.dropped
    found = [source[i].captions for i in range(4)]
    assert found == [tuple(text.splitlines()) for text in texts]
    assert found[0] == (" two  spaces", "") and found[2:] == [(), (" ",)]
    assert cause_of(source, 4) == "caption_missing"


def test_a_text_beside_a_label_may_be_broken(tmp_path):
    root = folders.classification(tmp_path)
    members = {"a.jpg": RED, "a.cls": "1", "b.jpg": RED, "b.cls": "0"}
    members |= {"a.txt": b"\xff\xfe", "b.json": b"{", "b.txt": "word " * 3000}
    write_tar(tmp_path / "test" / "1.tar", members)
    source = ClipBenchmark(root)
    assert [source[i].label for i in range(4)] == [0, 1, 1, 0]
    assert source[3].captions == ("a red thing", "red thing, plain.")


def test_empty_lines_at_the_end_are_none(tmp_path):
    root = folders.classification(tmp_path)
    (tmp_path / "test" / "nshards.txt").write_text("2\n\n")
    (tmp_path / "dataset_type.txt").write_text("classification\n\n")
    path = tmp_path / "zeroshot_classification_templates.txt"
    path.write_text(path.read_text() + " \n\n")
    source = ClipBenchmark(root)
    assert (source.type, len(source)) == ("classification", 3)
    assert source.templates == ("a {}", "{}, plain.")


def test_several_labels_a_picture(tmp_path):
    source = ClipBenchmark(folders.multilabel(tmp_path / "wds_many"))
    assert source.type == "multilabel"
    assert [source[i].labels for i in range(3)] == [(0,), (1, 2), ()]
    assert [source[i].label for i in range(3)] == [None] * 3
    assert source[1].captions == ("a photo of a blue", "a photo of a green")


def test_labels_that_are_none_are_bad_samples(tmp_path):
    broken = [
        folders.multi_hot(1, 0),  # of two classes, not three
        folders.multi_hot(1, 0, 0)[:-1],
        b"\x93NUMPY\x01\x00",
        pickle.dumps(np.eye(3)),
        folders.multi_hot(1, 0, 0).replace(b"(3,)", b"(9,)"),
    ]
    root = folders.multilabel(tmp_path)
    truth = [("red", "npy", data) for data in broken]
    folders.write_folder(tmp_path, truth, {}, per_shard=9, split="train")
    source = ClipBenchmark(root, split="train")
    assert source.name.endswith("/train")
    assert [cause_of(source, i) for i in range(5)] == ["label_unreadable"] * 5


@pytest.mark.parametrize(("said", "cause"), [("x", "label_unreadable"), ("7", None)])
def test_the_number_of_a_class_without_a_name(tmp_path, said, cause):
    """Names of another dataset would give a score all the same."""
    root = folders.classification(tmp_path)
    write_tar(tmp_path / "test" / "1.tar", {"a.jpg": RED, "a.cls": said})
    source = ClipBenchmark(root)
    if cause:
        assert cause_of(source, 2) == cause
        return
    with pytest.raises(ConfigError, match="class 7, and classnames.txt names 2, from"):
        source[2]


def test_a_folder_behind_a_url(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    local = folders.classification(tmp_path / "wds_colours")
    for path in (p for p in (tmp_path / "wds_colours").rglob("*") if p.is_file()):
        memory.pipe(f"/hub/{path.relative_to(tmp_path)}", path.read_bytes())
    remote, here = ClipBenchmark("memory://hub/wds_colours"), ClipBenchmark(local)
    assert remote.name == here.name and remote.templates == here.templates
    assert [remote[i].label for i in range(3)] == [0, 1, 0]
    assert remote[2].image == here[2].image


def test_what_is_not_such_a_folder_is_explained(tmp_path):
    root = tmp_path / "wds"
    folders.classification(root)

    def refused(**settings) -> str:
        with pytest.raises(ConfigError) as caught:
            ClipBenchmark(str(root), **settings)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no " in refused(split="val") and "set root and split" in refused(split="v")
    (root / "zeroshot_classification_templates.txt").write_text("a photo\n")
    assert "'a photo' has no '{c}' where" in refused()
    (root / "zeroshot_classification_templates.txt").unlink()
    assert ClipBenchmark(str(root)).templates == ()
    (root / "classnames.txt").unlink()
    assert "needs classnames.txt, a class a line; for retrieval" in refused()
    (root / "dataset_type.txt").write_text("retreival")
    assert "did you mean 'retrieval'?" in refused()
    (root / "dataset_type.txt").write_text("retrieval")
    assert "has a field 'txt'" in refused()
    for count in ("", "0", "two", "-1", "1\n2"):
        (root / "test" / "nshards.txt").write_text(count)
        assert "expected the number of shards" in refused()
    (root / "test" / "nshards.txt").write_text("3")
    assert "2.tar" in refused()
    (root / "test" / "nshards.txt").write_bytes(b"\xff")
    assert "cannot be read" in refused()


def test_folders_of_a_suite(tmp_path):
    one = folders.classification(tmp_path / "suite" / "b")
    folders.retrieval(tmp_path / "suite" / "a")
    (tmp_path / "suite" / "notes").mkdir()
    suite = str(tmp_path / "suite")
    assert list(find_folders(suite, "test")) == ["a", "b"]
    assert find_folders(one, "test") == {"b": one}
    with pytest.raises(ConfigError, match=r"looked for val/nshards.txt there and one"):
        find_folders(suite, "val")
