"""Google Kubernetes Engine with GPUs: two nodes with eight H100 each.

python -m vlp_jax.launch --spec=launch/gke_gpu.py --submit --spec.image=IMAGE \\
    --spec.volume_claim=CLAIM -- \\
    python -m vlp_jax.train --config=configs/pretrain/clip_vit_b16.py \\
    --workdir=/data/runs/clip_b16 --config.data.train.root=/data/pictures ...

IMAGE holds this repository and `jax[cuda13]`; CLAIM is a PersistentVolumeClaim that all
pods may write to. The cluster has JobSet installed. One process per node owns its GPUs.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("gke_gpu")
    spec.name = "clip-b16"
    spec.command = (
        "python -m vlp_jax.train --config=configs/pretrain/clip_vit_b16.py "
        "--workdir=/data/runs/clip_b16"
    )
    spec.image = "CHANGE_ME"
    spec.volume_claim = "CHANGE_ME"
    spec.accelerator = "nvidia-h100-80gb"
    spec.gpus_per_node = 8
    spec.nodes = 2
    spec.retries = 3
    spec.grace_seconds = 120
    return spec
