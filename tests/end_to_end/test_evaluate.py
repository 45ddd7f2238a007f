"""What evaluate takes and writes: a workdir or a step, weights or their average."""

import json

import pytest

from tests.end_to_end.outcomes import assert_refused
from vlp_jax.evaluation.rankings import FEW_SCORES

# name: (flags, words of the message), for assert_refused.
EVALUATE = {
    "folder without a checkpoint": (
        ("--checkpoint=DIR", "--output=DIR/out"),
        ("no checkpoint at DIR", "workdir of a training run", "checkpoints/<step>"),
    ),
    "no output": (
        ("--checkpoint=W",),
        ("--checkpoint=runs/quickstart --output=runs/",),
    ),
    "training recipe": (
        ("--checkpoint=W", "--output=DIR/out", "--config=configs/quickstart.py"),
        ("not meant for this program", "configs/evaluate/image_folder.py"),
    ),
    "nothing to compare": (
        ("--compare=DIR,DIR",),
        ("no results in 'DIR'", "name the --output of an evaluation"),
    ),
    "data without captions": (
        (
            "--checkpoint=W",
            "--output=DIR/out",
            "--config=configs/evaluate/image_folder.py",
            "--config.data.root=DIR",
            "--config.data.captions=captions.tsv",
        ),
        ("no captions table 'captions.tsv'",),
    ),
    "data without a root": (
        (
            "--checkpoint=W",
            "--output=DIR/out",
            "--config=configs/evaluate/image_folder.py",
        ),
        ("needs the setting 'root'",),
    ),
    "unknown weights": (
        (
            "--checkpoint=W",
            "--output=DIR/out",
            "--config=configs/evaluate/digit_scenes.py",
            "--config.weights=emma",
        ),
        ("unknown weights 'emma'", "did you mean 'ema'?"),
    ),
    "unknown format": (
        ("--checkpoint=hff:DIR", "--output=DIR/out"),
        ("'hff:DIR' is no endpoint", "expected vlp:"),
    ),
    "foreign model without an evaluation": (
        ("--checkpoint=hf:DIR", "--output=DIR/out"),
        ("hf:DIR has no evaluation of its own", "--config=configs/evaluate/image_fold"),
    ),
    "following a foreign model": (
        ("--checkpoint=open_clip:DIR", "--output=DIR/out", "--follow"),
        ("waits for the steps of a run", "open_clip:DIR is one model", "leave out"),
    ),
    "average of a foreign model": (
        (
            "--checkpoint=hf:DIR",
            "--output=DIR/out",
            "--config=configs/evaluate/digit_scenes.py",
            "--config.weights=ema",
        ),
        ("hf:DIR has one set of weights", "leave out 'ema'"),
    ),
    "no tokenizer": (
        (
            "--checkpoint=big_vision:DIR/x.npz",
            "--output=DIR/out",
            "--config=configs/evaluate/digit_scenes.py",
        ),
        ("DIR/x.npz comes without a tokenizer", "--tokenizer="),
    ),
}


@pytest.mark.parametrize("case", EVALUATE)
def test_it_is_explained(program, tiny_run, tmp_path, case):
    assert_refused(program, "evaluate", *EVALUATE[case], tiny_run.workdir, tmp_path)


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
    assert "<polyline" in (tmp_path / "a" / "report.html").read_text()

    step = workdir / "checkpoints" / "35"
    older = program(
        "evaluate", f"--checkpoint={step}", f"--output={tmp_path / 'b'}"
    ).check()
    assert "step 35" in older.out and str(step) in older.out

    both = f"--compare={tmp_path / 'a'},{tmp_path / 'b'}"
    compared = program("evaluate", both, f"--output={tmp_path / 'c'}").check()
    value = found["image_retrieval_recall@1"]
    assert "image_retrieval_recall@1" in compared.out and f"{value:.4f}" in compared.out
    assert "<h2>Comparison</h2>" in (tmp_path / "c" / "comparison.html").read_text()


MANY = 917  # with five captions each more scores than FEW_SCORES: on the devices
EVALUATORS = f"""
from vlp_jax import recipe

def get_config():
    config = recipe.evaluation()
    config.batch_size = 36
    scenes = dict(split="test", canvas=24)
    for name, size in (("few", 27), ("many", {MANY})):
        data = recipe.source("digit_scenes", size=size, **scenes)
        config.evaluators[name] = recipe.evaluator("retrieval", data, gallery=2)
    data = recipe.source("digit_scenes", size=45, digit_counts=(1,), **scenes)
    config.evaluators.digits = recipe.evaluator("zero_shot", data)
    return config
"""


def test_one_device_and_eight_print_the_same_digits(program, tiny_run, tmp_path):
    """Ranks are counted by NumPy and on devices; the last batches are ragged."""
    assert 5 * MANY**2 > FEW_SCORES > 5 * 27**2
    config = tmp_path / "evaluation.py"
    config.write_text(EVALUATORS)
    started = {
        devices: program.start(
            "evaluate",
            f"--checkpoint={tiny_run.workdir}",
            f"--config={config}",
            f"--output={tmp_path / str(devices)}",
            devices=devices,
        )
        for devices in (1, 8)
    }
    printed, found = [], []
    for devices, process in started.items():
        output = tmp_path / str(devices)
        printed.append(program.wait(process).check().out.replace(str(output), "OUT"))
        lines = (output / "results.jsonl").read_text().splitlines()
        found.append([json.loads(line)["metrics"] for line in lines])
    assert printed[0] == printed[1] and found[0] == found[1]
    assert [len(metrics) for metrics in found[0]] == [3, 6, 6]
    assert len(set(found[0][2].values())) > 4


@pytest.mark.long
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
