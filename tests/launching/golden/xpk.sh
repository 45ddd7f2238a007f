xpk workload create \
    --workload=clip-l14 \
    --cluster=CHANGE_ME \
    --tpu-type=v5litepod-256 \
    --num-slices=1 \
    --docker-image=CHANGE_ME \
    --max-restarts=3 \
    --restart-on-exit-codes=1,75,76 \
    --termination-grace-period-seconds=120 \
    --project=p \
    --zone=us-east5-b \
    --priority=high \
    '--command=python -m vlp_jax.train --config=configs/pretrain/clip_vit_l14.py --workdir=/data/runs/clip_l14'
