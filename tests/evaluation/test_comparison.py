"""Results of several folders side by side, ours and clip_benchmark's."""

import io
import json

import pytest
from rich.console import Console

from vlp_jax.core.errors import ConfigError
from vlp_jax.evaluation.comparison import Comparison, compare, comparison_table


def write(folder, name, dataset="digits", model="vit", step="W/checkpoints/5", **found):
    folder.mkdir(exist_ok=True)
    result = {
        "dataset": dataset,
        "model": model,
        "pretrained": step,
        "task": "zeroshot_classification",
        "metrics": found,
        "language": "en",
    }
    (folder / f"{name}.json").write_text(json.dumps(result))
    return str(folder)


@pytest.fixture
def folders(tmp_path):
    first = write(tmp_path / "a", "digits", acc1=0.5, acc5=None)
    write(tmp_path / "a", "scenes", dataset="scenes", acc1=0.25)
    second = write(tmp_path / "b", "benchmark", model="other", acc1=0.75, acc5=0.9)
    (tmp_path / "a" / "results.jsonl").write_text("{}\n")
    (tmp_path / "a" / "notes.json").write_text("[1]")
    (tmp_path / "a" / "torn.json").write_text('{"dataset": ')
    return first, second


def test_a_row_a_metric_and_a_column_a_folder(folders):
    found = compare(folders)
    task = "zeroshot_classification"
    assert found.columns == ("a", "b")
    assert found.rows == {
        ("digits", task, "acc1"): [0.5, 0.75],
        ("digits", task, "acc5"): [None, 0.9],
        ("scenes", task, "acc1"): [0.25, None],
    }
    best = [found.best(key) for key in found.rows]
    assert best == [{1}, set(), set()]  # alone is not best


def test_several_checkpoints_in_a_folder_have_a_column_each(tmp_path):
    folder = write(tmp_path / "a", "one", acc1=0.5)
    write(tmp_path / "a", "two", step="W/checkpoints/10", acc1=0.5)
    found = compare([folder])
    assert found.columns == (f"{folder}: vit 5", f"{folder}: vit 10")
    (key,) = found.rows
    assert found.rows[key] == [0.5, 0.5] and found.best(key) == set()


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("runs/a/eval", "runs/b/eval"), ("a", "b")),
        (("runs/a/x", "runs/b/y"), ("a/x", "b/y")),
        (("runs", "runs/eval"), ("runs", "runs/eval")),
        (("runs/eval",), ("runs/eval",)),
    ],
)
def test_names_tell_folders_apart(tmp_path, monkeypatch, folders, names):
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write(tmp_path / folder, "one", acc1=0.5)
    assert compare(folders).columns == names


def test_a_penalty_or_a_spread_has_no_best():
    names = ("l2", "lp_acc1_5_shot_std", "lp_acc1_5_shot")
    rows = {("data", "linear_probe", name): [0.5, 0.75] for name in names}
    found = Comparison(("a", "b"), rows)
    assert [found.best(key) for key in rows] == [set(), set(), {1}]


def test_the_table_marks_the_best(folders):
    console = Console(width=200, file=io.StringIO())
    console.print(comparison_table(compare(folders)))
    text = console.file.getvalue()
    assert "0.7500 *" in text and "0.5000 *" not in text and "–" in text


def test_metrics_stay_whole_in_a_narrow_terminal(tmp_path):
    name = "image_retrieval_recall@10"
    for folder, value in (("a", 0.4321), ("b", 0.1234), ("a_longer_run", 0.1234)):
        write(tmp_path / folder, "x", dataset="digit_scenes/test", **{name: value})
    found = compare([str(path) for path in sorted(tmp_path.iterdir())])
    console = Console(width=80, file=io.StringIO())
    console.print(comparison_table(found))
    text = console.file.getvalue()
    assert name in text and "0.4321 *" in text and text.count("0.1234") == 2


def test_a_folder_without_a_result(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "gone"):
        with pytest.raises(ConfigError, match=f"no results in .*{name}"):
            compare([folders[0], str(tmp_path / name)])
