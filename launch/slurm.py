"""A SLURM cluster: two nodes with eight GPUs each, one process per node.

python -m vlp_jax.launch --spec=launch/slurm.py --submit --spec.partition=gpu -- \\
    python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py --workdir=W ...

Run it on a login node, in the repository, with .venv activated; W and the data lie on a
file system that all nodes see. One process per GPU instead:
--spec.processes_per_node=8 --spec.cpus_per_process=12.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("slurm")
    spec.name = "clip-b32"
    spec.command = (
        "python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py "
        "--workdir=runs/clip_b32"
    )
    spec.nodes = 2
    spec.processes_per_node = 1
    spec.gpus_per_node = 8
    spec.cpus_per_process = 96
    spec.time_limit = "24:00:00"
    spec.retries = 3
    spec.grace_seconds = 120  # from SIGTERM to the end of the time limit: to save
    return spec
