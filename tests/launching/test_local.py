"""Processes on this machine know each other, share its devices and write their logs."""

import time
from pathlib import Path

import pytest

from tests.launching.processes import local, process_ids
from tests.processes import is_alive
from vlp_jax.core.errors import ConfigError

pytestmark = pytest.mark.usefixtures("folder")


def test_the_processes_know_each_other_and_where_they_print(capfd):
    script = 'echo "$JAX_PROCESS_ID/$JAX_NUM_PROCESSES $JAX_COORDINATOR_ADDRESS"'
    assert local(script, processes_per_node=2).submit() == 0
    first = capfd.readouterr().out.split()
    second = Path("logs/test.1.log").read_text().split()
    assert (first[0], second[0]) == ("0/2", "1/2")
    assert first[1] == second[1] and first[1].startswith("127.0.0.1:")
    assert not Path("logs/test.0.log").exists()


def test_each_attempt_meets_at_a_port_of_its_own():
    script = 'echo "$JAX_COORDINATOR_ADDRESS" >> ports; test $n -eq 3'
    assert local(script, retries=4).submit() == 0
    assert len(set(Path("ports").read_text().split())) > 1


def test_devices_are_shared_out():
    job = local("", processes_per_node=2, cpu_devices=4, gpus_per_process=2)
    around = {"XLA_FLAGS": "--xla_x", "CUDA_VISIBLE_DEVICES": "3,5,6,7"}
    seen = [job.settings_of(number, 1, around) for number in range(2)]
    assert [s["CUDA_VISIBLE_DEVICES"] for s in seen] == ["3,5", "6,7"]
    count = "--xla_force_host_platform_device_count=4"
    assert {s["XLA_FLAGS"] for s in seen} == {f"--xla_x {count}"}
    assert job.settings_of(1, 1, {})["CUDA_VISIBLE_DEVICES"] == "2,3"
    with pytest.raises(ConfigError, match="need 4; CUDA_VISIBLE_DEVICES names only 2"):
        job.settings_of(0, 1, {"CUDA_VISIBLE_DEVICES": "0,1"})


def test_a_log_that_cannot_be_written_leaves_nothing_running():
    Path("logs").write_text("a file")
    with pytest.raises(ConfigError, match="cannot start 'sh'"):
        local("sleep 60", processes_per_node=2).submit()
    time.sleep(0.3)  # time enough for process 0 to write down that it runs
    assert not list(filter(is_alive, process_ids()))
