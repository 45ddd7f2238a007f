"""This machine: processes that train together and start again when one fails.

python -m vlp_jax.launch --spec=launch/local.py --submit -- \\
    python -m vlp_jax.train --config=configs/quickstart.py --workdir=runs/quickstart

One process uses all the devices that it finds, so one is enough for most runs; it is
still started again after a failure. To try a run of several hosts on one machine:
--spec.processes_per_node=2 --spec.cpu_devices=4. Two processes with four GPUs each:
--spec.processes_per_node=2 --spec.gpus_per_process=4.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("local")
    spec.name = "quickstart"
    spec.command = (
        "python -m vlp_jax.train --config=configs/quickstart.py "
        "--workdir=runs/quickstart"
    )
    return spec
