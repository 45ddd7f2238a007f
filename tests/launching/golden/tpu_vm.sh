gcloud compute tpus tpu-vm ssh CHANGE_ME \
    --zone=CHANGE_ME \
    --project=p \
    --worker=all \
    '--command=cd vlp_jax && .venv/bin/python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py --workdir=/data/runs/clip_b32'
