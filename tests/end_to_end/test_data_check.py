"""data_check as a person types it."""

import json

import pytest

from tests.end_to_end.test_own_pictures import BROKEN, PICTURES, write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("own"), "train", PICTURES, BROKEN)


def test_a_training_recipe_on_a_folder(program, folder, tmp_path):
    found = program(
        "data_check",
        "--config=configs/quickstart.py",
        "--config.data.train.kind=image_folder",
        f"--config.data.train.root={folder}",
        "--config.data.train.captions=captions.csv",
        "--config.tokenizer.vocab_size=300",
        f"--output={tmp_path / 'out'}",
    ).check()
    assert "59 of 64 samples can be used" in found.out
    assert "2 image_truncated: photos/3.jpg, photos/50.jpg" in found.out
    assert "tokens a caption" in found.out and "images/s, 4 threads" in found.out
    page = tmp_path / "out" / "contact_sheet.html"
    assert found.out.rstrip().endswith(f"Next: open {page} in a browser")
    assert "data:image/" in page.read_text()
    numbers = json.loads((tmp_path / "out" / "data.json").read_text())
    assert numbers["sources"]["train"]["captions"] == 59 * 5
    assert found.err == ""


def test_a_dataset_alone(program, folder, tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from vlp_jax import recipe\n\n\ndef get_config():\n"
        f"    return recipe.dataset('image_folder', root={str(folder)!r},\n"
        "                          captions='captions.csv')\n"
    )
    found = program("data_check", f"--config={recipe}", "--samples=3").check()
    assert "samples looked at 3/3" in found.out
    assert "2 of 3 samples can be used" in found.out
    assert found.out.rstrip().endswith("--output=DIR, for a page with samples")


def test_what_is_wrong_is_said_in_a_line(program, folder, tmp_path):
    broken = {i: "image_empty" for i in range(8)}
    nothing = write_folder(tmp_path / "nothing", "train", 8, broken)
    file = tmp_path / "file"
    file.write_text("mine")
    of_folder = (
        "--config=configs/quickstart.py",
        "--config.data.train.kind=image_folder",
        "--config.data.train.captions=captions.csv",
    )
    for flags, code, said in [
        ((), 78, "data_check needs data"),
        (
            (*of_folder, f"--config.data.train.root={folder}", "--samples=0"),
            78,
            "least",
        ),
        ((*of_folder, f"--output={file}"), 78, "cannot be a folder"),
        ((*of_folder, f"--config.data.train.root={tmp_path}/no"), 78, "no"),
        ((*of_folder, f"--config.data.train.root={nothing}"), 1, "not one sample"),
    ]:
        found = program("data_check", *flags)
        assert found.code == code, found
        assert said in found.err and found.err.startswith("error: ")
        assert len(found.err.splitlines()) <= 2
