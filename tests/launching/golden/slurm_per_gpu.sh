#!/usr/bin/env bash
#SBATCH --job-name=clip-b32
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue

srun --kill-on-bad-exit=0 --wait=120 --cpus-per-task=12 python -m vlp_jax.train --config=configs/pretrain/clip_vit_b32.py --workdir=runs/clip_b32
code=$?

# scancel ends this script too, so a cancelled job is not queued again.
case "$code" in
0 | 78) ;; # done, or a setting is wrong: never again
75) scontrol requeue "$SLURM_JOB_ID" ;; # preempted and saved
*)
    if [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "$code"
