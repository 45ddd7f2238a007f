"""xpk: a workload on a cluster of TPU slices that `xpk cluster create` made.

python -m vlp_jax.launch --spec=launch/xpk.py --submit --spec.cluster=NAME \\
    --spec.image=IMAGE -- \\
    python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py \\
    --workdir=/data/runs/clip_l14 --config.data.train.root=/data/pictures ...

IMAGE holds this repository and `jax[tpu]`. /data is a storage that `xpk storage attach`
mounts in every pod; checkpoints outlive a restart only there.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("xpk")
    spec.name = "clip-l14"
    spec.command = (
        "python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py "
        "--workdir=/data/runs/clip_l14"
    )
    spec.cluster = "CHANGE_ME"
    spec.image = "CHANGE_ME"
    spec.tpu_type = "v5litepod-256"
    spec.slices = 1
    spec.retries = 3
    spec.grace_seconds = 120
    return spec
