"""GKE: a JobSet of fields that its public API has, whose pods know each other."""

import pytest
import yaml

from tests.launching.jobs import GOLDEN, HOSTILE, LINES, check_refused, hostile, job

MANIFESTS = sorted(path.name for path in GOLDEN.glob("gke*"))
# Fields of the public API of JobSet (v1alpha2), and of batch/v1 and core/v1 below it.
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


REFUSED = {
    "a flat topology": ("gke_tpu", {"topology": "16"}, "a topology like 4x4"),
    "a topology of words": ("gke_tpu", {"topology": "axb"}, "a topology like 4x4"),
    "chips left over": ("gke_tpu", {"topology": "3x3"}, "share evenly"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_launched_is_explained(case):
    check_refused(*REFUSED[case])


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
