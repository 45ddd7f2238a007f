"""Google Kubernetes Engine with TPUs: slices of v5e, 16 x 16 chips each.

python -m vlp_jax.launch --spec=launch/gke_tpu.py --submit --spec.image=IMAGE \\
    --spec.volume_claim=CLAIM -- \\
    python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py \\
    --workdir=/data/runs/clip_l14 --config.data.train.root=/data/pictures ...

IMAGE holds this repository and `jax[tpu]`; CLAIM is a PersistentVolumeClaim that all
pods may write to. The cluster has JobSet installed and a node pool of that topology for
every slice. accelerator and topology are GKE's names, which
`kubectl get nodes -L cloud.google.com/gke-tpu-accelerator` shows.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("gke_tpu")
    spec.name = "clip-l14"
    spec.command = (
        "python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py "
        "--workdir=/data/runs/clip_l14"
    )
    spec.image = "CHANGE_ME"
    spec.volume_claim = "CHANGE_ME"
    spec.accelerator = "tpu-v5-lite-podslice"
    spec.topology = "16x16"
    spec.chips_per_node = 4
    spec.slices = 1
    spec.retries = 3
    spec.grace_seconds = 120
    return spec
