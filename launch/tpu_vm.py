"""Cloud TPU VMs that exist already: the same command on each of their hosts.

python -m vlp_jax.launch --spec=launch/tpu_vm.py --submit --spec.tpu=NAME \\
    --spec.zone=ZONE -- \\
    .venv/bin/python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py \\
    --workdir=/data/runs/clip_b32 --config.data.train.root=/data/pictures ...

`folder` is this repository on every host, with `jax[tpu]` in its .venv; /data is a
file system that all hosts mount. The run ends when the connection does, so start it
from a machine that stays up; the same command goes on from the checkpoint.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("tpu_vm")
    spec.command = (
        ".venv/bin/python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py "
        "--workdir=/data/runs/clip_b32"
    )
    spec.tpu = "CHANGE_ME"
    spec.zone = "CHANGE_ME"
    spec.folder = "vlp_jax"
    return spec
