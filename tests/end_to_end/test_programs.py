"""What the programs say, and what they take."""

import json

import pytest

TINY = "--config=tests/end_to_end/tiny.py"


def test_train_says_what_it_does_and_what_comes_next(tiny_run):
    out, workdir = tiny_run.finished.out, tiny_run.workdir
    assert "vlp_jax.train  tiny" in out
    assert "1 x cpu (data 1, fsdp 1, tensor 1)" in out
    assert "digit_scenes/train, 512 samples\n" in out
    assert "40 steps of 16 pairs (1.2 passes over the data), saved every 5" in out
    plain = [line for line in out.splitlines() if line.startswith("step ")]
    assert [int(line.split()[1].split("/")[0]) for line in plain] == [
        *range(3, 40, 3),
        40,
    ]
    assert all(
        "loss" in line and "images/s" in line and "ETA" in line for line in plain
    )
    assert "evaluation  retrieval/image_retrieval_recall@1 " in out
    last = out.splitlines()[-1].strip()
    expected = f"--checkpoint={workdir} --output={workdir}/eval"
    assert last == f"python -m vlp_jax.evaluate {expected}"
    assert tiny_run.finished.err == ""
    assert list((workdir / "tensorboard").glob("events*"))


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_is_short(program, name):
    found = program(name, "--help").check()
    assert len(found.out.splitlines()) < 40
    assert f"python -m vlp_jax.{name} --" in found.out
    own = {"train": ["workdir"], "evaluate": ["checkpoint", "output"]}[name]
    for flag in ("config", "help_config", *own):
        assert f"  --{flag} " in found.out


def test_help_config_lists_every_setting(program):
    found = program("train", TINY, "--config.seed=5", "--help_config").check()
    lines = found.out.splitlines()
    assert all(line.startswith("--config.") for line in lines)
    assert {
        "--config.seed=5",
        "--config.batch_size=16",
        "--config.model.image.width=32",
        "--config.data.train.kind=digit_scenes",
    } <= set(lines)
    assert any(x.startswith("--config.data.train.root  (not given") for x in lines)


def results(folder) -> dict[str, float]:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())["metrics"]


def test_evaluate_takes_a_workdir_or_a_step(program, tiny_run, tmp_path):
    workdir = tiny_run.workdir
    newest = program(
        "evaluate", f"--checkpoint={workdir}", f"--output={tmp_path / 'a'}"
    ).check()
    assert "step 40" in newest.out
    assert "retrieval on 24 samples" in newest.out
    assert f"Next: open {tmp_path / 'a' / 'report.html'}" in newest.out
    assert newest.err == ""
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    found = results(tmp_path / "a")
    assert found == {n: last[f"retrieval/{n}"] for n in found} and len(found) == 6
    assert "polyline" in (tmp_path / "a" / "report.html").read_text()

    step = workdir / "checkpoints" / "35"
    older = program(
        "evaluate", f"--checkpoint={step}", f"--output={tmp_path / 'b'}"
    ).check()
    assert "step 35" in older.out and str(step) in older.out


def test_evaluate_the_moving_average(program, tiny_run, tmp_path):
    config = "--config=configs/evaluate/digit_scenes.py"
    small = [
        f"--config.evaluators.{name}.data.{setting}"
        for name in ("retrieval", "zero_shot")
        for setting in ("size=24", "canvas=24")
    ]
    found = {}
    for weights in ("model", "ema"):
        output = tmp_path / weights
        program(
            "evaluate",
            f"--checkpoint={tiny_run.workdir}",
            f"--output={output}",
            config,
            f"--config.weights={weights}",
            "--config.batch_size=32",
            *small,
        ).check()
        names = sorted(path.name for path in output.glob("*.json"))
        assert [name.split("_zeroshot_")[1] for name in names] == [
            "classification.json",
            "retrieval.json",
        ]
        found[weights] = (output / "report.html").read_text()
    assert found["model"] != found["ema"]
