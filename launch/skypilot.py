"""SkyPilot: a managed job on whichever cloud has the GPUs.

python -m vlp_jax.launch --spec=launch/skypilot.py --submit --spec.infra=aws -- \\
    python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py \\
    --workdir=/data/runs/clip_b32 --config.data.train.root=/data/pictures ...

The working directory is copied to the nodes. /data is what every node mounts from
outside itself; checkpoints outlive a machine that is taken away only there.
"""

from vlp_jax.launching.spec import spec_of


def get_config():
    spec = spec_of("skypilot")
    spec.name = "clip-b32"
    spec.command = (
        "python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py "
        "--workdir=/data/runs/clip_b32"
    )
    spec.accelerators = "H100:8"
    spec.nodes = 2
    spec.use_spot = True
    spec.setup = 'pip install -r requirements.txt "jax[cuda13]"'
    spec.retries = 3
    return spec
